/* MinHash signatures: sig[k] = min over x in the set of a_k x mod 2^32, with odd a_k.
 *
 * Multiplying by an odd number permutes the 32-bit integers, and the x are hashes, as good as drawn at
 * random, so that each value agrees between two sets with the probability of their Jaccard similarity
 * (Broder 1997; multiply-shift: Dietzfelbinger et al. 1997). */
#ifndef LM_DATA_DEDUP_SIGNATURE_H
#define LM_DATA_DEDUP_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

enum { LM_SIGNATURE_STEP = 32, LM_SIGNATURE_MOST = 1024 };

/* K odd multipliers, drawn from the seed. */
void lm_signature_multipliers(uint32_t *a, int permutations, uint64_t seed);

/* The signature of a set of hashes, of which x are the upper halves; permutations a multiple of LM_SIGNATURE_STEP.
 * All ones for an empty set. */
void lm_signature_of(uint32_t *signature, const uint32_t *a, int permutations, const uint64_t *hashes, size_t n);

#endif
