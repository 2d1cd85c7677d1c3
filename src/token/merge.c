/* Byte-pair merging.
 *
 * Words are short: up to SHORT symbols the ranks of all pairs stand in an array and the smallest is
 * found by looking at each, which beats any queue.  Longer runs (a text without pre-tokeniser, a line
 * of a thousand dashes) use a linked list and a heap, O(n log n).
 *
 * A heap entry remembers the symbols it was made for.  Symbols only grow, so an entry is out of date
 * exactly when one of its two places has changed. */
#include "token/bpe.h"
#include "base/err.h"
#include "base/memory.h"
#include "base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 48 };

typedef struct lm_merge_candidate {
    int32_t rank, into;
    int32_t place;
    int32_t left, right;
} candidate;

/* ---- pairs ---------------------------------------------------------------------- */

void lm_merges_init(lm_merges *merges, size_t expected)
{
    size_t size = 64;
    while (size / 3 * 2 < expected) size *= 2;
    merges->slots = lm_memory_table(size, sizeof *merges->slots);
    merges->mask = size - 1;
    merges->count = 0;
}

void lm_merges_free(lm_merges *merges)
{
    free(merges->slots);
    *merges = (lm_merges){0};
}

static lm_merge *slot_of(lm_merges *merges, uint64_t pair)
{
    size_t i = lm_merges_home(merges, pair);
    while (merges->slots[i].pair && merges->slots[i].pair != pair) i = (i + 1) & merges->mask;
    return &merges->slots[i];
}

void lm_merges_put(lm_merges *merges, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    if (merges->count + 1 > merges->mask / 3 * 2) {
        lm_merges old = *merges;
        lm_merges_init(merges, old.mask + 1);
        for (size_t i = 0; i <= old.mask; i++)
            if (old.slots[i].pair) *slot_of(merges, old.slots[i].pair) = old.slots[i];
        merges->count = old.count;
        free(old.slots);
    }
    lm_merge *slot = slot_of(merges, lm_merge_key(left, right));
    if (!slot->pair) merges->count++;
    *slot = (lm_merge){ .pair = lm_merge_key(left, right), .rank = rank, .id = id };
}

/* ---- working memory --------------------------------------------------------------- */

void lm_merge_work_reserve(lm_merge_work *work, size_t n)
{
    if (n <= work->cap) return;
    size_t cap = work->cap + work->cap / 2 > n ? work->cap + work->cap / 2 : n < 64 ? 64 : n;
    int32_t **arrays[] = { &work->id, &work->prev, &work->next };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = lm_realloc(*arrays[i], cap * sizeof **arrays[i]);
    work->cap = cap;
}

void lm_merge_work_free(lm_merge_work *work)
{
    free(work->id), free(work->prev), free(work->next), free(work->heap);
    *work = (lm_merge_work){0};
}

/* ---- short words --------------------------------------------------------------------- */

/* Rank and result of a pair in one number: the smallest is the merge to make.  NONE: no merge. */
static const uint64_t NONE = UINT64_MAX;

static inline uint64_t offer_of(const lm_merges *merges, int32_t left, int32_t right)
{
    const lm_merge *merge = lm_merges_get(merges, left, right);
    return merge ? (uint64_t)merge->rank << 32 | (uint32_t)merge->id : NONE;
}

/* A symbol that was merged into the one before it keeps its place, without an offer. */
static size_t merge_short(const lm_merges *merges, lm_merge_work *work, size_t n)
{
    int32_t *id = work->id;
    uint64_t offer[SHORT];           /* of the pair that begins at each place */
    uint8_t prev[SHORT + 1], next[SHORT];
    for (size_t i = 0; i < n; i++) {
        prev[i] = (uint8_t)(i - 1), next[i] = (uint8_t)(i + 1);
        offer[i] = i + 1 < n ? offer_of(merges, id[i], id[i + 1]) : NONE;
    }
    for (size_t left = n;; left--) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (offer[i] < offer[best]) best = i;
        if (offer[best] == NONE) {
            size_t kept = 0;
            for (size_t i = 0; kept < left; i = next[i]) id[kept++] = id[i];
            return kept;
        }
        size_t gone = next[best], after = next[gone];
        id[best] = (int32_t)(uint32_t)offer[best];
        offer[gone] = NONE;
        next[best] = (uint8_t)after, prev[after] = (uint8_t)best;
        offer[best] = after < n ? offer_of(merges, id[best], id[after]) : NONE;
        if (best) offer[prev[best]] = offer_of(merges, id[prev[best]], id[best]);
    }
}

/* ---- long runs ----------------------------------------------------------------------- */

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void heap_push(lm_merge_work *work, candidate c)
{
    if (work->heap_len == work->heap_cap) {
        work->heap_cap = work->heap_cap ? work->heap_cap * 2 : 256;
        work->heap = lm_realloc(work->heap, work->heap_cap * sizeof *work->heap);
    }
    size_t i = work->heap_len++;
    for (; i > 0 && before(&c, &work->heap[(i - 1) / 2]); i = (i - 1) / 2) work->heap[i] = work->heap[(i - 1) / 2];
    work->heap[i] = c;
}

static candidate heap_pop(lm_merge_work *work)
{
    candidate top = work->heap[0], last = work->heap[--work->heap_len];
    size_t i = 0, n = work->heap_len;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&work->heap[child + 1], &work->heap[child])) child++;
        if (!before(&work->heap[child], &last)) break;
        work->heap[i] = work->heap[child];
    }
    if (n) work->heap[i] = last;
    return top;
}

static void offer_pair(const lm_merges *merges, lm_merge_work *work, int32_t place)
{
    int32_t next = work->next[place];
    if (next < 0) return;
    const lm_merge *merge = lm_merges_get(merges, work->id[place], work->id[next]);
    if (merge) heap_push(work, (candidate){ merge->rank, merge->id, place, work->id[place], work->id[next] });
}

/* id == -1 marks a place that was merged into the one before it. */
static size_t merge_long(const lm_merges *merges, lm_merge_work *work, size_t n)
{
    work->heap_len = 0;
    for (size_t i = 0; i < n; i++) {
        work->prev[i] = (int32_t)i - 1;
        work->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i + 1 < n; i++) offer_pair(merges, work, (int32_t)i);
    while (work->heap_len) {
        candidate c = heap_pop(work);
        if (work->id[c.place] != c.left) continue;
        int32_t gone = work->next[c.place];
        if (gone < 0 || work->id[gone] != c.right) continue;

        int32_t after = work->next[gone];
        work->id[c.place] = c.into;
        work->id[gone] = -1;
        work->next[c.place] = after;
        if (after >= 0) work->prev[after] = c.place;
        offer_pair(merges, work, c.place);
        if (work->prev[c.place] >= 0) offer_pair(merges, work, work->prev[c.place]);
    }
    size_t kept = 0;
    for (int32_t i = 0; i >= 0; i = work->next[i]) work->id[kept++] = work->id[i];
    return kept;
}

size_t lm_merge_all(const lm_merges *merges, lm_merge_work *work, size_t n)
{
    if (n < 2) return n;
    LM_ASSERT(n <= INT32_MAX);
    return n <= SHORT ? merge_short(merges, work, n) : merge_long(merges, work, n);
}
