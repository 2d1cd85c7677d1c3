#include "token/cache.h"
#include "base/memory.h"

#include <stdlib.h>

enum { LEAST_SLOTS = 1 << 10, MOST_SLOTS = 1 << 16, STEP = 8, POOL = 1 << 20, LONGEST = 1 << 12 };

static void make_table(lm_cache *cache, size_t n)
{
    cache->slots = lm_memory_table(n, sizeof *cache->slots);
    cache->mask = n - 1;
}

lm_cache *lm_cache_new(void)
{
    lm_cache *cache = lm_calloc(1, sizeof *cache);
    make_table(cache, LEAST_SLOTS);
    return cache;
}

void lm_cache_free(lm_cache *cache)
{
    if (!cache) return;
    free(cache->slots);
    free(cache->pool);
    free(cache);
}

static void forget(lm_cache *cache)
{
    memset(cache->slots, 0, (cache->mask + 1) * sizeof *cache->slots);
    cache->n = cache->pool_len = 0;
}

/* Room for n ids at the end of the pool. */
static void reserve(lm_cache *cache, size_t n)
{
    if (cache->pool_len + n > POOL) forget(cache);
    if (cache->pool_len + n <= cache->pool_cap) return;
    cache->pool_cap = cache->pool_cap * 2 > LONGEST ? cache->pool_cap * 2 : LONGEST;
    cache->pool = lm_realloc(cache->pool, cache->pool_cap * sizeof *cache->pool);
}

/* Where a word that stands in a slot may stand. */
static lm_cache_key key_of(const lm_cache *cache, const lm_cache_slot *slot)
{
    lm_cache_key key = { .bytes = slot->bytes };
    memcpy(key.word, slot->word, sizeof key.word);
    lm_cache_place(cache, &key);
    return key;
}

static lm_cache_slot *make_room(lm_cache *cache, const lm_cache_key *key)
{
    lm_cache_slot *first = &cache->slots[key->at[0]], *second = &cache->slots[key->at[1]];
    if (!first->bytes) return first;
    if (!second->bytes) return second;
    lm_cache_key old = key_of(cache, first);
    cache->slots[old.at[old.at[0] == key->at[0]]] = *first;
    return first;
}

void lm_cache_put(lm_cache *cache, const lm_cache_key *key, const int32_t *ids, size_t n)
{
    if (n > LONGEST) return;
    if (n > LM_CACHE_IDS) reserve(cache, n);
    lm_cache_slot *slot = make_room(cache, key);
    cache->n++;
    *slot = (lm_cache_slot){ .bytes = key->bytes, .n = (uint16_t)n };
    memcpy(slot->word, key->word, sizeof slot->word);
    if (n <= LM_CACHE_IDS) {
        if (n) memcpy(slot->ids, ids, n * sizeof *ids);
        return;
    }
    slot->ids[0] = (int32_t)cache->pool_len;
    memcpy(cache->pool + cache->pool_len, ids, n * sizeof *ids);
    cache->pool_len += n;
}

void lm_cache_tend(lm_cache *cache)
{
    size_t n = cache->mask + 1;
    if (cache->n < n / 2 || n == MOST_SLOTS) return;
    lm_cache old = *cache;
    make_table(cache, n * STEP);
    for (size_t i = 0; i < n; i++) {
        if (!old.slots[i].bytes) continue;
        lm_cache_key key = key_of(cache, &old.slots[i]);
        *make_room(cache, &key) = old.slots[i];
    }
    free(old.slots);
}
