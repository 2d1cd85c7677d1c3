/* A run opens at its last commit: after damage to any file, and after kill -9 at any instant. */
#include "io/temp.h"

#include "base/log.h"
#include "base/rng.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 20000 };
static const int64_t shape[1] = { N };

/* A checkpoint whose tensor holds its step N times, and whose state says it too. */
static lm_status write_step(const char *run, int64_t step, int64_t keep, lm_err *err)
{
    static float values[N];
    for (int i = 0; i < N; i++) values[i] = (float)step;
    const lm_save_entry entry = { "w", LM_F32, 1, shape, values, LM_F32 };
    lm_checkpoint_writer w;
    LM_TRY(lm_checkpoint_begin(&w, run, step, err));
    lm_json *state = json_pack("{s:I}", "step", (json_int_t)step);
    lm_status status = lm_checkpoint_tensors(&w, "model.safetensors", &(lm_save){ .entries = &entry, .n = 1 }, err);
    if (status == LM_OK) status = lm_checkpoint_state(&w, state, err);
    if (status == LM_OK) status = lm_checkpoint_commit(&w, keep, err);
    lm_json_free(state);
    lm_checkpoint_abort(&w);
    return status;
}

/* Opens the run and checks that everything in the checkpoint is of the same step; returns it. */
static int64_t open_whole(const char *run)
{
    lm_err err = {0};
    lm_checkpoint_reader c;
    lm_safetensors file;
    assert_ok(lm_checkpoint_open(&c, run, &err));
    int64_t step = -1, last = c.step;
    assert_ok(lm_json_need_int(c.state, "step", "state.json", &step, &err));
    assert_int_equal(step, c.step);
    char *path = lm_path_join(c.path, "model.safetensors");
    assert_ok(lm_safetensors_open(&file, path, &err));
    const float *w = lm_stored_in_place(lm_safetensors_find(&file, "w"), LM_F32);
    for (int i = 0; i < N; i++) assert_true(w[i] == (float)step);
    lm_safetensors_close(&file);
    lm_checkpoint_close(&c);
    free(path);
    return last;
}

static int warnings;
static char last_warning[2048];
static void count_warning(lm_level level, const char *text, void *context)
{
    (void)context;
    if (level != LM_LOG_WARN) return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

static void test_latest_and_list(void **state)
{
    lm_err err = {0};
    int64_t *steps;
    size_t n;
    char *run = lm_path_join(*state, "runs/a");
    static const int64_t written[] = { 0, 5, 1234567, 30 };
    for (size_t i = 0; i < 4; i++) {
        assert_ok(write_step(run, written[i], 0, &err));
        assert_int_equal(open_whole(run), written[i]);   /* the last commit, not the highest step */
    }
    assert_ok(lm_checkpoint_list(&steps, &n, run, &err));
    assert_int_equal(n, 4);
    assert_true(steps[0] == 0 && steps[1] == 5 && steps[2] == 30 && steps[3] == 1234567);
    assert_int_equal(test_count_entries(run), 5);         /* and `latest` */
    free(steps);
    free(run);
}

static void test_none(void **state)
{
    lm_err err = {0};
    lm_checkpoint_reader c;
    assert_refused(lm_checkpoint_open(&c, "/nowhere/run", &err), LM_E_IO, "/nowhere/run: cannot open: No such");
    assert_refused(lm_checkpoint_open(&c, *state, &err), LM_E_IO, "holds no checkpoint");
}

/* Names that only look like checkpoints are nobody's. */
static void test_foreign_names(void **state)
{
    lm_err err = {0};
    lm_checkpoint_reader c;
    static const char *const names[] = { "step-1", "step-", "step-0000001", "step-000001x", "step-000001.tmp-1",
                                         "step--00001", "step-9999999999999999999" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = lm_path_join(*state, names[i]);
        assert_ok(lm_make_dirs(path, &err));
        free(path);
    }
    assert_refused(lm_checkpoint_open(&c, *state, &err), LM_E_IO, "holds no checkpoint");
}

static void test_same_step_again(void **state)
{
    lm_err err = {0};
    assert_ok(write_step(*state, 7, 0, &err));
    assert_ok(write_step(*state, 7, 0, &err));
    assert_int_equal(open_whole(*state), 7);
    assert_int_equal(test_count_entries(*state), 2);
}

static void test_keep(void **state)
{
    lm_err err = {0};
    int64_t *steps;
    size_t n;
    for (int64_t step = 10; step <= 50; step += 10) assert_ok(write_step(*state, step, 2, &err));
    assert_ok(lm_checkpoint_list(&steps, &n, *state, &err));
    assert_true(n == 2 && steps[0] == 40 && steps[1] == 50);
    free(steps);
    assert_ok(write_step(*state, 20, 1, &err));           /* went back: the new one stays, whatever its step */
    assert_int_equal(open_whole(*state), 20);
    assert_ok(lm_checkpoint_list(&steps, &n, *state, &err));
    assert_true(n == 2 && steps[0] == 20 && steps[1] == 50);
    free(steps);
}

static void test_abort_leaves_nothing(void **state)
{
    lm_err err = {0};
    lm_checkpoint_writer w;
    assert_ok(write_step(*state, 1, 0, &err));
    assert_ok(lm_checkpoint_begin(&w, *state, 2, &err));
    assert_true(lm_is_dir(lm_checkpoint_folder(&w)));
    lm_checkpoint_abort(&w);
    assert_int_equal(open_whole(*state), 1);
    assert_int_equal(test_count_entries(*state), 2);
}

/* Files of folders inside are part of the checkpoint. */
static void test_inner_folder(void **state)
{
    lm_err err = {0};
    lm_checkpoint_writer w;
    lm_checkpoint_reader c;
    assert_ok(lm_checkpoint_begin(&w, *state, 3, &err));
    char *inner = lm_path_join(lm_checkpoint_folder(&w), "adapter"), *file = lm_path_join(inner, "adapter_config.json");
    assert_ok(lm_make_dirs(inner, &err));
    assert_ok(lm_file_write(file, "{}", 2, &err));
    assert_ok(lm_checkpoint_commit(&w, 0, &err));
    assert_ok(lm_checkpoint_open(&c, *state, &err));
    assert_null(c.state);
    free(file);
    file = lm_path_join(c.path, "adapter/adapter_config.json");
    assert_ok(lm_file_write(file, "[]", 2, &err));
    lm_checkpoint_close(&c);
    assert_refused(lm_checkpoint_open(&c, *state, &err), LM_E_FORMAT, "none of its 1 checkpoints is whole");
    free(inner), free(file);
}

/* ---- damage ------------------------------------------------------------------ */

static void flip_byte(const char *path)
{
    lm_err err = {0};
    lm_str text;
    assert_ok(lm_file_read(&text, path, 1 << 20, &err));
    text.data[text.len / 2] ^= 1;
    assert_ok(lm_file_write(path, text.data, text.len, &err));
    lm_str_free(&text);
}

static void cut(const char *path) { assert_int_equal(truncate(path, 10), 0); }
static void drop(const char *path) { assert_int_equal(unlink(path), 0); }

static void test_damage(void **state)
{
    static void (*const harms[])(const char *) = { flip_byte, cut, drop };
    static const char *const files[] = { "model.safetensors", "state.json", "manifest.json" };
    lm_err err = {0};
    lm_log_set(count_warning, NULL);
    for (int64_t round = 0; round < 9; round++) {
        char *run = lm_path_join(*state, "run");
        assert_ok(write_step(run, 1, 0, &err));
        assert_ok(write_step(run, 2, 0, &err));
        char *folder = lm_checkpoint_path(run, 2), *file = lm_path_join(folder, files[round / 3]);
        harms[round % 3](file);
        warnings = 0;
        assert_int_equal(open_whole(run), 1);
        assert_int_equal(warnings, 1);
        assert_non_null(strstr(last_warning, "step-000002: passed over: "));
        assert_ok(lm_staging_remove(run, &err));
        free(run), free(folder), free(file);
    }
    lm_log_set(NULL, NULL);
}

static void test_damaged_pointer(void **state)
{
    lm_err err = {0};
    assert_ok(write_step(*state, 1, 0, &err));
    assert_ok(write_step(*state, 2, 0, &err));
    free(temp_put(state, "latest", "step-00", 7));
    assert_int_equal(open_whole(*state), 2);
    free(temp_put(state, "latest", "step-000009\n", 12));  /* of a checkpoint that is gone */
    assert_int_equal(open_whole(*state), 2);
}

static void refuse_manifest(void **state, const char *text, lm_status code, const char *words)
{
    lm_err err = {0};
    lm_checkpoint_reader c;
    free(temp_put(state, "manifest.json", text, strlen(text)));
    assert_refused(lm_checkpoint_open_step(&c, *state, &err), code, words);
}

static void test_hostile_manifest(void **state)
{
    refuse_manifest(state, "[]", LM_E_FORMAT, "manifest.json: expected an object");
    refuse_manifest(state, "{}", LM_E_FORMAT, "step: missing");
    refuse_manifest(state, "{\"step\":1}", LM_E_UNSUPPORTED, "expected \"malmoi checkpoint\" version 1");
    refuse_manifest(state, "{\"format\":\"malmoi checkpoint\",\"version\":2,\"step\":1}", LM_E_UNSUPPORTED, "version 2");
    refuse_manifest(state, "{\"format\":\"malmoi checkpoint\",\"version\":1,\"step\":1}", LM_E_FORMAT, "files");
    refuse_manifest(state, "{\"format\":\"malmoi checkpoint\",\"version\":1,\"step\":1,\"files\":{\"../x\":{}}}",
                    LM_E_FORMAT, "file ../x is not in the folder");
    refuse_manifest(state, "{\"format\":\"malmoi checkpoint\",\"version\":1,\"step\":1,\"files\":{\"/etc/passwd\":{}}}",
                    LM_E_FORMAT, "file /etc/passwd is not in the folder");
    refuse_manifest(state, "{\"format\":\"malmoi checkpoint\",\"version\":1,\"step\":1,\"files\":{\"x\":{}}}",
                    LM_E_IO, "x: cannot open");
}

/* ---- kill -9 ----------------------------------------------------------------- */

/* The child: goes on from where the run stands, and tells each step that is committed. */
static void write_for_ever(const char *run, int64_t first, int pipe_end)
{
    lm_err err = {0};
    for (int64_t step = first;; step++) {
        if (write_step(run, step, 2, &err) != LM_OK) _exit(1);
        if (write(pipe_end, &step, sizeof step) != sizeof step) _exit(2);
    }
}

/* Twenty children are killed at any point of their work, half of them after a first commit; what each
 * had committed is never lost. */
static void test_kill(void **state)
{
    lm_rng rng = { .seed = 20 };
    lm_err err = {0};
    int64_t last = 1, step;
    double began = lm_now();
    assert_ok(write_step(*state, last, 2, &err));
    double one_commit = lm_now() - began;
    for (int round = 0; round < 20; round++) {
        int ends[2], how;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) write_for_ever(*state, last + 1, ends[1]);
        close(ends[1]);
        if (round % 2) {
            assert_int_equal(read(ends[0], &step, sizeof step), sizeof step);
            last = step;
        }
        usleep((useconds_t)(lm_rng_unit(&rng) * 1.5e6 * one_commit));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        while (read(ends[0], &step, sizeof step) == sizeof step) last = step;
    close(ends[0]);

        int64_t found = open_whole(*state);
        assert_true(found == last || found == last + 1);
        last = found;
    }
    assert_true(last > 10);
    assert_ok(write_step(*state, last + 1, 2, &err));    /* sweeps what they left */
    int64_t *steps;
    size_t n;
    assert_ok(lm_checkpoint_list(&steps, &n, *state, &err));
    assert_int_equal(n, 2);
    assert_int_equal(test_count_entries(*state), 3);
    free(steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_latest_and_list),  temp_test(test_none),
        temp_test(test_foreign_names),    temp_test(test_same_step_again),
        temp_test(test_keep),             temp_test(test_abort_leaves_nothing),
        temp_test(test_inner_folder),     temp_test(test_damage),
        temp_test(test_damaged_pointer),  temp_test(test_hostile_manifest),
        temp_test(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
