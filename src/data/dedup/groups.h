/* Entries of a list that have the same key, found by sorting; and documents joined into clusters. */
#ifndef LM_DATA_DEDUP_GROUPS_H
#define LM_DATA_DEDUP_GROUPS_H

#include "data/hashes.h"

#include <stdbool.h>

/* Calls visit for every key that more than one entry has, with their numbers in ascending order.  Groups are
 * visited by several threads at once.  Entry i has the key keys[i * stride]; entries where `left_out` (a bit
 * each, or NULL) is set do not count.  Takes about `memory` bytes, and reads the keys as often as that needs. */
typedef struct lm_grouping {
    const uint64_t *keys;
    int64_t n, stride;
    const uint8_t *left_out;
    size_t memory;
    void (*visit)(void *context, const lm_key_pair *group, size_t n);    /* .value is the entry's number */
    void *context;
} lm_grouping;
void lm_groups_visit(const lm_grouping *g);

static inline bool lm_bit(const uint8_t *bits, int64_t i) { return bits[i >> 3] >> (i & 7) & 1; }
static inline void lm_bit_set(uint8_t *bits, int64_t i) { bits[i >> 3] |= (uint8_t)(1u << (i & 7)); }
static inline void lm_bit_set_shared(uint8_t *bits, int64_t i) { __atomic_fetch_or(&bits[i >> 3], (uint8_t)(1u << (i & 7)), __ATOMIC_RELAXED); }

/* Clusters: a forest in which each entry points towards the first one of its tree. */
typedef struct lm_clusters {
    uint32_t *parent;
    int64_t n;
} lm_clusters;
void lm_clusters_init(lm_clusters *c, int64_t n);        /* n < 2^32 entries, each alone */
void lm_clusters_free(lm_clusters *c);
int64_t lm_clusters_root(const lm_clusters *c, int64_t i);       /* changes nothing: for several threads */
void lm_clusters_join(lm_clusters *c, int64_t i, int64_t j);      /* by one thread at a time: others wait */
void lm_clusters_flatten(lm_clusters *c);                /* every entry points to its root */

#endif
