/* Rows from every format, and what is refused, with the place named. */
#include "common/test.h"
#include "base/file.h"
#include "data/members.h"
#include "data/source.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct reading {
    lm_source *source;
    lm_row row;
    lm_err err;
    char *path;
} reading;

static lm_status open_text(reading *r, const char *name, const char *text, size_t n, const char *separator)
{
    *r = (reading){ .path = test_path(name) };
    assert_int_equal(lm_file_write(r->path, text, n, NULL), LM_OK);
    lm_source_options options = { .separator = separator };
    return lm_source_open(&r->source, &(lm_strings){ &r->path, 1 }, &options, &r->err);
}

static bool next(reading *r)
{
    bool more;
    lm_row_free(&r->row);
    lm_status status = lm_source_next(r->source, &r->row, &more, &r->err);
    if (status != LM_OK) r->row = (lm_row){0};
    return status == LM_OK && more;
}

static void finish(reading *r)
{
    lm_row_free(&r->row);
    lm_source_close(r->source);
    free(r->path);
}

static void expect_field(reading *r, const char *field, const char *text)
{
    lm_span got;
    assert_int_equal(lm_row_text(&r->row, field, &got, NULL), LM_OK);
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.data, text, got.len);
}

/* Opens, reads until something fails, and expects both texts in the message. */
static void expect_failure(const char *name, const char *text, size_t n, const char *place, const char *why)
{
    reading r;
    if (open_text(&r, name, text, n, NULL) == LM_OK) while (next(&r)) {}
    if (!strstr(r.err.message, place) || !strstr(r.err.message, why)) fail_msg("message: %s", r.err.message);
    finish(&r);
}

/* Members read off the line are those of the document; what a document refuses is refused. */
static void members_without_a_document(void **state)
{
    (void)state;
    static const char *const good[] = { "{}", " {\"text\" : \"a\\nb\\u00e9\\ud83d\\ude00c\", \"n\":-1.5e2}", "{\"n\": 7, \"m\": {\"text\": [1, {\"a\": null}]}, \"text\": \"그대로\"}\r",
                                        "{\"text\": null, \"n\": \"seven\"}", "{\"text\": \"0123456789abcdef0123456789\\\"\\t한글0123456789abcdef\\\\\"}" };
    static const char *const bad[] = { "", "[]", "{\"text\": \"a\"", "{\"text\": \"a\"} x", "{\"text\": \"a\", \"text\": \"b\"}", "{\"n\": {\"a\": 1, \"a\": 2}}", "{\"text\": \"\\q\"}",
                                       "{\"n\": 1e999}", "{\"n\": 01}", "{\"text\": \"\xED\xA0\x80\"}", "{\"text\": \"a\\n\x01\"}", "{\"text\": \"\\ud800\"}", "{\"n\": nul}", "{\"a\":1,}" };
    lm_member m[2] = { { .name = "text" }, { .name = "n" } };
    double number;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        lm_json *doc = lm_json_parse(good[i], strlen(good[i]), "row", NULL), *text = lm_json_get(doc, "text"), *n = lm_json_get(doc, "n");
        assert_true(lm_members_read(m, 2, lm_span_of(good[i], strlen(good[i]))));
        assert_int_equal(m[0].kind != 0, text != NULL);
        if (text) assert_true(m[0].value.len == json_string_length(text) && !memcmp(m[0].value.data, json_string_value(text), m[0].value.len));
        assert_int_equal(lm_member_number(&m[1], &number), json_is_number(n));
        if (json_is_number(n)) assert_true(number == json_number_value(n));
        lm_json_free(doc);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(lm_members_read(m, 2, lm_span_of(bad[i], strlen(bad[i]))));
        lm_row row = { .path = "x.jsonl", .line = 3, .raw = true };
        lm_err err = {0};
        lm_str_puts(&row.text, bad[i]);
        assert_int_equal(lm_row_parse(&row, &err), LM_E_FORMAT);
        assert_non_null(strstr(err.message, "x.jsonl:3"));
        lm_row_free(&row);
    }
    for (int i = 0; i < 2; i++) lm_str_free(&m[i].room);
}

static void jsonl_rows(void **state)
{
    (void)state;
    reading r;
    const char *text = "\xEF\xBB\xBF{\"text\": \"하나\", \"n\": 1}\r\n\n  \n{\"text\": \"two\\n\"}";
    assert_int_equal(open_text(&r, "a.jsonl", text, strlen(text), NULL), LM_OK);
    assert_true(next(&r));
    assert_int_equal(r.row.line, 1);
    expect_field(&r, "text", "하나");
    assert_true(lm_row_has(&r.row, "n"));
    assert_false(lm_row_has(&r.row, "m"));
    lm_span span;
    assert_int_equal(lm_row_text(&r.row, "n", &span, &r.err), LM_E_FORMAT);
    lm_err_clear(&r.err);
    assert_int_equal(lm_row_text(&r.row, "prompt", &span, &r.err), LM_E_FORMAT);
    assert_non_null(strstr(r.err.message, "text, n"));
    lm_err_clear(&r.err);
    assert_true(next(&r));
    assert_int_equal(r.row.line, 4);
    expect_field(&r, "text", "two\n");
    assert_false(next(&r));
    assert_int_equal(r.err.code, LM_OK);
    finish(&r);
}

static void csv_rows(void **state)
{
    (void)state;
    reading r;
    const char *text = "q,a\r\nplain,\"with, comma\"\r\n\"two\nlines\",\"a \"\"quote\"\"\"\n,x\n";
    assert_int_equal(open_text(&r, "a.csv", text, strlen(text), NULL), LM_OK);
    assert_true(next(&r));
    assert_int_equal(r.row.line, 2);
    expect_field(&r, "q", "plain");
    expect_field(&r, "a", "with, comma");
    assert_true(next(&r));
    assert_int_equal(r.row.line, 3);
    expect_field(&r, "q", "two\nlines");
    expect_field(&r, "a", "a \"quote\"");
    assert_true(next(&r));
    assert_int_equal(r.row.line, 5);
    expect_field(&r, "q", "");
    expect_field(&r, "a", "x");
    assert_false(next(&r));
    finish(&r);
}

static void tsv_rows(void **state)
{
    (void)state;
    reading r;
    const char *text = "id\ttext\n1\tsay \"hi\n2\t\n";
    assert_int_equal(open_text(&r, "a.tsv", text, strlen(text), NULL), LM_OK);
    assert_true(next(&r));
    expect_field(&r, "text", "say \"hi");
    assert_true(next(&r));
    expect_field(&r, "text", "");
    assert_false(next(&r));
    finish(&r);
}

static void text_is_one_document_byte_for_byte(void **state)
{
    (void)state;
    reading r;
    const char *text = "one\r\n\ntwo\n";
    assert_int_equal(open_text(&r, "a.txt", text, strlen(text), NULL), LM_OK);
    assert_true(next(&r));
    expect_field(&r, "text", text);
    assert_int_equal(r.row.bytes, strlen(text));
    assert_false(next(&r));
    finish(&r);
}

static void separator_makes_documents(void **state)
{
    (void)state;
    reading r;
    const char *text = "---\na\nb\n---\n---\nc\n---\n";
    assert_int_equal(open_text(&r, "b.txt", text, strlen(text), "---"), LM_OK);
    assert_true(next(&r));
    assert_int_equal(r.row.line, 2);
    expect_field(&r, "text", "a\nb");
    assert_true(next(&r));
    assert_int_equal(r.row.line, 6);
    expect_field(&r, "text", "c");
    assert_false(next(&r));
    finish(&r);

    const char *verses = "a\n\n\nb";
    assert_int_equal(open_text(&r, "c.txt", verses, strlen(verses), ""), LM_OK);
    assert_true(next(&r));
    expect_field(&r, "text", "a");
    assert_true(next(&r));
    expect_field(&r, "text", "b");
    assert_false(next(&r));
    finish(&r);
}

static void folders_patterns_and_packed_files(void **state)
{
    (void)state;
    char *folder = test_path("folder"), *pattern = test_path("folder/[ab].jsonl*"), *nothing = test_path("folder/*.csv"), *b = test_path("folder/b.jsonl"), *a = test_path("folder/a.jsonl.gz"), *other = test_path("folder/notes.pdf");
    assert_int_equal(lm_make_dirs(folder, NULL), LM_OK);
    assert_int_equal(lm_file_write(b, "{\"text\":\"B\"}\n", 13, NULL), LM_OK);
    assert_int_equal(lm_file_write(other, "%PDF", 4, NULL), LM_OK);
    gzFile gz = gzopen(a, "wb");
    gzputs(gz, "{\"text\":\"A\"}\n");
    gzclose(gz);
    char *both[] = { folder, pattern };
    for (int p = 0; p < 2; p++) {
        reading r = {0};
        assert_int_equal(lm_source_open(&r.source, &(lm_strings){ &both[p], 1 }, &(lm_source_options){0}, &r.err), LM_OK);
        assert_true(next(&r));
        expect_field(&r, "text", "A");
        assert_true(next(&r));
        expect_field(&r, "text", "B");
        assert_false(next(&r));
        finish(&r);
    }
    reading none = {0};
    assert_int_equal(lm_source_open(&none.source, &(lm_strings){ &nothing, 1 }, &(lm_source_options){0}, &none.err), LM_E_IO);
    assert_non_null(strstr(none.err.message, "folder/*.csv: no file matches"));
    free(pattern), free(nothing);
    free(folder), free(a), free(b), free(other);
}

static void bad_input_is_named(void **state)
{
    (void)state;
    expect_failure("x.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n", 26, "x.jsonl:2", "");
    expect_failure("y.jsonl", "[1]\n", 4, "y.jsonl:1", "expected an object, {\"...\": ...}, found a list");
    expect_failure("u.jsonl", "{\"a\":1}\n{\"text\": \"\xff\"}\n", 22, "u.jsonl:2", "not UTF-8");
    expect_failure("u.txt", "good\nb\xc3(\n", 9, "u.txt:2", "byte 7 of the file (0xc3) is not UTF-8");
    expect_failure("n.csv", "a,b\n1,2\n3\n", 10, "n.csv:3", "expected 2 fields as in the first line, found 1");
    expect_failure("q.csv", "a,b\n1,\"2\n3\n", 11, "q.csv:2", "not closed");
    expect_failure("d.tsv", "a\ta\n", 4, "d.tsv:1", "two columns");
    expect_failure("z.parquet", "PAR1", 4, "z.parquet", "--format");

    char *missing = test_path("missing.txt"), *empty = test_path("empty");
    lm_source *source;
    lm_err err = {0};
    assert_int_equal(lm_source_open(&source, &(lm_strings){ &missing, 1 }, &(lm_source_options){0}, &err), LM_E_IO);
    assert_null(source);
    lm_err_clear(&err);
    assert_int_equal(lm_make_dirs(empty, NULL), LM_OK);
    assert_int_equal(lm_source_open(&source, &(lm_strings){ &empty, 1 }, &(lm_source_options){0}, &err), LM_E_FORMAT);
    free(missing), free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_without_a_document), cmocka_unit_test(jsonl_rows), cmocka_unit_test(csv_rows), cmocka_unit_test(tsv_rows),
        cmocka_unit_test(text_is_one_document_byte_for_byte), cmocka_unit_test(separator_makes_documents),
        cmocka_unit_test(folders_patterns_and_packed_files), cmocka_unit_test(bad_input_is_named),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
