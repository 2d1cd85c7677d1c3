/* Lists of 64-bit hashes, and sets of them: the n-grams of a text.
 *
 * An n-gram of words is a polynomial of the words' hashes, rolled along the text and mixed at the end:
 *   h = mix(sum_k w_k * C^(n-1-k) mod 2^64)
 * A text of fewer than n words has one n-gram, all of it; an empty one has none. */
#ifndef LM_DATA_HASHES_H
#define LM_DATA_HASHES_H

#include "base/str.h"

typedef struct lm_hashes {
    uint64_t *items, *room;              /* room: of the same size, for sorting; or NULL */
    size_t n, cap;
} lm_hashes;

void lm_hashes_put(lm_hashes *h, uint64_t hash);
void lm_hashes_reserve(lm_hashes *h, size_t cap);
void lm_hashes_free(lm_hashes *h);                       /* takes {0} */

/* Sorts it and leaves each hash once. */
void lm_hashes_unique(lm_hashes *h);

/* How many two sets (sorted, each hash once) have in common. */
size_t lm_hashes_common(const uint64_t *a, size_t n, const uint64_t *b, size_t m);

/* Appends the n-grams of a text: of its words (what stands between white space), or of its characters. */
void lm_hash_words(lm_hashes *out, lm_span text, int n);
void lm_hash_runes(lm_hashes *out, lm_span text, int n);

/* Sorts keys, or pairs of a key and a value by the key: stable, in time linear in n for keys that are
 * hashes.  `room` is of the same size. */
typedef struct lm_key_pair {
    uint64_t key, value;
} lm_key_pair;
void lm_sort_keys(uint64_t *keys, uint64_t *room, size_t n);
void lm_sort_pairs(lm_key_pair *pairs, lm_key_pair *room, size_t n);

/* A bijection of 64 bits that spreads every bit over all (the finaliser of MurmurHash3). */
static inline uint64_t lm_mix64(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

#endif
