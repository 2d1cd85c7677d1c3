#include "data/novelty.h"

#include <stdlib.h>
#include <string.h>

enum { BINS = 256 };                         /* of bounds, to look at high ones first */

/* A text that has a token, and how often. */
typedef struct posting {
    int32_t text, count;
} posting;

typedef struct postings {
    posting *items;
    int64_t n, cap;
} postings;

typedef struct known {
    lm_rouge_text tokens;
    bool dropped;
} known;

struct lm_novelty {
    lm_rouge_unit unit;
    lm_map *vocabulary;
    known *texts;
    int64_t n, cap;
    postings *index;                         /* [vocabulary] */
    int64_t n_index;

    lm_rouge_text query;                     /* room for a search */
    lm_lcs lcs;
    int32_t *shared;                         /* [cap] tokens in common; all 0 between searches */
    int32_t *found, *order;                  /* [cap] texts that have any */
    int64_t compared;
};

lm_novelty *lm_novelty_new(lm_rouge_unit unit)
{
    lm_novelty *v = lm_calloc(1, sizeof *v);
    v->unit = unit;
    v->vocabulary = lm_map_new(1024);
    return v;
}

void lm_novelty_free(lm_novelty *v)
{
    if (!v) return;
    for (int64_t i = 0; i < v->n; i++) lm_rouge_text_free(&v->texts[i].tokens);
    for (int64_t i = 0; i < v->n_index; i++) free(v->index[i].items);
    lm_rouge_text_free(&v->query);
    lm_lcs_free(&v->lcs);
    lm_map_free(v->vocabulary);
    free(v->texts), free(v->index), free(v->shared), free(v->found), free(v->order);
    free(v);
}

int64_t lm_novelty_compared(const lm_novelty *v) { return v->compared; }

/* ---- adding ---- */

static void make_room(lm_novelty *v)
{
    int64_t words = (int64_t)lm_map_count(v->vocabulary), before = v->cap;
    if (words > v->n_index) {
        v->index = lm_realloc(v->index, (size_t)(2 * words) * sizeof *v->index);
        memset(v->index + v->n_index, 0, (size_t)(2 * words - v->n_index) * sizeof *v->index);
        v->n_index = 2 * words;
    }
    if (v->n < v->cap) return;
    v->cap = v->cap ? 2 * v->cap : 64;
    v->texts = lm_realloc(v->texts, (size_t)v->cap * sizeof *v->texts);
    v->shared = lm_realloc(v->shared, (size_t)v->cap * sizeof *v->shared);
    v->found = lm_realloc(v->found, (size_t)v->cap * sizeof *v->found);
    v->order = lm_realloc(v->order, (size_t)v->cap * sizeof *v->order);
    memset(v->shared + before, 0, (size_t)(v->cap - before) * sizeof *v->shared);
}

static void post(postings *p, int32_t text)
{
    if (p->n && p->items[p->n - 1].text == text) {
        p->items[p->n - 1].count++;
        return;
    }
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 4;
        p->items = lm_realloc(p->items, (size_t)p->cap * sizeof *p->items);
    }
    p->items[p->n++] = (posting){ text, 1 };
}

int64_t lm_novelty_add(lm_novelty *v, lm_span text)
{
    known k = {0};
    lm_rouge_tokens(&k.tokens, v->vocabulary, text, v->unit, true);
    make_room(v);
    for (int64_t i = 0; i < k.tokens.n; i++) post(&v->index[k.tokens.ids[i]], (int32_t)v->n);
    v->texts[v->n] = k;
    return v->n++;
}

void lm_novelty_drop(lm_novelty *v, int64_t text) { v->texts[text].dropped = true; }

/* ---- searching ---- */

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Tokens that each text shares with the query: v->shared; returns how many texts have any: v->found. */
static int64_t count_shared(lm_novelty *v)
{
    int64_t n = 0, end;
    lm_rouge_text sorted = { .ids = lm_malloc((size_t)(v->query.n + 1) * sizeof *sorted.ids), .n = v->query.n };
    if (sorted.n) memcpy(sorted.ids, v->query.ids, (size_t)sorted.n * sizeof *sorted.ids);
    qsort(sorted.ids, (size_t)sorted.n, sizeof *sorted.ids, by_id);
    for (int64_t i = 0; i < sorted.n; i = end) {
        for (end = i + 1; end < sorted.n && sorted.ids[end] == sorted.ids[i];) end++;
        if (sorted.ids[i] < 0) continue;
        const postings *p = &v->index[sorted.ids[i]];
        for (int64_t j = 0; j < p->n; j++) {
            int32_t *shared = &v->shared[p->items[j].text], count = p->items[j].count;
            if (!*shared) v->found[n++] = p->items[j].text;
            *shared += count < end - i ? count : (int32_t)(end - i);
        }
    }
    free(sorted.ids);
    return n;
}

static double bound_of(const lm_novelty *v, int32_t text)
{
    return 2.0 * (double)v->shared[text] / (double)(v->query.n + v->texts[text].tokens.n);
}

static int bin_of(const lm_novelty *v, int32_t text) { return (int)((BINS - 1) * bound_of(v, text)); }

/* v->found into v->order, high bounds first. */
static void sort_by_bound(lm_novelty *v, int64_t n)
{
    int64_t begins[BINS + 1] = {0};
    for (int64_t i = 0; i < n; i++) begins[BINS - 1 - bin_of(v, v->found[i]) + 1]++;
    for (int b = 0; b < BINS; b++) begins[b + 1] += begins[b];
    for (int64_t i = 0; i < n; i++) v->order[begins[BINS - 1 - bin_of(v, v->found[i])]++] = v->found[i];
}

static bool is_among(int64_t text, const int64_t *list, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (list[i] == text) return true;
    return false;
}

lm_likeness lm_novelty_find(lm_novelty *v, lm_span text, const int64_t *besides, int64_t n)
{
    lm_likeness best = { .text = -1 };
    lm_rouge_tokens(&v->query, v->vocabulary, text, v->unit, false);
    lm_lcs_begin(&v->lcs, v->query.ids, v->query.n);
    int64_t n_found = count_shared(v);
    sort_by_bound(v, n_found);
    for (int64_t i = 0; i < n_found; i++) {
        int32_t other = v->order[i];
        const lm_rouge_text *tokens = &v->texts[other].tokens;
        if ((bin_of(v, other) + 1) < (BINS - 1) * best.rouge_l) break;      /* all that follow have lower bounds */
        if (bound_of(v, other) < best.rouge_l || v->texts[other].dropped || is_among(other, besides, n)) continue;
        double f = lm_rouge_l(lm_lcs_length(&v->lcs, tokens->ids, tokens->n), v->query.n, tokens->n).f;
        v->compared++;
        if (f > best.rouge_l || (f == best.rouge_l && f > 0 && other < best.text)) best = (lm_likeness){ other, f };
    }
    for (int64_t i = 0; i < n_found; i++) v->shared[v->found[i]] = 0;
    return best;
}
