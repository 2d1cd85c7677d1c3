/* What an encoder remembers: the ids of words that it has seen, by their exact bytes.
 *
 * Text is a few thousand words over and over, so nearly every word is found here and its ids copied.  The
 * table has a fixed size and two places for each word; a new word takes the first and moves what stood
 * there to the second.  A slot is one line of the processor's cache: a word of up to 32 bytes and up to 7
 * ids; more ids lie in a pool, and when that is full everything is forgotten. */
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
    lm_cache_slot *slots;            /* in `block`, at the front of a line */
    void *block;
    size_t mask;
    int32_t *pool;
    size_t pool_len, pool_cap;
} lm_cache;

/* A table for about so many words. */
lm_cache *lm_cache_new(size_t words);
void lm_cache_free(lm_cache *cache);                     /* takes NULL */

/* A word as the table knows it, and where it may stand. */
typedef struct lm_cache_key {
    uint64_t word[4];
    uint16_t bytes;
    size_t at;
} lm_cache_key;

static inline uint64_t lm_load8(const char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t lm_load4(const char *p)
{
    uint32_t x;
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

/* word.len is 1 .. LM_CACHE_WORD; words of another `kind` (0 or 1) are other words.  Loads overlap so as not to read past the end; together with the length
 * they are the word. */
static inline lm_cache_key lm_cache_key_of(const lm_cache *cache, lm_span word, unsigned kind)
{
    const char *p = word.data;
    size_t n = word.len;
    lm_cache_key key = { .bytes = (uint16_t)(n | kind << 8) };
    if (n >= 8) {
        key.word[0] = lm_load8(p);
        key.word[1] = lm_load8(n > 16 ? p + 8 : p + n - 8);
        if (n > 16) key.word[2] = lm_load8(n > 24 ? p + 16 : p + n - 8);
        if (n > 24) key.word[3] = lm_load8(p + n - 8);
    } else if (n >= 4) {
        key.word[0] = lm_load4(p) | lm_load4(p + n - 4) << 32;
    } else {
        key.word[0] = (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint64_t)(uint8_t)p[n - 1] << 16;
    }
    uint64_t hash = lm_mix(key.word[0] ^ 0x9E3779B97F4A7C15u, key.word[1] ^ (0xD6E8FEB86659FD93u + key.bytes));
    if (n > 16) hash = lm_mix(hash ^ key.word[2], key.word[3] ^ 0xC2B2AE3D27D4EB4Fu);
    key.at = (hash ^ hash >> 32) & cache->mask;
    return key;
}

static inline bool lm_cache_is(const lm_cache_slot *slot, const lm_cache_key *key)
{
    return slot->bytes == key->bytes && slot->word[0] == key->word[0] && slot->word[1] == key->word[1]
           && slot->word[2] == key->word[2] && slot->word[3] == key->word[3];
}

/* Appends the ids of a word, or returns false where it is not known. */
static inline bool lm_cache_get(const lm_cache *cache, const lm_cache_key *key, lm_ids *out)
{
    const lm_cache_slot *slot = &cache->slots[key->at];
    if (!lm_cache_is(slot, key)) {
        slot = &cache->slots[key->at ^ 1];
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

void lm_cache_put(lm_cache *cache, const lm_cache_key *key, const int32_t *ids, size_t n);

#endif
