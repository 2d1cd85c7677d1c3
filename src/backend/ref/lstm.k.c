/* The cell of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000), one step of one sequence, in f32.
 *
 *   c = f c' + i g,  h = o tanh(c)         gates [i, f, g, o] of H numbers each, before and after their functions
 *
 *   do = dh tanh(c),  dc += dh o (1 - tanh(c)^2),  di = dc g,  df = dc c',  dg = dc i,  dc' = dc f */
#include "backend/real.h"

#if LM_REAL_ID == 0

#include <math.h>

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void lstm_cell_fwd(float *h, float *c, float *gates, const float *before, int64_t n)
{
    float *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
    for (int64_t j = 0; j < n; j++) {
        i[j] = sigmoid(i[j]), f[j] = sigmoid(f[j]), g[j] = tanhf(g[j]), o[j] = sigmoid(o[j]);
        c[j] = (before ? f[j] * before[j] : 0) + i[j] * g[j];
        h[j] = o[j] * tanhf(c[j]);
    }
}

static void lstm_cell_bwd(float *da, float *dc, const float *dh, const float *gates, const float *c, const float *before, int64_t n)
{
    const float *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
    for (int64_t j = 0; j < n; j++) {
        float tc = tanhf(c[j]), d = dc[j] + dh[j] * o[j] * (1 - tc * tc);
        da[j] = d * g[j] * i[j] * (1 - i[j]);
        da[n + j] = (before ? d * before[j] : 0) * f[j] * (1 - f[j]);
        da[2 * n + j] = d * i[j] * (1 - g[j] * g[j]);
        da[3 * n + j] = dh[j] * tc * o[j] * (1 - o[j]);
        dc[j] = d * f[j];
    }
}

#endif

LM_INSTALL(lstm)
{
#if LM_REAL_ID == 0
    k->lstm_cell_fwd = lstm_cell_fwd;
    k->lstm_cell_bwd = lstm_cell_bwd;
#else
    (void)k;
#endif
}
