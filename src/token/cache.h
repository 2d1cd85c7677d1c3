/* What an encoder remembers: the ids of words that it has seen, by their exact bytes.
 *
 * Text is a few thousand words over and over, so nearly every word is found here and its ids copied.  A word
 * has two places, in one page of memory; a new one takes that which is free, else the first, and what stood there
 * goes to its other place.  A slot is one line of the processor's cache: a word of up to 32 bytes and up to 7 ids;
 * more ids lie in a pool, and when that is full everything is forgotten.  The table grows up to 65536 slots. */
#ifndef LM_TOKEN_CACHE_H
#define LM_TOKEN_CACHE_H

#include "token/tokenizer.h"

#include <string.h>

enum { LM_CACHE_WORD = 32, LM_CACHE_IDS = 7 };

typedef struct lm_cache_slot {
    uint64_t word[4];
    uint16_t bytes, n;               /* bytes: its length, and its kind << 8; 0: free; n > LM_CACHE_IDS: ids[0] is an index into the pool */
    int32_t ids[LM_CACHE_IDS];
} lm_cache_slot;

typedef struct lm_cache {
    lm_cache_slot *slots;            /* each a line of the processor's cache; on huge pages once there are many */
    size_t mask, n;                  /* n: words put in, also those that others drove out */
    int32_t *pool;
    size_t pool_len, pool_cap;
} lm_cache;

lm_cache *lm_cache_new(void);
void lm_cache_free(lm_cache *cache);                     /* takes NULL */

/* A word as the table knows it, filled up with zeros, and the two places where it may stand. */
typedef struct lm_cache_key {
    uint64_t word[4];
    uint32_t at[2];
    uint16_t bytes;
} lm_cache_key;

static inline uint64_t lm_load8(const void *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* The high and low halves of a product, which depend on every bit of both. */
static inline uint64_t lm_mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline void lm_cache_place(const lm_cache *cache, lm_cache_key *key)
{
    const uint64_t *w = key->word;
    uint64_t hash = lm_mix(w[0] ^ 0x9E3779B97F4A7C15u, w[1] ^ (0xD6E8FEB86659FD93u + key->bytes)) ^ lm_mix(w[2] ^ 0xA0761D6478BD642Fu, w[3] ^ 0xC2B2AE3D27D4EB4Fu);
    key->at[0] = (uint32_t)(hash & cache->mask);
    key->at[1] = key->at[0] ^ (uint32_t)(hash >> 58 | 1);
}

/* word.len is 1 .. LM_CACHE_WORD; words of another `kind` (0 or 1) are other words.  `room` bytes may be read at
 * word.data, at least word.len: where they are enough, words of all lengths are read in the same way, without a
 * branch that nobody can foresee. */
static inline void lm_cache_key_set(lm_cache_key *key, const lm_cache *cache, lm_span word, size_t room, unsigned kind)
{
    static const uint8_t edge[2 * LM_CACHE_WORD] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    char copy[LM_CACHE_WORD] = {0};
    const char *p = word.data;
    if (__builtin_expect(room < LM_CACHE_WORD, 0)) p = memcpy(copy, word.data, word.len);
    const uint8_t *mask = edge + LM_CACHE_WORD - word.len;
    key->word[0] = lm_load8(p) & lm_load8(mask);
    key->word[1] = lm_load8(p + 8) & lm_load8(mask + 8);
    key->word[2] = lm_load8(p + 16) & lm_load8(mask + 16);
    key->word[3] = lm_load8(p + 24) & lm_load8(mask + 24);
    key->bytes = (uint16_t)(word.len | kind << 8);
    lm_cache_place(cache, key);
}

static inline bool lm_cache_is(const lm_cache_slot *slot, const lm_cache_key *key)
{
    return slot->bytes == key->bytes && slot->word[0] == key->word[0] && slot->word[1] == key->word[1]
           && slot->word[2] == key->word[2] && slot->word[3] == key->word[3];
}

/* Appends the ids of a word, or returns false where it is not known. */
static inline bool lm_cache_get(const lm_cache *cache, const lm_cache_key *key, lm_ids *out)
{
    const lm_cache_slot *slot = &cache->slots[key->at[0]];
    if (!lm_cache_is(slot, key)) {
        slot = &cache->slots[key->at[1]];
        if (!lm_cache_is(slot, key)) return false;
    }
    if (slot->n <= LM_CACHE_IDS && out->cap - out->len >= LM_CACHE_IDS) {
        memcpy(out->data + out->len, slot->ids, sizeof slot->ids);
        out->len += slot->n;
    } else {
        lm_ids_append(out, slot->n <= LM_CACHE_IDS ? slot->ids : cache->pool + slot->ids[0], slot->n);
    }
    return true;
}

/* Remembers a word that is not there. */
void lm_cache_put(lm_cache *cache, const lm_cache_key *key, const int32_t *ids, size_t n);

/* Makes the table larger once it is half full; keys made before are worth nothing then. */
void lm_cache_tend(lm_cache *cache);

#endif
