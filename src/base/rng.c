#include "base/rng.h"
#include "base/err.h"

#include <math.h>

/* Every number takes one block, so that the counter counts numbers drawn. */

static uint64_t join(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static double unit53(uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

uint64_t lm_rng_u64(lm_rng *rng)
{
    uint32_t w[4];
    lm_philox(w, rng->seed, rng->stream, rng->counter++);
    return join(w[0], w[1]);
}

double lm_rng_unit(lm_rng *rng)
{
    return unit53(lm_rng_u64(rng));
}

uint64_t lm_rng_below(lm_rng *rng, uint64_t n)
{
    LM_ASSERT(n > 0);
    uint64_t excess = (0 - n) % n;      /* 2^64 mod n: that many draws are one too many */
    uint64_t x;
    do x = lm_rng_u64(rng); while (x < excess);
    return x % n;
}

double lm_rng_normal(lm_rng *rng)
{
    uint32_t w[4];
    lm_philox(w, rng->seed, rng->stream, rng->counter++);
    double radius = sqrt(-2.0 * log(1.0 - unit53(join(w[0], w[1]))));   /* 1 - u is in (0, 1] */
    return radius * cos(6.283185307179586 * unit53(join(w[2], w[3])));
}
