/* Learned filters: an n-gram model against its equations, labels of texts that are easy, files that are damaged. */
#include "common/test.h"

#include "base/file.h"
#include "data/clean.h"
#include "data/learn.h"
#include "data/linear.h"
#include "data/ngram_model.h"
#include "data/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_ngram_model *model_of(int order, int least, bool words, const char *const *texts)
{
    lm_ngram_trainer *t = lm_ngram_trainer_new(&(lm_ngram_options){ .order = order, .least = least, .words = words });
    for (; *texts; texts++) assert_true(lm_ngram_trainer_add(t, lm_span_of(*texts, strlen(*texts))));
    lm_ngram_model *m = lm_ngram_train(t);
    lm_ngram_trainer_free(t);
    return m;
}

static const char *const rhymes[] = { "abab abba", "abc abab c", "bca  cab", "가나다 가나 a", "", "aaaa", NULL };

/* The probabilities of all tokens and of an unknown one sum to 1 after any context, also ones that were never seen. */
static void probabilities_sum_to_one(void **state)
{
    (void)state;
    static const char *const alphabet[] = { "a", "b", "c", " ", "가", "나", "다", NULL };
    for (int order = 1; order <= 5; order++)
        for (int least = 1; least <= 3; least++) {
            lm_ngram_model *m = model_of(order, least, false, rhymes);
            uint64_t contexts[][4] = { { lm_ngram_begin }, { 'a', 'b', 'a', 'b' }, { 'b', 'z', 'a' }, { lm_ngram_begin, 'a', 'b' }, { 'z', 'z', 'z', 'z' }, { 'c', 'c', 'b', 'a' } };
            int lengths[] = { 1, 4, 3, 3, 4, 4 };
            for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++) {
                double sum = lm_ngram_probability(m, contexts[c], lengths[c], lm_ngram_end) + lm_ngram_probability(m, contexts[c], lengths[c], 'Q');
                for (const char *const *a = alphabet; *a; a++) sum += lm_ngram_probability(m, contexts[c], lengths[c], lm_ngram_token(lm_span_of(*a, strlen(*a))));
                assert_float_equal(sum, 1, 1e-5);            /* tables are in single precision */
            }
            assert_int_equal(lm_ngram_vocabulary(m), 8);     /* seven characters and the end */
            lm_ngram_free(m);
        }
}

/* Bigrams of "aab" and "ab" by hand.  Words begin: <a:2; aa:1, ab:2, b>:2.  With n1 = 1, n2 = 3 the discounts are
 * Y = 1/7, D1 = 1 - 2/7 * 3 = 1/7, D2 = 2 - 0 and so half of 2 = 1.  Continuations: a after < and a: 2; b after a: 1; > after b: 1,
 * with n1 = 2, n2 = 1: Y = 1/2, D1 = 1/2, D2 = 1 (half). */
static void bigrams_by_hand(void **state)
{
    (void)state;
    static const char *const texts[] = { "aab", "ab", NULL };
    lm_ngram_model *m = model_of(2, 1, false, texts);
    double uniform = 1.0 / 4, root = 1 - (1 + 0.5 + 0.5) / 4;          /* a, b, > and the unknown one; 2, 1, 1 of 4 */
    double a = (2 - 1) / 4.0 + root * uniform, b = 0.5 / 4 + root * uniform;
    double d1 = 1.0 / 7, after_a = 1 - ((1 - d1) + 1) / 3;
    assert_float_equal(lm_ngram_probability(m, NULL, 0, 'a'), a, 1e-6);
    assert_float_equal(lm_ngram_probability(m, (uint64_t[]){ 'a' }, 1, 'a'), (1 - d1) / 3 + after_a * a, 1e-6);
    assert_float_equal(lm_ngram_probability(m, (uint64_t[]){ 'a' }, 1, 'b'), 1.0 / 3 + after_a * b, 1e-6);
    assert_float_equal(lm_ngram_probability(m, (uint64_t[]){ 'x' }, 1, 'b'), b, 1e-6);
    int64_t n;
    double p = lm_ngram_probability(m, &lm_ngram_begin, 1, 'a') * lm_ngram_probability(m, (uint64_t[]){ 'a' }, 1, 'b') * lm_ngram_probability(m, (uint64_t[]){ 'b' }, 1, lm_ngram_end);
    assert_float_equal(lm_ngram_score(m, lm_span_of("ab", 2), &n), log(p), 1e-6);
    assert_int_equal(n, 3);
    assert_float_equal(lm_ngram_perplexity(m, lm_span_of("ab", 2)), pow(p, -1.0 / 3), 1e-5);
    lm_ngram_free(m);
}

static void ngram_files(void **state)
{
    (void)state;
    static const char *const sentences[] = { "the cat sat", "the cat ran away", "a dog sat", NULL };
    char *path = test_path("words.safetensors"), *other = test_path("other.safetensors");
    lm_err err = {0};
    lm_ngram_model *m = model_of(3, 1, true, sentences), *again = NULL;
    lm_span text = lm_span_of("  the \n dog\tsat ", 16), same = lm_span_of("the dog sat", 11), odd = lm_span_of("sat the away", 12);
    assert_int_equal(lm_ngram_save(m, NULL, path, &err), LM_OK);
    if (lm_ngram_load(&again, path, &err) != LM_OK) fail_msg("%s", err.message);
    assert_true(lm_ngram_perplexity(again, text) == lm_ngram_perplexity(m, same));
    assert_true(lm_ngram_perplexity(m, odd) > lm_ngram_perplexity(m, same));
    lm_ngram_free(again);
    lm_ngram_free(m);
    lm_str bytes = {0};
    assert_int_equal(lm_file_read(&bytes, path, 1 << 20, NULL), LM_OK);
    for (size_t cut = 0; cut < bytes.len; cut += 37) {       /* a byte less, a byte changed: an error or a model, and never a crash */
        lm_str damaged = {0};
        lm_str_append(&damaged, bytes.data, cut % 2 ? cut : bytes.len);
        if (cut < damaged.len) damaged.data[cut] = (char)(damaged.data[cut] ^ 0x55);
        assert_int_equal(lm_file_write(other, damaged.data, damaged.len, NULL), LM_OK);
        lm_err_clear(&err);
        if (lm_ngram_load(&again, other, &err) == LM_OK) assert_true(isfinite(lm_ngram_perplexity(again, same)) && (lm_ngram_free(again), true));
        else assert_true(*err.message);
        lm_str_free(&damaged);
    }
    lm_str_free(&bytes);
    free(path), free(other);
}

/* ---- through the files ------------------------------------------------------- */

static void put_row(lm_str *out, const char *label, const char *const *words, int from)
{
    lm_str_printf(out, "{\"label\": \"%s\", \"text\": \"", label);
    for (int i = 0; i < 12; i++) lm_str_printf(out, "%s%s", i ? " " : "", words[(from * 7 + i * i + i) % 8]);
    lm_str_puts(out, "\"}\n");
}

static const char *const korean[] = { "나는", "학교에", "간다", "하늘이", "맑다", "그리고", "바람이", "분다" };
static const char *const english[] = { "the", "wind", "blows", "over", "sea", "and", "they", "sing" };

static lm_json *learn(lm_learn_kind kind, char *in, const char *out, lm_err *err)
{
    lm_learn_options o = { .kind = kind, .out = out, .piece = -1, .held_out = 0.25, .epochs = 3, .rate = 0.1, .order = 3, .least = 1, .seed = 1 };
    lm_skipped skipped = {0};
    lm_json *report;
    lm_learn_files(&report, &skipped, &(lm_strings){ &in, in ? 1 : 0 }, &o, err);
    return report;
}

static bool keeps(const char *spec, const char *text, double *value)
{
    lm_pipeline p = {0};
    lm_doc doc = {0};
    lm_row row = {0};
    lm_err err = {0};
    int by;
    char *copy = lm_strdup(spec);
    if (lm_pipeline_add(&p, &(lm_strings){ &copy, 1 }, &err) != LM_OK || lm_pipeline_open(&p, &err) != LM_OK) fail_msg("%s: %s", spec, err.message);
    lm_doc_begin(&doc, &row, lm_span_of(text, strlen(text)));
    bool kept = lm_pipeline_apply(&p, &doc, &by, NULL, NULL, NULL);
    *value = doc.values[0];
    lm_doc_free(&doc);
    lm_pipeline_free(&p);
    free(copy);
    return kept;
}

/* The reports of a cleaning say how many documents of each kind were kept: all 40 of `ko`, none of the others. */
static void expect_kinds(const char *spec, char *in)
{
    lm_pipeline p = {0};
    lm_clean_result result;
    lm_err err = {0};
    char *copy = lm_strdup(spec), *out = test_path("kept.jsonl"), *page = test_path("page.html"), *doc = test_path("report.json");
    lm_str html = {0};
    if (lm_pipeline_add(&p, &(lm_strings){ &copy, 1 }, &err) != LM_OK || lm_pipeline_open(&p, &err) != LM_OK) fail_msg("%s: %s", spec, err.message);
    for (int i = 0; i < 2; i++) {
        if (lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &(lm_clean_options){ .out = out, .report = i ? page : doc }, &err) != LM_OK) fail_msg("%s", err.message);
        assert_int_equal(result.filters[0].n_kinds, 2);
        lm_clean_result_free(&result);
    }
    assert_int_equal(lm_file_read(&html, page, 1 << 20, NULL), LM_OK);
    assert_non_null(strstr(html.data, "<td>ko<td>40<td>0<td>50.00%"));
    assert_non_null(strstr(html.data, "<td>en<td>0<td>40<td>50.00%"));
    lm_json *report = lm_json_read(doc, NULL), *kinds = json_object_get(json_array_get(json_object_get(report, "filters"), 0), "kinds");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(kinds, "ko"), "kept")), 40);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(kinds, "en"), "rejected")), 40);
    lm_json_free(report);
    lm_str_free(&html);
    lm_pipeline_free(&p);
    free(copy), free(out), free(page), free(doc);
}

static void labels_that_are_easy(void **state)
{
    (void)state;
    lm_str rows = {0}, spec = {0};
    double p;
    for (int i = 0; i < 40; i++) {
        put_row(&rows, "ko", korean, i);
        put_row(&rows, "en", english, i);
    }
    char *in = test_path("rows.jsonl"), *out = test_path("model.safetensors"), *again = test_path("again.safetensors");
    assert_int_equal(lm_file_write(in, rows.data, rows.len, NULL), LM_OK);
    for (int kind = LM_LEARN_LANGUAGE; kind <= LM_LEARN_CLASSIFIER; kind++) {
        lm_err err = {0};
        lm_json *report = learn((lm_learn_kind)kind, in, out, &err);
        if (!report) fail_msg("%s", err.message);
        assert_true(json_real_value(json_object_get(report, "accuracy")) == 1);
        assert_int_equal(json_integer_value(json_object_get(report, "rows")), 80);
        lm_json_free(report);
        lm_str_clear(&spec);
        lm_str_printf(&spec, "%s:model=%s,%s=ko", lm_learn_names[kind], out, kind == LM_LEARN_LANGUAGE ? "languages" : "label");
        if (kind == LM_LEARN_LANGUAGE) {
            lm_data_stats stats;
            lm_data_stats_options so = { .languages = out };
            assert_int_equal(lm_data_stats_files(&stats, &(lm_strings){ &in, 1 }, &so, &err), LM_OK);
            assert_int_equal(stats.languages.n, 2);
            for (int l = 0; l < 2; l++) assert_int_equal(stats.of_language[l], 40);
            lm_data_stats_free(&stats);
        }
        expect_kinds(spec.data, in);
        assert_true(keeps(spec.data, "바람이 분다", &p) && p > 0.5);
        assert_false(keeps(spec.data, "the sea and wind", &p) || p > 0.5);
        keeps(spec.data, "", &p);
        assert_true(p >= 0 && p <= 1);

        lm_str a = {0}, b = {0};
        lm_json_free(learn((lm_learn_kind)kind, in, again, &err));
        assert_int_equal(lm_file_read(&a, out, 1 << 26, NULL), LM_OK);
        assert_int_equal(lm_file_read(&b, again, 1 << 26, NULL), LM_OK);
        assert_true(a.len == b.len && !memcmp(a.data, b.data, a.len));
        lm_str_free(&a), lm_str_free(&b);
    }
    lm_str_free(&rows), lm_str_free(&spec);
    free(in), free(out), free(again);
}

static void perplexity_band(void **state)
{
    (void)state;
    lm_str rows = {0}, spec = {0};
    double usual, odd;
    for (int i = 0; i < 40; i++) put_row(&rows, "x", korean, i);
    char *in = test_path("usual.jsonl"), *out = test_path("usual.safetensors");
    lm_err err = {0};
    assert_int_equal(lm_file_write(in, rows.data, rows.len, NULL), LM_OK);
    lm_json *report = learn(LM_LEARN_PERPLEXITY, in, out, &err);
    if (!report) fail_msg("%s", err.message);
    double most = json_real_value(json_object_get(json_object_get(report, "perplexity"), "99%"));
    lm_str_printf(&spec, "perplexity:model=%s,max=%g", out, 2 * most);
    assert_true(keeps(spec.data, "하늘이 그리고 하늘이 분다 하늘이 그리고 하늘이 분다", &usual));      /* as i * i + i gives them */
    assert_false(keeps(spec.data, "xyz qwv 뷁", &odd));
    assert_true(odd > 2 * most && usual < 2 * most);
    lm_json_free(report);
    lm_str_free(&rows), lm_str_free(&spec);
    free(in), free(out);
}

static void expect_refused(const char *spec, const char *why)
{
    lm_pipeline p = {0};
    lm_err err = {0};
    char *copy = lm_strdup(spec);
    lm_status status = lm_pipeline_add(&p, &(lm_strings){ &copy, 1 }, &err);
    if (status == LM_OK) status = lm_pipeline_open(&p, &err);
    if (status == LM_OK || !strstr(err.message, why)) fail_msg("%s: \"%s\", expected \"%s\"", spec, err.message, why);
    lm_pipeline_free(&p);
    free(copy);
}

static void what_is_refused(void **state)
{
    (void)state;
    char *in = test_path("one.jsonl"), *out = test_path("one.safetensors");
    lm_str spec = {0};
    lm_err err = {0};
    assert_int_equal(lm_file_write(in, "{\"text\": \"a b\", \"label\": 1}\n", 28, NULL), LM_OK);
    assert_null(learn(LM_LEARN_CLASSIFIER, in, out, &err));
    assert_non_null(strstr(err.message, "two labels"));
    lm_err_clear(&err);
    assert_null(learn(LM_LEARN_PERPLEXITY, NULL, out, &err));
    assert_non_null(strstr(err.message, "expected files"));
    lm_err_clear(&err);
    lm_json_free(learn(LM_LEARN_PERPLEXITY, in, out, &err));
    lm_str_printf(&spec, "language:model=%s,languages=ko", out);
    expect_refused(spec.data, "expected a \"malmoi language model 1\", found malmoi n-gram model 1");
    expect_refused("language", "expected model=FILE");
    expect_refused("classifier", "expected model=FILE");
    expect_refused("perplexity:max=3", "expected model=FILE");
    expect_refused("perplexity:model=/nowhere", "/nowhere");
    lm_str_free(&spec);
    free(in), free(out);
}

/* Reviews: better than the share of the larger label by far. */
static void real_reviews(void **state)
{
    (void)state;
    char *in = lm_strdup("../shared/data/nsmc/test.tsv"), *out = test_path("reviews.safetensors");
    lm_err err = {0};
    if (!lm_file_exists(in)) {
        printf("skipped: %s is not there\n", in);
        free(in), free(out);
        skip();
    }
    lm_json *report = learn(LM_LEARN_CLASSIFIER, in, out, &err);
    if (!report) fail_msg("%s", err.message);
    assert_true(json_real_value(json_object_get(report, "accuracy")) > 0.75);          /* half are positive */
    lm_json_free(report);
    free(in), free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_sum_to_one), cmocka_unit_test(bigrams_by_hand), cmocka_unit_test(ngram_files), cmocka_unit_test(labels_that_are_easy),
        cmocka_unit_test(perplexity_band), cmocka_unit_test(what_is_refused), cmocka_unit_test(real_reviews),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
