/* Products of up to 96 rows against w stored [n, k]: sequences that decode together, and short prompts.
 *
 * Packing w would cost as much as the product.  So the sides change places: a, which is small, is laid out as panels
 * [k, GEMM_NR] whose vectors are rows of c, and w's numbers are broadcast from where they lie, GROUP of its rows at a
 * time; a half or quantised w is decoded first, a range of k of GROUP rows at a time, to where level 1 keeps it.  w is
 * read once and in its own order.  Ranges of k and the order of sums are those of the packed product: a row gives the
 * same bits in any company of two rows or more. */
#include "backend/cpu/gemm_end.h"

#if LM_REAL_ID == 0

#include "backend/cpu/quant.h"
#include "base/thread.h"

#include <stdlib.h>

/* GROUP x 2 sums in registers.  WIDTH: columns that end together, whole groups and whole vectors. */
enum { GROUP = GEMM_GROUP, WIDTH = 48 };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* panels [k, GEMM_NR] */
    int64_t depth;                     /* of a range of k */
} job;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- w's numbers --------------------------------------------------------------- */

LM_INLINE void widen(float *to, const void *x, lm_dtype type, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) gemm_store(to, LM_F32, i, gemm_load(x, type, at + i, n - i), n - i);
}

/* Elements [p, p + k) of rows [j, j + GROUP) of w in f32: as they lie, or in `room` [GROUP, GEMM_DEPTH]. */
static const float *lines(float *room, int64_t *ld, const lm_gemm *g, int64_t j, int64_t p, int64_t k)
{
    int64_t at = j * g->ldb + p;
    bool as_they_lie = !g->bq && g->bt == LM_F32;
    *ld = as_they_lie ? g->ldb : GEMM_DEPTH;
    if (as_they_lie) return (const float *)g->b + at;
    for (float *to = room; to < room + GROUP * GEMM_DEPTH; to += GEMM_DEPTH, at += g->ldb) {
        if (g->bq) quant_run(to, g->bq, g->b, at, k);
        else if (g->bt == LM_BF16) widen(to, g->b, LM_BF16, at, k);
        else widen(to, g->b, LM_F16, at, k);
    }
    return room;
}

/* ---- the product --------------------------------------------------------------- */

/* tile[GROUP, GEMM_NR] += w[GROUP, k] a[k, GEMM_NR], of each line the first `vectors`. */
LM_INLINE void multiply(float *tile, const float *a, const float *w, int64_t ld, int64_t k, const int vectors)
{
    vf acc[GROUP][2];
#pragma GCC unroll 12
    for (int c = 0; c < GROUP; c++) acc[c][0] = acc[c][1] = (vf){ 0 };
    for (int64_t p = 0; p < k; p++, a += GEMM_NR) {
        if (p % 16 == 0)                                   /* a cache line of each row of the next group */
#pragma GCC unroll 12
            for (int c = 0; c < GROUP; c++) __builtin_prefetch(w + (c + GROUP) * ld + p);
        vf x[2] = { vec_load_f32(a), vectors > 1 ? vec_load_f32(a + LANES) : (vf){ 0 } };
#pragma GCC unroll 12
        for (int c = 0; c < GROUP; c++) {
            vf y = vec_set(w[c * ld + p]);
            acc[c][0] += y * x[0];
            if (vectors > 1) acc[c][1] += y * x[1];
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < GROUP; c++)
        for (int v = 0; v < vectors; v++) {
            float *to = tile + c * GEMM_NR + v * LANES;
            vec_store_f32(to, acc[c][v] + vec_load_f32(to));
        }
}

/* Columns [j, j + GROUP) of every row to y [m, WIDTH], its columns from `to` on; those before 0 are not kept. */
static __attribute__((noinline)) void group(float *y, int64_t to, const job *w, int64_t j)
{
    const lm_gemm *g = w->g;
    _Alignas(64) float room[GROUP * GEMM_DEPTH], tile[(GEMM_SOME_ROWS + GEMM_NR - 1) / GEMM_NR][GROUP * GEMM_NR];
    memset(tile, 0, (size_t)((g->m + GEMM_NR - 1) / GEMM_NR) * sizeof *tile);
    for (int64_t p = 0; p < g->k; p += w->depth) {
        int64_t k = least(w->depth, g->k - p), ld;
        const float *b = lines(room, &ld, g, j, p, k);
        for (int64_t i = 0; i < g->m; i += GEMM_NR) {
            const float *a = w->a + i * g->k + p * GEMM_NR;
            if (g->m - i > LANES) multiply(tile[i / GEMM_NR], a, b, ld, k, 2);
            else multiply(tile[i / GEMM_NR], a, b, ld, k, 1);
        }
    }
    for (int64_t c = to < 0 ? -to : 0; c < GROUP; c++)
        for (int64_t i = 0; i < g->m; i++) y[i * WIDTH + to + c] = tile[i / GEMM_NR][c * GEMM_NR + i % GEMM_NR];
}

static void run(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    float y[GEMM_SOME_ROWS * WIDTH];
    memset(y, 0, (size_t)(g->m * WIDTH) * sizeof *y);
    for (int64_t j = begin * WIDTH; j < least(end * WIDTH, g->n); j += WIDTH) {
        int64_t n = least(WIDTH, g->n - j);
        for (int64_t c = 0; c < n; c += GROUP) {
            int64_t from = least(j + c, g->n - GROUP);      /* the last one moves back over columns that are there already */
            group(y, from - j, w, from);
        }
        gemm_part part = { .y = y, .width = WIDTH, .j = j, .rows = g->m, .cols = n };
        gemm_scale(&part, g->alpha, g->beta, g->c, g->ct, g->ldc);
        gemm_end(g, &part);
    }
}

void gemm_by_rows(const lm_gemm *g, int64_t depth)
{
    float *a = aligned_alloc(64, ((size_t)gemm_room_b(g->k, g->m) * sizeof *a + 63) / 64 * 64);
    if (!a) LM_BUG("gemm: no memory for %lld numbers", (long long)gemm_room_b(g->k, g->m));
    gemm_pack_b(a, g->a, g->at, g->lda, !g->trans_a, g->k, g->m);
    job w = { .g = g, .a = a, .depth = depth };
    lm_parallel((g->n + WIDTH - 1) / WIDTH, 1 + (1 << 16) / (g->m * g->k * WIDTH), run, &w);
    free(a);
}

LM_INSTALL(gemm_rows) { (void)k; }

#else
LM_INSTALL(gemm_rows) { (void)k; }
#endif
