/* Thirty-two permutations at a time, so that multipliers and minima stay in registers while the set goes by. */
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

__attribute__((target("avx2"))) static void minima_avx2(uint32_t *out, const uint32_t *a, const uint64_t *hashes, size_t n)
{
    __m256i m[4], least[4];
    for (int k = 0; k < 4; k++) {
        m[k] = _mm256_loadu_si256((const __m256i *)(a + 8 * k));
        least[k] = _mm256_set1_epi32(-1);
    }
    for (size_t i = 0; i < n; i++) {
        __m256i value = _mm256_set1_epi32((int)(hashes[i] >> 32));
        for (int k = 0; k < 4; k++) least[k] = _mm256_min_epu32(least[k], _mm256_mullo_epi32(m[k], value));
    }
    for (int k = 0; k < 4; k++) _mm256_storeu_si256((__m256i *)(out + 8 * k), least[k]);
}

static void minima(uint32_t *out, const uint32_t *a, const uint64_t *hashes, size_t n)
{
    (__builtin_cpu_supports("avx2") ? minima_avx2 : minima_plain)(out, a, hashes, n);
}
#else
static void minima(uint32_t *out, const uint32_t *a, const uint64_t *hashes, size_t n) { minima_plain(out, a, hashes, n); }
#endif

void lm_signature_of(uint32_t *signature, const uint32_t *a, int permutations, const uint64_t *hashes, size_t n)
{
    for (int k = 0; k < permutations; k += LM_SIGNATURE_STEP) minima(signature + k, a + k, hashes, n);
}
