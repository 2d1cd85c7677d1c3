/* ROUGE-L by hand and against the table of lengths that everybody draws; tokens of Korean and English; the search for the
 * most alike against looking at all. */
#include "common/test.h"

#include "base/rng.h"
#include "data/novelty.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_span span(const char *text) { return lm_span_of(text, strlen(text)); }

/* The tokens of a text, parted by "|". */
static void assert_tokens(const char *text, lm_rouge_unit unit, const char *expected)
{
    lm_map *vocabulary = lm_map_new(8);
    lm_rouge_text got = {0}, wanted = {0};
    lm_rouge_tokens(&got, vocabulary, span(text), unit, true);
    char *copy = lm_strdup(expected), *rest = copy;
    int64_t n = 0;
    for (char *token; *expected && (token = strsep(&rest, "|")); n++) {
        if (n >= got.n) fail_msg("%s: fewer tokens than %s", text, expected);
        assert_int_equal(lm_map_get(vocabulary, token, strlen(token), -1), got.ids[n]);
    }
    assert_int_equal(got.n, n);
    free(copy);
    lm_rouge_text_free(&got), lm_rouge_text_free(&wanted);
    lm_map_free(vocabulary);
}

static void tokens(void **state)
{
    (void)state;
    assert_tokens("The cat's 2nd_mat!", LM_ROUGE_WORD, "the|cat|s|2nd|mat");
    assert_tokens("고양이가 Python 3을 쓴다.", LM_ROUGE_WORD, "고양이가|python|3을|쓴다");
    assert_tokens("고양이가 Python 3을 쓴다.", LM_ROUGE_MIXED, "고|양|이|가|python|3|을|쓴|다");
    assert_tokens("東京へ ab", LM_ROUGE_MIXED, "東|京|へ|ab");
    assert_tokens("가 ab1", LM_ROUGE_CHAR, "가|a|b|1");
    assert_tokens("\xE1\x84\x80\xE1\x85\xA1", LM_ROUGE_MIXED, "가");            /* jamo are composed */
    assert_tokens("cafe\xCC\x81s", LM_ROUGE_WORD, "caf\xC3\xA9s");
    assert_tokens(" ...! ", LM_ROUGE_MIXED, "");
}

static lm_rouge rouge(const char *candidate, const char *reference, lm_rouge_unit unit)
{
    lm_map *vocabulary = lm_map_new(8);
    lm_rouge_text x = {0}, y = {0};
    lm_lcs lcs = {0};
    lm_rouge_tokens(&y, vocabulary, span(reference), unit, true);
    lm_rouge_tokens(&x, vocabulary, span(candidate), unit, false);
    lm_lcs_begin(&lcs, x.ids, x.n);
    lm_rouge r = lm_rouge_l(lm_lcs_length(&lcs, y.ids, y.n), x.n, y.n);
    lm_lcs_free(&lcs);
    lm_rouge_text_free(&x), lm_rouge_text_free(&y);
    lm_map_free(vocabulary);
    return r;
}

/* Worked out on paper: "police kill the gunman" and "police killed the gunman" share police, the, gunman in order (3 of 4);
 * "the gunman kill police" shares only two in order. */
static void by_hand(void **state)
{
    (void)state;
    lm_rouge r = rouge("police kill the gunman", "police killed the gunman", LM_ROUGE_WORD);
    assert_true(r.precision == 0.75 && r.recall == 0.75 && r.f == 0.75);
    r = rouge("the gunman kill police", "police killed the gunman", LM_ROUGE_WORD);
    assert_true(r.precision == 0.5 && r.f == 0.5);
    r = rouge("a b c", "a x b y c z", LM_ROUGE_WORD);
    assert_true(r.precision == 1 && r.recall == 0.5 && fabs(r.f - 2.0 / 3) < 1e-15);
    /* 고양이에 대한 시 / 고양이에 관한 시: as words 2 of 3 are alike, as syllables 6 of 7. */
    assert_true(fabs(rouge("고양이에 대한 시", "고양이에 관한 시", LM_ROUGE_WORD).f - 2.0 / 3) < 1e-15);
    assert_true(fabs(rouge("고양이에 대한 시", "고양이에 관한 시", LM_ROUGE_MIXED).f - 6.0 / 7) < 1e-15);
    r = rouge("", "a", LM_ROUGE_WORD);
    assert_true(r.f == 0 && r.precision == 0 && r.recall == 0);
    assert_true(rouge("a", "...", LM_ROUGE_WORD).f == 0);
}

/* The recurrence, a row at a time. */
static int64_t slow_lcs(const int32_t *a, int64_t n, const int32_t *b, int64_t m)
{
    int64_t table[300] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t diagonal = 0;
        for (int64_t j = 0; j < m; j++) {
            int64_t above = table[j + 1];
            table[j + 1] = a[i] == b[j] && a[i] >= 0 ? diagonal + 1 : above > table[j] ? above : table[j];
            diagonal = above;
        }
    }
    return table[m];
}

static void the_table_says_the_same(void **state)
{
    (void)state;
    static const int64_t lengths[] = { 0, 1, 2, 5, 31, 63, 64, 65, 127, 128, 129, 200, 257 };
    enum { LENGTHS = sizeof lengths / sizeof *lengths };
    lm_rng rng = { .seed = 5 };
    lm_lcs lcs = {0};
    int32_t a[300], b[300];
    for (int round = 0; round < 400; round++) {
        int64_t n = lengths[lm_rng_below(&rng, LENGTHS)], m = lengths[lm_rng_below(&rng, LENGTHS)];
        uint64_t kinds = 1 + lm_rng_below(&rng, round % 2 ? 4 : 100);
        for (int64_t i = 0; i < n; i++) a[i] = (int32_t)lm_rng_below(&rng, kinds + 1) - 1;
        for (int64_t i = 0; i < m; i++) b[i] = (int32_t)lm_rng_below(&rng, kinds + 1) - 1;
        lm_lcs_begin(&lcs, a, n);
        assert_int_equal(lm_lcs_length(&lcs, b, m), slow_lcs(a, n, b, m));
        assert_int_equal(lm_lcs_length(&lcs, b, m), slow_lcs(b, m, a, n));               /* asked again, and the other way round */
    }
    lm_lcs_free(&lcs);
}

/* A sentence of few words, so that many are alike. */
static void write_sentence(lm_str *out, lm_rng *rng)
{
    static const char *const words[] = { "write", "a", "poem", "on", "cats", "short", "시를", "짧은", "써라", "고양이", "the", "of" };
    lm_str_clear(out);
    for (uint64_t n = lm_rng_below(rng, 14); n; n--) lm_str_printf(out, "%s ", words[lm_rng_below(rng, sizeof words / sizeof *words)]);
}

/* The index finds what looking at every text finds, and looks at few. */
static void the_most_alike(void **state)
{
    (void)state;
    enum { TEXTS = 300, QUERIES = 150 };
    lm_rng rng = { .seed = 9 };
    char *texts[TEXTS];
    lm_str text = {0};
    lm_novelty *v = lm_novelty_new(LM_ROUGE_WORD);
    for (int i = 0; i < TEXTS; i++) {
        write_sentence(&text, &rng);
        texts[i] = lm_strdup(text.data ? text.data : "");
        assert_int_equal(lm_novelty_add(v, span(texts[i])), i);
        if (i % 7 == 3) lm_novelty_drop(v, i);
    }
    for (int q = 0; q < QUERIES; q++) {
        const int64_t besides[2] = { (int64_t)lm_rng_below(&rng, TEXTS), (int64_t)lm_rng_below(&rng, TEXTS) };
        lm_likeness best = { .text = -1 };
        write_sentence(&text, &rng);
        if (q % 3 == 0) lm_str_puts(&text, "unheard unseen");
        for (int i = 0; i < TEXTS; i++) {
            double f = i % 7 == 3 || i == besides[0] || i == besides[1] ? 0 : rouge(text.data, texts[i], LM_ROUGE_WORD).f;
            if (f > best.rouge_l) best = (lm_likeness){ i, f };
        }
        lm_likeness found = lm_novelty_find(v, span(text.data ? text.data : ""), besides, 2);
        assert_int_equal(found.text, best.text);
        assert_true(found.rouge_l == best.rouge_l);
    }
    assert_true(lm_novelty_compared(v) < TEXTS * QUERIES / 4);
    for (int i = 0; i < TEXTS; i++) free(texts[i]);
    lm_str_free(&text);
    lm_novelty_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens), cmocka_unit_test(by_hand), cmocka_unit_test(the_table_says_the_same), cmocka_unit_test(the_most_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
