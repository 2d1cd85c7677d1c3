/* Products of small f32 matrices that lie in the first two cache levels.
 *
 *   c[rows, cols] (add: +=) a[rows, n] b[n, cols]
 *
 * b and c are row-major and cols is a multiple of LANES.  A panel of ROWS rows by two vectors of c
 * stays in registers while a column of a, one number at a time, meets a row of b: 12 sums of a vector
 * each, enough to hide the latency of a fused multiply-add.  a is row-major in product and
 * column-major (a transposed matrix as it lies) in product_t.  Each number of c is summed in the order
 * of n, so no result depends on the tile's place. */
#ifndef LM_BACKEND_CPU_TILE_H
#define LM_BACKEND_CPU_TILE_H

#include "backend/cpu/vec.h"

#include <stdbool.h>

enum { ROWS = 6 };

static inline int64_t round_to_lanes(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* a[r, i] stands at a[r * ra + i * ia]. */
typedef struct tile {
    float *c;
    const float *a, *b;
    int64_t ldc, ra, ia, ldb, n;
    bool add;
} tile;

LM_INLINE void panel(const tile *t, const int64_t ra, const int64_t ia, int64_t row, int64_t col, const int rows,
                     const int vecs)
{
    const float *a = t->a + row * ra, *b = t->b + col;
    const int64_t ldb = t->ldb, ldc = t->ldc;
    float *c = t->c + row * ldc + col;
    vf sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) sum[r][v] = t->add ? vec_load_f32(c + r * ldc + v * LANES) : (vf){ 0 };
    for (int64_t i = 0; i < t->n; i++, b += ldb) {
        vf x[2];
        for (int v = 0; v < vecs; v++) x[v] = vec_load_f32(b + v * LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vecs; v++) sum[r][v] += a[r * ra + i * ia] * x[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) vec_store_f32(c + r * ldc + v * LANES, sum[r][v]);
}

/* One strip of columns: full panels, then what is left of the rows. */
LM_INLINE void strip(const tile *t, const int64_t ra, const int64_t ia, int64_t rows, int64_t col, const int vecs)
{
    int64_t row = 0;
    for (; row + ROWS <= rows; row += ROWS) panel(t, ra, ia, row, col, ROWS, vecs);
    switch (rows - row) {
    case 5: panel(t, ra, ia, row, col, 5, vecs); break;
    case 4: panel(t, ra, ia, row, col, 4, vecs); break;
    case 3: panel(t, ra, ia, row, col, 3, vecs); break;
    case 2: panel(t, ra, ia, row, col, 2, vecs); break;
    case 1: panel(t, ra, ia, row, col, 1, vecs); break;
    default: break;
    }
}

LM_INLINE void strips(const tile *t, const int64_t ra, const int64_t ia, int64_t rows, int64_t cols)
{
    int64_t col = 0;
    for (; col + 2 * LANES <= cols; col += 2 * LANES) strip(t, ra, ia, rows, col, 2);
    if (col < cols) strip(t, ra, ia, rows, col, 1);
}

static __attribute__((noinline)) void product(const tile *t, int64_t rows, int64_t cols)
{
    strips(t, t->ra, 1, rows, cols);
}

static __attribute__((noinline)) void product_t(const tile *t, int64_t rows, int64_t cols)
{
    strips(t, 1, t->ia, rows, cols);
}

#endif
