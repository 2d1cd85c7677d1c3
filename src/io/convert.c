/* Through f32, a block at a time: both steps of a block stay in the first-level cache. */
#include "io/convert.h"

#include "base/err.h"
#include "base/thread.h"

#include <string.h>

enum { BLOCK = 1024 };                       /* elements */
static const int64_t grain = 1 << 18;        /* elements worth another thread */

typedef struct job {
    uint8_t *out;
    const uint8_t *in;
    lm_dtype to, from;
} job;

static bool is_float(lm_dtype t) { return t == LM_F32 || t == LM_BF16 || t == LM_F16; }

bool lm_convertible(lm_dtype from, lm_dtype to)
{
    return from == to || (is_float(from) && is_float(to));
}

static void to_f32(float *y, const uint8_t *x, lm_dtype from, int n)
{
    uint16_t half[BLOCK];
    if (from == LM_F32) {
        memcpy(y, x, (size_t)n * sizeof *y);
        return;
    }
    memcpy(half, x, (size_t)n * sizeof *half);
    if (from == LM_BF16) for (int i = 0; i < n; i++) y[i] = lm_bf16_to_f32(half[i]);
    else                 for (int i = 0; i < n; i++) y[i] = lm_f16_to_f32(half[i]);
}

static void from_f32(uint8_t *y, lm_dtype to, const float *x, int n)
{
    uint16_t half[BLOCK];
    if (to == LM_F32) {
        memcpy(y, x, (size_t)n * sizeof *x);
        return;
    }
    if (to == LM_BF16) for (int i = 0; i < n; i++) half[i] = lm_f32_to_bf16(x[i]);
    else               for (int i = 0; i < n; i++) half[i] = lm_f32_to_f16(x[i]);
    memcpy(y, half, (size_t)n * sizeof *half);
}

static void convert_range(int64_t begin, int64_t end, void *context)
{
    const job *j = context;
    float block[BLOCK];
    for (int64_t i = begin; i < end; i += BLOCK) {
        int n = end - i < BLOCK ? (int)(end - i) : BLOCK;
        to_f32(block, j->in + (size_t)i * lm_dtype_size(j->from), j->from, n);
        from_f32(j->out + (size_t)i * lm_dtype_size(j->to), j->to, block, n);
    }
}

void lm_convert(void *out, lm_dtype to, const void *in, lm_dtype from, int64_t n)
{
    LM_ASSERT(lm_convertible(from, to));
    if (n == 0) return;
    if (from == to) {
        memcpy(out, in, (size_t)n * lm_dtype_size(to));
        return;
    }
    lm_parallel(n, grain, convert_range, &(job){ .out = out, .in = in, .to = to, .from = from });
}
