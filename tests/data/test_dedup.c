/* Duplicates: every method against comparisons of all pairs or cases made by hand, and what must not matter:
 * the order of rows, the number of threads, whether things go to disk. */
#include "common/test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "data/dedup.h"
#include "data/dedup/banding.h"
#include "data/dedup/signature.h"
#include "data/words.h"
#include "token/unicode.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

/* ---- running a method -------------------------------------------------------- */

typedef struct job {
    lm_dedup_options o;
    const char *method, *settings;       /* settings: "name=value name=value" of the method */
    char *in, *out, *report, *clusters;
    lm_dedup_result result;
    lm_err err;
} job;

static job new_job(const char *method)
{
    job j = { .method = method, .in = test_path("in.jsonl"), .out = test_path("out.jsonl"), .report = test_path("report.json"), .clusters = test_path("clusters.jsonl") };
    j.o = (lm_dedup_options){ .out = j.out, .report = j.report, .clusters = j.clusters, .keep = "first", .memory = 1 << 28, .against_ngram = 13, .nfc = true, .space = true };
    return j;
}

static void free_job(job *j)
{
    lm_dedup_result_free(&j->result);
    free(j->in), free(j->out), free(j->report), free(j->clusters);
}

static lm_status run(job *j)
{
    const lm_dedup *method = lm_dedup_find(j->method);
    void *values = lm_calloc(1, method->options_size + 1);
    lm_option_set sets[2] = { { .options = method->options, .values = values } };
    lm_status status = LM_OK;
    if (method->options) lm_options_defaults(sets);
    char *settings = lm_strdup(j->settings ? j->settings : "");
    for (char *word = strtok(settings, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        *equals = '\0';
        assert_int_equal(lm_option_set_text(sets, word, equals + 1, "test", NULL), LM_OK);
    }
    free(settings);
    lm_dedup_result_free(&j->result);
    lm_err_clear(&j->err);
    status = lm_dedup_files(&j->result, &(lm_strings){ &j->in, 1 }, method, values, &j->o, &j->err);
    if (method->options) lm_options_free(sets);
    free(values);
    return status;
}

static void run_well(job *j)
{
    if (run(j) != LM_OK) fail_msg("%s: %s", j->method, j->err.message);
}

static void write_rows(const char *path, char *const *texts, int n)
{
    lm_str out = {0};
    for (int i = 0; i < n; i++) {
        lm_json *row = json_pack("{s:s, s:i}", "text", texts[i], "id", i);
        lm_json_text(&out, row, 0);
        lm_str_putc(&out, '\n');
        lm_json_free(row);
    }
    assert_int_equal(lm_file_write(path, out.data ? out.data : "", out.len, NULL), LM_OK);
    lm_str_free(&out);
}

/* The member of each line of a JSONL file, in an array. */
static lm_json *column(const char *path, const char *key)
{
    lm_str text;
    lm_json *list = json_array();
    assert_int_equal(lm_file_read(&text, path, 1 << 28, NULL), LM_OK);
    for (char *line = text.data ? strtok(text.data, "\n") : NULL; line; line = strtok(NULL, "\n")) {
        lm_json *row = lm_json_parse(line, strlen(line), path, NULL);
        json_array_append(list, json_object_get(row, key));
        lm_json_free(row);
    }
    lm_str_free(&text);
    return list;
}

static void expect_ids(const job *j, const char *ids)
{
    lm_json *got = column(j->out, "id"), *expected = lm_json_parse(ids, strlen(ids), "ids", NULL);
    char *text = json_dumps(got, JSON_COMPACT);
    if (!json_equal(got, expected)) fail_msg("%s: kept %s, expected %s", j->method, text, ids);
    free(text);
    lm_json_free(got);
    lm_json_free(expected);
}

static void expect_texts(const job *j, const char *const *texts)
{
    lm_json *got = column(j->out, "text");
    size_t n = 0;
    for (; texts[n]; n++)
        if (n >= json_array_size(got) || strcmp(json_string_value(json_array_get(got, n)), texts[n]))
            fail_msg("%s: row %zu is \"%s\", expected \"%s\"", j->method, n, json_string_value(json_array_get(got, n)), texts[n]);
    assert_int_equal(json_array_size(got), n);
    lm_json_free(got);
}

/* ---- a corpus with near-duplicates ------------------------------------------- */

enum { FAMILIES = 16, VERSIONS = 5, DOCUMENTS = FAMILIES * VERSIONS, WORDS = 60, VOCABULARY = 2000 };

typedef struct corpus {
    char *texts[DOCUMENTS];
    int words[DOCUMENTS][WORDS];
} corpus;

/* Version v of a family has a few words of version 0 replaced, more with each v. */
static corpus *make_corpus(void)
{
    corpus *c = lm_calloc(1, sizeof *c);
    lm_rng rng = { .seed = 7 };
    for (int d = 0; d < DOCUMENTS; d++) {
        int first = d / VERSIONS * VERSIONS, version = d % VERSIONS;
        for (int w = 0; w < WORDS; w++) c->words[d][w] = version ? c->words[first][w] : (int)lm_rng_below(&rng, VOCABULARY);
        for (int i = 0; i < version; i++) c->words[d][lm_rng_below(&rng, WORDS)] = (int)lm_rng_below(&rng, VOCABULARY);
        lm_str text = {0};
        for (int w = 0; w < WORDS; w++) lm_str_printf(&text, "%s낱말%d", w ? " " : "", c->words[d][w]);
        c->texts[d] = lm_str_take(&text);
    }
    return c;
}

static void free_corpus(corpus *c)
{
    for (int d = 0; d < DOCUMENTS; d++) free(c->texts[d]);
    free(c);
}

/* Jaccard similarity of the sets of n words in a row, by comparing all with all. */
static double jaccard(const int *a, const int *b, int n)
{
    int common = 0, of_a = 0, of_b = 0, count = WORDS - n + 1;
    size_t bytes = (size_t)n * sizeof *a;
    for (int side = 0; side < 2; side++) {
        const int *x = side ? b : a, *y = side ? a : b;
        for (int i = 0; i < count; i++) {
            bool again = false, there = false;
            for (int k = 0; k < i && !again; k++) again = !memcmp(x + k, x + i, bytes);
            for (int k = 0; k < count && !there; k++) there = !memcmp(y + k, x + i, bytes);
            if (again) continue;
            of_a += !side;
            of_b += side;
            common += !side && there;
        }
    }
    return (double)common / (of_a + of_b - common);
}

/* The clusters that a run found: the first member of each document's. */
static void read_clusters(const job *j, int *cluster)
{
    lm_json *kept = column(j->clusters, "kept"), *removed = column(j->clusters, "removed");
    for (int i = 0; i < DOCUMENTS; i++) cluster[i] = i;
    for (size_t c = 0; c < json_array_size(kept); c++) {
        int head = atoi(strrchr(json_string_value(json_array_get(kept, c)), ':') + 1) - 1;
        lm_json *members = json_array_get(removed, c), *member;
        size_t i;
        json_array_foreach(members, i, member) cluster[atoi(strrchr(json_string_value(member), ':') + 1) - 1] = cluster[head];
    }
    lm_json_free(kept);
    lm_json_free(removed);
}

/* With hardly a miss allowed, the clusters are those of all pairs compared one by one, and with the usual share
 * of misses hardly any pair is lost. */
static void minhash_finds_what_comparing_all_pairs_finds(void **state)
{
    (void)state;
    corpus *c = make_corpus();
    job j = new_job("minhash");
    write_rows(j.in, c->texts, DOCUMENTS);
    int cluster[DOCUMENTS], expected[DOCUMENTS], pairs = 0, found = 0;
    static bool alike[DOCUMENTS][DOCUMENTS];
    for (int i = 0; i < DOCUMENTS; i++) {
        expected[i] = i;
        for (int k = 0; k < i; k++) {
            alike[i][k] = jaccard(c->words[i], c->words[k], 3) >= 0.6;
            if (!alike[i][k]) continue;
            int from = expected[i] > expected[k] ? expected[i] : expected[k], to = expected[i] + expected[k] - from;
            for (int m = 0; m <= i; m++)
                if (expected[m] == from) expected[m] = to;
        }
    }
    j.settings = "threshold=0.6 ngram=3 miss=0.00001";
    run_well(&j);
    read_clusters(&j, cluster);
    for (int i = 0; i < DOCUMENTS; i++)
        for (int k = 0; k < i; k++) assert_int_equal(cluster[i] == cluster[k], expected[i] == expected[k]);
    j.settings = "threshold=0.6 ngram=3";
    run_well(&j);
    read_clusters(&j, cluster);
    for (int i = 0; i < DOCUMENTS; i++)
        for (int k = 0; k < i; k++) {
            pairs += alike[i][k];
            found += alike[i][k] && cluster[i] == cluster[k];
            assert_true(cluster[i] != cluster[k] || expected[i] == expected[k]);         /* nothing is joined that is not alike */
        }
    assert_true(pairs > 50 && found >= 0.95 * pairs);
    free_job(&j);
    free_corpus(c);
}

/* Estimates of similarity by the share of equal minima: without bias, and with the variance of independent draws. */
static void signatures_estimate_similarity(void **state)
{
    (void)state;
    enum { K = 128, SETS = 150, N = 300, COMMON = 200 };
    uint32_t a[K], x[K], y[K];
    uint64_t set[2][N];
    double sum = 0, squares = 0, expected = (double)COMMON / (2 * N - COMMON);
    lm_rng rng = { .seed = 3 };
    lm_signature_multipliers(a, K, 1);
    for (int k = 0; k < K; k++) assert_true(a[k] & 1);
    for (int s = 0; s < SETS; s++) {
        for (int i = 0; i < N; i++) set[0][i] = lm_rng_u64(&rng), set[1][i] = i < COMMON ? set[0][i] : lm_rng_u64(&rng);
        lm_signature_of(x, a, K, set[0], N);
        lm_signature_of(y, a, K, set[1], N);
        int equal = 0;
        for (int k = 0; k < K; k++) equal += x[k] == y[k];
        uint32_t least = UINT32_MAX;
        for (int i = 0; i < N; i++) least = a[s % K] * (uint32_t)(set[0][i] >> 32) < least ? a[s % K] * (uint32_t)(set[0][i] >> 32) : least;
        assert_int_equal(x[s % K], least);
        sum += (double)equal / K;
        squares += ((double)equal / K - expected) * ((double)equal / K - expected);
    }
    double deviation = sqrt(expected * (1 - expected) / K);
    assert_float_equal(sum / SETS, expected, 4 * deviation / sqrt(SETS));            /* four standard errors */
    assert_true(squares / SETS < 1.5 * deviation * deviation);                       /* 150 draws: beyond 5 of their errors */
}

/* Of all bandings, by a slower sum, none that keeps the bound meets less below the threshold. */
static void banding_is_the_best_within_the_bound(void **state)
{
    (void)state;
    static const double thresholds[] = { 0.3, 0.5, 0.8, 0.9 };
    for (int t = 0; t < 4; t++) {
        lm_banding best = lm_banding_choose(128, thresholds[t], 0.02);
        assert_true(best.bands * best.rows <= 128 && best.missed <= 0.02);
        assert_float_equal(best.missed, pow(1 - pow(thresholds[t], best.rows), best.bands), 1e-6);
        for (int rows = 1; rows <= 128; rows++)
            for (int bands = 1; bands * rows <= 128; bands++) {
                double met = 0;
                if (1 - lm_banding_meet(bands, rows, thresholds[t]) > 0.02) continue;
                for (int i = 0; i < 200; i++) met += lm_banding_meet(bands, rows, thresholds[t] * (i + 0.5) / 200) * thresholds[t] / 200;
                assert_true(best.met_below <= met + 1e-4);
            }
    }
    lm_banding none = lm_banding_choose(32, 0.01, 1e-6);                             /* cannot be: the one that misses least */
    assert_int_equal(none.rows, 1);
}

/* ---- what must not matter ---------------------------------------------------- */

static char *sorted_texts(const job *j)
{
    lm_json *got = column(j->out, "text");
    lm_str all = {0};
    for (;;) {                                                                       /* the least of what is left */
        size_t least = 0, i;
        lm_json *text;
        if (!json_array_size(got)) break;
        json_array_foreach(got, i, text)
            if (strcmp(json_string_value(text), json_string_value(json_array_get(got, least))) < 0) least = i;
        lm_str_puts(&all, json_string_value(json_array_get(got, least)));
        lm_str_putc(&all, '\n');
        json_array_remove(got, least);
    }
    lm_json_free(got);
    return all.data ? lm_str_take(&all) : lm_strdup("");
}

static void order_threads_and_disk_do_not_matter(void **state)
{
    (void)state;
    corpus *c = make_corpus();
    static const char *const methods[] = { "exact", "minhash", "simhash" };
    for (int m = 0; m < 3; m++) {
        job j = new_job(methods[m]);
        j.settings = m == 1 ? "threshold=0.5 ngram=2" : m == 2 ? "distance=12" : NULL;
        j.o.keep = "longest";
        write_rows(j.in, c->texts, DOCUMENTS);
        run_well(&j);
        char *first = sorted_texts(&j);
        assert_true(m == 0 || j.result.removed > 0);
        for (int variant = 0; variant < 3; variant++) {
            if (variant == 0) lm_threads_set(1);
            if (variant == 1) j.o.memory = 1 << 16;
            if (variant == 2) {
                char *shuffled[DOCUMENTS];
                for (int i = 0; i < DOCUMENTS; i++) shuffled[i] = c->texts[(i * 53 + 11) % DOCUMENTS];     /* 53 and 80 share nothing */
                write_rows(j.in, shuffled, DOCUMENTS);
            }
            run_well(&j);
            char *again = sorted_texts(&j);
            assert_string_equal(first, again);
            free(again);
            lm_threads_set(0);
        }
        free(first);
        free_job(&j);
    }
    free_corpus(c);
}

/* A corpus twice is the corpus once; what is left has no duplicate. */
static void twice_is_once(void **state)
{
    (void)state;
    corpus *c = make_corpus();
    for (const lm_dedup *const *m = lm_dedup_registry; *m; m++) {
        job j = new_job((*m)->name);
        char *twice[2 * DOCUMENTS];
        for (int i = 0; i < 2 * DOCUMENTS; i++) twice[i] = c->texts[i % DOCUMENTS];
        j.settings = !strcmp((*m)->name, "substring") ? "length=100" : NULL;
        write_rows(j.in, twice, DOCUMENTS);
        run_well(&j);
        char *once = sorted_texts(&j);
        write_rows(j.in, twice, 2 * DOCUMENTS);
        run_well(&j);
        char *again = sorted_texts(&j);
        assert_string_equal(once, again);
        assert_int_equal(j.result.documents, 2 * DOCUMENTS);
        lm_str left;
        assert_int_equal(lm_file_read(&left, j.out, 1 << 28, NULL), LM_OK);
        assert_int_equal(lm_file_write(j.in, left.data, left.len, NULL), LM_OK);
        run_well(&j);
        assert_int_equal(j.result.removed, 0);
        assert_int_equal(j.result.edited, 0);
        lm_str_free(&left);
        free(once), free(again);
        free_job(&j);
    }
    free_corpus(c);
}

/* ---- words ------------------------------------------------------------------- */

/* Pieces of text that meet at every place of a block: letters, syllables, spaces of all lengths, signs, marks to compose. */
static char *random_text(lm_rng *rng)
{
    static const char *const pieces[] = { "a", "word", "말", "\xEA\xB0\x80", " ", "\t\n", "\xC2\xA0", "\xC2\xB7", "\xE2\x80\x83", "\xE3\x80\x80", "「법」", "e\xCC\x81", "\xE1\x84\x92\xE1\x85\xA1",
                                          "\xF0\x9F\x98\x80", "\xEA\x9D\xB0", "\xE1\x9A\x80", "a longer word than sixteen bytes", "longestofallwordsherewithoutaspace" };
    lm_str text = {0};
    for (uint64_t n = lm_rng_below(rng, 60); n; n--) lm_str_puts(&text, pieces[lm_rng_below(rng, sizeof pieces / sizeof *pieces)]);
    return text.data ? lm_str_take(&text) : lm_strdup("");
}

/* Against a walk over characters; and words composed one by one against words of the composed text. */
static void words_stand_between_white_space(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 21 };
    for (int round = 0; round < 3000; round++) {
        char *text = random_text(&rng);
        size_t len = strlen(text), begin = 0;
        lm_words w;
        lm_span word = {0};
        lm_words_begin(&w, lm_span_of(text, len), false);
        for (size_t i = 0, n; i <= len; i += n) {
            uint32_t rune = ' ';
            n = i < len ? (size_t)lm_rune_at(text + i, len - i, &rune) : 1;
            if (!lm_rune_is_space(rune)) continue;
            if (i > begin) {
                assert_true(lm_words_next(&w, &word));
                assert_int_equal(word.data - text, begin);
                assert_int_equal(word.len, i - begin);
            }
            begin = i + n;
        }
        assert_false(lm_words_next(&w, &word));

        lm_str composed = {0}, room = {0};
        lm_hashes one = {0}, other = {0};
        lm_unicode_normalise(&composed, lm_span_of(text, len), LM_NFC);
        lm_hash_words(&one, lm_span_of(text, len), 1 + round % 3, &room);
        lm_hash_words(&other, lm_span_of(composed.data, composed.len), 1 + round % 3, NULL);
        assert_int_equal(one.n, other.n);
        for (size_t i = 0; i < one.n; i++) assert_true(one.items[i] == other.items[i]);
        lm_hashes_free(&one), lm_hashes_free(&other);
        lm_str_free(&composed), lm_str_free(&room);
        free(text);
    }
}

/* A word's hash depends on its bytes alone: on neither what follows nor where the text ends. */
static void hashes_of_words_of_any_length(void **state)
{
    (void)state;
    enum { MOST = 80 };
    char text[2 * MOST + 4];
    lm_hashes alone = {0}, among = {0};
    for (size_t n = 1; n <= MOST; n++) {
        for (size_t i = 0; i < n; i++) text[i] = (char)('a' + (i * 7 + n) % 26);
        memset(text + n, ' ', 1);
        memset(text + n + 1, 'z', MOST);
        alone.n = 0;
        lm_hash_words(&alone, lm_span_of(text, n), 1, NULL);
        lm_hash_words(&among, lm_span_of(text, n + 1 + n % MOST), 1, NULL);
        assert_int_equal(alone.n, 1);
        assert_true(among.items[among.n - 1 - (n % MOST > 0)] == alone.items[0]);
    }
    for (size_t i = 0; i < among.n; i++)
        for (size_t j = 0; j < i; j++) assert_true(among.items[i] != among.items[j]);
    lm_hashes_free(&alone), lm_hashes_free(&among);
}

/* A set says what it was given, hash 0 among them, and leaves each hash where it stood first. */
static void sets_of_hashes(void **state)
{
    (void)state;
    enum { N = 5000, RANGE = 700 };
    lm_hashes list = {0};
    lm_hash_set set = {0};
    lm_rng rng = { .seed = 4 };
    bool there[RANGE] = { false };
    size_t n = 0, order[RANGE];
    for (int i = 0; i < N; i++) {
        size_t x = lm_rng_below(&rng, RANGE) / 2 * 2;
        lm_hashes_put(&list, x);
        if (!there[x]) order[n++] = x;
        there[x] = true;
    }
    lm_hashes_distinct(&list, &set);
    assert_int_equal(list.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(list.items[i], order[i]);
    for (size_t x = 2; x < RANGE; x++) assert_int_equal(lm_hash_set_has(&set, x), there[x]);
    assert_int_equal(lm_hash_set_has(&set, 0), there[0]);
    lm_hashes_free(&list);
    lm_hash_set_free(&set);
}

/* ---- cases by hand ----------------------------------------------------------- */

static void rules_of_keeping(void **state)
{
    (void)state;
    static const char rows[] = "{\"text\": \"a  b\", \"id\": 0, \"day\": \"2024-01-05\", \"n\": 3}\n"
                               "{\"text\": \"a b\", \"id\": 1, \"day\": \"2024-11-01\", \"n\": 12}\n"
                               "{\"text\": \"c\", \"id\": 2, \"day\": \"2020-01-01\", \"n\": 1}\n"
                               "{\"text\": \" a b\\n\\n\", \"id\": 3, \"day\": \"2023-12-31\", \"n\": 2.5}\n";
    static const struct { const char *keep, *ids; } cases[] = { { "first", "[0, 2]" }, { "longest", "[2, 3]" }, { "newest:day", "[1, 2]" }, { "newest:n", "[1, 2]" } };
    job j = new_job("exact");
    assert_int_equal(lm_file_write(j.in, rows, strlen(rows), NULL), LM_OK);
    for (int i = 0; i < 4; i++) {
        j.o.keep = cases[i].keep;
        run_well(&j);
        expect_ids(&j, cases[i].ids);
    }
    j.o.keep = "newest:text";
    run_well(&j);
    j.o.keep = "newest:none";
    assert_int_equal(run(&j), LM_E_FORMAT);
    assert_non_null(strstr(j.err.message, "in.jsonl:1: field \"none\""));
    j.o.keep = "best";
    assert_int_equal(run(&j), LM_E_USAGE);
    free_job(&j);
}

static void normal_forms(void **state)
{
    (void)state;
    char *texts[] = { (char *)"\xED\x95\x9C", (char *)"\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", (char *)"Word", (char *)"word", (char *)"wo-rd!" };
    job j = new_job("exact");
    write_rows(j.in, texts, 5);
    run_well(&j);
    expect_ids(&j, "[0, 2, 3, 4]");
    j.o.nfc = false;
    run_well(&j);
    expect_ids(&j, "[0, 1, 2, 3, 4]");
    j.o.lower = j.o.punctuation = true;
    run_well(&j);
    expect_ids(&j, "[0, 1, 2]");
    free_job(&j);
}

static void lines_and_paragraphs(void **state)
{
    (void)state;
    char *texts[] = { (char *)"the menu of a page\nfirst text here\n", (char *)"the  menu of a page\nsecond text here\nok\nok", (char *)"the menu of a page\n" };
    job j = new_job("line");
    write_rows(j.in, texts, 3);
    run_well(&j);
    expect_texts(&j, (const char *const[]){ "the menu of a page\nfirst text here\n", "second text here\nok\nok", NULL });
    assert_int_equal(j.result.edited, 1);
    assert_int_equal(j.result.removed, 1);
    free_job(&j);

    char *more[] = { (char *)"a paragraph of\ntwo long lines\n\nthen another paragraph", (char *)"something in front of it\n\n\na paragraph of\ntwo long lines\n \nand an end of it" };
    job p = new_job("paragraph");
    write_rows(p.in, more, 2);
    run_well(&p);
    expect_texts(&p, (const char *const[]){ more[0], "something in front of it\n\n\nand an end of it", NULL });
    free_job(&p);
}

static void substrings(void **state)
{
    (void)state;
    char *texts[] = { (char *)"앞 이 문장은 두 문서에 있다. 뒤", (char *)"다른 앞 이 문장은 두 문서에 있다. 다른 뒤", (char *)"없다", (char *)"가가가가가가가가가가가가" };
    job j = new_job("substring");
    j.settings = "length=30";
    write_rows(j.in, texts, 4);
    run_well(&j);
    /* What the two have in common is all of the first but its last word. */
    lm_json *got = column(j.out, "text");
    assert_int_equal(json_array_size(got), 4);
    assert_string_equal(json_string_value(json_array_get(got, 0)), texts[0]);
    assert_string_equal(json_string_value(json_array_get(got, 1)), "다른 다른 뒤");
    assert_string_equal(json_string_value(json_array_get(got, 3)), texts[3]);        /* 36 bytes: what is left beside 30 is too short */
    lm_json_free(got);

    j.settings = "length=8";
    char *run_of[] = { (char *)"xxxxxxxxxxxxxxxxxxxxxxxx" };                          /* 24: 8 stay, then nothing new comes */
    write_rows(j.in, run_of, 1);
    run_well(&j);
    expect_texts(&j, (const char *const[]){ "xxxxxxxx", NULL });
    j.o.memory = 1 << 4;
    assert_int_equal(run(&j), LM_E_NOMEM);
    free_job(&j);
}

static void overlap_with_an_evaluation_set(void **state)
{
    (void)state;
    char *eval = test_path("eval.jsonl");
    static const char rows[] = "{\"question\": \"What is the capital of the Republic of Korea, and since when has it been so?\", \"answer\": \"no\"}\n"
                               "{\"question\": \"대한민국의 수도는 어디인가?\"}\n";
    assert_int_equal(lm_file_write(eval, rows, strlen(rows), NULL), LM_OK);
    char *texts[] = { (char *)"I asked: what is the capital of the Republic of Korea and since when has it been... and so on", (char *)"what is the capital of the kingdom of France",
                      (char *)"문제: 대한민국의 수도는   어디인가 말하라", (char *)"대한민국의 수도는 서울이다" };
    job j = new_job("exact");
    j.o.against = (lm_strings){ &eval, 1 };
    write_rows(j.in, texts, 4);
    j.o.against_ngram = 20;
    run_well(&j);
    expect_ids(&j, "[0, 1, 2, 3]");                  /* the first question has 16 words, 15 of them here; the other only three */
    j.o.against_ngram = 8;
    run_well(&j);
    expect_ids(&j, "[1, 2, 3]");
    assert_int_equal(j.result.contaminated, 1);
    lm_json *report = lm_json_read(j.report, NULL);
    const lm_json *hit = json_array_get(json_object_get(report, "hits"), 0);
    assert_non_null(strstr(json_string_value(json_object_get(hit, "row")), "in.jsonl:1"));
    assert_non_null(strstr(json_string_value(json_object_get(hit, "against")), "eval.jsonl:1"));
    assert_string_equal(json_string_value(json_object_get(hit, "text")), "what is the capital of the republic of");
    assert_int_equal(json_integer_value(json_object_get(hit, "ngrams")), 8);         /* 15 words in common */
    lm_json_free(report);

    static const char four[] = "{\"q\": \"대한민국의 수도는 과연 어디인가?\"}\n";
    assert_int_equal(lm_file_write(eval, four, strlen(four), NULL), LM_OK);
    texts[2] = (char *)"문제: 대한민국의, 수도는 과연   어디인가! 말하라";
    write_rows(j.in, texts, 4);
    run_well(&j);
    expect_ids(&j, "[0, 1, 3]");
    j.o.against_keep = true;
    run_well(&j);
    expect_ids(&j, "[0, 1, 2, 3]");
    assert_int_equal(j.result.hits, 1);
    free(eval);
    free_job(&j);
}

static void pack(const char *path, const void *bytes, size_t n)
{
    gzFile out = gzopen(path, "wb");
    assert_int_equal(gzwrite(out, bytes, (unsigned)n), n);
    assert_int_equal(gzclose(out), Z_OK);
}

/* Lines of a plain file are copied from where they lie, those of a packed one by a second reading: the same comes out. */
static void copied_lines_are_as_if_read(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xBB\xBF{\"text\": \"one\", \"id\": 0}\r\n"
                               "{\"text\": \"two\", \"id\": 1}\n{\"text\":\"one\",\"id\":2}\n\n  \n{ \"text\": \"three\", \"id\": 3 }\n"
                               "not a row\n{\"text\": \"four\", \"id\": 4}\n{\"text\": \"two\"}\r\n{\"text\": \"five\", \"id\": 5}";
    lm_str plain = {0}, packed = {0};
    job j = new_job("exact");
    j.o.on_error = 1;
    assert_int_equal(lm_file_write(j.in, text, sizeof text - 1, NULL), LM_OK);
    run_well(&j);
    expect_ids(&j, "[0, 1, 3, 4, 5]");
    int64_t kept_bytes = j.result.kept_bytes, kept = j.result.kept;
    assert_int_equal(lm_file_read(&plain, j.out, 1 << 20, NULL), LM_OK);
    pack(j.in, text, sizeof text - 1);
    run_well(&j);
    assert_int_equal(lm_file_read(&packed, j.out, 1 << 20, NULL), LM_OK);
    assert_string_equal(plain.data, packed.data);
    assert_int_equal(j.result.kept_bytes, kept_bytes);
    assert_int_equal(j.result.kept, kept);
    assert_int_equal(j.result.bytes, strlen("onetwoonethreefourtwofive"));
    assert_null(strchr(plain.data, '\r'));
    lm_str_free(&plain), lm_str_free(&packed);
    free_job(&j);
}

/* What stays is what came, with its spaces, escapes and order of members; only cut rows are written anew. */
static void lines_stay_as_they_came(void **state)
{
    (void)state;
    static const char rows[] = "\xEF\xBB\xBF{\"id\":1,\"text\":\"a line that is here twice\\nb\"}\r\n\n"
                               "{ \"text\": \"a line that is here twice\\nc\\u00e9\", \"n\": 1.50, \"list\": [ {} ] }\n"
                               "{\"text\":\"a line that is here twice\\nb\"}\n{\"text\" : \"last\"}";
    static const char whole[] = "{\"id\":1,\"text\":\"a line that is here twice\\nb\"}\n"
                                "{ \"text\": \"a line that is here twice\\nc\\u00e9\", \"n\": 1.50, \"list\": [ {} ] }\n{\"text\" : \"last\"}\n";
    static const char cut[] = "{\"id\":1,\"text\":\"a line that is here twice\\nb\"}\n"
                              "{\"text\": \"cé\", \"n\": 1.5, \"list\": [{}]}\n{\"text\": \"b\"}\n{\"text\" : \"last\"}\n";
    for (int i = 0; i < 2; i++) {
        job j = new_job(i ? "line" : "exact");
        lm_str got;
        assert_int_equal(lm_file_write(j.in, rows, strlen(rows), NULL), LM_OK);
        run_well(&j);
        assert_int_equal(lm_file_read(&got, j.out, 1 << 20, NULL), LM_OK);
        assert_string_equal(got.data, i ? cut : whole);
        lm_str_free(&got);
        free_job(&j);
    }
}

/* ---- runs that were killed ----------------------------------------------------- */

enum { MANY = 3000 };

/* Rows of which every third is much like one before, and one is no JSON. */
static void write_many(const char *path)
{
    lm_str out = {0};
    lm_rng rng = { .seed = 12 };
    for (int i = 0; i < MANY; i++) {
        int from = i % 3 == 2 ? (int)lm_rng_below(&rng, (uint64_t)i) : i;
        if (i == MANY / 2) lm_str_puts(&out, "{\"text\": \n");
        lm_str_printf(&out, "{\"id\": %d, \"text\": \"", i);
        for (int w = 0; w < 40; w++) lm_str_printf(&out, "%d ", (from * 37 + w * w) % 9973 + (w == i % 40));
        lm_str_puts(&out, "\"}\n");
    }
    assert_int_equal(lm_file_write(path, out.data, out.len, NULL), LM_OK);
    lm_str_free(&out);
}

static char *file_text(const char *path)
{
    lm_str text;
    assert_int_equal(lm_file_read(&text, path, 1 << 28, NULL), LM_OK);
    return lm_str_take(&text);
}

/* Whether a run in a process of its own was killed before its end. */
static bool killed_after(job *j, useconds_t wait)
{
    int status;
    pid_t child = fork();
    if (!child) _exit(run(j) == LM_OK ? 0 : 1);
    usleep(wait);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void a_killed_run_loses_and_repeats_nothing(void **state)
{
    (void)state;
    static const struct { const char *method, *settings; } cases[] = { { "minhash", "threshold=0.7 ngram=2" }, { "line", NULL } };
    char *folder = test_path("work");
    for (int c = 0; c < 2; c++) {
        job j = new_job(cases[c].method);
        j.settings = cases[c].settings;
        j.o.on_error = 1;
        write_many(j.in);
        double begun = lm_now();
        run_well(&j);
        useconds_t whole = (useconds_t)((lm_now() - begun) * 1e6);
        char *expected = file_text(j.out), *clusters = file_text(j.clusters);
        int64_t skipped = j.result.skipped.n;
        assert_true(c == 1 || (j.result.removed > 100 && skipped == 1));
        assert_int_equal(remove(j.out), 0);
        j.o.folder = folder;
        lm_rng rng = { .seed = 5, .stream = (uint64_t)c };
        for (int i = 0; i < 6 && killed_after(&j, (useconds_t)lm_rng_below(&rng, whole + 1)); i++) {
            if (!lm_file_exists(j.out)) continue;
            char *whole_or_none = file_text(j.out);          /* killed between the last of its work and its end */
            assert_string_equal(whole_or_none, expected);
            free(whole_or_none);
        }
        run_well(&j);
        char *got = file_text(j.out), *also = file_text(j.clusters);
        assert_string_equal(got, expected);
        assert_string_equal(also, clusters);
        assert_int_equal(j.result.skipped.n, skipped);
        free(expected), free(clusters), free(got), free(also);
        free_job(&j);
    }
    free(folder);
}

/* What a run leaves that failed half-way is taken up, also where its end is torn or damaged; other options refuse it. */
static void what_a_run_left_is_taken_up(void **state)
{
    (void)state;
    char *folder = test_path("work"), *left = test_path("work/out.jsonl.state");
    job j = new_job("minhash");
    j.settings = "threshold=0.7 ngram=2";
    write_many(j.in);
    j.o.on_error = 1;
    run_well(&j);
    char *expected = file_text(j.out);
    j.o.folder = folder;
    for (int damage = 0; damage < 3; damage++) {
        j.o.on_error = 0;
        assert_int_equal(run(&j), LM_E_FORMAT);          /* at the row in the middle */
        lm_str state_text;
        assert_int_equal(lm_file_read(&state_text, left, 1 << 28, NULL), LM_OK);
        if (damage == 1) state_text.len -= 100;
        if (damage == 2) state_text.data[state_text.len * 3 / 4] ^= 1;
        assert_int_equal(lm_file_write(left, state_text.data, state_text.len, NULL), LM_OK);
        lm_str_free(&state_text);
        j.settings = "threshold=0.6 ngram=2";
        assert_int_equal(run(&j), LM_E_MISMATCH);
        assert_non_null(strstr(j.err.message, "out.jsonl.state: was left by a run over other files, or with other options"));
        j.settings = "threshold=0.7 ngram=2";
        j.o.on_error = 1;
        run_well(&j);
        assert_true(damage ? j.result.resumed > 0 && j.result.resumed < MANY / 2 : j.result.resumed == MANY / 2);
        char *got = file_text(j.out);
        assert_string_equal(got, expected);
        free(got);
        assert_false(lm_file_exists(left));
    }
    assert_int_equal(lm_file_write(left, "mine", 4, NULL), LM_OK);
    assert_int_equal(run(&j), LM_E_FORMAT);
    free(expected), free(folder), free(left);
    free_job(&j);
}

/* A disk without room: one line that names what could not be written, nothing of the output, and the next run goes on. */
static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    char *folder = test_path("small"), *left = test_path("small/out.jsonl.state");
    struct rlimit limit, small;
    job j = new_job("exact");
    write_many(j.in);
    j.o.on_error = 1;
    run_well(&j);
    char *expected = file_text(j.out);
    remove(j.out);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    for (int i = 0; i < 2; i++) {
        j.o.folder = i ? folder : NULL;
        small.rlim_cur = 1 << 17;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        lm_status status = run(&j);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(status, LM_E_IO);
        if (!strstr(j.err.message, i ? left : j.out)) fail_msg("message: %s", j.err.message);
        assert_false(lm_file_exists(j.out));
    }
    run_well(&j);
    char *got = file_text(j.out);
    assert_string_equal(got, expected);
    free(got), free(expected), free(folder), free(left);
    free_job(&j);
}

static void bad_rows_and_bad_places(void **state)
{
    (void)state;
    static const char rows[] = "{\"text\": \"a\", \"id\": 0}\n{\"text\": \nx\n{\"id\": 1}\n{\"text\": \"\", \"id\": 2}\n{\"text\": \"\xff\"}\n{\"text\": \"a\", \"id\": 3}\n[1]\n{\"text\": 5}\n";
    job j = new_job("exact");
    remove(j.out);
    assert_int_equal(lm_file_write(j.in, rows, strlen(rows), NULL), LM_OK);
    assert_int_equal(run(&j), LM_E_FORMAT);
    assert_non_null(strstr(j.err.message, "in.jsonl:2"));
    assert_false(lm_file_exists(j.out));
    j.o.on_error = 1;
    run_well(&j);
    expect_ids(&j, "[0, 2]");
    assert_int_equal(j.result.skipped.n, 6);
    assert_int_equal(j.result.skipped.messages.n, 6);
    assert_non_null(strstr(j.result.skipped.messages.items[3], "in.jsonl:6: byte 11 of the line (0xff) is not UTF-8"));

    j.o.out = "/dev/full";
    assert_int_equal(run(&j), LM_E_IO);
    assert_non_null(strstr(j.err.message, "/dev/full"));
    char *dash = (char *)"-";
    lm_err err = {0};
    lm_dedup_result result;
    assert_int_equal(lm_dedup_files(&result, &(lm_strings){ &dash, 1 }, lm_dedup_find("exact"), NULL, &j.o, &err), LM_E_USAGE);
    free_job(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minhash_finds_what_comparing_all_pairs_finds), cmocka_unit_test(signatures_estimate_similarity), cmocka_unit_test(banding_is_the_best_within_the_bound),
        cmocka_unit_test(order_threads_and_disk_do_not_matter), cmocka_unit_test(twice_is_once), cmocka_unit_test(rules_of_keeping), cmocka_unit_test(normal_forms),
        cmocka_unit_test(lines_and_paragraphs), cmocka_unit_test(substrings), cmocka_unit_test(overlap_with_an_evaluation_set), cmocka_unit_test(bad_rows_and_bad_places), cmocka_unit_test(words_stand_between_white_space), cmocka_unit_test(sets_of_hashes), cmocka_unit_test(hashes_of_words_of_any_length),
        cmocka_unit_test(lines_stay_as_they_came), cmocka_unit_test(copied_lines_are_as_if_read), cmocka_unit_test(a_killed_run_loses_and_repeats_nothing), cmocka_unit_test(what_a_run_left_is_taken_up),
        cmocka_unit_test(a_full_disk_loses_nothing),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
