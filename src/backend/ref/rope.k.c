/* Rotary position embedding (Su et al. 2021, "RoFormer", section 3.4.2), half-split layout.
 *
 *   angle[r, j] = positions[r] * inv_freq[j]
 *   (a, b) = (x[j], x[j + half])  ->  (a cos - b sin,  b cos + a sin)
 *
 * The angle is an f32 product, and cos and sin are of that f32 number, as PyTorch takes them: at
 * position 100000 the rounding of the angle is part of what a model was trained with.  Frequency
 * scaling is in inv_freq already. */
#include "backend/real.h"

#include <math.h>

#if LM_REAL_ID == 0
static void rope_table(const lm_k_rope_table *a)
{
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->half; j++) {
            float angle = (float)a->positions[i] * a->inv_freq[j];
            a->cos[i * a->half + j] = (float)cos(angle) * a->scale;
            a->sin[i * a->half + j] = (float)sin(angle) * a->scale;
        }
}
#endif

static void rope(const lm_k_rope *a)
{
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t h = 0; h < a->heads; h++) {
            real *x = (real *)a->x + i * a->ld + h * a->head_dim;
            for (int64_t j = 0; j < a->half; j++) {
                float c = a->cos[i * a->half + j], s = a->sin[i * a->half + j];
                if (a->inverse) s = -s;
                float p = load(x[j]), q = load(x[j + a->half]);
                x[j] = store(p * c - q * s);
                x[j + a->half] = store(q * c + p * s);
            }
        }
}

LM_INSTALL(rope)
{
#if LM_REAL_ID == 0
    k->rope_table = rope_table;
#endif
    k->rope[LM_REAL_ID] = rope;
}
