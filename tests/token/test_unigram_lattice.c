/* The lattice of Unigram training against enumeration: substrings by looking at all of them, expectations
 * and best paths by walking every segmentation of every word. */
#include "base/rng.h"
#include "base/str.h"
#include "base/thread.h"
#include "token/unigram_lattice.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WORDS = 60, LETTERS = 3, LONGEST = 4 };

typedef struct corpus {
    char words[WORDS][12];
    int64_t counts[WORDS];
} corpus;

/* Words of 1..9 of the letters a, b, c. */
static void make(corpus *c, lm_lattice *l, uint64_t seed)
{
    lm_rng rng = { .seed = seed };
    *l = (lm_lattice){ .n_letters = LETTERS };
    for (int w = 0; w < WORDS; w++) {
        int n = 1 + (int)lm_rng_below(&rng, 9);
        c->counts[w] = 1 + (int64_t)lm_rng_below(&rng, 5);
        lm_lattice_word(l, c->counts[w]);
        for (int i = 0; i < n; i++) {
            int letter = (int)lm_rng_below(&rng, LETTERS);
            c->words[w][i] = (char)('a' + letter);
            lm_lattice_letter(l, letter);
        }
        c->words[w][n] = '\0';
    }
}

static void piece_text(const lm_lattice *l, int id, char *out)
{
    uint32_t n = l->pieces[id].length;
    for (uint32_t i = 0; i < n; i++) out[i] = (char)('a' + l->letters[l->pieces[id].at + i] - 1);
    out[n] = '\0';
}

static int find_piece(const lm_lattice *l, const char *text, int n)
{
    char other[LM_UNIGRAM_PIECE + 1];
    for (int id = 0; id < l->n_pieces; id++) {
        piece_text(l, id, other);
        if ((int)strlen(other) == n && !strncmp(other, text, (size_t)n)) return id;
    }
    return -1;
}

static int64_t occurrences(const corpus *c, const char *text, int n)
{
    int64_t times = 0;
    for (int w = 0; w < WORDS; w++)
        for (const char *at = c->words[w]; *at; at++)
            if (!strncmp(at, text, (size_t)n)) times += c->counts[w];
    return times;
}

/* Whether every occurrence of the n letters is followed by the same letter within the word: then the longer
 * substring is the better piece. */
static bool always_goes_on(const corpus *c, const char *text, int n)
{
    int next = -1;
    for (int w = 0; w < WORDS; w++)
        for (const char *at = c->words[w]; *at; at++) {
            if (strncmp(at, text, (size_t)n) != 0) continue;
            if (!at[n] || (next >= 0 && at[n] != next)) return false;
            next = at[n];
        }
    return true;
}

static void seeds_are_the_substrings(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        corpus c;
        lm_lattice l;
        make(&c, &l, seed);
        lm_lattice_seed(&l, LONGEST, 3, 1000000);
        for (int w = 0; w < WORDS; w++)
            for (const char *at = c.words[w]; *at; at++)
                for (int n = 1; n <= (int)strlen(at) && n <= LONGEST + 1; n++) {
                    bool wanted = n == 1 || (n <= LONGEST && occurrences(&c, at, n) >= 3 && (n == LONGEST || !always_goes_on(&c, at, n)));
                    assert_int_equal(find_piece(&l, at, n) >= 0, wanted);
                }
        char text[LM_UNIGRAM_PIECE + 1];
        for (int id = 0; id < l.n_pieces; id++) {
            piece_text(&l, id, text);
            assert_int_equal(find_piece(&l, text, (int)strlen(text)), id);     /* none twice */
        }
        lm_lattice_free(&l);
    }
}

static void only_the_best_seeds(void **state)
{
    (void)state;
    corpus c;
    lm_lattice all, some;
    char text[LM_UNIGRAM_PIECE + 1];
    make(&c, &all, 9);
    make(&c, &some, 9);
    lm_lattice_seed(&all, LONGEST, 2, 1000000);
    lm_lattice_seed(&some, LONGEST, 2, 12);
    assert_in_range(some.n_pieces, LETTERS + 1, LETTERS + 12);
    double worst = INFINITY, best_missing = 0;
    for (int id = LETTERS; id < all.n_pieces; id++) {
        piece_text(&all, id, text);
        int n = (int)strlen(text);
        double score = (double)occurrences(&c, text, n) * n;
        if (find_piece(&some, text, n) >= 0) worst = fmin(worst, score);
        else best_missing = fmax(best_missing, score);
    }
    assert_true(worst >= best_missing);
    lm_lattice_free(&all);
    lm_lattice_free(&some);
}

/* ---- every segmentation ---- */

typedef struct walk {
    const lm_lattice *l;
    int path[12];
    double total, best;              /* sum of probabilities; best logarithm */
    double *expected;                /* not yet divided by the total */
    int best_path[12], best_n;
} walk;

static void segment(walk *s, const char *text, int n, double score)
{
    if (!*text) {
        double p = exp(score);
        s->total += p;
        for (int i = 0; i < n; i++) s->expected[s->path[i]] += p;
        if (score > s->best) {
            s->best = score, s->best_n = n;
            memcpy(s->best_path, s->path, sizeof s->path);
        }
        return;
    }
    for (int length = 1; length <= (int)strlen(text); length++) {
        int id = find_piece(s->l, text, length);
        if (id < 0) continue;
        s->path[n] = id;
        segment(s, text + length, n + 1, score + s->l->scores[id]);
    }
}

/* Sums are kept in units of 2^-32 and rounded once for each edge: a few thousand of them stay below 1e-5. */
static void expectations(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        corpus c;
        lm_lattice l;
        make(&c, &l, 21);
        lm_threads_set(threads);
        lm_lattice_seed(&l, LONGEST, 2, 1000000);
        lm_rng rng = { .seed = 5 };
        for (int id = 0; id < l.n_pieces; id++) l.scores[id] = -1 - 4 * lm_rng_unit(&rng);
        double *found = lm_calloc((size_t)l.n_pieces, sizeof *found), *expected = lm_calloc((size_t)l.n_pieces, sizeof *expected);
        int64_t *best = lm_calloc((size_t)l.n_pieces, sizeof *best), *best_expected = lm_calloc((size_t)l.n_pieces, sizeof *best_expected);
        lm_lattice_expect(&l, found);
        lm_lattice_best(&l, best);
        for (int w = 0; w < WORDS; w++) {
            double *mine = lm_calloc((size_t)l.n_pieces, sizeof *mine);
            walk s = { .l = &l, .best = -INFINITY, .expected = mine };
            segment(&s, c.words[w], 0, 0);
            for (int id = 0; id < l.n_pieces; id++) expected[id] += (double)c.counts[w] * mine[id] / s.total;
            for (int i = 0; i < s.best_n; i++) best_expected[s.best_path[i]] += c.counts[w];
            free(mine);
        }
        for (int id = 0; id < l.n_pieces; id++) {
            assert_true(fabs(found[id] - expected[id]) < 1e-5);
            assert_int_equal(best[id], best_expected[id]);
        }
        free(found), free(expected), free(best), free(best_expected);
        lm_lattice_free(&l);
    }
    lm_threads_set(0);
}

/* A piece without itself, and a lattice after pruning, are what a lattice without the pieces would give. */
static void without_pieces(void **state)
{
    (void)state;
    corpus c;
    lm_lattice l;
    make(&c, &l, 33);
    lm_lattice_seed(&l, LONGEST, 2, 1000000);
    int before = l.n_pieces;
    for (int id = LETTERS; id < before; id++) {
        int parts[LM_UNIGRAM_PIECE];
        double score, sum = 0;
        char text[LM_UNIGRAM_PIECE + 1], joined[2 * LM_UNIGRAM_PIECE] = "", part[LM_UNIGRAM_PIECE + 1];
        int n = lm_lattice_without(&l, id, parts, &score);
        assert_in_range(n, 2, LONGEST);
        while (n-- > 0) {                                /* the parts come last first */
            piece_text(&l, parts[n], part);
            strcat(joined, part);
            sum += l.scores[parts[n]];
        }
        piece_text(&l, id, text);
        assert_string_equal(joined, text);
        assert_true(fabs(sum - score) < 1e-9);
    }
    uint8_t *keep = lm_calloc((size_t)before, 1);
    for (int id = 0; id < before; id++) keep[id] = id < LETTERS || id % 2;
    lm_lattice_keep(&l, keep);
    assert_int_equal(l.n_pieces, LETTERS + (before / 2 - LETTERS / 2));
    int64_t *best = lm_calloc((size_t)l.n_pieces, sizeof *best), letters = 0, expected = 0;
    lm_lattice_best(&l, best);
    for (int id = 0; id < l.n_pieces; id++) letters += best[id] * l.pieces[id].length;
    for (int w = 0; w < WORDS; w++) expected += c.counts[w] * (int64_t)strlen(c.words[w]);
    assert_int_equal(letters, expected);                 /* the paths cover the text */
    free(keep), free(best);
    lm_lattice_free(&l);
}

/* 256 letters of probability e^-5 are far below the smallest double. */
static void long_words(void **state)
{
    (void)state;
    lm_lattice l = { .n_letters = 1 };
    lm_lattice_word(&l, 7);
    for (int i = 0; i < 1000; i++) lm_lattice_letter(&l, 0);
    lm_lattice_seed(&l, 1, 2, 0);
    assert_int_equal(l.n_words, 4);
    l.scores[0] = -5;
    double expected;
    lm_lattice_expect(&l, &expected);
    assert_true(fabs(expected - 7000) < 1e-3);
    lm_lattice_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_the_substrings), cmocka_unit_test(only_the_best_seeds), cmocka_unit_test(expectations),
        cmocka_unit_test(without_pieces), cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests_name("unigram lattice", tests, NULL, NULL);
}
