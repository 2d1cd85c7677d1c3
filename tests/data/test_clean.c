/* A corpus through filters and through stats: what stands in the files, whatever the threads; counts that add up. */
#include "common/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "base/thread.h"
#include "data/clean.h"
#include "data/fields.h"
#include "data/review.h"
#include "data/rounds.h"
#include "data/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path)
{
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 26, NULL), LM_OK);
    return text.data ? lm_str_take(&text) : lm_strdup("");
}

static char *write_file(const char *name, const char *text)
{
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    return path;
}

static lm_pipeline pipeline_of(const char *specs)
{
    lm_pipeline p = {0};
    lm_err err = {0};
    char *copy = lm_strdup(specs), *items[8];
    int n = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) items[n++] = word;
    if (lm_pipeline_add(&p, &(lm_strings){ items, n }, &err) != LM_OK || lm_pipeline_open(&p, &err) != LM_OK) fail_msg("%s: %s", specs, err.message);
    free(copy);
    return p;
}

static void kept_and_rejected_rows(void **state)
{
    (void)state;
    char *in = write_file("in.jsonl", "{\"text\": \"두 낱말\", \"n\": 1}\n{\"text\": \"하나\"}\n{\"text\": \"메일 a@b.kr 이다\", \"n\": 1.50}\n{\"document\": \"세 낱말 이다\"}\n");
    char *out = test_path("out.jsonl"), *rejected = test_path("rejected.jsonl"), *report = test_path("report.json"), *page = test_path("page.html");
    lm_pipeline p = pipeline_of("length:min-words=2 personal");
    lm_clean_options o = { .out = out, .rejected = rejected, .report = report };
    lm_clean_result result;
    lm_err err = {0};
    if (lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, &err) != LM_OK) fail_msg("%s", err.message);
    char *kept = read_file(out), *gone = read_file(rejected);
    assert_string_equal(kept, "{\"text\": \"두 낱말\", \"n\": 1}\n{\"text\": \"메일 <EMAIL> 이다\", \"n\": 1.5}\n{\"document\": \"세 낱말 이다\"}\n");
    assert_string_equal(gone, "{\"text\": \"하나\", \"rejected_by\": \"length\", \"reason\": \"1 words, expected 2 to 100000\"}\n");
    assert_int_equal(result.documents, 4);
    assert_int_equal(result.kept, 3);
    assert_int_equal(result.changed, 1);
    assert_int_equal(result.filters[0].seen, 4);
    assert_int_equal(result.filters[0].rejected, 1);
    assert_int_equal(result.filters[1].seen, 3);
    assert_int_equal(result.filters[1].tallies[0], 1);
    lm_json *doc = lm_json_read(report, NULL);
    assert_int_equal(json_integer_value(json_object_get(doc, "kept")), 3);
    const lm_json *filter = json_array_get(json_object_get(doc, "filters"), 0), *example = json_array_get(json_object_get(filter, "examples"), 0);
    assert_string_equal(json_string_value(json_object_get(example, "text")), "하나");
    lm_json_free(doc);
    lm_clean_result_free(&result);

    o.report = page;
    assert_int_equal(lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, &err), LM_OK);
    char *html = read_file(page);
    assert_non_null(strstr(html, "<svg"));
    assert_non_null(strstr(html, "하나"));
    assert_null(strstr(html, "http"));                       /* it needs nothing else */
    lm_clean_result_free(&result);
    lm_pipeline_free(&p);
    free(html), free(kept), free(gone), free(in), free(out), free(rejected), free(report), free(page);
}

static char *many_rows(int n)
{
    lm_str text = {0};
    lm_rng rng = { .seed = 5 };
    for (int i = 0; i < n; i++) {
        lm_str_printf(&text, "{\"id\": %d, \"text\": \"", i);
        for (int w = (int)lm_rng_below(&rng, 30); w > 0; w--) lm_str_printf(&text, "낱말%d을 ", (int)lm_rng_below(&rng, 50));
        lm_str_puts(&text, "010-1234-5678\"}\n");
    }
    return lm_str_take(&text);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    char *rows = many_rows(2500), *in = write_file("many.jsonl", rows), *out = test_path("many.out"), *rejected = test_path("many.rejected"), *first[2] = {0};
    lm_pipeline p = pipeline_of("length:min-words=10 repetition personal");
    lm_clean_options o = { .out = out, .rejected = rejected };
    for (int run = 0; run < 2; run++) {
        lm_clean_result result;
        lm_threads_set(run ? 3 : 1);
        assert_int_equal(lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, NULL), LM_OK);
        char *kept = read_file(out), *gone = read_file(rejected);
        int64_t sum = result.kept;
        for (int i = 0; i < 3; i++) {
            sum += result.filters[i].rejected;
            for (int m = 0; m < result.filters[i].n_measures; m++) assert_int_equal(result.filters[i].histograms[m].n, result.filters[i].seen);
        }
        assert_int_equal(sum, 2500);                         /* every document is kept or rejected by one */
        assert_true(result.kept > 0 && result.kept < 2500);
        if (run) {
            assert_string_equal(kept, first[0]);
            assert_string_equal(gone, first[1]);
            free(kept), free(gone);
        } else first[0] = kept, first[1] = gone;
        lm_clean_result_free(&result);
    }
    lm_threads_set(0);
    lm_pipeline_free(&p);
    free(first[0]), free(first[1]), free(rows), free(in), free(out), free(rejected);
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    char *in = write_file("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n"), *out = test_path("none.jsonl");
    lm_pipeline p = pipeline_of("unicode");
    lm_clean_options o = { .out = out };
    lm_clean_result result;
    lm_err err = {0};
    assert_int_equal(lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "bad.jsonl:2: field \"text\": expected a string"));
    assert_false(lm_file_exists(out));
    lm_clean_result_free(&result);
    o.on_error = 1;
    assert_int_equal(lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, NULL), LM_OK);
    assert_int_equal(result.skipped.n, 1);
    assert_int_equal(result.kept, 1);
    lm_clean_result_free(&result);
    o.out = "/dev/full";
    lm_err_clear(&err);
    assert_int_equal(lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &o, &err), LM_E_IO);
    assert_non_null(strstr(err.message, "/dev/full"));
    lm_clean_result_free(&result);
    lm_pipeline_free(&p);
    free(in), free(out);
}

/* A line that is too long is passed over, and the rows behind it are read; a packed file that is cut off is
 * an error all the same, since nobody knows what is lost. */
static void long_lines_and_cut_files(void **state)
{
    (void)state;
    char *path = write_file("long.txt", "first\nthis line is far too long\nlast\n");
    lm_stream *s;
    lm_str line = {0};
    lm_err err = {0};
    bool eof;
    assert_int_equal(lm_stream_open(&s, path, NULL), LM_OK);
    lm_stream_limit(s, 10);
    assert_int_equal(lm_stream_line(s, &line, &eof, &err), LM_OK);
    assert_int_equal(lm_stream_line(s, &line, &eof, &err), LM_E_FORMAT);
    assert_false(lm_stream_broken(s));
    assert_int_equal(lm_stream_line(s, &line, &eof, NULL), LM_OK);
    assert_string_equal(line.data, "last");
    assert_int_equal(lm_stream_number(s), 3);
    lm_stream_close(s);
    lm_str_free(&line);
    free(path);

    char *cut = test_path("cut.jsonl.gz"), *out = test_path("cut.out");
    static const unsigned char gzip[] = { 0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xAB };
    assert_int_equal(lm_file_write(cut, gzip, sizeof gzip, NULL), LM_OK);
    lm_pipeline p = pipeline_of("unicode");
    lm_clean_result result;
    lm_clean_options o = { .out = out, .on_error = 1 };
    lm_err_clear(&err);
    assert_int_equal(lm_clean_files(&result, &(lm_strings){ &cut, 1 }, &p, &o, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "the file ends too early"));
    lm_clean_result_free(&result);
    lm_pipeline_free(&p);
    free(cut), free(out);
}

/* ---- stats ------------------------------------------------------------------- */

static void counting_what_is_different(void **state)
{
    (void)state;
    static const int counts[] = { 0, 10, 1000, 200000 };
    for (int i = 0; i < 4; i++) {
        lm_hyperloglog *h = lm_calloc(2, sizeof *h);
        lm_rng rng = { .seed = 9 };
        for (int k = 0; k < counts[i]; k++) {
            uint64_t hash = lm_rng_u64(&rng);
            lm_hyperloglog_put(&h[k & 1], hash);
            lm_hyperloglog_put(&h[k & 1], hash);             /* twice is once */
        }
        lm_hyperloglog_merge(&h[0], &h[1]);
        assert_float_equal(lm_hyperloglog_count(&h[0]), counts[i], 0.03 * counts[i]);        /* nearly four standard errors */
        free(h);
    }
}

static void stats_by_hand(void **state)
{
    (void)state;
    char *in = write_file("stats.jsonl", "{\"text\": \"가 나 다\"}\n{\"text\": \"가 나 다\"}\n{\"text\": \"ab 1!\"}\n{\"text\": \"\"}\n{\"text\": 3}\n");
    lm_data_stats s;
    lm_data_stats_options o = { .on_error = 1 };
    assert_int_equal(lm_data_stats_files(&s, &(lm_strings){ &in, 1 }, &o, NULL), LM_OK);
    assert_int_equal(s.documents, 4);
    assert_int_equal(s.empty, 1);
    assert_int_equal(s.skipped.n, 1);
    assert_int_equal(s.counts.script[LM_SCRIPT_HANGUL], 6);
    assert_int_equal(s.counts.letters, 8);
    assert_int_equal(s.chars.sum, 15);
    assert_int_equal(s.words.most, 3);
    assert_float_equal(lm_hyperloglog_count(s.documents_seen), 3, 0.01);
    assert_int_equal(s.ngrams[0], 8);
    assert_float_equal(lm_hyperloglog_count(&s.ngrams_seen[0]), 5, 0.01);
    assert_int_equal(s.ngrams[2], 2);
    assert_float_equal(lm_hyperloglog_count(&s.ngrams_seen[2]), 1, 0.01);
    lm_data_stats_free(&s);
    free(in);
}

static int64_t count_of(lm_json *counts, const char *name) { return json_integer_value(json_object_get(counts, name)); }

/* Conversations and prompts with answers: who speaks how often, which templates, and the text of all parts. */
static void instructions_are_counted(void **state)
{
    (void)state;
    char *in = write_file("chats.jsonl", "{\"messages\": [{\"role\": \"system\", \"content\": \"가 나\"}, {\"role\": \"user\", \"content\": \"다\"}, {\"role\": \"assistant\", \"content\": \"라\"}], \"template\": \"nsmc/3\"}\n"
                                         "{\"conversations\": [{\"from\": \"human\", \"value\": \"one two\"}, {\"from\": \"gpt\", \"value\": \"three\"}]}\n"
                                         "{\"prompt\": \"a b\", \"completion\": \"c\", \"template\": \"nsmc/3\"}\n"
                                         "{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": \"y\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"z\"}]}\n"
                                         "{\"id\": 4}\n{\"messages\": []}\n");
    lm_data_stats s;
    lm_data_stats_options o = { .on_error = 1 };
    assert_int_equal(lm_data_stats_files(&s, &(lm_strings){ &in, 1 }, &o, NULL), LM_OK);
    assert_int_equal(s.documents, 4);
    assert_int_equal(s.skipped.n, 2);
    assert_int_equal(s.words.sum, 4 + 3 + 3 + 3);
    assert_int_equal(s.messages.n, 3);
    assert_int_equal(s.messages.sum, 8);
    assert_int_equal(json_object_size(s.roles), 5);
    assert_int_equal(count_of(s.roles, "assistant"), 3);
    assert_int_equal(count_of(s.roles, "user"), 2);
    assert_int_equal(count_of(s.roles, "human"), 1);
    assert_int_equal(json_object_size(s.templates), 1);
    assert_int_equal(count_of(s.templates, "nsmc/3"), 2);
    lm_data_stats_free(&s);
    free(in);
}

static void percentiles(void **state)
{
    (void)state;
    char *rows = many_rows(2000), *in = write_file("lengths.jsonl", rows);
    lm_data_stats s;
    lm_data_stats_options o = { 0 };
    assert_int_equal(lm_data_stats_files(&s, &(lm_strings){ &in, 1 }, &o, NULL), LM_OK);
    assert_float_equal(lm_lengths_percentile(&s.words, 0.5), 15.5, 15.5 * 0.1);      /* even from 1 to 30; a bin is 19% wide */
    assert_float_equal(lm_lengths_percentile(&s.words, 0), 1, 1e-6);
    assert_float_equal(lm_lengths_percentile(&s.words, 1), 30, 1e-6);
    lm_data_stats_free(&s);
    free(rows), free(in);
}

/* A line read in place is written as its document is, and what is left to documents is told. */
static void lines_without_documents(void **state)
{
    (void)state;
    static const struct { const char *line; bool here; } cases[] = {
        { "{}", true }, { "{\"text\":\"a\"}", true }, { " { \"text\" : \"\\uAC00\\/\\n\\u0001\" , \"n\":12 }", true }, { "{\"a\\\"b\": [1, 2.50, {\"x\": null}], \"text\": \"한\"}", true },
        { "{\"text\": null, \"sentence\": \"b\", \"r\": -0.0, \"i\": 007}", false }, { "{\"i\": -12, \"j\": 123456789012345678901, \"k\": 1e3, \"l\": 0, \"t\": true, \"f\": false, \"z\": null}", true },
        { "{\"a\": 1, \"a\": 2}", false }, { "[1]", false }, { "{\"a\": 1", false }, { "{\"a\": 1} x", false }, { "{\"a\": trux}", false }, { "{\"a\": \"\\uD800\"}", false },
    };
    lm_fields fields = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_row row = { .path = "f", .raw = true };
        lm_str ours = {0}, theirs = {0};
        lm_str_puts(&row.text, cases[i].line);
        if (lm_fields_read(&fields, &row) != cases[i].here) fail_msg("%s", cases[i].line);
        if (cases[i].here) {
            lm_fields_put(&ours, &fields, NULL, (lm_span){0}, NULL);
            assert_int_equal(lm_row_parse(&row, NULL), LM_OK);
            lm_row_put_json(&theirs, &row);
            assert_string_equal(ours.data, theirs.data);
        }
        lm_row_free(&row);
        lm_str_free(&ours), lm_str_free(&theirs);
    }
    lm_row row = { .raw = true };
    lm_str out = {0};
    lm_str_puts(&row.text, "{\"document\": \"x\", \"text\": null, \"n\": 1}");
    assert_true(lm_fields_read(&fields, &row));
    const lm_field *text = lm_fields_text(&fields, NULL);
    assert_true(text && lm_span_eq(text->value, "x"));
    assert_null(lm_fields_text(&fields, "n"));
    lm_fields_put(&out, &fields, text, lm_span_of("\"\t", 2), (const char *const[]){ "k", "v\n", NULL });
    assert_string_equal(out.data, "{\"document\": \"\\\"\\t\", \"text\": null, \"n\": 1, \"k\": \"v\\n\"}\n");
    lm_str_free(&out);
    lm_row_free(&row);
    lm_fields_free(&fields);
}

/* ---- review ------------------------------------------------------------------ */

static void wilsons_interval(void **state)
{
    (void)state;
    double low, high;
    lm_wilson(8, 10, &low, &high);                           /* worked by hand from the equation with z = 1.96 */
    assert_float_equal(low, 0.4902, 1e-4);
    assert_float_equal(high, 0.9433, 1e-4);
    lm_wilson(0, 20, &low, &high);
    assert_float_equal(low, 0, 1e-9);
    assert_float_equal(high, 3.8415 / (20 + 3.8415), 1e-4);  /* z^2 / (n + z^2) */
    lm_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
}

/* Documents 0 .. 199, of which those of one word and those without Hangul were rejected. */
static void make_cleaned(const char *kept, const char *rejected)
{
    lm_str k = {0}, r = {0};
    for (int i = 0; i < 200; i++) {
        if (i % 4 == 0) lm_str_printf(&r, "{\"text\": \"word%d\", \"n\": %d, \"rejected_by\": \"length\", \"reason\": \"1 words\"}\n", i, i);
        else if (i % 4 == 1) lm_str_printf(&r, "{\"text\": \"no\\thangul %d\", \"n\": %d, \"rejected_by\": \"script\", \"reason\": \"0%%\"}\n", i, i);
        else lm_str_printf(&k, "{\"text\": \"글 %d\\n<b>\", \"n\": %d}\n", i, i);
    }
    assert_int_equal(lm_file_write(kept, k.data, k.len, NULL), LM_OK);
    assert_int_equal(lm_file_write(rejected, r.data, r.len, NULL), LM_OK);
    lm_str_free(&k), lm_str_free(&r);
}

static void replace_all(char **text, const char *what, const char *with)
{
    lm_str out = {0};
    char *at = *text;
    for (char *found; (found = strstr(at, what)); at = found + strlen(what)) {
        lm_str_append(&out, at, (size_t)(found - at));
        lm_str_puts(&out, with);
    }
    lm_str_puts(&out, at);
    free(*text);
    *text = lm_str_take(&out);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void a_sample_and_its_verdicts(void **state)
{
    (void)state;
    char *kept = test_path("k.jsonl"), *rejected = test_path("r.jsonl"), *sample = test_path("s.jsonl"), *table = test_path("s.tsv"), *page = test_path("s.html"), *again = test_path("s2.jsonl");
    char *kept2 = test_path("k2.jsonl"), *rejected2 = test_path("r2.jsonl");
    make_cleaned(kept, rejected);
    lm_review_files files = { .kept = kept, .rejected = rejected };
    lm_review r;
    lm_err err = {0};
    if (lm_review_draw(&r, &files, 7, 3, sample, page, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(r.n, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(r.items[i].drawn, 7), assert_int_equal(r.items[i].documents, i ? 50 : 100);
    lm_review_free(&r);
    assert_int_equal(lm_review_draw(&r, &files, 7, 3, again, NULL, &err), LM_OK);
    lm_review_free(&r);
    char *text = read_file(sample), *same = read_file(again), *html = read_file(page);
    assert_string_equal(text, same);
    assert_int_equal(count_lines(text), 21);
    assert_non_null(strstr(html, "&lt;b&gt;"));
    assert_null(strstr(html, "<b>"));
    free(same), free(html);

    /* Verdicts: all of the sample good, which is right for the kept ones and wrong for both filters. */
    replace_all(&text, "\"verdict\": \"\"", "\"verdict\": \"good\"");
    assert_int_equal(lm_file_write(again, text, strlen(text), NULL), LM_OK);
    if (lm_review_merge(&r, &files, &(lm_strings){ &again, 1 }, kept2, rejected2, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(r.to_kept, 14);
    assert_int_equal(r.to_rejected, 0);
    for (int i = 0; i < r.n; i++) assert_int_equal(r.items[i].good, 7), assert_int_equal(r.items[i].bad, 0);
    lm_review_free(&r);
    char *k = read_file(kept2), *gone = read_file(rejected2);
    assert_int_equal(count_lines(k), 114);
    assert_int_equal(count_lines(gone), 86);
    assert_null(strstr(k, "rejected_by"));
    free(k), free(gone);

    /* The same by a table, all bad but for those that nobody judged: the kept ones move. */
    assert_int_equal(lm_review_draw(&r, &files, 5, 1, table, NULL, &err), LM_OK);
    lm_review_free(&r);
    char *cells = read_file(table);
    replace_all(&cells, "\n\tkept", "\nbad\tkept");
    assert_int_equal(lm_file_write(table, cells, strlen(cells), NULL), LM_OK);
    if (lm_review_merge(&r, &files, &(lm_strings){ &table, 1 }, kept2, rejected2, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(r.to_rejected, 5);
    for (int i = 0; i < r.n; i++) assert_int_equal(r.items[i].open, strcmp(r.items[i].name, "kept") ? 5 : 0);
    lm_review_free(&r);
    gone = read_file(rejected2);
    assert_int_equal(count_lines(gone), 105);
    assert_non_null(strstr(gone, "\"rejected_by\": \"review\""));
    free(gone), free(cells);

    /* A row that is no longer what was judged. */
    replace_all(&text, "\"verdict\": \"good\"", "\"verdict\": \"fine\"");
    assert_int_equal(lm_file_write(sample, text, strlen(text), NULL), LM_OK);
    assert_int_equal(lm_review_merge(&r, &files, &(lm_strings){ &sample, 1 }, NULL, NULL, &err), LM_E_FORMAT);
    lm_review_free(&r);
    lm_err_clear(&err);
    assert_int_equal(lm_file_write(kept, "{\"text\": \"other\"}\n", 18, NULL), LM_OK);
    assert_int_equal(lm_review_merge(&r, &files, &(lm_strings){ &again, 1 }, kept2, rejected2, &err), LM_E_MISMATCH);
    lm_review_free(&r);
    free(text), free(kept), free(rejected), free(sample), free(table), free(page), free(again), free(kept2), free(rejected2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_and_rejected_rows), cmocka_unit_test(threads_do_not_matter), cmocka_unit_test(failures_leave_nothing), cmocka_unit_test(long_lines_and_cut_files),
        cmocka_unit_test(counting_what_is_different), cmocka_unit_test(stats_by_hand), cmocka_unit_test(instructions_are_counted), cmocka_unit_test(percentiles), cmocka_unit_test(lines_without_documents),
        cmocka_unit_test(wilsons_interval), cmocka_unit_test(a_sample_and_its_verdicts),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
