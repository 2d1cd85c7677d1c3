/* Hash map from byte strings to 64-bit integers (ids, indices).  Keys are copied. */
#ifndef LM_BASE_MAP_H
#define LM_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lm_map lm_map;

lm_map *lm_map_new(size_t expected);
void lm_map_free(lm_map *map);                                    /* takes NULL */

/* Sets key to value; returns false when the key was there already (its value is then kept). */
bool lm_map_put(lm_map *map, const void *key, size_t len, int64_t value);

/* The value of key, or `missing`. */
int64_t lm_map_get(const lm_map *map, const void *key, size_t len, int64_t missing);
size_t lm_map_count(const lm_map *map);

/* XXH3 of some bytes, for tables that are not lm_map and for fingerprints. */
uint64_t lm_hash(const void *bytes, size_t n, uint64_t seed);

/* A seed that nobody can foresee, for such a table. */
uint64_t lm_hash_seed(void);

#endif
