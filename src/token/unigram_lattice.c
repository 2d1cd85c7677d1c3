#include "token/unigram_lattice.h"
#include "base/err.h"
#include "base/str.h"
#include "base/thread.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE = 512 };                /* words that a thread takes at a time */

static int edge_length(lm_unigram_edge edge) { return edge & 63; }
static uint32_t edge_piece(lm_unigram_edge edge) { return edge >> 6; }

/* ---- words --------------------------------------------------------------------------------- */

static void push(lm_lattice *l, uint16_t letter)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap + l->cap / 2 : 1 << 16;
        l->letters = lm_realloc(l->letters, l->cap * sizeof *l->letters);
    }
    l->letters[l->n++] = letter;
}

void lm_lattice_word(lm_lattice *l, int64_t count)
{
    if (l->n_words && l->begins[l->n_words - 1] == l->n) l->n_words--;     /* the last one stayed empty */
    else if (l->n_words) push(l, 0);
    if (l->n_words == l->cap_words) {
        l->cap_words = l->cap_words ? l->cap_words + l->cap_words / 2 : 1 << 14;
        l->begins = lm_realloc(l->begins, l->cap_words * sizeof *l->begins);
        l->counts = lm_realloc(l->counts, l->cap_words * sizeof *l->counts);
    }
    l->begins[l->n_words] = (uint32_t)l->n;
    l->counts[l->n_words++] = count;
}

void lm_lattice_letter(lm_lattice *l, int letter)
{
    if (l->n - l->begins[l->n_words - 1] == LM_UNIGRAM_WORD) lm_lattice_word(l, l->counts[l->n_words - 1]);
    push(l, (uint16_t)(letter + 1));
}

void lm_lattice_free(lm_lattice *l)
{
    free(l->letters), free(l->begins), free(l->counts), free(l->first), free(l->edges), free(l->pieces), free(l->scores);
    *l = (lm_lattice){0};
}

static int word_length(const lm_lattice *l, size_t word)
{
    return (int)((word + 1 < l->n_words ? l->begins[word + 1] : l->n) - l->begins[word]) - 1;
}

/* ---- passes over all words on all threads --------------------------------------------------------- */

typedef struct pass {
    const lm_lattice *lattice;
    void (*word)(struct pass *pass, int64_t *sums, uint32_t begin, int n, int64_t count);
    const double *weights;           /* [n_pieces] probabilities or their logarithms */
    double unit;                     /* of the sums */
    int64_t **sums;                  /* for each worker [n_pieces] */
    _Atomic size_t next;             /* word that nobody has taken yet */
} pass;

static void work(int64_t begin, int64_t end, void *context)
{
    pass *p = context;
    const lm_lattice *l = p->lattice;
    for (int64_t worker = begin; worker < end; worker++)
        for (size_t from; (from = atomic_fetch_add(&p->next, SHARE)) < l->n_words;)
            for (size_t w = from; w < from + SHARE && w < l->n_words; w++)
                p->word(p, p->sums[worker], l->begins[w], word_length(l, w), l->counts[w]);
}

/* Runs it and leaves the sums of all workers in p->sums[0], for the caller to free. */
static int64_t *run(pass *p)
{
    int workers = lm_threads(), n = p->lattice->n_pieces;
    int64_t **sums = p->sums = lm_malloc((size_t)workers * sizeof *sums);
    for (int i = 0; i < workers; i++) sums[i] = lm_calloc((size_t)n, sizeof **sums);
    lm_parallel(workers, 1, work, p);
    for (int i = 1; i < workers; i++) {
        for (int j = 0; j < n; j++) sums[0][j] += sums[i][j];
        free(sums[i]);
    }
    int64_t *total = sums[0];
    free(sums);
    return total;
}

/* ---- expectations --------------------------------------------------------------------------------- */

/* Forward and backward sums of products of probabilities; where they leave the range of a double the two
 * halves of the word stand for it. */
static void expect_word(pass *p, int64_t *sums, uint32_t begin, int n, int64_t count)
{
    const lm_lattice *l = p->lattice;
    double forward[LM_UNIGRAM_WORD + 1] = {1}, backward[LM_UNIGRAM_WORD + 1];
    for (int i = 1; i <= n; i++) forward[i] = 0;
    for (int i = 0; i < n; i++) {
        double here = forward[i];
        for (uint32_t e = l->first[begin + (uint32_t)i]; e < l->first[begin + (uint32_t)i + 1]; e++) {
            int end = i + edge_length(l->edges[e]);
            if (end <= n) forward[end] += here * p->weights[edge_piece(l->edges[e])];
        }
    }
    if (!(forward[n] > 1e-250) && n > 1) {
        expect_word(p, sums, begin, n / 2, count);
        expect_word(p, sums, begin + (uint32_t)(n / 2), n - n / 2, count);
        return;
    }
    backward[n] = (double)count * p->unit / forward[n];
    for (int i = n - 1; i >= 0; i--) {
        backward[i] = 0;
        for (uint32_t e = l->first[begin + (uint32_t)i]; e < l->first[begin + (uint32_t)i + 1]; e++) {
            int end = i + edge_length(l->edges[e]);
            if (end > n) continue;
            uint32_t id = edge_piece(l->edges[e]);
            double behind = p->weights[id] * backward[end];
            backward[i] += behind;
            sums[id] += (int64_t)(forward[i] * behind + 0.5);
        }
    }
}

/* A power of two such that no sum of expectations in it overflows. */
static double unit_of(const lm_lattice *l)
{
    double most = 1;
    for (size_t w = 0; w < l->n_words; w++) most += (double)l->counts[w] * word_length(l, w);
    return exp2(fmin(32, floor(61 - log2(most))));
}

void lm_lattice_expect(const lm_lattice *l, double *expected)
{
    double *weights = lm_malloc((size_t)l->n_pieces * sizeof *weights);
    for (int i = 0; i < l->n_pieces; i++) weights[i] = exp(l->scores[i]);
    pass p = { .lattice = l, .word = expect_word, .weights = weights, .unit = unit_of(l) };
    int64_t *sums = run(&p);
    for (int i = 0; i < l->n_pieces; i++) expected[i] = (double)sums[i] / p.unit;
    free(sums);
    free(weights);
}

/* ---- best paths -------------------------------------------------------------------------------------- */

/* Viterbi's algorithm over n places from `begin`; the edge `banned` of the first place does not count.
 * via[i] is the edge that reaches place i best; gives the score. */
static double best_path(const lm_lattice *l, const double *scores, uint32_t begin, int n, uint32_t banned, lm_unigram_edge *via)
{
    double best[LM_UNIGRAM_WORD + 1] = {0};
    for (int i = 1; i <= n; i++) best[i] = -INFINITY;
    for (int i = 0; i < n; i++) {
        for (uint32_t e = l->first[begin + (uint32_t)i]; e < l->first[begin + (uint32_t)i + 1]; e++) {
            lm_unigram_edge edge = l->edges[e];
            int end = i + edge_length(edge);
            if (end > n || (i == 0 && edge_piece(edge) == banned)) continue;
            double score = best[i] + scores[edge_piece(edge)];
            if (score > best[end]) best[end] = score, via[end] = edge;
        }
    }
    return best[n];
}

static void best_word(pass *p, int64_t *sums, uint32_t begin, int n, int64_t count)
{
    lm_unigram_edge via[LM_UNIGRAM_WORD + 1];
    best_path(p->lattice, p->weights, begin, n, UINT32_MAX, via);
    for (int at = n; at > 0; at -= edge_length(via[at])) sums[edge_piece(via[at])] += count;
}

void lm_lattice_best(const lm_lattice *l, int64_t *occurs)
{
    pass p = { .lattice = l, .word = best_word, .weights = l->scores };
    int64_t *sums = run(&p);
    memcpy(occurs, sums, (size_t)l->n_pieces * sizeof *sums);
    free(sums);
}

int lm_lattice_without(const lm_lattice *l, int id, int *parts, double *score)
{
    lm_unigram_edge via[LM_UNIGRAM_WORD + 1];
    int length = (int)l->pieces[id].length, n = 0;
    *score = best_path(l, l->scores, l->pieces[id].at, length, (uint32_t)id, via);
    for (int at = length; at > 0; at -= edge_length(via[at])) parts[n++] = (int)edge_piece(via[at]);
    return n;
}

/* ---- fewer pieces --------------------------------------------------------------------------------------- */

void lm_lattice_keep(lm_lattice *l, const uint8_t *keep)
{
    uint32_t *number = lm_malloc((size_t)l->n_pieces * sizeof *number), n = 0, kept = 0, e = 0;
    for (int i = 0; i < l->n_pieces; i++) {
        number[i] = n;
        if (!keep[i]) continue;
        l->pieces[n] = l->pieces[i];
        l->scores[n++] = l->scores[i];
    }
    for (size_t i = 0; i < l->n; i++) {
        l->first[i] = kept;
        for (uint32_t end = l->first[i + 1]; e < end; e++) {
            uint32_t id = edge_piece(l->edges[e]);
            if (keep[id]) l->edges[kept++] = number[id] << 6 | (uint32_t)edge_length(l->edges[e]);
        }
    }
    l->first[l->n] = kept;
    l->n_pieces = (int)n;
    free(number);
}
