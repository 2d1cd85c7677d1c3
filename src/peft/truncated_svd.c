#include "peft/truncated_svd.h"

#include "base/rng.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MORE = 8, MOST_ROUNDS = 200, MOST_SWEEPS = 60 };

/* Rows of q [n, cols] become orthonormal, in order; a row that the ones before it span becomes zeros.  Twice,
 * since once leaves what rounding has left (Giraud et al. 2005, "The loss of orthogonality in Gram-Schmidt"). */
static void orthonormalise(double *q, int64_t n, int64_t cols)
{
    for (int64_t i = 0; i < n; i++) {
        double *a = q + i * cols, before = 0, after = 0;
        for (int64_t c = 0; c < cols; c++) before += a[c] * a[c];
        for (int again = 0; again < 2; again++)
            for (int64_t j = 0; j < i; j++) {
                const double *b = q + j * cols;
                double dot = 0;
                for (int64_t c = 0; c < cols; c++) dot += a[c] * b[c];
                for (int64_t c = 0; c < cols; c++) a[c] -= dot * b[c];
            }
        for (int64_t c = 0; c < cols; c++) after += a[c] * a[c];
        double factor = after > 1e-20 * before ? 1 / sqrt(after) : 0;
        for (int64_t c = 0; c < cols; c++) a[c] *= factor;
    }
}

static void to_float(float *out, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)x[i];
}

static void to_double(double *out, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = (double)x[i];
}

/* Orthogonalises the rows of y [n, cols] by rotations of pairs (one-sided Jacobi; Hestenes 1958), the same ones
 * applied to the rows of v [n, m]: afterwards y's rows are S U^T, v's the right vectors. */
static void rotate(double *y, int64_t cols, double *v, int64_t m, int64_t n)
{
    bool moved = true;
    for (int sweep = 0; moved && sweep < MOST_SWEEPS; sweep++) {
        moved = false;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i + 1; j < n; j++) {
                double *a = y + i * cols, *b = y + j * cols, aa = 0, bb = 0, ab = 0;
                for (int64_t c = 0; c < cols; c++) aa += a[c] * a[c], bb += b[c] * b[c], ab += a[c] * b[c];
                if (fabs(ab) <= 1e-14 * sqrt(aa * bb) || ab == 0) continue;
                moved = true;
                double zeta = (bb - aa) / (2 * ab), t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                double cosine = 1 / sqrt(1 + t * t), sine = cosine * t;
                for (int64_t c = 0; c < cols; c++) {
                    double p = a[c], q = b[c];
                    a[c] = cosine * p - sine * q, b[c] = sine * p + cosine * q;
                }
                for (int64_t c = 0; c < m; c++) {
                    double p = v[i * m + c], q = v[j * m + c];
                    v[i * m + c] = cosine * p - sine * q, v[j * m + c] = sine * p + cosine * q;
                }
            }
    }
}

typedef struct iteration {
    const lm_kernels *k;
    const float *x;
    int64_t rows, cols, n;
    float *right, *left;                 /* [n, cols], [n, rows]: vectors as rows */
    double *wide;                        /* [n, max(rows, cols)] */
} iteration;

/* left = right x^T, or right = left x. */
static void multiply(const iteration *it, bool to_left)
{
    lm_gemm g = { .c = to_left ? it->left : it->right, .m = it->n, .alpha = 1, .a = to_left ? it->right : it->left, .b = it->x, .ldb = it->cols, .trans_b = to_left };
    g.n = g.ldc = to_left ? it->rows : it->cols;
    g.k = g.lda = to_left ? it->cols : it->rows;
    it->k->gemm(&g);
}

static void make_orthonormal(const iteration *it, float *q, int64_t cols)
{
    to_double(it->wide, q, it->n * cols);
    orthonormalise(it->wide, it->n, cols);
    to_float(q, it->wide, it->n * cols);
}

static double energy(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

/* The rows of `right` span what the leading right vectors span; sum of squares of x right^T says how much. */
static void iterate(const iteration *it)
{
    lm_rng rng = { .seed = 1 };
    double found = -1;
    for (int64_t i = 0; i < it->n * it->cols; i++) it->right[i] = (float)lm_rng_normal(&rng);
    make_orthonormal(it, it->right, it->cols);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        multiply(it, true);
        double now = energy(it->left, it->n * it->rows);
        if (fabs(now - found) <= 1e-9 * now && round > 4) return;
        found = now;
        make_orthonormal(it, it->left, it->rows);
        multiply(it, false);
        make_orthonormal(it, it->right, it->cols);
    }
    multiply(it, true);
}

typedef struct place {
    double size;
    int64_t at;
} place;

static int larger_first(const void *a, const void *b)
{
    double x = ((const place *)a)->size, y = ((const place *)b)->size;
    return (x < y) - (x > y);
}

static void write_factors(float *up, float *down, const double *left, const double *right, int64_t rows, int64_t cols, int64_t n, int64_t rank)
{
    place *order = lm_calloc((size_t)n, sizeof *order);
    for (int64_t i = 0; i < n; i++) {
        order[i].at = i;
        for (int64_t c = 0; c < rows; c++) order[i].size += left[i * rows + c] * left[i * rows + c];
    }
    qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int64_t i = 0; i < rank; i++) {
        bool there = i < n && order[i].size > 0;
        for (int64_t c = 0; c < rows; c++) up[c * rank + i] = there ? (float)left[order[i].at * rows + c] : 0;
        for (int64_t c = 0; c < cols; c++) down[i * cols + c] = there ? (float)right[order[i].at * cols + c] : 0;
    }
    free(order);
}

void lm_truncated_svd(const lm_kernels *k, float *up, float *down, const float *x, int64_t rows, int64_t cols, int64_t rank)
{
    int64_t least = rows < cols ? rows : cols, most = rows < cols ? cols : rows, n = 2 * rank + MORE < least ? 2 * rank + MORE : least;
    iteration it = { .k = k, .x = x, .rows = rows, .cols = cols, .n = n, .right = lm_malloc((size_t)(n * cols) * sizeof(float)),
                     .left = lm_malloc((size_t)(n * rows) * sizeof(float)), .wide = lm_malloc((size_t)(n * most) * sizeof(double)) };
    iterate(&it);
    double *left = lm_malloc((size_t)(n * rows) * sizeof *left), *right = it.wide;
    to_double(left, it.left, n * rows);
    to_double(right, it.right, n * cols);
    rotate(left, rows, right, cols, n);
    write_factors(up, down, left, right, rows, cols, n, rank);
    free(left);
    free(it.right);
    free(it.left);
    free(it.wide);
}
