/* The small arithmetic: sums and products of tensors, and what a sum of everything needs.
 *
 *   add y = alpha a + beta b · mul y (+)= a b · accumulate y += x · sum_rows y_j += sum_i x_ij
 *   scale_columns y_ij (+)= x_ij v_j · dot_columns y_j += sum_i a_ij b_ij
 *   sum_squares sum x^2 · dot sum x w · inverse_norms 1 / sqrt(c_i + sum_j a_ij b_ji)
 *
 * Sums over many numbers are in double.  y may lie over a or b. */
#include "backend/real.h"

#include <math.h>

#if LM_REAL_ID == 0
static void sum_squares(double *out, const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    *out = sum;
}

static void dot(float *out, const float *x, const float *w, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += w ? (double)x[i] * w[i] : x[i];
    *out = (float)sum;
}

static void inverse_norms(float *y, const float *c, const float *a, const float *b, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++) {
        double square = c[i];
        for (int64_t j = 0; j < n; j++) square += (double)a[i * n + j] * b[j * rows + i];
        y[i] = square > 0 ? (float)(1 / sqrt(square)) : 0;
    }
}
#endif

static void add(void *y, const void *a, const void *b, float alpha, float beta, int64_t n)
{
    const real *p = a, *q = b;
    real *out = y;
    for (int64_t i = 0; i < n; i++) out[i] = store(alpha * load(p[i]) + (q ? beta * load(q[i]) : 0));
}

static void mul(void *y, const void *a, const void *b, int64_t n, bool acc)
{
    const real *p = a, *q = b;
    real *out = y;
    for (int64_t i = 0; i < n; i++) out[i] = store((acc ? load(out[i]) : 0) + load(p[i]) * load(q[i]));
}

static void sum_rows(float *y, const void *x, int64_t rows, int64_t cols, int64_t ld)
{
    const real *in = x;
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0;
        for (int64_t i = 0; i < rows; i++) sum += load(in[i * ld + j]);
        y[j] += (float)sum;
    }
}

static void scale_columns(void *y, const void *x, const float *v, int64_t rows, int64_t cols, bool acc)
{
    const real *in = x;
    real *out = y;
    for (int64_t i = 0; i < rows * cols; i++) out[i] = store((acc ? load(out[i]) : 0) + load(in[i]) * v[i % cols]);
}

static void dot_columns(float *y, const void *a, const void *b, int64_t rows, int64_t cols)
{
    const real *p = a, *q = b;
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0;
        for (int64_t i = 0; i < rows; i++) sum += (double)load(p[i * cols + j]) * load(q[i * cols + j]);
        y[j] += (float)sum;
    }
}

static void accumulate(float *y, const void *x, int64_t n)
{
    const real *in = x;
    for (int64_t i = 0; i < n; i++) y[i] += load(in[i]);
}

LM_INSTALL(elementwise)
{
#if LM_REAL_ID == 0
    k->sum_squares = sum_squares;
    k->dot = dot;
    k->inverse_norms = inverse_norms;
#endif
    k->add[LM_REAL_ID] = add;
    k->mul[LM_REAL_ID] = mul;
    k->sum_rows[LM_REAL_ID] = sum_rows;
    k->scale_columns[LM_REAL_ID] = scale_columns;
    k->dot_columns[LM_REAL_ID] = dot_columns;
    k->accumulate[LM_REAL_ID] = accumulate;
}
