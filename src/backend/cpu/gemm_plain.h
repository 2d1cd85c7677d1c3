/* The few rows of a for the products that do not pack them. */
#ifndef LM_BACKEND_CPU_GEMM_PLAIN_H
#define LM_BACKEND_CPU_GEMM_PLAIN_H

#include "backend/weight.h"
#include "base/err.h"

#include <stdlib.h>

/* a [m, k] in f32, distance between rows *lda: as it lies, or copied into *room, which the caller frees. */
static inline const float *gemm_rows_in_f32(float **room, int64_t *lda, const lm_gemm *g)
{
    *room = NULL;
    *lda = g->lda;
    if (g->at == LM_F32 && !g->trans_a) return g->a;
    *lda = g->k;
    *room = malloc((size_t)(g->m * g->k + 1) * sizeof(float));
    if (!*room) LM_BUG("gemm: no memory for %lld numbers", (long long)(g->m * g->k));
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            (*room)[i * g->k + p] = lm_weight_at(g->a, g->at, g->trans_a ? p * g->lda + i : i * g->lda + p);
    return *room;
}

#endif
