/* Products of few rows: decoding, c[m, n] = a[m, k] w[n, k]^T, or with w stored [k, n].
 *
 * The time is that of reading w once, so w is read where it lies.  [n, k]: three of its rows at a time
 * meet four rows of a, each pair summed in the lanes of one vector, which is folded at the end.
 * [k, n]: four of its rows at a time, scaled by a's numbers, are added to a strip of c.  The order of a
 * sum depends on k alone: a row gives the same bits whatever rows stand beside it. */
#include "backend/cpu/gemm_end.h"

#if LM_REAL_ID == 0

#include "backend/weight.h"
#include "base/thread.h"

#include <stdlib.h>

/* Sums in flight: 4 x 3, or 1 x 6 for a single row, of AVX2's 16 registers.  CHUNK: a multiple of both. */
enum { ROWS = 4, COLS = 3, WIDE = 6, CHUNK = 3 * LANES };

/* Columns of a strip, which rests in level 1 with its sums, and rows of b that meet it at once. */
enum { STRIP = 256, DEEP = 4 };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* [m, k] in f32 */
    int64_t lda;
} job;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* By halves, so that the sum is as short a chain as can be. */
LM_INLINE float fold(vf x)
{
    float lane[LANES];
    vec_store_f32(lane, x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

/* sums[r, c] = row r of a times row c of b, for rows and cols that are constants here. */
LM_INLINE void dots(float *sums, const float *a, int64_t lda, const void *b, lm_dtype type, const int64_t *at, int64_t k,
                    const int rows, const int cols)
{
    vf acc[ROWS][WIDE] = { 0 };
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        vf x[WIDE];
        for (int c = 0; c < cols; c++) x[c] = vec_load(b, type, at[c] + p);
        for (int r = 0; r < rows; r++) {
            vf y = vec_load_f32(a + r * lda + p);
            for (int c = 0; c < cols; c++) acc[r][c] += y * x[c];
        }
    }
    if (p < k)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                acc[r][c] += vec_load_part(a, LM_F32, r * lda + p, k - p) * vec_load_part(b, type, at[c] + p, k - p);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) sums[r * CHUNK + c] = fold(acc[r][c]);
}

/* Columns [j, j + n) of every row, n <= CHUNK, to sums [m, CHUNK].  Past the last column the last one is
 * read again. */
LM_INLINE void chunk(float *sums, const job *w, lm_dtype type, int64_t j, int64_t n, const int cols)
{
    const lm_gemm *g = w->g;
    for (int64_t c = 0; c < n; c += cols) {
        int64_t at[WIDE];
        for (int q = 0; q < cols; q++) at[q] = (j + least(c + q, n - 1)) * g->ldb;
        for (int64_t i = 0; i < g->m; i += ROWS) {
            const float *a = w->a + i * w->lda;
            float *to = sums + i * CHUNK + c;
            switch (least(ROWS, g->m - i)) {
            case 1: dots(to, a, w->lda, g->b, type, at, g->k, 1, cols); break;
            case 2: dots(to, a, w->lda, g->b, type, at, g->k, 2, cols); break;
            case 3: dots(to, a, w->lda, g->b, type, at, g->k, 3, cols); break;
            default: dots(to, a, w->lda, g->b, type, at, g->k, 4, cols);
            }
        }
    }
}

LM_INLINE void chunk_type(float *sums, const job *w, lm_dtype type, int64_t j, int64_t n)
{
    if (w->g->m == 1) chunk(sums, w, type, j, n, WIDE);
    else chunk(sums, w, type, j, n, COLS);
}

static void run_chunks(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    float sums[GEMM_FEW_ROWS * CHUNK] = { 0 };
    for (int64_t j = begin * CHUNK; j < least(end * CHUNK, g->n); j += CHUNK) {
        int64_t n = least(CHUNK, g->n - j);
        if (g->bt == LM_F32) chunk_type(sums, w, LM_F32, j, n);
        else if (g->bt == LM_BF16) chunk_type(sums, w, LM_BF16, j, n);
        else chunk_type(sums, w, LM_F16, j, n);
        gemm_part p = { .y = sums, .width = CHUNK, .j = j, .rows = g->m, .cols = n };
        gemm_scale(&p, g->alpha, g->beta, g->c, g->ct, g->ldc);
        gemm_end(g, &p);
    }
}

/* ---- b as [k, n] ------------------------------------------------------------- */

/* Rows p .. p + DEEP of b, columns j .. j + n, into every row's sums.  Rows past k do not count. */
LM_INLINE void add_rows(float *sums, const job *w, lm_dtype type, int64_t p, int64_t j, int64_t n)
{
    const lm_gemm *g = w->g;
    int64_t at[DEEP];
    for (int q = 0; q < DEEP; q++) at[q] = (p + q) * g->ldb + j;
    for (int64_t i = 0; i < g->m; i++) {
        vf factor[DEEP];
        for (int q = 0; q < DEEP; q++) factor[q] = vec_set(p + q < g->k ? w->a[i * w->lda + p + q] : 0);
        for (int64_t v = 0; v < n; v += LANES) {
            float *to = sums + i * STRIP + v;
            vf y = vec_load_f32(to);
            for (int q = 0; q < DEEP; q++)
                if (p + q < g->k) y += factor[q] * gemm_load(g->b, type, at[q] + v, n - v);
            vec_store_f32(to, y);
        }
    }
}

static void run_strips(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    for (int64_t j = begin * STRIP; j < least(end * STRIP, g->n); j += STRIP) {
        int64_t n = least(STRIP, g->n - j);
        float sums[GEMM_FEW_ROWS * STRIP] = { 0 };
        for (int64_t p = 0; p < g->k; p += DEEP)
            if (g->bt == LM_F32) add_rows(sums, w, LM_F32, p, j, n);
            else if (g->bt == LM_BF16) add_rows(sums, w, LM_BF16, p, j, n);
            else add_rows(sums, w, LM_F16, p, j, n);
        gemm_part part = { .y = sums, .width = STRIP, .j = j, .rows = g->m, .cols = n };
        gemm_scale(&part, g->alpha, g->beta, g->c, g->ct, g->ldc);
        gemm_end(g, &part);
    }
}

static float *rows_in_f32(const lm_gemm *g)
{
    float *a = malloc((size_t)(g->m * g->k + 1) * sizeof(float));
    if (!a) LM_BUG("gemm: no memory for %lld numbers", (long long)(g->m * g->k));
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            a[i * g->k + p] = lm_weight_at(g->a, g->at, g->trans_a ? p * g->lda + i : i * g->lda + p);
    return a;
}

void gemm_few_rows(const lm_gemm *g)
{
    bool as_it_lies = g->at == LM_F32 && !g->trans_a;
    float *room = as_it_lies ? NULL : rows_in_f32(g);
    job w = { .g = g, .a = as_it_lies ? g->a : room, .lda = as_it_lies ? g->lda : g->k };
    int64_t width = g->trans_b ? CHUNK : STRIP, work = g->m * g->k * width;
    lm_parallel((g->n + width - 1) / width, 1 + (1 << 16) / (work + 1), g->trans_b ? run_chunks : run_strips, &w);
    free(room);
}

LM_INSTALL(gemm_rows) { (void)k; }

#else
LM_INSTALL(gemm_rows) { (void)k; }
#endif
