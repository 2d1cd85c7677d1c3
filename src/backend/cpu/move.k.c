/* Moving numbers without computing, by all threads: copy, zero, and conversion between the float types.
 *
 * bf16 and f16 meet by way of f32, which holds both exactly.  Conversions of integers are ref's:
 * nothing in a training step uses them. */
#include "backend/real.h"
#include "backend/cpu/piece.h"
#include "backend/cpu/weight_row.h"
#include "backend/ref/convert.h"

#include <stdbool.h>
#include <string.h>

#if LM_REAL_ID == 0
enum { COPY_PIECE = 1 << 18 };         /* bytes */

static void copy(void *y, const void *x, int64_t bytes)
{
#pragma omp parallel for schedule(static) if (bytes > 4 * COPY_PIECE)
    for (int64_t i = 0; i < bytes; i += COPY_PIECE)
        memcpy((char *)y + i, (const char *)x + i, (size_t)least(COPY_PIECE, bytes - i));
}

static void zero(void *y, int64_t bytes)
{
#pragma omp parallel for schedule(static) if (bytes > 4 * COPY_PIECE)
    for (int64_t i = 0; i < bytes; i += COPY_PIECE) memset((char *)y + i, 0, (size_t)least(COPY_PIECE, bytes - i));
}

static void f32_of_bf16(float *y, const uint16_t *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = lm_bf16_to_f32(x[i]);
}

static void bf16_of_f32(uint16_t *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = lm_f32_to_bf16(x[i]);
}

static bool is_float(lm_dtype type) { return type == LM_F32 || type == LM_BF16 || type == LM_F16; }

/* n <= RUN numbers between two different float types */
static void convert_run(char *y, lm_dtype yt, const char *x, lm_dtype xt, int64_t n)
{
    float room[RUN];
    const float *f = xt == LM_F32 ? (const float *)(const void *)x : room;
    float *to = yt == LM_F32 ? (float *)(void *)y : room;
    if (xt == LM_BF16) f32_of_bf16(to, (const uint16_t *)(const void *)x, n);
    if (xt == LM_F16) f32_of_f16(to, (const uint16_t *)(const void *)x, n);
    if (yt == LM_BF16) bf16_of_f32((uint16_t *)(void *)y, f, n);
    if (yt == LM_F16) f16_of_f32((uint16_t *)(void *)y, f, n);
}

static void convert(void *y, lm_dtype yt, const void *x, lm_dtype xt, int64_t n)
{
    const int64_t to = (int64_t)lm_dtype_size(yt), from = (int64_t)lm_dtype_size(xt);
    if (yt == xt) {
        copy(y, x, n * from);
    } else if (is_float(yt) && is_float(xt)) {
#pragma omp parallel for schedule(static) if (n > SERIAL)
        for (int64_t i = 0; i < n; i += RUN)
            convert_run((char *)y + i * to, yt, (const char *)x + i * from, xt, least(RUN, n - i));
    } else {
        lm_convert_ref(y, yt, x, xt, n);
    }
}
#endif

LM_INSTALL(move)
{
    (void)k;
#if LM_REAL_ID == 0
    k->convert = convert;
    k->copy = copy;
    k->zero = zero;
#endif
}
