/* Activations, alone and gating, vectorised; the equations stand in ref/activation.k.c.
 *
 * A gradient may lie over dy: each lane reads before it writes. */
#include "backend/real.h"
#include "backend/cpu/act.h"
#include "backend/cpu/piece.h"

LM_INLINE void act_values(const lm_act act, real *y, const real *x, int64_t n, bool acc)
{
    if (acc) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = store(load(y[i]) + act_value(act, load(x[i])));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = store(act_value(act, load(x[i])));
    }
}

LM_INLINE void act_grads(const lm_act act, real *dx, const real *x, const real *dy, int64_t n, bool acc)
{
    if (acc) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) dx[i] = store(load(dx[i]) + load(dy[i]) * act_slope(act, load(x[i])));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) dx[i] = store(load(dy[i]) * act_slope(act, load(x[i])));
    }
}

static void act_fwd(const lm_k_act *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t i = 0; i < a->n; i += PIECE) {
        int64_t n = least(PIECE, a->n - i);
        FOR_EACH_ACT(a->act, act_values, (real *)a->y + i, (const real *)a->x + i, n, a->acc)
    }
}

static void act_bwd(const lm_k_act *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t i = 0; i < a->n; i += PIECE) {
        int64_t n = least(PIECE, a->n - i);
        FOR_EACH_ACT(a->act, act_grads, (real *)a->y + i, (const real *)a->x + i, (const real *)a->dy + i, n, a->acc)
    }
}

LM_INLINE void glu_values(const lm_act act, real *y, const real *gate, const real *up, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = store(act_value(act, load(gate[i])) * load(up[i]));
}

/* What stood there is kept by a mask of its bits: a choice makes four loops of one, and a product
 * with 0 keeps NaN. */
LM_INLINE void glu_grads(const lm_act act, const lm_k_glu_bwd *a, int64_t begin, int64_t end)
{
    const real *dy = a->dy, *gate = a->gate, *up = a->up;
    real *dgate = a->dgate, *dup = a->dup;
    const int32_t mask_gate = -(int32_t)a->acc_gate, mask_up = -(int32_t)a->acc_up;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        float d = load(dy[i]), g = load(gate[i]), u = load(up[i]);
        float was_gate = float_of(float_bits(load(dgate[i])) & mask_gate);
        float was_up = float_of(float_bits(load(dup[i])) & mask_up);
        dgate[i] = store(was_gate + d * u * act_slope(act, g));
        dup[i] = store(was_up + d * act_value(act, g));
    }
}

static void glu_fwd(const lm_k_glu *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t i = 0; i < a->n; i += PIECE) {
        int64_t n = least(PIECE, a->n - i);
        FOR_EACH_ACT(a->act, glu_values, (real *)a->y + i, (const real *)a->gate + i, (const real *)a->up + i, n)
    }
}

static void glu_bwd(const lm_k_glu_bwd *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t i = 0; i < a->n; i += PIECE) {
        int64_t end = least(i + PIECE, a->n);
        FOR_EACH_ACT(a->act, glu_grads, a, i, end)
    }
}

LM_INSTALL(activation)
{
    k->act_fwd[LM_REAL_ID] = act_fwd;
    k->act_bwd[LM_REAL_ID] = act_bwd;
    k->glu_fwd[LM_REAL_ID] = glu_fwd;
    k->glu_bwd[LM_REAL_ID] = glu_bwd;
}
