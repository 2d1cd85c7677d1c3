/* RMSNorm (Zhang & Sennrich 2019, equation 4) and LayerNorm (Ba et al. 2016, equation 3), each with
 * the residual addition in front.
 *
 *   s = x + residual        h = (s - mean) * rstd        y = h * w + b
 *   RMSNorm: mean = 0, rstd = 1 / sqrt(mean_j s_j^2 + eps)
 *   LayerNorm: rstd = 1 / sqrt(mean_j (s_j - mean)^2 + eps)
 *
 * Backward, with g = dy * w and averages over the row:
 *   ds = rstd * (g - avg(g) - h * avg(g h))      RMSNorm has no avg(g)
 *   dw = sum over rows of dy * h                 db = sum over rows of dy
 *
 * s is rounded to the activation type before anything is taken of it, because that is what backward
 * will read.  Sums over a row are in double. */
#include "backend/real.h"
#include "backend/weight.h"

#include <math.h>

/* s[i, j]; of the stored sum where there is one, as it may lie over the residual. */
static float summed(const lm_k_norm *a, int64_t at)
{
    if (a->sum) return load(((const real *)a->sum)[at]);
    float x = load(((const real *)a->x)[at]);
    return a->residual ? load(store(x + load(((const real *)a->residual)[at]))) : x;
}

static void store_sum(const lm_k_norm *a)
{
    const real *x = a->x, *residual = a->residual;
    real *sum = a->sum;
    for (int64_t at = 0; at < a->rows * a->cols; at++)
        sum[at] = residual ? store(load(x[at]) + load(residual[at])) : x[at];
}

static float scale_at(const void *w, lm_dtype type, int64_t j) { return w ? lm_weight_at(w, type, j) : 1; }

static void norm_fwd(const lm_k_norm *a)
{
    if (a->sum) store_sum(a);
    real *y = a->y;
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t row = i * a->cols;
        double mean = 0, square = 0;
        if (a->mean) {
            for (int64_t j = 0; j < a->cols; j++) mean += summed(a, row + j);
            mean /= (double)a->cols;
            a->mean[i] = (float)mean;
        }
        for (int64_t j = 0; j < a->cols; j++) {
            double d = summed(a, row + j) - mean;
            square += d * d;
        }
        float rstd = (float)(1 / sqrt(square / (double)a->cols + (double)a->eps));
        if (a->rstd) a->rstd[i] = rstd;
        for (int64_t j = 0; j < a->cols; j++) {
            float h = (summed(a, row + j) - (float)mean) * rstd;
            float b = a->b ? lm_weight_at(a->b, a->wt, j) : 0;
            y[row + j] = store(h * scale_at(a->w, a->wt, j) + b);
        }
    }
}

static void norm_bwd(const lm_k_norm_bwd *a)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const real *dy = (const real *)a->dy + i * a->cols, *s = (const real *)a->s + i * a->cols;
        real *ds = (real *)a->ds + i * a->cols;
        float mean = a->mean ? a->mean[i] : 0, rstd = a->rstd[i];
        double avg_g = 0, avg_gh = 0;
        for (int64_t j = 0; j < a->cols; j++) {
            float d = load(dy[j]), g = d * scale_at(a->w, a->wt, j), h = (load(s[j]) - mean) * rstd;
            avg_g += g, avg_gh += (double)g * h;
            if (a->dw) a->dw[j] += d * h;
            if (a->db) a->db[j] += d;
        }
        avg_g = a->mean ? avg_g / (double)a->cols : 0;
        avg_gh /= (double)a->cols;
        for (int64_t j = 0; a->ds && j < a->cols; j++) {
            float g = load(dy[j]) * scale_at(a->w, a->wt, j), h = (load(s[j]) - mean) * rstd;
            float d = rstd * (g - (float)avg_g - h * (float)avg_gh);
            ds[j] = store(a->acc ? load(ds[j]) + d : d);
        }
    }
}

LM_INSTALL(norm)
{
    k->norm_fwd[LM_REAL_ID] = norm_fwd;
    k->norm_bwd[LM_REAL_ID] = norm_bwd;
}
