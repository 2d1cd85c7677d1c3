#include "token/cache.h"

#include <stdlib.h>

enum { LEAST_SLOTS = 1 << 10, MOST_SLOTS = 1 << 16, POOL = 1 << 20, LONGEST = 1 << 12 };

lm_cache *lm_cache_new(size_t words)
{
    lm_cache *cache = lm_calloc(1, sizeof *cache);
    size_t n = LEAST_SLOTS;
    while (n < words && n < MOST_SLOTS) n *= 2;
    cache->block = lm_calloc(n + 1, sizeof *cache->slots);       /* zero pages that cost nothing until used */
    uintptr_t line = sizeof *cache->slots, start = ((uintptr_t)cache->block + line - 1) / line * line;
    cache->slots = (lm_cache_slot *)start;
    cache->mask = n - 1;
    return cache;
}

void lm_cache_free(lm_cache *cache)
{
    if (!cache) return;
    free(cache->block);
    free(cache->pool);
    free(cache);
}

static void forget(lm_cache *cache)
{
    memset(cache->slots, 0, (cache->mask + 1) * sizeof *cache->slots);
    cache->pool_len = 0;
}

/* Room for n ids at the end of the pool. */
static void reserve(lm_cache *cache, size_t n)
{
    if (cache->pool_len + n > POOL) forget(cache);
    if (cache->pool_len + n <= cache->pool_cap) return;
    cache->pool_cap = cache->pool_cap * 2 > LONGEST ? cache->pool_cap * 2 : LONGEST;
    cache->pool = lm_realloc(cache->pool, cache->pool_cap * sizeof *cache->pool);
}

void lm_cache_put(lm_cache *cache, const lm_cache_key *key, const int32_t *ids, size_t n)
{
    if (n > LONGEST) return;
    if (n > LM_CACHE_IDS) reserve(cache, n);
    lm_cache_slot *slot = &cache->slots[key->at];
    cache->slots[key->at ^ 1] = *slot;
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
