/* The core of byte-pair encoding (Sennrich et al. 2016, "Neural Machine Translation of Rare Words
 * with Subword Units", section 3.2): symbols merged pair by pair, the pair of lowest rank first and
 * the leftmost of those.  Shared by the model and by its trainers' checks. */
#ifndef LM_TOKEN_BPE_H
#define LM_TOKEN_BPE_H

#include <stddef.h>
#include <stdint.h>

/* What a pair of neighbouring symbols merges into. */
typedef struct lm_merge {
    uint64_t pair;                   /* (left + 1) << 32 | right; 0 marks a free slot */
    int32_t rank, id;
} lm_merge;

enum { LM_MAX_MERGES = 1 << 26 };    /* ranks are below this */

/* Open addressing over a power of two; at most two thirds full.  Most pairs that are looked for do not merge, and
 * eight bits a slot, of which one belongs to each pair, tell that from a few cache lines. */
typedef struct lm_merges {
    lm_merge *slots;
    size_t mask, count;
    uint64_t *filter;
    unsigned filter_shift;           /* of a pair's hash: the number of its bit */
    lm_merge *bytes;                 /* of two byte symbols, at left << 8 | right, where pair is not 0; NULL: none */
    int32_t first_byte;              /* the lowest id of a byte symbol */
} lm_merges;

void lm_merges_init(lm_merges *merges, size_t expected);
void lm_merges_free(lm_merges *merges);
void lm_merges_put(lm_merges *merges, int32_t left, int32_t right, int32_t rank, int32_t id);   /* the last one stays; rank < LM_MAX_MERGES */

/* Once all merges are put: those of the symbols first .. first + 255, with which a word begins, in a table. */
void lm_merges_bytes(lm_merges *merges, int32_t first);

static inline uint64_t lm_merge_key(int32_t left, int32_t right) { return ((uint64_t)(uint32_t)left + 1) << 32 | (uint32_t)right; }

static inline uint64_t lm_merge_hash(uint64_t pair) { return pair * 0x9E3779B97F4A7C15u; }

/* Where a pair is, or the first place to look for it. */
static inline size_t lm_merges_home(const lm_merges *merges, uint64_t pair) { return lm_merge_hash(pair) >> (merges->filter_shift + 3); }

/* A pair will be looked for or put: fetch its place. */
static inline void lm_merges_expect(const lm_merges *merges, int32_t left, int32_t right)
{
    __builtin_prefetch(&merges->slots[lm_merges_home(merges, lm_merge_key(left, right))], 1);
}

static inline const lm_merge *lm_merges_get(const lm_merges *merges, int32_t left, int32_t right)
{
    uint64_t pair = lm_merge_key(left, right), bit = lm_merge_hash(pair) >> merges->filter_shift;
    if (!(merges->filter[bit / 64] >> bit % 64 & 1)) return NULL;
    for (size_t i = lm_merges_home(merges, pair);; i = (i + 1) & merges->mask) {
        const lm_merge *slot = &merges->slots[i];
        if (slot->pair == pair) return slot;
        if (!slot->pair) return NULL;
    }
}

/* Memory for merging, reused from call to call.  {0} is empty. */
typedef struct lm_merge_work {
    int32_t *id, *prev, *next;
    size_t cap;
    struct lm_merge_candidate *heap;
    size_t heap_len, heap_cap;
} lm_merge_work;
void lm_merge_work_free(lm_merge_work *work);

/* Room for n symbols in work->id. */
void lm_merge_work_reserve(lm_merge_work *work, size_t n);

/* Merges work->id[0..n) in place; returns how many symbols remain. */
size_t lm_merge_all(const lm_merges *merges, lm_merge_work *work, size_t n);

#endif
