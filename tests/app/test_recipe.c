/* Recipes: what runs, what stands, what is made again, and what goes on after a stop. */
#include "common/test.h"
#include "common/program.h"

#include "base/file.h"
#include "base/json.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

static void put(const char *name, const char *text)
{
    char *path = lm_path_join(folder, name);
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    free(path);
}

static bool there(const char *name)
{
    char *path = lm_path_join(folder, name);
    bool found = lm_file_exists(path);
    free(path);
    return found;
}

static void recipe(program *p, const char *more)
{
    lm_str line = { 0 };
    lm_str_printf(&line, "recipe %s/r.yaml --set at=%s %s", folder, folder, more);
    program_line(p, NULL, line.data);
    lm_str_free(&line);
}

static void must(const char *more, const char *said)
{
    program p;
    recipe(&p, more);
    if (p.code != 0 || !strstr(p.err.data, said)) fail_msg("%s: exit %d, expected \"%s\": %s", more, p.code, said, p.err.data);
    program_free(&p);
}

static void refused(const char *text, const char *said)
{
    program p;
    put("r.yaml", text);
    recipe(&p, "");
    if (p.code == 0 || !strstr(p.err.data, said)) fail_msg("exit %d, expected \"%s\": %s", p.code, said, p.err.data);
    assert_int_equal(strchr(p.err.data, '\n') - p.err.data, (long)p.err.len - 1);            /* one line */
    program_free(&p);
}

static const char *const steps =
    "values:\n  at: nowhere\n  tokenizer: ${at}/tokenizer\n  size: 280\n"
    "steps:\n"
    "  - name: tokenizer\n    run: tokenizer train\n    data: ${at}/text.txt\n    vocab_size: ${size}\n    out: ${tokenizer}\n"
    "  - name: ids\n    run: [tokenizer, encode, '${tokenizer}']\n    file: ${at}/text.txt\n    json: true\n    stdout: ${at}/ids.json\n";

static void test_what_stands_is_not_run_again(void **state)
{
    (void)state;
    put("text.txt", "a cat and a hat, a hat and a cat\n");
    put("r.yaml", steps);
    must("", "step 1 of 2, tokenizer: malmoi tokenizer train --data");
    assert_true(there("tokenizer") && there("ids.json") && there("r.done/ids.json"));
    must("", "step 1 of 2, tokenizer: stands");
    must("", "step 2 of 2, ids: stands");

    char *ids = lm_path_join(folder, "ids.json");                    /* its product is gone: only that step runs */
    remove(ids);
    must("", "step 2 of 2, ids: malmoi tokenizer encode");
    free(ids);

    must("--set size=270", "tokenizer was made from other settings or files; it is");
    assert_true(there("tokenizer") && there("tokenizer.old") && there("ids.json.old"));       /* and what follows from it */
    put("text.txt", "another text, longer than the one before\n");
    must("--set size=270", "tokenizer.old-2 now");

    program p;
    recipe(&p, "--dry-run");
    assert_int_equal(p.code, 0);
    assert_non_null(strstr(p.out.data, "tokenizer: runs again\n"));   /* 280 again */
    program_free(&p);
}

static void test_a_training_goes_on(void **state)
{
    (void)state;
    put("text.txt", "a cat and a hat, a hat and a cat\n");
    put("r.yaml", "values:\n  at: nowhere\nsteps:\n"
                  "  - name: t\n    run: tokenizer train\n    data: ${at}/text.txt\n    out: ${at}/tok\n"
                  "  - name: m\n    run: new\n    tokenizer: ${at}/tok\n    hidden-size: 16\n    intermediate-size: 16\n    heads: 2\n    layers: 1\n    context: 16\n    out: ${at}/m\n"
                  "  - name: fit\n    run: train clm\n    model: ${at}/m\n    data: ${at}/text.txt\n    steps: 1000000\n    save-every: 1\n    threads: 1\n    out: ${at}/fit\n");
    running r;
    program p = { 0 };
    lm_str line = { 0 };
    lm_str_printf(&line, "recipe %s/r.yaml --set at=%s", folder, folder);
    program_start(&r, line.data);
    for (int i = 0; i < 3000 && !there("fit/checkpoints/latest"); i++) usleep(10000);
    assert_true(there("fit/checkpoints/latest"));
    kill(r.pid, SIGINT);
    program_finish(&r, &p);
    assert_int_equal(p.signal, SIGINT);
    assert_non_null(strstr(p.err.data, "stopped after step"));
    assert_non_null(strstr(p.err.data, "stopped in step fit; the same command goes on"));
    program_free(&p);
    recipe(&p, "--dry-run");
    assert_non_null(strstr(p.out.data, "m: stands\n"));
    assert_non_null(strstr(p.out.data, "fit: goes on\n"));
    assert_non_null(strstr(p.out.data, "--resume\n"));
    program_free(&p);
    lm_str_free(&line);
}

/* Killed behind its last file and before its note: what it left is put aside.  A folder that is none of its own stays. */
static void test_a_killed_step_is_made_again(void **state)
{
    (void)state;
    put("text.txt", "a cat and a hat, a hat and a cat\n");
    put("r.yaml", "values:\n  at: nowhere\nsteps:\n"
                  "  - name: t\n    run: tokenizer train\n    data: ${at}/text.txt\n    out: ${at}/tok\n"
                  "  - name: m\n    run: new\n    tokenizer: ${at}/tok\n    hidden-size: 16\n    intermediate-size: 16\n    heads: 2\n    layers: 1\n    context: 16\n    out: ${at}/m\n");
    must("", "step 2 of 2, m: malmoi new");
    char *path = lm_path_join(folder, "r.done/m.json");
    lm_json *note = lm_json_read(path, NULL);
    json_object_set_new(note, "done", json_false());
    assert_int_equal(lm_json_write(note, path, NULL), LM_OK);
    must("", "was left by a step that did not end; it is");
    assert_true(there("m.old") && there("m/config.json"));

    remove(path);
    program p;
    for (int i = 0; i < 2; i++) {
        recipe(&p, "");
        assert_int_not_equal(p.code, 0);
        assert_non_null(strstr(p.err.data, "step m failed"));
        program_free(&p);
    }
    assert_true(there("m/config.json") && !there("m.old-2"));
    lm_json_free(note);
    free(path);
}

static void test_bad_recipes_are_refused(void **state)
{
    (void)state;
    refused("values: {at: x}\nsteps:\n  - name: a\n", "step 1 (a): run: is missing");
    refused("values: {at: x}\nsteps: 3\n", "steps: expected a list of steps");
    refused("values:\n  at: x\nsteps:\n  - name: a\n    run: tran sft\n", "malmoi has no command \"tran\"");
    refused("values:\n  at: x\nsteps:\n  - name: a\n    run: doctor\n    out: ${nowhere}\n", "out: no value is called \"nowhere\"");
    refused("values:\n  at: x\nsteps:\n  - name: a\n    run: doctor\n    out: ${at\n", "expected a } behind ${");
    refused("values:\n  at: x\nsteps:\n  - name: ../a\n    run: doctor\n", "expected letters, digits, - and _");
    refused("values:\n  at: x\nsteps:\n  - {name: a, run: doctor}\n  - {name: a, run: doctor}\n", "another step has it already");
    refused("values:\n  at: x\nsteps:\n  - {name: a, run: doctor, x: {y: z}}\n", "x: expected a value or a list");
    refused("steps:\n  - {name: a, run: doctor}\n", "has no such value");                     /* --set at */
    refused("values: {at: x}\nstep:\n", "step: expected \"values\" and \"steps\"");
}

static void test_a_step_that_fails_ends_it(void **state)
{
    (void)state;
    program p;
    put("r.yaml", "values: {at: x}\nsteps:\n  - {name: a, run: 'inspect ${at}/none', stdout: '${at}/a.txt'}\n  - {name: b, run: doctor}\n");
    recipe(&p, "");
    assert_int_equal(p.code, 1);
    assert_non_null(strstr(p.err.data, "step a failed"));
    assert_null(strstr(p.err.data, "doctor"));
    assert_false(there("a.txt"));
    program_free(&p);
}

static int make_folder(void **state)
{
    if (test_folder_make(state) != 0) return -1;
    folder = test_path("");
    folder[strlen(folder) - 1] = '\0';
    return 0;
}

static int remove_folder(void **state)
{
    free(folder);
    return test_folder_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_stands_is_not_run_again, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_training_goes_on, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_killed_step_is_made_again, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_step_that_fails_ends_it, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_bad_recipes_are_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
