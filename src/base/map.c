/* Open addressing with linear probing; at most three quarters full.
 *
 * Invariants
 *  1. The number of slots is a power of two; a slot is empty when its hash is 0
 *     (a key that hashes to 0 is given 1).
 *  2. Nothing is ever removed, so a probe ends at the first empty slot.
 *  3. Keys lie one after another in one block; a slot holds the offset, because
 *     the block moves as it grows.
 * The hash is seeded per map, so that a hostile vocabulary cannot be made to
 * collide; nothing here has an order that could depend on the seed. */
#include "base/map.h"
#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

typedef struct slot {
    uint64_t hash;
    size_t at, len;       /* of the key, in keys */
    int64_t value;
} slot;

struct lm_map {
    slot *slots;
    size_t mask, count;   /* mask = slots - 1 */
    lm_str keys;
    uint64_t seed;
};

uint64_t lm_hash(const void *bytes, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(n ? bytes : "", n, seed);
}

uint64_t lm_hash_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed) return seed;
    return (uint64_t)(uintptr_t)&seed ^ (uint64_t)time(NULL) << 20;
}

lm_map *lm_map_new(size_t expected)
{
    LM_ASSERT(expected < SIZE_MAX / 4 / sizeof(slot));
    size_t slots = 16;
    while (slots / 4 * 3 <= expected) slots *= 2;
    lm_map *map = lm_calloc(1, sizeof *map);
    map->slots = lm_calloc(slots, sizeof *map->slots);
    map->mask = slots - 1;
    map->seed = lm_hash_seed();
    return map;
}

void lm_map_free(lm_map *map)
{
    if (!map) return;
    lm_str_free(&map->keys);
    free(map->slots);
    free(map);
}

static uint64_t hash_of(const lm_map *map, const void *key, size_t len)
{
    uint64_t hash = lm_hash(key, len, map->seed);
    return hash ? hash : 1;
}

/* The slot that holds the key, or the empty one where it belongs. */
static slot *find(const lm_map *map, uint64_t hash, const void *key, size_t len)
{
    for (size_t i = hash & map->mask;; i = (i + 1) & map->mask) {
        slot *s = &map->slots[i];
        if (s->hash == 0) return s;
        if (s->hash == hash && s->len == len && (len == 0 || memcmp(map->keys.data + s->at, key, len) == 0))
            return s;
    }
}

static void grow(lm_map *map)
{
    size_t old_slots = map->mask + 1;
    slot *old = map->slots;
    map->slots = lm_calloc(old_slots * 2, sizeof *map->slots);
    map->mask = old_slots * 2 - 1;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].hash == 0) continue;
        size_t j = old[i].hash & map->mask;
        while (map->slots[j].hash) j = (j + 1) & map->mask;
        map->slots[j] = old[i];
    }
    free(old);
}

bool lm_map_put(lm_map *map, const void *key, size_t len, int64_t value)
{
    uint64_t hash = hash_of(map, key, len);
    slot *s = find(map, hash, key, len);
    if (s->hash) return false;
    if (map->count + 1 > (map->mask + 1) / 4 * 3) {
        grow(map);
        s = find(map, hash, key, len);
    }
    *s = (slot){ .hash = hash, .at = map->keys.len, .len = len, .value = value };
    lm_str_append(&map->keys, key, len);
    map->count++;
    return true;
}

int64_t lm_map_get(const lm_map *map, const void *key, size_t len, int64_t missing)
{
    const slot *s = find(map, hash_of(map, key, len), key, len);
    return s->hash ? s->value : missing;
}

size_t lm_map_count(const lm_map *map)
{
    return map->count;
}
