/* Sixty-four permutations at a time, whose minima stay in registers while the set goes by. */
#include "data/dedup/signature.h"

#include "base/rng.h"

#include <string.h>

void lm_signature_multipliers(uint32_t *a, int permutations, uint64_t seed)
{
    for (int k = 0; k < permutations; k += 4) {
        uint32_t words[4];
        lm_philox(words, seed, 0, (uint64_t)k);
        for (int i = 0; i < 4 && k + i < permutations; i++) a[k + i] = words[i] | 1;
    }
}

static void minima_plain(uint32_t *out, const uint32_t *a, const uint64_t *hashes, size_t n)
{
    uint32_t least[LM_SIGNATURE_STEP];
    memset(least, 0xFF, sizeof least);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < LM_SIGNATURE_STEP; k++) {
            uint32_t value = a[k] * (uint32_t)(hashes[i] >> 32);
            least[k] = value < least[k] ? value : least[k];
        }
    memcpy(out, least, sizeof least);
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { LANES = 8 };

/* vectors * LANES permutations. */
__attribute__((target("avx2"), always_inline)) static inline void minima_of(uint32_t *out, const uint32_t *a, const uint64_t *hashes, size_t n, int vectors)
{
    __m256i least[2 * LM_SIGNATURE_STEP / LANES];
#pragma GCC unroll 8
    for (int k = 0; k < vectors; k++) least[k] = _mm256_set1_epi32(-1);
    for (size_t i = 0; i < n; i++) {
        int upper;
        memcpy(&upper, (const char *)(hashes + i) + sizeof upper, sizeof upper);
        __m256i x = _mm256_set1_epi32(upper);
#pragma GCC unroll 8
        for (int k = 0; k < vectors; k++) least[k] = _mm256_min_epu32(least[k], _mm256_mullo_epi32(_mm256_loadu_si256((const __m256i *)(a + LANES * k)), x));
    }
#pragma GCC unroll 8
    for (int k = 0; k < vectors; k++) _mm256_storeu_si256((__m256i *)(out + LANES * k), least[k]);
}

__attribute__((target("avx2"))) static void signature_avx2(uint32_t *out, const uint32_t *a, int permutations, const uint64_t *hashes, size_t n)
{
    int k = 0;
    for (; k + 2 * LM_SIGNATURE_STEP <= permutations; k += 2 * LM_SIGNATURE_STEP) minima_of(out + k, a + k, hashes, n, 2 * LM_SIGNATURE_STEP / LANES);
    for (; k < permutations; k += LM_SIGNATURE_STEP) minima_of(out + k, a + k, hashes, n, LM_SIGNATURE_STEP / LANES);
}
#endif

void lm_signature_of(uint32_t *signature, const uint32_t *a, int permutations, const uint64_t *hashes, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        signature_avx2(signature, a, permutations, hashes, n);
        return;
    }
#endif
    for (int k = 0; k < permutations; k += LM_SIGNATURE_STEP) minima_plain(signature + k, a + k, hashes, n);
}
