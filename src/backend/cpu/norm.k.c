/* RMSNorm and LayerNorm, a row at a time; the equations stand in ref/norm.k.c.
 *
 * A row's sums are in f32, over the lanes of a vector.  Backward walks the rows twice: once with a
 * thread per row for ds, once with a thread per group of columns for dw and db, which are then sums
 * in the order of the rows on any number of threads. */
#include "backend/real.h"
#include "backend/cpu/piece.h"
#include "backend/cpu/weight_row.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* s of row i, stored where it is wanted; y's row is the room where it is not. */
static const real *summed(const lm_k_norm *a, int64_t i)
{
    const int64_t at = i * a->cols, n = a->cols;
    const real *x = (const real *)a->x + at;
    if (!a->residual) {
        if (a->sum) memcpy((real *)a->sum + at, x, (size_t)n * sizeof(real));
        return x;
    }
    const real *residual = (const real *)a->residual + at;
    real *s = (real *)(a->sum ? a->sum : a->y) + at;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) s[j] = store(load(x[j]) + load(residual[j]));
    return s;
}

static float mean_of(const real *s, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += load(s[j]);
    return sum / (float)n;
}

static float mean_square(const real *s, float mean, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += (load(s[j]) - mean) * (load(s[j]) - mean);
    return sum / (float)n;
}

static void norm_row(const lm_k_norm *a, int64_t i)
{
    const real *s = summed(a, i);
    real *y = (real *)a->y + i * a->cols;
    const float mean = a->mean ? mean_of(s, a->cols) : 0;
    const float rstd = 1 / sqrtf(mean_square(s, mean, a->cols) + a->eps);
    if (a->mean) a->mean[i] = mean;
    if (a->rstd) a->rstd[i] = rstd;
    float w_room[RUN], b_room[RUN];
    for (int64_t j = 0; j < a->cols; j += RUN) {
        int64_t n = least(RUN, a->cols - j);
        const float *w = weight_run(w_room, a->w, a->wt, j, n, 1), *b = weight_run(b_room, a->b, a->wt, j, n, 0);
#pragma omp simd
        for (int64_t c = 0; c < n; c++) y[j + c] = store((load(s[j + c]) - mean) * rstd * w[c] + b[c]);
    }
}

static void norm_fwd(const lm_k_norm *a)
{
#pragma omp parallel for schedule(static) if (a->rows * a->cols > SERIAL)
    for (int64_t i = 0; i < a->rows; i++) norm_row(a, i);
}

static void ds_row(const lm_k_norm_bwd *a, int64_t i)
{
    const real *dy = (const real *)a->dy + i * a->cols, *s = (const real *)a->s + i * a->cols;
    real *ds = (real *)a->ds + i * a->cols;
    const float mean = a->mean ? a->mean[i] : 0, rstd = a->rstd[i];
    float room[RUN], sum_g = 0, sum_gh = 0;
    for (int64_t j = 0; j < a->cols; j += RUN) {
        int64_t n = least(RUN, a->cols - j);
        const float *w = weight_run(room, a->w, a->wt, j, n, 1);
#pragma omp simd reduction(+ : sum_g, sum_gh)
        for (int64_t c = 0; c < n; c++) {
            float g = load(dy[j + c]) * w[c];
            sum_g += g;
            sum_gh += g * ((load(s[j + c]) - mean) * rstd);
        }
    }
    const float avg_g = a->mean ? sum_g / (float)a->cols : 0, avg_gh = sum_gh / (float)a->cols;
    const bool acc = a->acc;
    for (int64_t j = 0; j < a->cols; j += RUN) {
        int64_t n = least(RUN, a->cols - j);
        const float *w = weight_run(room, a->w, a->wt, j, n, 1);
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float g = load(dy[j + c]) * w[c], h = (load(s[j + c]) - mean) * rstd, was = load(ds[j + c]);
            ds[j + c] = store((acc ? was : 0.0f) + rstd * (g - avg_g - h * avg_gh));
        }
    }
}

static void dw_columns(const lm_k_norm_bwd *a, int64_t begin, int64_t end)
{
    float *dw = a->dw, *db = a->db;
    for (int64_t i = 0; i < a->rows; i++) {
        const real *dy = (const real *)a->dy + i * a->cols, *s = (const real *)a->s + i * a->cols;
        const float mean = a->mean ? a->mean[i] : 0, rstd = a->rstd[i];
        if (dw) {
#pragma omp simd
            for (int64_t j = begin; j < end; j++) dw[j] += load(dy[j]) * ((load(s[j]) - mean) * rstd);
        }
        if (db) {
#pragma omp simd
            for (int64_t j = begin; j < end; j++) db[j] += load(dy[j]);
        }
    }
}

/* dw and db first: ds may lie over dy. */
static void norm_bwd(const lm_k_norm_bwd *a)
{
    const bool wide = a->rows * a->cols > SERIAL;
    const int64_t each = columns_each(a->cols, omp_get_max_threads());
    if (a->dw || a->db) {
#pragma omp parallel for schedule(static) if (wide)
        for (int64_t j = 0; j < a->cols; j += each) dw_columns(a, j, least(j + each, a->cols));
    }
    if (!a->ds) return;
#pragma omp parallel for schedule(static) if (wide)
    for (int64_t i = 0; i < a->rows; i++) ds_row(a, i);
}

LM_INSTALL(norm)
{
    k->norm_fwd[LM_REAL_ID] = norm_fwd;
    k->norm_bwd[LM_REAL_ID] = norm_bwd;
}
