/* Dropout (Srivastava et al. 2014, section 10, in the form that scales what is kept).
 *
 *   y_i = x_i / (1 - p) where word i % 4 of Philox block i / 4, as a number in [0, 1), is >= p; else 0
 *
 * The mask is a function of (seed, stream, i) alone, so backward calls the same kernel on dy. */
#include "backend/real.h"
#include "base/rng.h"

static void dropout(const lm_k_dropout *a)
{
    const real *x = a->x;
    real *y = a->y;
    float scale = 1 / (1 - a->p);
    for (int64_t i = 0; i < a->n; i += 4) {
        uint32_t word[4];
        lm_philox(word, a->seed, a->stream, (uint64_t)(i / 4));
        for (int64_t j = i; j < i + 4 && j < a->n; j++) {
            float kept = lm_u32_unit(word[j - i]) >= a->p ? load(x[j]) * scale : 0;
            y[j] = store(a->acc ? load(y[j]) + kept : kept);
        }
    }
}

LM_INSTALL(dropout)
{
    k->dropout[LM_REAL_ID] = dropout;
}
