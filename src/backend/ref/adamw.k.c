/* AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2).
 *
 *   g <- scale * g                                  m <- beta1 m + (1 - beta1) g
 *   w <- (1 - lr decay) w                           v <- beta2 v + (1 - beta2) g^2
 *   w <- w - lr (m / bias1) / (sqrt(v / bias2) + eps)
 *
 * bias1 = 1 - beta1^t and bias2 = 1 - beta2^t come from the caller, who knows the step t; scale
 * carries clipping and the division by the number of tokens.  Everything is f32. */
#include "backend/real.h"

#include <math.h>

#if LM_REAL_ID == 0
static void adamw(const lm_k_adamw *a)
{
    for (int64_t i = 0; i < a->n; i++) {
        float g = a->scale * a->g[i];
        float m = a->m[i] = a->beta1 * a->m[i] + (1 - a->beta1) * g;
        float v = a->v[i] = a->beta2 * a->v[i] + (1 - a->beta2) * g * g;
        float w = a->w[i] * (1 - a->lr * a->decay);
        a->w[i] = w - a->lr * (m / a->bias1) / (sqrtf(v / a->bias2) + a->eps);
    }
}
#endif

LM_INSTALL(adamw)
{
    (void)k;
#if LM_REAL_ID == 0
    k->adamw = adamw;
#endif
}
