/* Mixtures: shares by hand, which rows come and how often, and what must not matter. */
#include "common/test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/thread.h"
#include "data/mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------ */

/* Raffel et al. 2020, section 3.5.2, worked out by hand: r_m = min(e_m, K), to the power of 1/T. */
static void rates_by_hand(void **state)
{
    (void)state;
    lm_mix_source sources[3] = { { .name = "a" }, { .name = "b" }, { .name = "c" } };
    lm_mix m = { .sources = sources, .n_sources = 3 };
    lm_mix_stage s = { .name = "1", .temperature = 1 };
    const int64_t sizes[3] = { 100, 400, 900 };
    double r[3];
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 1. / 14) < 1e-12 && fabs(r[2] - 9. / 14) < 1e-12);
    s.cap = 500;
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 0.1) < 1e-12 && fabs(r[1] - 0.4) < 1e-12 && fabs(r[2] - 0.5) < 1e-12);
    s.cap = 0, s.temperature = 2;                        /* 10 : 20 : 30 */
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 1. / 6) < 1e-12 && fabs(r[1] - 2. / 6) < 1e-12);
    sources[2].share = 0.25;                             /* 10 : 20 of what is left */
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 0.25) < 1e-12 && fabs(r[1] - 0.5) < 1e-12 && fabs(r[2] - 0.25) < 1e-12);
    sources[0].weight = 3;                               /* weights: 3 : 1 */
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 0.75 * 0.75) < 1e-12 && fabs(r[1] - 0.25 * 0.75) < 1e-12);
    s.rule = LM_MIX_SIZES;                               /* 3 * 10 : 20 */
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(fabs(r[0] - 0.75 * 0.6) < 1e-12);
    double only_b[3] = { 0, 1, 0 };
    s.weights = only_b;
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_OK);
    assert_true(r[0] == 0 && fabs(r[1] - 0.75) < 1e-12);
    sources[2].share = 1;
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_E_USAGE);
    sources[2].share = 0.5, only_b[1] = 0;
    assert_int_equal(lm_mix_rates(r, &m, &s, sizes, NULL), LM_E_USAGE);
}

static void whole_rows(void **state)
{
    (void)state;
    const double rates[3] = { 0.5, 0.3, 0.2 };
    int64_t counts[3];
    for (int64_t rows = 0; rows < 200; rows++) {
        lm_mix_counts(counts, rates, 3, rows);
        assert_int_equal(counts[0] + counts[1] + counts[2], rows);
        for (int i = 0; i < 3; i++) assert_true(fabs((double)counts[i] - rates[i] * (double)rows) < 1);
    }
    assert_int_equal(lm_mix_most(rates, (const int64_t[]){ 50, 30, 20 }, 3), 100);
    assert_int_equal(lm_mix_most(rates, (const int64_t[]){ 50, 30, 2 }, 3), 10);
    assert_int_equal(lm_mix_most(rates, (const int64_t[]){ 50, 0, 20 }, 3), 0);
    assert_int_equal(lm_mix_most((const double[]){ 1. / 3, 2. / 3 }, (const int64_t[]){ 7, 14 }, 2), 21);

    const int64_t left[4] = { 3, 10, 0, 4 };
    lm_mix_level(counts, left, 3, 5);
    assert_true(counts[0] == 3 && counts[1] == 2 && counts[2] == 0);
    int64_t level[4];
    lm_mix_level(level, left, 4, 14);
    assert_true(level[0] == 3 && level[1] == 7 && level[2] == 0 && level[3] == 4);
    lm_mix_level(level, left, 4, 17);
    assert_true(level[1] == 10);
}

/* ---- files ---------------------------------------------------------------------- */

typedef struct job {
    lm_mix mix;
    lm_mix_options o;
    lm_mix_result result;
    lm_err err;
    char *out;
} job;

/* n rows {"id": "a0", "topic": ..., "hard": ...}: of every ten rows one is of topic "rare". */
static void write_rows(const char *name, const char *prefix, int n)
{
    lm_str text = {0};
    char *path = test_path(name);
    for (int i = 0; i < n; i++) lm_str_printf(&text, "{\"id\": \"%s%d\", \"topic\": \"%s\", \"hard\": %d}\n", prefix, i, i % 10 ? "common" : "rare", i * i);
    assert_int_equal(lm_file_write(path, text.data, text.len, NULL), LM_OK);
    lm_str_free(&text);
    free(path);
}

static job new_job(void)
{
    job j = { .out = test_path("mix.jsonl") };
    j.o = (lm_mix_options){ .out = j.out, .parts = 1, .memory = 1 << 24, .seed = 1 };
    return j;
}

static void add(job *j, const char *name)
{
    char *path = test_path(name);
    assert_int_equal(lm_mix_add(&j->mix, path, NULL), LM_OK);
    free(path);
}

static lm_status run(job *j)
{
    lm_mix_result_free(&j->result);
    lm_err_clear(&j->err);
    return lm_mix_files(&j->result, &j->mix, &j->o, &j->err);
}

static void run_well(job *j)
{
    if (run(j) != LM_OK) fail_msg("%s", j->err.message);
}

static void free_job(job *j)
{
    lm_mix_result_free(&j->result);
    lm_mix_free(&j->mix);
    free(j->out);
}

static char *text_of(const char *path)
{
    lm_str text;
    if (lm_file_read(&text, path, 1 << 24, NULL) != LM_OK) fail_msg("%s cannot be read", path);
    return lm_str_take(&text);
}

/* How often each of n ids comes. */
static void count_ids(const char *text, const char *prefix, int *counts, int n)
{
    char key[24];
    for (int i = 0; i < n; i++) {
        counts[i] = 0;
        snprintf(key, sizeof key, "\"id\": \"%s%d\"", prefix, i);
        for (const char *p = text; (p = strstr(p, key)); p++) counts[i]++;
    }
}

static int64_t total(const int *counts, int n, int *least, int *most)
{
    int64_t sum = 0;
    *least = 1 << 30, *most = 0;
    for (int i = 0; i < n; i++) {
        sum += counts[i];
        if (counts[i] < *least) *least = counts[i];
        if (counts[i] > *most) *most = counts[i];
    }
    return sum;
}

/* Exact shares; no row again before all have come; stages go on where those before them stopped. */
static void rows_come_once_until_all_have_come(void **state)
{
    (void)state;
    int a[100], b[40], least, most;
    write_rows("a.jsonl", "a", 100);
    write_rows("b.jsonl", "b", 40);
    job j = new_job();
    add(&j, "a.jsonl:3");
    add(&j, "b.jsonl:1");
    lm_mix_add_stage(&j.mix)->rows = 80;
    lm_mix_add_stage(&j.mix)->rows = 160;
    run_well(&j);
    char *text = text_of(j.out);
    count_ids(text, "a", a, 100);
    count_ids(text, "b", b, 40);
    assert_int_equal(total(a, 100, &least, &most), 180);
    assert_true(least == 1 && most == 2);
    assert_int_equal(total(b, 40, &least, &most), 60);
    assert_true(least == 1 && most == 2);
    assert_int_equal(j.result.repeated, 80 + 20);
    j.o.stage = "1";
    run_well(&j);
    char *first = text_of(j.out);
    assert_int_equal(j.result.rows, 80);
    assert_true(!strncmp(first, text, strlen(first)));
    count_ids(first, "a", a, 100);
    assert_true(total(a, 100, &least, &most) == 60 && most == 1);
    j.o.stage = "third";
    assert_int_equal(run(&j), LM_E_USAGE);
    assert_string_equal(j.err.message, "--stage: no stage is called \"third\"; there is 1, 2");
    free(text), free(first);
    free_job(&j);

    job all = new_job();                                 /* by sizes, all rows: a shuffle */
    add(&all, "a.jsonl");
    add(&all, "b.jsonl");
    lm_mix_add_stage(&all.mix);
    run_well(&all);
    text = text_of(all.out);
    count_ids(text, "a", a, 100);
    count_ids(text, "b", b, 40);
    assert_true(total(a, 100, &least, &most) == 100 && least == 1 && total(b, 40, &least, &most) == 40 && least == 1);
    int in_order = 0;
    for (const char *p = text; (p = strstr(p, "\"id\": \"a")); p++) {
        const char *next = strstr(p + 1, "\"id\": \"a");
        in_order += next && atoi(next + 8) == atoi(p + 8) + 1;
    }
    assert_true(in_order < 10);                          /* of 99 pairs about one by chance */
    free(text);
    free_job(&all);
}

/* The bytes are a function of the seed: not of threads, nor of whether rows are on disk, nor of how many files there are. */
static void what_must_not_matter(void **state)
{
    (void)state;
    write_rows("a.jsonl", "a", 300);
    write_rows("b.jsonl", "b", 50);
    job j = new_job();
    add(&j, "a.jsonl");
    add(&j, "b.jsonl:20%");
    lm_mix_add_stage(&j.mix);
    run_well(&j);
    char *text = text_of(j.out);
    lm_threads_set(1);
    j.o.memory = 0;
    run_well(&j);
    lm_threads_set(0);
    char *again = text_of(j.out);
    assert_string_equal(text, again);
    free(again);
    j.o.parts = 3;
    run_well(&j);
    lm_str joined = {0};
    for (int i = 1; i <= 3; i++) {
        char name[40];
        snprintf(name, sizeof name, "mix-%05d-of-00003.jsonl", i);
        char *path = test_path(name), *part = text_of(path);
        lm_str_puts(&joined, part);
        free(path), free(part);
    }
    assert_string_equal(text, joined.data);
    lm_str_free(&joined);
    j.o.parts = 1, j.o.seed = 2;
    run_well(&j);
    again = text_of(j.out);
    assert_true(strcmp(text, again) && strlen(text) > 0);
    free(again), free(text);
    free_job(&j);
}

static void topics_and_difficulty(void **state)
{
    (void)state;
    int a[100], least, most, rare = 0;
    write_rows("a.jsonl", "a", 100);
    job j = new_job();
    add(&j, "a.jsonl");
    lm_mix_source_set(&j.mix.sources[0], NULL, NULL, "topic", NULL, 5);
    lm_mix_add_stage(&j.mix)->rows = 16;
    lm_mix_add_stage(&j.mix)->rows = 14;                 /* of "rare" two are left */
    j.o.source_field = "from";
    run_well(&j);
    char *text = text_of(j.out);
    count_ids(text, "a", a, 100);
    assert_true(total(a, 100, &least, &most) == 30 && most == 1);
    for (int i = 0; i < 100; i += 10) rare += a[i];
    assert_int_equal(rare, 10);
    assert_int_equal(strncmp(text, "{\"from\": \"", 10), 0);
    free(text);
    j.o.source_field = "id";
    assert_int_equal(run(&j), LM_E_FORMAT);
    assert_non_null(strstr(j.err.message, "a.jsonl:1: --source-field id: the row has such a field already"));
    free_job(&j);

    job k = new_job();                                   /* ids in ranges of ten, as squares grow with them */
    add(&k, "a.jsonl");
    lm_mix_source_set(&k.mix.sources[0], NULL, NULL, NULL, "hard", 10);
    lm_mix_add_stage(&k.mix)->rows = 30;
    run_well(&k);
    text = text_of(k.out);
    count_ids(text, "a", a, 100);
    for (int bin = 0; bin < 10; bin++) assert_int_equal(total(a + 10 * bin, 10, &least, &most), 3);
    free(text);
    free_job(&k);
}

/* ---- recipes and bad input -------------------------------------------------------- */

static void recipes(void **state)
{
    (void)state;
    char *path = test_path("mix.yaml"), *a = test_path("a.jsonl"), *b = test_path("b.jsonl");
    write_rows("a.jsonl", "a", 100);
    write_rows("b.jsonl", "b", 40);
    lm_str yaml = {0};
    lm_str_printf(&yaml, "sources:\n  chat: {file: [%s], topic: topic}\n  text: {file: %s, share: 0.25}\n"
                         "stages:\n  - {name: broad, rows: 40, rates: sizes, temperature: 2}\n  - {name: narrow, rows: 20, weights: {chat: 1}}\n", a, b);
    assert_int_equal(lm_file_write(path, yaml.data, yaml.len, NULL), LM_OK);
    job j = new_job();
    assert_int_equal(lm_mix_read(&j.mix, path, NULL), LM_OK);
    run_well(&j);
    assert_int_equal(j.result.rows, 60);
    const lm_json *stage = json_array_get(json_object_get(j.result.report, "stages"), 1), *text = json_array_get(json_object_get(stage, "sources"), 1);
    assert_string_equal(json_string_value(json_object_get(stage, "stage")), "narrow");
    assert_int_equal(json_integer_value(json_object_get(text, "rows")), 5);
    free_job(&j);
    lm_str_free(&yaml);

    static const struct { const char *yaml, *why; } bad[] = {
        { "", "expected a mapping \"sources\"" },
        { "sources: {a: {file: x}}\nmore: 1\n", "found \"more\"" },
        { "sources: {a: {weight: 1}}\n", "sources: a: expected a file" },
        { "sources: {a: {file: x, weight: 0}}\n", "sources: a: weight" },
        { "sources: {a: {file: x, weight: .nan}}\n", "sources: a: weight" },
        { "sources: {a: {file: x, weight: 1, share: 0.5}}\n", "a weight and a fixed share" },
        { "sources: {a: {file: x, wieght: 1}}\n", "did you mean weight" },
        { "sources: {a: {file: x}}\nstages: [{weights: {b: 1}}]\n", "stage 1: weights: no source is called \"b\"" },
        { "sources: {a: {file: x}}\nstages: [{weights: {a: -1}}]\n", "weights: a: expected a number that is not negative, found \"-1\"" },
        { "sources: {a: {file: x}}\nstages: [1]\n", "stage 1: expected a mapping" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        job k = new_job();
        assert_int_equal(lm_file_write(path, bad[i].yaml, strlen(bad[i].yaml), NULL), LM_OK);
        lm_status status = lm_mix_read(&k.mix, path, &k.err);
        if (status == LM_OK || !strstr(k.err.message, bad[i].why)) fail_msg("%s gave: %s", bad[i].yaml, k.err.message);
        free_job(&k);
    }
    free(path), free(a), free(b);
}

static void bad_sources(void **state)
{
    (void)state;
    static const struct { const char *one, *other, *why; } bad[] = {
        { "no.jsonl", NULL, "no.jsonl: there is no such file" }, { "empty.jsonl", NULL, "holds no row" }, { "a.jsonl:0", NULL, "expected a weight above 0" },
        { "a.jsonl:nan", NULL, "expected a weight above 0" }, { "a.jsonl:-1", NULL, "expected a weight above 0" }, { "a.jsonl:0%", NULL, "expected a weight above 0" },
        { "a.jsonl:x", NULL, "found \"x\"" }, { "a.jsonl", "a.jsonl", "is given twice" }, { "a.jsonl:60%", "b.jsonl:50%", "sum to 110%" }, { "broken.jsonl", NULL, "broken.jsonl:2" },
    };
    char *empty = test_path("empty.jsonl"), *broken = test_path("broken.jsonl");
    write_rows("a.jsonl", "a", 3);
    write_rows("b.jsonl", "b", 3);
    assert_int_equal(lm_file_write(empty, "\n", 1, NULL), LM_OK);
    assert_int_equal(lm_file_write(broken, "{}\n{\"a\"}\n", 9, NULL), LM_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        job j = new_job();
        remove(j.out);
        char *one = test_path(bad[i].one), *other = bad[i].other ? test_path(bad[i].other) : NULL;
        lm_status status = lm_mix_add(&j.mix, one, &j.err);
        if (status == LM_OK && other) status = lm_mix_add(&j.mix, other, &j.err);
        if (status == LM_OK) {
            lm_mix_add_stage(&j.mix);
            status = run(&j);
        }
        if (status == LM_OK || !strstr(j.err.message, bad[i].why)) fail_msg("%s gave: %s", bad[i].one, j.err.message);
        assert_false(lm_file_exists(j.out));
        free(one), free(other);
        free_job(&j);
    }
    job j = new_job();
    assert_int_equal(lm_mix_add(&j.mix, "-", NULL), LM_OK);
    lm_mix_add_stage(&j.mix);
    lm_strings_push(&j.mix.sources[0].files, lm_strdup("-"));
    assert_int_equal(lm_mix_check(&j.mix, &j.err), LM_E_USAGE);
    assert_non_null(strstr(j.err.message, "standard input is given twice"));
    free_job(&j);
    free(empty), free(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_by_hand), cmocka_unit_test(whole_rows), cmocka_unit_test(rows_come_once_until_all_have_come), cmocka_unit_test(what_must_not_matter),
        cmocka_unit_test(topics_and_difficulty), cmocka_unit_test(recipes), cmocka_unit_test(bad_sources),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
