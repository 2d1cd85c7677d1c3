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
    merges->filter = lm_calloc(size / 8, sizeof *merges->filter);
    merges->filter_shift = 64 - 3 - (unsigned)__builtin_ctzll(size);
    merges->bytes = NULL;
}

void lm_merges_free(lm_merges *merges)
{
    free(merges->slots), free(merges->filter), free(merges->bytes);
    *merges = (lm_merges){0};
}

static lm_merge *slot_of(lm_merges *merges, uint64_t pair)
{
    size_t i = lm_merges_home(merges, pair);
    while (merges->slots[i].pair && merges->slots[i].pair != pair) i = (i + 1) & merges->mask;
    return &merges->slots[i];
}

static void mark(lm_merges *merges, uint64_t pair)
{
    uint64_t bit = lm_merge_hash(pair) >> merges->filter_shift;
    merges->filter[bit / 64] |= (uint64_t)1 << bit % 64;
}

static void grow(lm_merges *merges)
{
    lm_merges old = *merges;
    lm_merges_init(merges, old.mask + 1);
    for (size_t i = 0; i <= old.mask; i++) {
        if (!old.slots[i].pair) continue;
        *slot_of(merges, old.slots[i].pair) = old.slots[i];
        mark(merges, old.slots[i].pair);
    }
    merges->count = old.count;
    lm_merges_free(&old);
}

void lm_merges_put(lm_merges *merges, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    LM_ASSERT(rank >= 0 && rank < LM_MAX_MERGES);
    if (merges->count + 1 > merges->mask / 3 * 2) grow(merges);
    lm_merge *slot = slot_of(merges, lm_merge_key(left, right));
    if (!slot->pair) merges->count++;
    *slot = (lm_merge){ .pair = lm_merge_key(left, right), .rank = rank, .id = id };
    mark(merges, slot->pair);
}

void lm_merges_bytes(lm_merges *merges, int32_t first)
{
    enum { BYTES = 256 };
    free(merges->bytes);
    merges->bytes = lm_calloc(BYTES * BYTES, sizeof *merges->bytes);
    merges->first_byte = first;
    for (int32_t left = 0; left < BYTES; left++) {
        for (int32_t right = 0; right < BYTES; right++) {
            const lm_merge *merge = lm_merges_get(merges, first + left, first + right);
            if (merge) merges->bytes[left << 8 | right] = *merge;
        }
    }
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

/* A merge that is offered at each place: its rank and the place in one number, so that the smallest is the merge
 * to make, and what it makes.  A symbol that was merged into the one before it keeps its place, without an offer. */
typedef struct offers {
    uint32_t order[SHORT];           /* rank << PLACE_BITS | place, or NONE */
    int32_t into[SHORT];
} offers;

enum { PLACE_BITS = 6, LANES = 2 };
static const uint32_t NONE = UINT32_MAX;
_Static_assert(SHORT < 1 << PLACE_BITS && SHORT % LANES == 0 && (uint64_t)LM_MAX_MERGES << PLACE_BITS <= (uint64_t)1 << 32, "an order has 32 bits");

static inline void offer(offers *o, const lm_merge *merge, size_t place)
{
    o->order[place] = merge ? (uint32_t)merge->rank << PLACE_BITS | (uint32_t)place : NONE;
    o->into[place] = merge ? merge->id : -1;
}

/* The pair of a word that nothing was merged in yet. */
static inline const lm_merge *first_pair(const lm_merges *merges, int32_t left, int32_t right)
{
    uint32_t a = (uint32_t)left - (uint32_t)merges->first_byte, b = (uint32_t)right - (uint32_t)merges->first_byte;
    if (!merges->bytes || (a | b) > 255) return lm_merges_get(merges, left, right);
    const lm_merge *merge = &merges->bytes[a << 8 | b];
    return merge->pair ? merge : NULL;
}

/* In two lanes that do not wait for each other; n is even.  Vectors would wait for what was just written. */
static inline uint32_t least(const uint32_t *order, size_t n)
{
    uint32_t a = NONE, b = NONE;
    for (size_t i = 0; i < n; i += LANES) {
        a = order[i] < a ? order[i] : a;
        b = order[i + 1] < b ? order[i + 1] : b;
    }
    return a < b ? a : b;
}

static size_t merge_short(const lm_merges *merges, lm_merge_work *work, size_t n)
{
    int32_t *id = work->id;
    offers o;
    uint8_t prev[SHORT + 1], next[SHORT];
    size_t padded = (n + LANES - 1) / LANES * LANES;
    for (size_t i = 0; i < n; i++) prev[i] = (uint8_t)(i - 1), next[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i + 1 < n; i++) offer(&o, first_pair(merges, id[i], id[i + 1]), i);
    for (size_t i = n - 1; i < padded; i++) o.order[i] = NONE;
    for (size_t left = n;; left--) {
        uint32_t best = least(o.order, padded);
        if (best == NONE) {
            size_t kept = 0;
            for (size_t i = 0; kept < left; i = next[i]) id[kept++] = id[i];
            return kept;
        }
        size_t at = best & ((1 << PLACE_BITS) - 1), gone = next[at], after = next[gone];
        id[at] = o.into[at];
        o.order[at] = o.order[gone] = NONE;
        next[at] = (uint8_t)after, prev[after] = (uint8_t)at;
        if (after < n) offer(&o, lm_merges_get(merges, id[at], id[after]), at);
        if (at) offer(&o, lm_merges_get(merges, id[prev[at]], id[at]), prev[at]);
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
