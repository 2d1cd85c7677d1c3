/* c = act(alpha * op(a) op(b) + beta * c + bias): each element is one sum over k, in order. */
#include "backend/real.h"
#include "backend/ref/act.h"
#include "backend/weight.h"
#include "base/thread.h"

#if LM_REAL_ID == 0

/* compute = bf16 rounds each factor first, as matrix units that take bf16 do. */
static float factor(const lm_gemm *g, const void *x, const lm_quant *q, lm_dtype type, int64_t i)
{
    float value = q ? lm_quant_at(q, x, i) : lm_weight_at(x, type, i);
    return g->compute == LM_BF16 ? lm_bf16_to_f32(lm_f32_to_bf16(value)) : value;
}

static float product(const lm_gemm *g, int64_t i, int64_t j)
{
    float sum = 0;
    for (int64_t p = 0; p < g->k; p++)
        sum += factor(g, g->a, NULL, g->at, g->trans_a ? p * g->lda + i : i * g->lda + p) *
               factor(g, g->b, g->bq, g->bt, g->trans_b ? j * g->ldb + p : p * g->ldb + j);
    return sum;
}

static void set_result(void *c, lm_dtype type, int64_t i, float value)
{
    if (type == LM_F32) ((float *)c)[i] = value;
    else ((uint16_t *)c)[i] = lm_f32_to_bf16(value);
}

static void rows(int64_t begin, int64_t end, void *context)
{
    const lm_gemm *g = context;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < g->n; j++) {
            int64_t at = i * g->ldc + j;
            float y = g->alpha * product(g, i, j);
            if (g->beta != 0) y += g->beta * lm_weight_at(g->c, g->ct, at);
            if (g->bias) y += lm_weight_at(g->bias, g->bias_t, j);
            if (g->pre) set_result(g->pre, g->ct, at, y);
            set_result(g->c, g->ct, at, act_value(g->act, y));
        }
}

static void gemm(const lm_gemm *g)
{
    lm_parallel(g->m, 1, rows, (void *)g);
}

LM_INSTALL(gemm) { k->gemm = gemm; }

#else
LM_INSTALL(gemm) { (void)k; }
#endif
