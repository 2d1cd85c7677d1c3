/* Rotary position embedding; the equations stand in ref/rope.k.c.
 *
 * The table is made once per step with libm's cos and sin of the f32 angle, so it is ref's. */
#include "backend/real.h"
#include "backend/cpu/piece.h"

#include <math.h>

#if LM_REAL_ID == 0
static void rope_table(const lm_k_rope_table *a)
{
#pragma omp parallel for schedule(static) if (a->rows * a->half > 256)
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->half; j++) {
            float angle = (float)a->positions[i] * a->inv_freq[j];
            a->cos[i * a->half + j] = (float)cos(angle) * a->scale;
            a->sin[i * a->half + j] = (float)sin(angle) * a->scale;
        }
}
#endif

static void rotate(real *x, const float *cosine, const float *sine, float sign, int64_t half)
{
#pragma omp simd
    for (int64_t j = 0; j < half; j++) {
        float c = cosine[j], s = sign * sine[j], p = load(x[j]), q = load(x[j + half]);
        x[j] = store(p * c - q * s);
        x[j + half] = store(q * c + p * s);
    }
}

static void rope(const lm_k_rope *a)
{
    const float sign = a->inverse ? -1 : 1;
#pragma omp parallel for schedule(static) if (a->rows * a->heads * a->half > SERIAL)
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t h = 0; h < a->heads; h++)
            rotate((real *)a->x + i * a->ld + h * a->head_dim, a->cos + i * a->half, a->sin + i * a->half, sign,
                   a->half);
}

LM_INSTALL(rope)
{
#if LM_REAL_ID == 0
    k->rope_table = rope_table;
#endif
    k->rope[LM_REAL_ID] = rope;
}
