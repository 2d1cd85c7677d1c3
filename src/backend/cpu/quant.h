/* Runs of quantised data as f32, in registers of the variant that includes this. */
#ifndef LM_BACKEND_CPU_QUANT_H
#define LM_BACKEND_CPU_QUANT_H

#include "backend/cpu/vec.h"
#include "tensor/quant.h"

/* The sixteen levels where a permutation can look them up. */
typedef struct quant_table {
    vf part[16 / LANES];
} quant_table;

LM_INLINE quant_table quant_table_of(const lm_quant *q)
{
    quant_table t;
    memcpy(&t, q->level, sizeof t);
    return t;
}

/* LANES elements of four bits, from LANES / 2 bytes.  Every lane gets the four bytes that its code lies
 * in, and shifts it down; what stands above it the lookup does not see. */
LM_INLINE vf quant_four(const quant_table *t, const uint8_t *bytes)
{
    uint32_t word[LANES / 8];
    memcpy(word, bytes, sizeof word);
#if LM_LANES_OF(LM_VARIANT) == 8
    const __m256i shift = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
    __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32((int)word[0]), shift);
    __m256 low = _mm256_permutevar8x32_ps((__m256)t->part[0], code), high = _mm256_permutevar8x32_ps((__m256)t->part[1], code);
    return (vf)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
#else
    const __m512i shift = _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
    __m512i both = _mm512_inserti64x4(_mm512_set1_epi32((int)word[0]), _mm256_set1_epi32((int)word[1]), 1);
    return (vf)_mm512_permutexvar_ps(_mm512_srlv_epi32(both, shift), (__m512)t->part[0]);
#endif
}

LM_INLINE vf quant_eight(const int8_t *codes)
{
#if LM_LANES_OF(LM_VARIANT) == 8
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)codes)));
#else
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)codes)));
#endif
}

/* Elements [i, end) of one block. */
LM_INLINE void quant_part(float *out, const lm_quant *q, const quant_table *t, const void *codes, int64_t i, int64_t end, float scale)
{
    if (q->bits == 4) {
        if (i % 2 && i < end) *out++ = lm_quant_level(q, codes, i++) * scale;
        for (; i + LANES <= end; i += LANES, out += LANES) vec_store_f32(out, quant_four(t, (const uint8_t *)codes + i / 2) * scale);
    } else {
        for (; i + LANES <= end; i += LANES, out += LANES) vec_store_f32(out, quant_eight((const int8_t *)codes + i) * scale);
    }
    for (; i < end; i++) *out++ = lm_quant_level(q, codes, i) * scale;
}

/* out[j] = element i + j, for j < n. */
static inline void quant_run(float *out, const lm_quant *q, const void *codes, int64_t i, int64_t n)
{
    quant_table t = quant_table_of(q);
    int64_t block = i / q->block, end = i + n;
    while (i < end) {
        int64_t stop = (block + 1) * q->block;
        if (stop > end) stop = end;
        quant_part(out, q, &t, codes, i, stop, lm_quant_scale(q, block++));
        out += stop - i;
        i = stop;
    }
}

#endif
