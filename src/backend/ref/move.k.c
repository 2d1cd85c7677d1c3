/* Moving numbers without computing: copy, zero, conversion between types, rows to other places.
 *
 * A number goes from type to type by way of f64, which holds every value of every type but large
 * 64-bit integers.  Floats round to nearest, ties to even; integers take the part before the point,
 * the nearest end of their range where the value lies outside, and 0 for NaN.
 *
 * scatter_rows writes rows in order: where an index stands twice, the later row stays. */
#include "backend/real.h"
#include "backend/ref/convert.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

#if LM_REAL_ID == 0
static double read_as(lm_dtype type, const void *x, int64_t i)
{
    switch (type) {
    case LM_F32: return ((const float *)x)[i];
    case LM_BF16: return lm_bf16_to_f32(((const uint16_t *)x)[i]);
    case LM_F16: return lm_f16_to_f32(((const uint16_t *)x)[i]);
    case LM_I8: return ((const int8_t *)x)[i];
    case LM_U8: return ((const uint8_t *)x)[i];
    case LM_I32: return ((const int32_t *)x)[i];
    case LM_I64: return (double)((const int64_t *)x)[i];
    default: LM_BUG("no element type %d", (int)type);
    }
}

/* 2^63 is the least double above every int64_t. */
static int64_t whole(double x, int64_t low, int64_t high)
{
    if (isnan(x)) return 0;
    if (x >= 0x1p63) return high;
    if (x < -0x1p63) return low;
    int64_t n = (int64_t)x;
    return n < low ? low : n > high ? high : n;
}

static void write_as(lm_dtype type, void *y, int64_t i, double x)
{
    switch (type) {
    case LM_F32: ((float *)y)[i] = (float)x; break;
    case LM_BF16: ((uint16_t *)y)[i] = lm_f32_to_bf16((float)x); break;
    case LM_F16: ((uint16_t *)y)[i] = lm_f32_to_f16((float)x); break;
    case LM_I8: ((int8_t *)y)[i] = (int8_t)whole(x, INT8_MIN, INT8_MAX); break;
    case LM_U8: ((uint8_t *)y)[i] = (uint8_t)whole(x, 0, UINT8_MAX); break;
    case LM_I32: ((int32_t *)y)[i] = (int32_t)whole(x, INT32_MIN, INT32_MAX); break;
    case LM_I64: ((int64_t *)y)[i] = whole(x, INT64_MIN, INT64_MAX); break;
    default: LM_BUG("no element type %d", (int)type);
    }
}

static void copy(void *y, const void *x, int64_t bytes)
{
    if (bytes > 0) memcpy(y, x, (size_t)bytes);
}

static void zero(void *y, int64_t bytes)
{
    if (bytes > 0) memset(y, 0, (size_t)bytes);
}

void lm_convert_ref(void *y, lm_dtype yt, const void *x, lm_dtype xt, int64_t n)
{
    if (yt == xt) {
        copy(y, x, n * (int64_t)lm_dtype_size(xt));
        return;
    }
    for (int64_t i = 0; i < n; i++) write_as(yt, y, i, read_as(xt, x, i));
}
#endif

static void scatter_rows(void *y, const void *x, const int32_t *index, int64_t rows, int64_t cols, int64_t ldy,
                         int64_t ldx)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy((real *)y + index[i] * ldy, (const real *)x + i * ldx, (size_t)cols * sizeof(real));
}

LM_INSTALL(move)
{
#if LM_REAL_ID == 0
    k->convert = lm_convert_ref;
    k->copy = copy;
    k->zero = zero;
#endif
    k->scatter_rows[LM_REAL_ID] = scatter_rows;
}
