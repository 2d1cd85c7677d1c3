/* Products of few rows against b stored [k, n].
 *
 * The time is that of reading b once, so b is read where it lies: four of its rows at a time, scaled by a's numbers, are
 * added to a strip of c.  The order of a sum depends on k alone: a row gives the same bits whatever rows stand
 * beside it. */
#include "backend/cpu/gemm_end.h"
#include "backend/cpu/gemm_plain.h"

#if LM_REAL_ID == 0

#include "base/thread.h"

#include <stdlib.h>

/* Columns of a strip, which rests in level 1 with its sums, and rows of b that meet it at once. */
enum { STRIP = 256, DEEP = 4 };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* [m, k] in f32 */
    int64_t lda;
} job;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

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

void gemm_by_strips(const lm_gemm *g)
{
    float *room;
    job w = { .g = g };
    w.a = gemm_rows_in_f32(&room, &w.lda, g);
    lm_parallel((g->n + STRIP - 1) / STRIP, 1 + (1 << 16) / (g->m * g->k * STRIP + 1), run_strips, &w);
    free(room);
}

LM_INSTALL(gemm_strips) { (void)k; }

#else
LM_INSTALL(gemm_strips) { (void)k; }
#endif
