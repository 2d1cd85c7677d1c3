/* The small arithmetic, vectorised; the equations stand in ref/elementwise.k.c.
 *
 * sum_squares and dot add LM_BLOCKS fixed pieces in order, in double; sum_rows and dot_columns give each thread
 * columns of its own.  Neither depends on the number of threads. */
#include "backend/real.h"
#include "backend/cpu/piece.h"

#include <omp.h>

#if LM_REAL_ID == 0
static double dot_piece(const float *x, const float *w, int64_t begin, int64_t end)
{
    double sum = 0;
    if (w) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += (double)x[i] * (double)w[i];
    } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++) sum += (double)x[i];
    }
    return sum;
}

static double dot_all(const float *x, const float *w, int64_t n)
{
    double part[LM_BLOCKS], sum = 0;
    int64_t each = (n + LM_BLOCKS - 1) / LM_BLOCKS;
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int b = 0; b < LM_BLOCKS; b++) part[b] = dot_piece(x, w, least(n, b * each), least(n, (b + 1) * each));
    for (int b = 0; b < LM_BLOCKS; b++) sum += part[b];
    return sum;
}

static void sum_squares(double *out, const float *x, int64_t n) { *out = dot_all(x, x, n); }
static void dot(float *out, const float *x, const float *w, int64_t n) { *out = (float)dot_all(x, w, n); }
#endif

static void add_piece(real *y, const real *a, const real *b, float alpha, float beta, int64_t begin, int64_t end)
{
    if (b) {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = store(alpha * load(a[i]) + beta * load(b[i]));
    } else {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = store(alpha * load(a[i]));
    }
}

static void add(void *y, const void *a, const void *b, float alpha, float beta, int64_t n)
{
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int64_t i = 0; i < n; i += PIECE) add_piece(y, a, b, alpha, beta, i, least(i + PIECE, n));
}

static void mul_piece(real *y, const real *a, const real *b, bool acc, int64_t begin, int64_t end)
{
    if (acc) {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = store(load(y[i]) + load(a[i]) * load(b[i]));
    } else {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = store(load(a[i]) * load(b[i]));
    }
}

static void mul(void *y, const void *a, const void *b, int64_t n, bool acc)
{
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int64_t i = 0; i < n; i += PIECE) mul_piece(y, a, b, acc, i, least(i + PIECE, n));
}

static void accumulate_piece(float *y, const real *x, int64_t begin, int64_t end)
{
#pragma omp simd
    for (int64_t i = begin; i < end; i++) y[i] += load(x[i]);
}

static void accumulate(float *y, const void *x, int64_t n)
{
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int64_t i = 0; i < n; i += PIECE) accumulate_piece(y, x, i, least(i + PIECE, n));
}

static void sum_rows(float *y, const void *x, int64_t rows, int64_t cols, int64_t ld)
{
    const int64_t each = columns_each(cols, omp_get_max_threads());
#pragma omp parallel for schedule(static) if (rows * cols > SERIAL)
    for (int64_t j = 0; j < cols; j += each)
        for (int64_t i = 0; i < rows; i++)
            accumulate_piece(y, (const real *)x + i * ld, j, least(j + each, cols));
}

static void scale_row(real *y, const real *x, const float *v, int64_t n, bool acc)
{
    if (acc) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = store(load(y[j]) + load(x[j]) * v[j]);
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = store(load(x[j]) * v[j]);
    }
}

static void scale_columns(void *y, const void *x, const float *v, int64_t rows, int64_t cols, bool acc)
{
#pragma omp parallel for schedule(static) if (rows * cols > SERIAL)
    for (int64_t i = 0; i < rows; i++) scale_row((real *)y + i * cols, (const real *)x + i * cols, v, cols, acc);
}

static void dot_row(float *y, const real *a, const real *b, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y[j] += load(a[j]) * load(b[j]);
}

static void dot_columns(float *y, const void *a, const void *b, int64_t rows, int64_t cols)
{
    const int64_t each = columns_each(cols, omp_get_max_threads());
#pragma omp parallel for schedule(static) if (rows * cols > SERIAL)
    for (int64_t j = 0; j < cols; j += each)
        for (int64_t i = 0; i < rows; i++)
            dot_row(y + j, (const real *)a + i * cols + j, (const real *)b + i * cols + j, least(each, cols - j));
}

LM_INSTALL(elementwise)
{
#if LM_REAL_ID == 0
    k->sum_squares = sum_squares;
    k->dot = dot;
#endif
    k->add[LM_REAL_ID] = add;
    k->mul[LM_REAL_ID] = mul;
    k->sum_rows[LM_REAL_ID] = sum_rows;
    k->scale_columns[LM_REAL_ID] = scale_columns;
    k->dot_columns[LM_REAL_ID] = dot_columns;
    k->accumulate[LM_REAL_ID] = accumulate;
}
