/* Activations, alone and gating (Shazeer 2020, "GLU variants improve transformer", equation 5).
 *
 *   act: y = f(x)              dx = dy f'(x)
 *   glu: y = f(gate) up        dgate = dy up f'(gate)       dup = dy f(gate)
 *
 * Every number is read before the place is written, as a gradient may lie over dy. */
#include "backend/real.h"
#include "backend/ref/act.h"

static void act_fwd(const lm_k_act *a)
{
    const real *x = a->x;
    real *y = a->y;
    for (int64_t i = 0; i < a->n; i++) {
        float f = act_value(a->act, load(x[i]));
        y[i] = store(a->acc ? load(y[i]) + f : f);
    }
}

static void act_bwd(const lm_k_act *a)
{
    const real *x = a->x, *dy = a->dy;
    real *dx = a->y;
    for (int64_t i = 0; i < a->n; i++) {
        float d = load(dy[i]) * act_slope(a->act, load(x[i]));
        dx[i] = store(a->acc ? load(dx[i]) + d : d);
    }
}

static void glu_fwd(const lm_k_glu *a)
{
    const real *gate = a->gate, *up = a->up;
    real *y = a->y;
    for (int64_t i = 0; i < a->n; i++) y[i] = store(act_value(a->act, load(gate[i])) * load(up[i]));
}

static void glu_bwd(const lm_k_glu_bwd *a)
{
    const real *dy = a->dy, *gate = a->gate, *up = a->up;
    real *dgate = a->dgate, *dup = a->dup;
    for (int64_t i = 0; i < a->n; i++) {
        float d = load(dy[i]), g = load(gate[i]), u = load(up[i]);
        float dg = d * u * act_slope(a->act, g), du = d * act_value(a->act, g);
        float old_gate = a->acc_gate ? load(dgate[i]) : 0, old_up = a->acc_up ? load(dup[i]) : 0;
        dgate[i] = store(old_gate + dg);
        dup[i] = store(old_up + du);
    }
}

LM_INSTALL(activation)
{
    k->act_fwd[LM_REAL_ID] = act_fwd;
    k->act_bwd[LM_REAL_ID] = act_bwd;
    k->glu_fwd[LM_REAL_ID] = glu_fwd;
    k->glu_bwd[LM_REAL_ID] = glu_bwd;
}
