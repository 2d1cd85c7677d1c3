/* What a path is taken for, side files, and folders that appear whole or not at all. */
#include "io/temp.h"

#include "io/folder.h"
#include "io/save.h"
#include "io/staging.h"

#include <sys/wait.h>
#include <unistd.h>

static char *folder_with(void **state, const char *folder, const char *name, const char *text)
{
    lm_err err = {0};
    char *path = lm_path_join(*state, folder), *file = lm_path_join(path, name);
    assert_ok(lm_make_dirs(path, &err));
    assert_ok(lm_file_write(file, text, strlen(text), &err));
    free(file);
    return path;
}

static void check_kind(char *path, lm_kind expected)
{
    lm_err err = {0};
    lm_kind kind;
    assert_ok(lm_kind_of_path(&kind, path, &err));
    assert_string_equal(lm_kind_name(kind), lm_kind_name(expected));
    free(path);
}

static void test_kinds(void **state)
{
    lm_err err = {0};
    lm_kind kind;
    check_kind(folder_with(state, "m", "config.json", "{}"), LM_KIND_MODEL);
    check_kind(folder_with(state, "w", "model.safetensors.index.json", "{}"), LM_KIND_MODEL);
    check_kind(folder_with(state, "a", "adapter_config.json", "{}"), LM_KIND_ADAPTER);
    check_kind(folder_with(state, "a", "config.json", "{}"), LM_KIND_ADAPTER);
    check_kind(folder_with(state, "t", "tokenizer.json", "{}"), LM_KIND_TOKENIZER);
    check_kind(folder_with(state, "c", "manifest.json", "{}"), LM_KIND_CHECKPOINT);
    check_kind(folder_with(state, "r", "latest", "step-000001"), LM_KIND_RUN);
    check_kind(folder_with(state, "x", "README.md", "x"), LM_KIND_UNKNOWN);

    check_kind(temp_put(state, "gguf", "GGUF\3\0\0\0", 8), LM_KIND_GGUF);
    check_kind(temp_put(state, "text", "{\"text\": \"\xEB\xA7\x90\"}\n", 15), LM_KIND_TEXT);
    check_kind(temp_put(state, "empty", "", 0), LM_KIND_TEXT);
    check_kind(temp_put(state, "latin", "caf\xE9 noir", 9), LM_KIND_UNKNOWN);
    check_kind(temp_put(state, "zero", "a\0b", 3), LM_KIND_UNKNOWN);
    char *path = lm_path_join(*state, "s.safetensors");
    assert_ok(lm_save_file(&(lm_save){0}, path, &err));
    check_kind(path, LM_KIND_SAFETENSORS);

    lm_str cut = {0};                                    /* the 4096th byte lies within a character */
    lm_str_puts(&cut, "a");
    while (cut.len < 5000) lm_str_puts(&cut, "\xEB\xA7\x90");
    check_kind(temp_put(state, "cut", cut.data, cut.len), LM_KIND_TEXT);
    lm_str_free(&cut);
    assert_refused(lm_kind_of_path(&kind, "/nowhere", &err), LM_E_IO, "/nowhere: cannot open");
}

static void test_copy_sides(void **state)
{
    lm_err err = {0};
    char *from = folder_with(state, "from", "tokenizer.json", "{\"a\": 1}");
    free(folder_with(state, "from", "config.json", "{}"));
    free(folder_with(state, "from", "README.md", "x"));
    free(folder_with(state, "from", "merges.txt", ""));
    char *to = folder_with(state, "to", "tokenizer.json", "old"), *copy = lm_path_join(to, "tokenizer.json");
    assert_ok(lm_folder_copy_sides(from, to, &err));
    assert_int_equal(test_count_entries(to), 2);
    lm_str text;
    assert_ok(lm_file_read(&text, copy, 100, &err));
    assert_string_equal(text.data, "{\"a\": 1}");
    assert_ok(lm_folder_copy_sides(to, to, &err));       /* onto itself changes nothing */
    assert_int_equal(test_count_entries(to), 2);
    lm_str_free(&text);
    free(from), free(to), free(copy);
}

/* ---- staging ----------------------------------------------------------------- */

static void write_in(const lm_staging *s, const char *name, const char *text)
{
    lm_err err = {0};
    char *path = lm_path_join(s->path, name);
    assert_ok(lm_file_write(path, text, strlen(text), &err));
    free(path);
}

static void check_text(const char *folder, const char *name, const char *expected)
{
    lm_err err = {0};
    lm_str text;
    char *path = lm_path_join(folder, name);
    assert_ok(lm_file_read(&text, path, 100, &err));
    assert_string_equal(text.data, expected);
    lm_str_free(&text);
    free(path);
}

static void test_staging(void **state)
{
    lm_err err = {0};
    lm_staging s;
    char *target = lm_path_join(*state, "out/deep/m/"), *parent = lm_path_join(*state, "out/deep");
    assert_ok(lm_staging_begin(&s, target, false, &err));
    write_in(&s, "a", "one");
    assert_false(lm_file_exists(target));
    assert_ok(lm_staging_commit(&s, &err));
    assert_null(s.path);
    check_text(target, "a", "one");

    assert_refused(lm_staging_begin(&s, target, false, &err), LM_E_USAGE, "exists already");
    lm_err_clear(&err);
    assert_ok(lm_staging_begin(&s, target, true, &err));   /* replaced whole: nothing of the old one stays */
    write_in(&s, "b", "two");
    check_text(target, "a", "one");
    assert_ok(lm_staging_commit(&s, &err));
    check_text(target, "b", "two");
    assert_int_equal(test_count_entries(target), 1);

    assert_ok(lm_staging_begin(&s, target, true, &err));
    write_in(&s, "c", "three");
    lm_staging_abort(&s);
    lm_staging_abort(&s);
    check_text(target, "b", "two");
    assert_int_equal(test_count_entries(parent), 1);
    assert_ok(lm_staging_remove(target, &err));
    assert_int_equal(test_count_entries(parent), 0);
    assert_refused(lm_staging_remove(target, &err), LM_E_IO, "cannot remove: No such");
    free(target), free(parent);
}

static void test_staging_takes_an_empty_folder(void **state)
{
    lm_err err = {0};
    lm_staging s;
    char *target = lm_path_join(*state, "m");
    assert_ok(lm_make_dirs(target, &err));
    assert_ok(lm_staging_begin(&s, target, false, &err));
    write_in(&s, "a", "one");
    assert_ok(lm_staging_commit(&s, &err));
    check_text(target, "a", "one");
    free(target);

    target = temp_put(state, "file", "x", 1);
    assert_refused(lm_staging_begin(&s, target, false, &err), LM_E_USAGE, "file: exists already");
    free(target);
}

/* What a killed process left for this target is swept; what a living one writes is not. */
static void test_staging_sweeps(void **state)
{
    lm_err err = {0};
    lm_staging s;
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    assert_int_equal(waitpid(dead, NULL, 0), dead);
    char names[3][64];
    snprintf(names[0], 64, "m.tmp-%d", (int)dead);
    snprintf(names[1], 64, "m.tmp-%d", (int)getppid());
    snprintf(names[2], 64, "other.tmp-%d", (int)dead);
    for (int i = 0; i < 3; i++) free(folder_with(state, names[i], "half", "written"));
    char *target = lm_path_join(*state, "m"), *path[3];
    for (int i = 0; i < 3; i++) path[i] = lm_path_join(*state, names[i]);
    assert_ok(lm_staging_begin(&s, target, false, &err));
    assert_false(lm_file_exists(path[0]));
    assert_true(lm_file_exists(path[1]) && lm_file_exists(path[2]));
    lm_staging_sweep(*state, "");
    assert_true(lm_file_exists(path[1]) && !lm_file_exists(path[2]));
    lm_staging_abort(&s);
    for (int i = 0; i < 3; i++) free(path[i]);
    free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_kinds),       temp_test(test_copy_sides),
        temp_test(test_staging),
        temp_test(test_staging_sweeps), temp_test(test_staging_takes_an_empty_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
