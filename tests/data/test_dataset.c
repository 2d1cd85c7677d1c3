/* Documents as tokens: the order of the files whatever the threads, and the first bad row by name. */
#include "train/tiny.h"

#include "base/thread.h"

static lm_tokenizer *tokenizer;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    char *folder = tiny_model("model");
    lm_status status = lm_tokenizer_load(&tokenizer, folder, NULL);
    free(folder);
    return status == LM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    lm_tokenizer_free(tokenizer);
    return test_folder_remove(state);
}

static lm_status render(const void *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    return ((const lm_task *)task)->objective->render(task, out, row, encoder, ids, err);
}

static lm_status read_rows_with(lm_dataset *d, char *path, lm_skipped *skipped, lm_err *err)
{
    lm_task task = { .objective = lm_objective_find("clm"), .tokenizer = tokenizer, .eos = TINY_END };
    void *options = lm_calloc(1, task.objective->options_size);
    lm_option_set set[] = { { .options = task.objective->options, .values = options }, { 0 } };
    lm_options_defaults(set);
    task.options = options;
    lm_renderer renderer = { .render = render, .context = &task };
    lm_source *source = NULL;
    lm_status status = lm_source_open(&source, &(lm_strings){ &path, 1 }, &(lm_source_options){ .skipped = skipped }, err);
    if (status == LM_OK) status = lm_dataset_read(d, source, tokenizer, &renderer, err);
    lm_source_close(source);
    lm_options_free(set);
    free(options);
    return status;
}

static lm_status read_rows(lm_dataset *d, char *path, lm_err *err) { return read_rows_with(d, path, NULL, err); }

enum { ROWS = 2500 };                                    /* more than two rounds of rows */

static char *many_rows(const char *name, int bad)
{
    lm_str text = {0};
    for (int i = 0; i < ROWS; i++)
        if (i == bad || i == bad + 900) lm_str_printf(&text, "{\"body\": %d}\n", i);
        else lm_str_printf(&text, "{\"text\": \"row %d%.*s\"}\n", i, i % 7, "......");
    char *path = tiny_file(name, text.data);
    lm_str_free(&text);
    return path;
}

static void rows_keep_their_order(void **state)
{
    (void)state;
    char *path = many_rows("many.jsonl", -5000);
    lm_dataset d[2];
    for (int run = 0; run < 2; run++) {
        lm_threads_set(run ? 3 : 1);
        assert_int_equal(read_rows(&d[run], path, NULL), LM_OK);
        assert_int_equal(d[run].n, ROWS);
    }
    lm_threads_set(0);
    assert_true(lm_dataset_hash(&d[0]) == lm_dataset_hash(&d[1]));
    assert_int_equal(d[0].n_supervised, d[0].n_tokens - ROWS);       /* nothing predicts a first token */
    for (int i = 0; i < ROWS; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "row %d%.*s", i, i % 7, "......");
        const lm_token *token = d[1].tokens + d[1].documents[i].begin;
        assert_int_equal(lm_document_length(&d[1], i), n + 1);
        for (int j = 0; j < n; j++) assert_int_equal(lm_token_value(token[j]), text[j]);
        assert_int_equal(lm_token_value(token[n]), TINY_END);
        assert_int_equal(d[1].documents[i].line, i + 1);
    }
    d[1].tokens[3] ^= LM_TOKEN_SUPERVISED;
    assert_false(lm_dataset_hash(&d[0]) == lm_dataset_hash(&d[1]));
    lm_dataset_free(&d[0]);
    lm_dataset_free(&d[1]);
    free(path);
}

static void the_first_bad_row_is_named(void **state)
{
    (void)state;
    char *path = many_rows("bad.jsonl", 1100);
    lm_dataset d;
    lm_err err = {0};
    lm_threads_set(3);
    assert_int_equal(read_rows(&d, path, &err), LM_E_FORMAT);
    lm_threads_set(0);
    if (!strstr(err.message, "bad.jsonl:1101: expected a field \"text\", found body")) fail_msg("%s", err.message);
    free(path);
}

/* Malformed rows, rows without the field and rows that teach nothing, in one count; the others as if alone. */
static void bad_rows_are_passed_over_where_asked(void **state)
{
    (void)state;
    char *path = tiny_file("odd.jsonl", "{\"text\": \"one\"}\n{\"text\": \"\"}\n{\"text\": \n{\"body\": \"x\"}\n{\"text\": \"two\"}\n"), *good = tiny_file("good.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    lm_dataset d, alone;
    lm_skipped skipped = {0};
    lm_err err = {0};
    assert_int_equal(read_rows_with(&d, path, &skipped, &err), LM_OK);
    assert_int_equal(read_rows(&alone, good, &err), LM_OK);
    assert_int_equal(d.n, 2);
    assert_int_equal(skipped.n, 3);
    assert_true(lm_dataset_hash(&d) == lm_dataset_hash(&alone));
    bool named = false;
    for (int i = 0; i < skipped.messages.n; i++) named |= strstr(skipped.messages.items[i], "odd.jsonl:2: no token to learn") != NULL;
    assert_true(named);
    lm_skipped_free(&skipped);
    lm_dataset_free(&d);
    lm_dataset_free(&alone);
    free(path), free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows_keep_their_order), cmocka_unit_test(the_first_bad_row_is_named), cmocka_unit_test(bad_rows_are_passed_over_where_asked) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
