#include "data/permute.h"

#include "base/err.h"
#include "base/rng.h"

enum { ROUNDS = 8 };

static uint64_t encipher(uint64_t x, int half_bits, uint64_t seed, uint64_t stream)
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1, left = x >> half_bits, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint32_t word[4];
        lm_philox(word, seed, stream, round << 32 | right);
        uint64_t mixed = left ^ (word[0] & mask);
        left = right, right = mixed;
    }
    return left << half_bits | right;
}

int64_t lm_permute(int64_t index, int64_t n, uint64_t seed, uint64_t stream)
{
    LM_ASSERT(index >= 0 && index < n && n <= (int64_t)1 << 62);
    int half_bits = 1;
    while ((int64_t)1 << (2 * half_bits) < n) half_bits++;
    uint64_t x = (uint64_t)index;
    do x = encipher(x, half_bits, seed, stream);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}
