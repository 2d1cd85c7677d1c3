/* A shuffled order that is computed, not stored.
 *
 * A balanced Feistel network with Philox as round function permutes 0 .. 4^w - 1, the smallest such
 * power that holds n; what falls outside [0, n) is sent through again until it falls inside ("cycle
 * walking").  So the i-th element of an epoch is known at once, and resuming needs no state.
 * Source: Luby & Rackoff 1988; Black & Rogaway 2002, "Ciphers with arbitrary finite domains", method 2. */
#ifndef LM_DATA_PERMUTE_H
#define LM_DATA_PERMUTE_H

#include <stdint.h>

/* Where index, in [0, n), stands in the order that belongs to (seed, stream). */
int64_t lm_permute(int64_t index, int64_t n, uint64_t seed, uint64_t stream);

#endif
