/* Topics: Ward's groups against their definition, texts whose topics are known, and what goes by a model of topics. */
#include "common/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/clean.h"
#include "data/learn.h"
#include "data/mix.h"
#include "data/stats.h"
#include "data/topics.h"
#include "data/topics/ward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Ward's criterion -------------------------------------------------------- */

enum { POINTS = 40 };

/* By the definition: of all pairs of groups, join that whose n_a n_b / (n_a + n_b) |c_a - c_b|^2 is least. */
static void join_plainly(int *group, double points[POINTS][2], int k)
{
    for (int i = 0; i < POINTS; i++) group[i] = i;
    for (int left = POINTS; left > k; left--) {
        double least = INFINITY, n[POINTS] = {0}, centre[POINTS][2] = {0};
        int best[2] = {0};
        for (int i = 0; i < POINTS; i++) {
            n[group[i]]++;
            for (int d = 0; d < 2; d++) centre[group[i]][d] += points[i][d];
        }
        for (int a = 0; a < POINTS; a++)
            for (int b = 0; b < a; b++) {
                double square = 0;
                if (n[a] == 0 || n[b] == 0) continue;
                for (int d = 0; d < 2; d++) square += pow(centre[a][d] / n[a] - centre[b][d] / n[b], 2);
                double cost = n[a] * n[b] / (n[a] + n[b]) * square;
                if (cost < least) least = cost, best[0] = a, best[1] = b;
            }
        for (int i = 0; i < POINTS; i++)
            if (group[i] == best[0]) group[i] = best[1];
    }
}

static void groups_are_wards(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 7 };
    double points[POINTS][2];
    for (int i = 0; i < POINTS; i++)
        for (int d = 0; d < 2; d++) points[i][d] = lm_rng_normal(&rng) + 3 * (i % 4);
    for (int k = 1; k <= POINTS; k++) {
        float distances[POINTS * POINTS];
        int found[POINTS], wanted[POINTS];
        for (int i = 0; i < POINTS * POINTS; i++)
            distances[i] = (float)(pow(points[i / POINTS][0] - points[i % POINTS][0], 2) + pow(points[i / POINTS][1] - points[i % POINTS][1], 2));
        lm_ward(found, distances, POINTS, k);
        join_plainly(wanted, points, k);
        for (int i = 0; i < POINTS; i++) {
            assert_in_range(found[i], 0, k - 1);
            for (int j = 0; j < i; j++) assert_int_equal(found[i] == found[j], wanted[i] == wanted[j]);
        }
    }
}

/* ---- terms ------------------------------------------------------------------- */

static size_t terms_of(const char *text)
{
    static const lm_linear_rule rule = { .bits = 24, .limit = 100, .letters = true, .terms = true };
    lm_buckets b = {0};
    lm_buckets_of(&b, &rule, lm_span_of(text, strlen(text)));
    size_t n = b.n;
    lm_buckets_free(&b);
    return n;
}

static void terms_count_once(void **state)
{
    (void)state;
    assert_int_equal(terms_of(""), 0);
    assert_int_equal(terms_of("12, 3!"), 0);
    assert_int_equal(terms_of("Film, film; FILM"), 1);
    assert_int_equal(terms_of("a film"), 2);
    assert_int_equal(terms_of("법"), 1);
    assert_int_equal(terms_of("영화가"), 2);                 /* 영화 and 화가 */
    assert_int_equal(terms_of("영화가 영화를"), 3);
    assert_int_equal(terms_of("LED조명"), 2);                /* led and 조명 */
}

/* ---- texts whose topics are known ---------------------------------------------- */

enum { KINDS = 4, WORDS = 8, EACH = 60 };
static const char *const words[KINDS][WORDS] = {
    { "영화가", "배우의", "감독은", "연기를", "장면이", "극장에서", "관객과", "대사는" },
    { "법률은", "조항을", "위원회가", "벌칙의", "시행령에", "허가를", "처분이", "신고는" },
    { "apples", "bread", "oven", "sugar", "flour", "butter", "recipe", "spoon" },
    { "engine", "wheel", "brake", "driver", "road", "petrol", "garage", "tyre" },
};
static const char *const filler[2][3] = { { "그리고", "또한", "매우" }, { "the", "and", "with" } };

static void put_words(lm_str *out, int kind, int number)
{
    lm_rng rng = { .seed = (uint64_t)kind, .stream = (uint64_t)number };
    for (int w = 0; w < 9; w++) lm_str_printf(out, "%s%s", w ? " " : "", w % 3 == 2 ? filler[kind / 2][lm_rng_below(&rng, 3)] : words[kind][lm_rng_below(&rng, WORDS)]);
}

/* Rows {"id": kind, "text": ...}, or as a chat. */
static char *write_rows(const char *name, bool chat)
{
    lm_str rows = {0};
    for (int i = 0; i < KINDS * EACH; i++) {
        lm_str_printf(&rows, "{\"id\": %d, %s", i % KINDS, chat ? "\"messages\": [{\"role\": \"user\", \"content\": \"" : "\"text\": \"");
        put_words(&rows, i % KINDS, i);
        lm_str_puts(&rows, chat ? "\"}]}\n" : "\"}\n");
    }
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, rows.data, rows.len, NULL), LM_OK);
    lm_str_free(&rows);
    return path;
}

static lm_json *learn(char *in, const char *out, int topics, int sample, lm_err *err)
{
    lm_learn_options o = { .kind = LM_LEARN_TOPICS, .out = out, .piece = -1, .held_out = 0.1, .topics = topics, .sample = sample, .seed = 3 };
    lm_skipped skipped = {0};
    lm_json *report;
    lm_status status = lm_learn_files(&report, &skipped, &(lm_strings){ &in, 1 }, &o, err);
    if (status != LM_OK) lm_json_free(report);
    return status == LM_OK ? report : NULL;
}

static int topic_of(const lm_linear *m, const char *text)
{
    lm_buckets room = {0};
    int topic = lm_topic_of(m, &room, lm_span_of(text, strlen(text)), NULL);
    lm_buckets_free(&room);
    return topic;
}

/* The words of a topic, without particles where they have one, are those of one kind, which it returns. */
static int kind_of_words(const lm_json *topic)
{
    size_t i;
    lm_json *word;
    int kind = -1;
    json_array_foreach(json_object_get(topic, "words"), i, word)
        for (int k = 0; k < KINDS; k++)
            for (int w = 0; w < WORDS; w++)
                if (lm_starts_with(words[k][w], json_string_value(word))) {
                    assert_true(kind < 0 || kind == k);
                    kind = k;
                }
    assert_true(kind >= 0);
    return kind;
}

static void known_topics_are_found(void **state)
{
    (void)state;
    for (int chat = 0; chat < 2; chat++) {
        char *in = write_rows("rows.jsonl", chat), *out = test_path("topics.safetensors"), *again = test_path("again.safetensors");
        lm_err err = {0};
        lm_json *report = learn(in, out, KINDS, 1000, &err), *topics = json_object_get(report, "topics");
        if (!report) fail_msg("%s", err.message);
        assert_int_equal(json_array_size(topics), KINDS);
        lm_linear *m;
        if (lm_linear_load(&m, lm_topic_model, out, &err) != LM_OK) fail_msg("%s", err.message);
        int topic_of_kind[KINDS] = { -1, -1, -1, -1 };
        for (int t = 0; t < KINDS; t++) {
            const lm_json *topic = json_array_get(topics, (size_t)t);
            assert_int_equal(json_integer_value(json_object_get(topic, "texts")), EACH);
            assert_string_equal(lm_linear_labels(m)->items[t], json_string_value(json_object_get(topic, "name")));
            assert_true(strlen(json_string_value(json_object_get(topic, "example"))) > 10);
            topic_of_kind[kind_of_words(topic)] = t;
        }
        for (int k = 0; k < KINDS; k++)
            for (int i = 0; i < 20; i++) {               /* texts that it has not seen */
                lm_str text = {0};
                put_words(&text, k, 10000 + i);
                assert_int_equal(topic_of(m, text.data), topic_of_kind[k]);
                lm_str_free(&text);
            }
        assert_int_equal(topic_of(m, "nothing known here"), -1);
        assert_int_equal(topic_of(m, ""), -1);
        lm_linear_free(m);
        lm_str a = {0}, b = {0};
        lm_json_free(learn(in, again, KINDS, 1000, &err));
        assert_int_equal(lm_file_read(&a, out, 1 << 26, NULL), LM_OK);
        assert_int_equal(lm_file_read(&b, again, 1 << 26, NULL), LM_OK);
        assert_true(a.len == b.len && !memcmp(a.data, b.data, a.len));
        lm_str_free(&a), lm_str_free(&b);
        lm_json_free(report);
        free(in), free(out), free(again);
    }
}

/* With a sample of fewer rows, that many are looked at, and they are drawn from all of the file. */
static void a_sample_is_drawn(void **state)
{
    (void)state;
    char *in = write_rows("rows.jsonl", false), *out = test_path("topics.safetensors");
    lm_err err = {0};
    lm_json *report = learn(in, out, KINDS, 100, &err), *topic;
    if (!report) fail_msg("%s", err.message);
    int64_t sum = 0;
    size_t i;
    json_array_foreach(json_object_get(report, "topics"), i, topic) {
        int64_t texts = json_integer_value(json_object_get(topic, "texts"));
        assert_in_range(texts, 10, 45);                      /* a fourth of 100, and five times its deviation of 4.3 */
        sum += texts;
    }
    assert_int_equal(sum, 100);
    assert_int_equal(json_integer_value(json_object_get(report, "rows")), KINDS * EACH);
    lm_json_free(report);
    free(in), free(out);
}

/* ---- what goes by them --------------------------------------------------------- */

static void stats_and_filter_go_by_them(void **state)
{
    (void)state;
    char *in = write_rows("rows.jsonl", false), *out = test_path("topics.safetensors");
    lm_err err = {0};
    lm_json_free(learn(in, out, KINDS, 1000, &err));
    lm_data_stats stats;
    lm_data_stats_options so = { .topics = out };
    if (lm_data_stats_files(&stats, &(lm_strings){ &in, 1 }, &so, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(stats.topics.n, KINDS);
    for (int k = 0; k < KINDS; k++) {
        assert_int_equal(stats.of_topic[k], EACH);
        assert_non_null(stats.nearest[k].text);
    }
    assert_int_equal(stats.of_topic[KINDS], 0);
    lm_data_stats_free(&stats);

    const char *const settings[] = { "keep=1+0", "drop=3" };
    for (int drop = 0; drop < 2; drop++) {
        lm_str spec = {0};
        lm_str_printf(&spec, "topics:model=%s,%s", out, settings[drop]);
        lm_pipeline p = {0};
        char *kept = test_path("kept.jsonl");
        lm_clean_options co = { .out = kept };
        lm_clean_result result;
        if (lm_pipeline_add(&p, &(lm_strings){ &spec.data, 1 }, &err) != LM_OK || lm_pipeline_open(&p, &err) != LM_OK) fail_msg("%s", err.message);
        if (lm_clean_files(&result, &(lm_strings){ &in, 1 }, &p, &co, &err) != LM_OK) fail_msg("%s", err.message);
        assert_int_equal(result.kept, drop ? 3 * EACH : 2 * EACH);
        lm_clean_result_free(&result);
        lm_pipeline_free(&p);
        lm_str_free(&spec);
        free(kept);
    }
    free(in), free(out);
}

/* Of 55, 25 and 25 rows of three kinds 60 become 20 of each, whatever fields they have. */
static void mixtures_go_by_them(void **state)
{
    (void)state;
    for (int chat = 0; chat < 2; chat++) {
        char *all = write_rows("rows.jsonl", chat), *in = test_path("uneven.jsonl"), *out = test_path("mix.jsonl"), *model = test_path("topics.safetensors");
        lm_err err = {0};
        lm_json_free(learn(all, model, KINDS, 1000, &err));
        lm_str rows = {0}, uneven = {0};
        assert_int_equal(lm_file_read(&rows, all, 1 << 26, NULL), LM_OK);
        int kept[KINDS] = {0};
        const int most[KINDS] = { 55, 25, 25, 0 };
        for (char *line = rows.data, *end; (end = strchr(line, '\n')); line = end + 1) {
            int kind = line[7] - '0';
            if (kept[kind]++ < most[kind]) lm_str_append(&uneven, line, (size_t)(end + 1 - line));
        }
        assert_int_equal(lm_file_write(in, uneven.data, uneven.len, NULL), LM_OK);
        lm_mix mix = {0};
        lm_mix_result result;
        lm_mix_options o = { .out = out, .parts = 1, .memory = 1 << 20 };
        assert_int_equal(lm_mix_add(&mix, in, &err), LM_OK);
        lm_mix_source_set(&mix.sources[0], NULL, NULL, model, NULL, 5);
        lm_mix_add_stage(&mix)->rows = 60;
        if (lm_mix_files(&result, &mix, &o, &err) != LM_OK) fail_msg("%s", err.message);
        lm_str_free(&rows);
        assert_int_equal(lm_file_read(&rows, out, 1 << 26, NULL), LM_OK);
        int drawn[KINDS] = {0};
        for (char *line = rows.data, *end; (end = strchr(line, '\n')); line = end + 1) drawn[line[7] - '0']++;
        for (int k = 0; k < KINDS; k++) assert_int_equal(drawn[k], k < 3 ? 20 : 0);
        lm_mix_result_free(&result);
        lm_mix_free(&mix);
        lm_str_free(&rows), lm_str_free(&uneven);
        free(all), free(in), free(out), free(model);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct { const char *rows, *why; } cases[] = {
        { "{\"text\": \"alone\"}\n", "one for each topic, found 0" },
        { "{\"text\": \"same same\"}\n{\"text\": \"same\"}\n{\"text\": \"same\"}\n", "share words with others" },
        { "{\"text\": \"\"}\n{\"text\": \" \"}\n", "hold no text" },
        { "{\"text\": 3}\n", "rows.jsonl:1: " },
    };
    char *in = test_path("rows.jsonl"), *out = test_path("refused.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        assert_int_equal(lm_file_write(in, cases[i].rows, strlen(cases[i].rows), NULL), LM_OK);
        if (learn(in, out, 3, 100, &err) || !strstr(err.message, cases[i].why)) fail_msg("\"%s\", expected \"%s\"", err.message, cases[i].why);
        assert_false(lm_file_exists(out));
    }
    free(in), free(out);
}

/* ---- real texts ---------------------------------------------------------------- */

enum { SOURCES = 3, ROWS = 400 };

static void add_rows(lm_topics_trainer *t, lm_linear *m, int counts[], const char *path, const char *field)
{
    lm_source *s;
    lm_buckets room = {0};
    bool more;
    lm_err err = {0};
    char *copy = lm_strdup(path);
    if (lm_source_open(&s, &(lm_strings){ &copy, 1 }, &(lm_source_options){0}, &err) != LM_OK) fail_msg("%s", err.message);
    for (int i = 0; i < ROWS; i++) {
        lm_row row = {0};
        lm_span text;
        if (lm_source_next(s, &row, &more, &err) != LM_OK || !more || lm_row_text(&row, field, &text, &err) != LM_OK) fail_msg("%s", err.message);
        if (t) lm_topics_trainer_add(t, text);
        else counts[lm_topic_of(m, &room, text, NULL) + 1]++;
        lm_row_free(&row);
    }
    lm_buckets_free(&room);
    lm_source_close(s);
    free(copy);
}

/* Reviews, acts and word problems are three topics: nearly every text is with its like. */
static void real_sources_are_told_apart(void **state)
{
    (void)state;
    static const struct { const char *path, *field; } sources[SOURCES] = {
        { "../shared/data/nsmc/test.tsv", "document" }, { "../shared/data/law_ko/acts.jsonl.zst", "text" }, { "../shared/data/gsm8k/train.jsonl", "question" },
    };
    for (int i = 0; i < SOURCES; i++)
        if (!lm_file_exists(sources[i].path)) {
            printf("skipped: %s is not there\n", sources[i].path);
            skip();
        }
    lm_topics_trainer *t = lm_topics_trainer_new(&(lm_topics_options){ .topics = SOURCES, .sample = SOURCES * ROWS });
    for (int i = 0; i < SOURCES; i++) add_rows(t, NULL, NULL, sources[i].path, sources[i].field);
    lm_linear *m;
    lm_err err = {0};
    lm_json *topics = json_array();
    if (lm_topics_train(&m, topics, t, &err) != LM_OK) fail_msg("%s", err.message);
    int counts[SOURCES][SOURCES + 1] = {0}, pure = 0;        /* of source and topic, from -1 on */
    for (int i = 0; i < SOURCES; i++) add_rows(NULL, m, counts[i], sources[i].path, sources[i].field);
    for (int k = 1; k <= SOURCES; k++) {
        int most = 0;
        for (int i = 0; i < SOURCES; i++) most = counts[i][k] > most ? counts[i][k] : most;
        pure += most;
    }
    assert_true(pure >= 0.95 * SOURCES * ROWS);
    lm_json_free(topics);
    lm_linear_free(m);
    lm_topics_trainer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_wards), cmocka_unit_test(terms_count_once), cmocka_unit_test(known_topics_are_found), cmocka_unit_test(a_sample_is_drawn),
        cmocka_unit_test(stats_and_filter_go_by_them), cmocka_unit_test(mixtures_go_by_them), cmocka_unit_test(what_is_refused), cmocka_unit_test(real_sources_are_told_apart),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
