/* How every product ends: f32 numbers of c meet beta, bias and activation and are stored. */
#ifndef LM_BACKEND_CPU_GEMM_END_H
#define LM_BACKEND_CPU_GEMM_END_H

#include "backend/cpu/act.h"
#include "backend/cpu/gemm.h"

LM_INLINE vf gemm_load(const void *x, lm_dtype type, int64_t i, int64_t count)
{
    return count < LANES ? vec_load_part(x, type, i, count) : vec_load(x, type, i);
}

LM_INLINE void gemm_store(void *y, lm_dtype type, int64_t i, vf x, int64_t count)
{
    if (count < LANES) vec_store_part(y, type, i, x, count);
    else vec_store(y, type, i, x);
}

LM_INLINE void gemm_act_lanes(lm_act act, float *x)
{
    for (int l = 0; l < LANES; l++) x[l] = act_value(act, x[l]);
}

static inline vf gemm_act(lm_act act, vf x)
{
    float lane[LANES];
    vec_store_f32(lane, x);
    FOR_EACH_ACT(act, gemm_act_lanes, lane)
    return vec_load_f32(lane);
}

/* alpha * product + beta * c, for `count` <= LANES columns from j of row i. */
static inline vf gemm_scale(const lm_gemm *g, vf product, int64_t i, int64_t j, int64_t count)
{
    vf y = product * g->alpha;
    return g->beta != 0 ? y + gemm_load(g->c, g->ct, i * g->ldc + j, count) * g->beta : y;
}

/* act(y + bias) to c, and y + bias to pre. */
static inline void gemm_end(const lm_gemm *g, vf y, int64_t i, int64_t j, int64_t count)
{
    int64_t at = i * g->ldc + j;
    if (g->bias) y += gemm_load(g->bias, g->bias_t, j, count);
    if (g->pre) gemm_store(g->pre, g->ct, at, y, count);
    if (g->act != LM_ACT_NONE) y = gemm_act(g->act, y);
    gemm_store(g->c, g->ct, at, y, count);
}

#endif
