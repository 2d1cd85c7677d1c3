/* How every product ends: a small block of f32 sums meets alpha, beta, bias and activation and becomes
 * a part of c.
 *
 * The block is y[rows, width] of whole vectors (width a multiple of LANES); its first `cols` columns
 * are c's from row i, column j.  What stands in the others does not matter. */
#ifndef LM_BACKEND_CPU_GEMM_END_H
#define LM_BACKEND_CPU_GEMM_END_H

#include "backend/cpu/act.h"
#include "backend/cpu/gemm.h"

typedef struct gemm_part {
    float *y;
    int64_t width, i, j, rows, cols;
} gemm_part;

LM_INLINE vf gemm_load(const void *x, lm_dtype type, int64_t i, int64_t count)
{
    return count < LANES ? vec_load_part(x, type, i, count) : vec_load(x, type, i);
}

LM_INLINE void gemm_store(void *y, lm_dtype type, int64_t i, vf x, int64_t count)
{
    if (count < LANES) vec_store_part(y, type, i, x, count);
    else vec_store(y, type, i, x);
}

LM_INLINE void gemm_act_loop(lm_act act, float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] = act_value(act, x[i]);
}

static inline void gemm_act(lm_act act, float *x, int64_t n)
{
    FOR_EACH_ACT(act, gemm_act_loop, x, n)
}

/* y = alpha * y + factor * x, x [.., ldx] of `type` seen at the part's place; factor 0: x is not read. */
static inline void gemm_scale(const gemm_part *p, float alpha, float factor, const void *x, lm_dtype type, int64_t ldx)
{
    if (alpha == 1 && factor == 0) return;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t v = 0; v < p->cols; v += LANES) {
            float *y = p->y + r * p->width + v;
            vf sum = vec_load_f32(y) * alpha;
            if (factor != 0) sum += gemm_load(x, type, (p->i + r) * ldx + p->j + v, p->cols - v) * factor;
            vec_store_f32(y, sum);
        }
}

LM_INLINE void gemm_put(const gemm_part *p, void *c, lm_dtype type, int64_t ldc)
{
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t v = 0; v < p->cols; v += LANES)
            gemm_store(c, type, (p->i + r) * ldc + p->j + v, vec_load_f32(p->y + r * p->width + v), p->cols - v);
}

static inline void gemm_put_typed(const gemm_part *p, void *c, lm_dtype type, int64_t ldc)
{
    if (type == LM_F32) gemm_put(p, c, LM_F32, ldc);
    else gemm_put(p, c, LM_BF16, ldc);
}

/* act(y + bias) to c, and y + bias to pre. */
static inline void gemm_end(const lm_gemm *g, const gemm_part *p)
{
    for (int64_t v = 0; g->bias && v < p->cols; v += LANES) {
        vf bias = gemm_load(g->bias, g->bias_t, p->j + v, p->cols - v);
        for (int64_t r = 0; r < p->rows; r++) {
            float *y = p->y + r * p->width + v;
            vec_store_f32(y, vec_load_f32(y) + bias);
        }
    }
    if (g->pre) gemm_put_typed(p, g->pre, g->ct, g->ldc);
    if (g->act != LM_ACT_NONE) gemm_act(g->act, p->y, p->rows * p->width);
    gemm_put_typed(p, g->c, g->ct, g->ldc);
}

#endif
