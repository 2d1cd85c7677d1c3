/* AdamW, vectorised; the equations stand in ref/adamw.k.c. */
#include "backend/real.h"
#include "backend/cpu/piece.h"

#include <math.h>

#if LM_REAL_ID == 0
static void adamw_piece(const lm_k_adamw *a, int64_t begin, int64_t end)
{
    float *w = a->w, *m = a->m, *v = a->v;
    const float *g = a->g;
    const float scale = a->scale, keep = 1 - a->lr * a->decay, beta1 = a->beta1, beta2 = a->beta2;
    const float bias1 = a->bias1, bias2 = a->bias2, lr = a->lr, eps = a->eps;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        float d = scale * g[i];
        float m1 = beta1 * m[i] + (1 - beta1) * d;
        float v1 = beta2 * v[i] + (1 - beta2) * d * d;
        m[i] = m1;
        v[i] = v1;
        w[i] = w[i] * keep - lr * (m1 / bias1) / (sqrtf(v1 / bias2) + eps);
    }
}

static void adamw(const lm_k_adamw *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t i = 0; i < a->n; i += PIECE) adamw_piece(a, i, least(i + PIECE, a->n));
}
#endif

LM_INSTALL(adamw)
{
    (void)k;
#if LM_REAL_ID == 0
    k->adamw = adamw;
#endif
}
