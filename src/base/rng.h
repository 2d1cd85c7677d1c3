/* Random numbers by counting: Philox4x32-10 (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3", section 3.3).
 *
 * A number is a pure function of (seed, stream, counter), so it is the same on every
 * backend and thread count, and a checkpoint stores three integers. */
#ifndef LM_BASE_RNG_H
#define LM_BASE_RNG_H

#include <stdint.h>

typedef struct lm_rng {
    uint64_t seed, stream, counter;
} lm_rng;

/* Four 32-bit words of block `counter`. */
static inline void lm_philox(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* 24 bits as a float in [0, 1): exact, and equal on every backend. */
static inline float lm_u32_unit(uint32_t x) { return (float)(x >> 8) * 0x1p-24f; }

uint64_t lm_rng_u64(lm_rng *rng);
double lm_rng_unit(lm_rng *rng);                        /* [0, 1), 53 bits */
uint64_t lm_rng_below(lm_rng *rng, uint64_t n);         /* [0, n) without bias; n > 0 */
double lm_rng_normal(lm_rng *rng);                      /* mean 0, variance 1 (Box-Muller, one of the pair) */

#endif
