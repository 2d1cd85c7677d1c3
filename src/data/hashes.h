/* Lists of 64-bit hashes, and sets of them: the n-grams of a text.
 *
 * An n-gram of words is a polynomial of the words' hashes, rolled along the text and mixed at the end:
 *   h = mix(sum_k w_k * C^(n-1-k) mod 2^64), and w_k itself for n = 1
 * A text of fewer than n words has one n-gram, all of it; an empty one has none. */
#ifndef LM_DATA_HASHES_H
#define LM_DATA_HASHES_H

#include "base/str.h"

typedef struct lm_hashes {
    uint64_t *items;
    size_t n, cap;
} lm_hashes;

void lm_hashes_put(lm_hashes *h, uint64_t hash);
void lm_hashes_append(lm_hashes *h, const lm_hashes *other);
void lm_hashes_reserve(lm_hashes *h, size_t cap);
void lm_hashes_free(lm_hashes *h);                       /* takes {0} */

/* A set of hashes that says which it has: open addressing, at most half full.  {0} is empty; 0 counts as 1. */
typedef struct lm_hash_set {
    uint64_t *slots;
    size_t mask, count, cap;             /* mask + 1 slots of the cap there are */
} lm_hash_set;
void lm_hash_set_clear(lm_hash_set *s, size_t expected);
bool lm_hash_set_put(lm_hash_set *s, uint64_t hash);     /* false: it is there already */
void lm_hash_set_free(lm_hash_set *s);

static inline bool lm_hash_set_has(const lm_hash_set *s, uint64_t hash)
{
    hash += !hash;
    for (size_t i = hash & s->mask; s->slots[i]; i = (i + 1) & s->mask)
        if (s->slots[i] == hash) return true;
    return false;
}

/* Leaves each hash once, where it stood first; `set` is then what is left. */
void lm_hashes_distinct(lm_hashes *h, lm_hash_set *set);

/* Appends the n-grams of a text: of its words (what stands between white space), or of its characters.
 * With `room`, words count as they are in normal form C. */
void lm_hash_words(lm_hashes *out, lm_span text, int n, lm_str *room);
void lm_hash_runes(lm_hashes *out, lm_span text, int n);

/* Sorts pairs by the key: stable, in time linear in n for keys that are hashes.  `room` is of the same size. */
typedef struct lm_key_pair {
    uint64_t key, value;
} lm_key_pair;
void lm_sort_pairs(lm_key_pair *pairs, lm_key_pair *room, size_t n);

/* A bijection of 64 bits that spreads every bit over all (the finaliser of MurmurHash3). */
static inline uint64_t lm_mix64(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

#endif
