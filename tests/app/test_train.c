/* The program trains: it survives being killed at any moment, stops when asked, and tells before what it will take. */
#include "common/program.h"
#include "train/tiny.h"

#include "base/json.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *model, *rows;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str text = {0};
    for (int i = 0; i < 30; i++) lm_str_printf(&text, "{\"text\": \"%.*s number %d\"}\n", 3 + i % 19, "a row of some length", i * i);
    model = tiny_model("model");
    rows = tiny_file("rows.jsonl", text.data);
    lm_str_free(&text);
    return 0;
}

static int teardown(void **state)
{
    free(model), free(rows);
    return test_folder_remove(state);
}

/* "train clm --model .. --data .. --out OUT --steps 60 ..."; the caller frees. */
static char *command(const char *out, const char *more)
{
    lm_str line = {0};
    lm_str_printf(&line, "train clm --model %s --data %s --out %s --steps 60 --batch-size 4 --no-pack --dtype f32 --lr 0.01 --save-every 4 "
                  "--val-split 0.1 --eval-every 7 --seed 5 %s", model, rows, out, more);
    return lm_str_take(&line);
}

static program run(const char *line, int code)
{
    program p;
    program_line(&p, NULL, line);
    if (p.code != code) fail_msg("%s: exit %d: %s", line, p.code, p.err.data ? p.err.data : "");
    return p;
}

static lm_str read_file(const char *folder, const char *name)
{
    lm_str bytes = {0};
    char *path = lm_path_join(folder, name);
    if (lm_file_read(&bytes, path, 1 << 24, NULL) != LM_OK) fail_msg("cannot read %s", path);
    free(path);
    return bytes;
}

static void same_file(const char *a, const char *b, const char *name)
{
    lm_str x = read_file(a, name), y = read_file(b, name);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    lm_str_free(&x);
    lm_str_free(&y);
}

/* Steps in the log of a run that may be under way; 0 without one. */
static int logged(const char *out)
{
    lm_str log = {0};
    char *path = lm_path_join(out, "log.jsonl");
    int n = 0;
    if (lm_file_exists(path) && lm_file_read(&log, path, 1 << 24, NULL) == LM_OK)
        for (const char *at = log.data; at && (at = strstr(at, "\"loss\"")); at++) n++;
    lm_str_free(&log);
    free(path);
    return n;
}

static bool runs(pid_t pid)
{
    siginfo_t ended = {0};
    return waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0;
}

/* Starts the run and kills it some time after it has made `steps` further ones. */
static bool kill_after(const char *line, const char *out, int steps, useconds_t pause, int how)
{
    running r;
    program p = {0};
    int before = logged(out);
    program_start(&r, line);
    while (logged(out) < before + steps && runs(r.pid)) usleep(500);
    usleep(pause);
    kill(r.pid, how);
    program_finish(&r, &p);
    bool killed = p.signal == how;
    program_free(&p);
    return killed;
}

static void killed_runs_end_in_the_same_bits(const char *more, const char *weights)
{
    char *whole = test_path("whole"), *pieces = test_path("pieces");
    lm_str resume = {0};
    lm_str_printf(&resume, "%s --resume", more);
    char *once = command(whole, more), *again = command(pieces, resume.data);
    program p = run(once, 0);
    program_free(&p);

    lm_rng rng = { .seed = 9 };
    int killed = 0;
    for (int i = 0; i < 6; i++)
        killed += kill_after(again, pieces, 1 + (int)lm_rng_below(&rng, 9), (useconds_t)lm_rng_below(&rng, 3000), SIGKILL);
    assert_true(killed >= 3);
    p = run(again, 0);
    program_free(&p);
    same_file(whole, pieces, weights);
    assert_int_equal(logged(whole), 60);
    assert_int_equal(logged(pieces), 60);
    free(whole), free(pieces), free(once), free(again);
    lm_str_free(&resume);
}

static void killed_in_full_training(void **state)
{
    (void)state;
    killed_runs_end_in_the_same_bits("", "model.safetensors");
}

static void killed_in_lora_training(void **state)
{
    (void)state;
    killed_runs_end_in_the_same_bits("--adapter lora --lora-r 2 --lora-dropout 0.2 --accumulate 2", "adapter_model.safetensors");
}

/* A reward that takes its time, so that kills fall into rounds: answers half judged are made again. */
static void killed_in_a_round(void **state)
{
    (void)state;
    char *judge = tiny_file("judge.sh", "while read l; do sleep 0.01; echo \"{\\\"reward\\\": ${#l}}\"; done\n"), *prompts = tiny_file("prompts.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"bc\"}\n{\"prompt\": \"d\"}\n");
    char *outs[2] = { test_path("whole"), test_path("pieces") }, *lines[2];
    for (int i = 0; i < 2; i++) {
        lm_str line = {0};
        lm_str_printf(&line, "train ppo --model %s --data %s --out %s --reward program:sh${IFS}%s --steps 10 --prompts 2 --group 2 --max-new-tokens 6 --batch-size 4 --save-every 2 "
                      "--dtype f32 --lr 0.01 --adapter lora --lora-r 2 --value-apart %s", model, prompts, outs[i], judge, i ? "--resume" : "");
        lines[i] = lm_str_take(&line);
    }
    program p = run(lines[0], 0);
    program_free(&p);
    lm_rng rng = { .seed = 4 };
    int killed = 0;
    for (int i = 0; i < 5; i++) killed += kill_after(lines[1], outs[1], 1 + (int)lm_rng_below(&rng, 3), (useconds_t)lm_rng_below(&rng, 40000), SIGKILL);
    assert_true(killed >= 3);
    p = run(lines[1], 0);
    program_free(&p);
    same_file(outs[0], outs[1], "adapter_model.safetensors");
    same_file(outs[0], outs[1], "value/adapter_model.safetensors");
    same_file(outs[0], outs[1], "rollouts.jsonl");
    assert_int_equal(logged(outs[1]), 10);
    for (int i = 0; i < 2; i++) free(outs[i]), free(lines[i]);
    free(judge), free(prompts);
}

/* What is under way is nobody else's: not to go on with, and not to throw away. */
static void one_process_a_run(void **state)
{
    (void)state;
    char *out = test_path("mine"), *line = command(out, "--save-every 1 --steps 100000"), *resume = command(out, "--save-every 1 --steps 100000 --resume"), *overwrite = command(out, "--overwrite");
    running r;
    program p, first = {0};
    program_start(&r, line);
    while (logged(out) < 2 && runs(r.pid)) usleep(500);
    p = run(resume, 1);
    assert_non_null(strstr(p.err.data, "mine: another process is at work there"));
    program_free(&p);
    p = run(overwrite, 1);
    program_free(&p);
    assert_true(runs(r.pid));
    kill(r.pid, SIGKILL);
    program_finish(&r, &first);
    program_free(&first);
    p = run(overwrite, 0);
    program_free(&p);
    free(out), free(line), free(resume), free(overwrite);
}

/* Ctrl-C once: a checkpoint, one line, an end by the signal. */
static void asked_to_stop(void **state)
{
    (void)state;
    char *out = test_path("stopped"), *line = command(out, "--save-every 0"), *checkpoints = test_path("stopped/checkpoints/latest");
    assert_true(kill_after(line, out, 3, 0, SIGINT));
    assert_true(lm_file_exists(checkpoints));
    int made = logged(out);
    assert_in_range(made, 3, 59);
    free(line);
    line = command(out, "--save-every 0 --resume");
    program p = run(line, 0);
    assert_non_null(strstr(p.err.data, "going on after step"));
    assert_int_equal(logged(out), 60);
    program_free(&p);
    free(out), free(line), free(checkpoints);
}

static void a_dry_run_tells_and_writes_nothing(void **state)
{
    (void)state;
    char *out = test_path("dry"), *dry = command(out, "--dry-run --json"), *train = command(out, ""), *options = command(out, "--json");
    program p = run(dry, 0);
    lm_str plan = {0};
    lm_str_printf(&plan, "plan %s", options);
    program q = run(plan.data, 0);
    assert_false(lm_file_exists(out));
    lm_err err = {0};
    lm_json *told = lm_json_parse(p.out.data, p.out.len, "stdout", &err), *planned = lm_json_parse(q.out.data, q.out.len, "stdout", &err);
    assert_non_null(told);
    for (const char *const *key = (const char *const[]){ "steps", "tokens", "parameters", "trained_parameters", "rows", NULL }; *key; key++) {
        assert_non_null(json_object_get(told, *key));
        assert_true(json_equal(json_object_get(told, *key), json_object_get(planned, *key)));
    }
    assert_int_equal(json_integer_value(json_object_get(told, "steps")), 60);
    assert_int_equal(json_integer_value(json_object_get(told, "rows")), 30);
    program_free(&p);
    program_free(&q);
    lm_json_free(told);
    lm_json_free(planned);
    lm_str_free(&plan);
    free(out), free(dry), free(train), free(options);
}

static void refused(const char *line, int code, const char *words)
{
    program p = run(line, code);
    if (!strstr(p.err.data, words)) fail_msg("%s: %s", line, p.err.data);
    assert_int_equal(p.out.len, 0);
    program_free(&p);
}

static void what_is_refused(void **state)
{
    (void)state;
    refused("train", 2, "classify, clm, ");
    refused("train clmm", 2, "did you mean 'clm'?");
    refused("train clm --adapter lorra --model m --data d --out o", 2, "there is no 'lorra'");
    refused("train clm --model m --out o", 2, "--data");
    refused("train clm --model nowhere --data d --out o", 1, "nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_in_full_training, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_in_lora_training, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_in_a_round, setup, teardown),
        cmocka_unit_test_setup_teardown(one_process_a_run, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_to_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_tells_and_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
