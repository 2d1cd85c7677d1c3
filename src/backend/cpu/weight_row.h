/* A run of a weight (f32, bf16 or f16, known at run time) as f32. */
#ifndef LM_BACKEND_CPU_WEIGHT_ROW_H
#define LM_BACKEND_CPU_WEIGHT_ROW_H

#include "tensor/dtype.h"

#include <immintrin.h>

enum { RUN = 256 };

static inline void f32_of_f16(float *y, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++) y[i] = _cvtsh_ss(x[i]);
}

static inline void f16_of_f32(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
    for (; i < n; i++) y[i] = _cvtss_sh(x[i], 0);
}

/* weight[at .. at + n), n <= RUN: in place when it is f32, else in `room`; `absent` where weight is NULL. */
static inline const float *weight_run(float room[RUN], const void *weight, lm_dtype type, int64_t at, int64_t n,
                                      float absent)
{
    if (!weight) {
        for (int64_t i = 0; i < n; i++) room[i] = absent;
    } else if (type == LM_F32) {
        return (const float *)weight + at;
    } else if (type == LM_BF16) {
        const uint16_t *w = (const uint16_t *)weight + at;
        for (int64_t i = 0; i < n; i++) room[i] = lm_bf16_to_f32(w[i]);
    } else {
        f32_of_f16(room, (const uint16_t *)weight + at, n);
    }
    return room;
}

#endif
