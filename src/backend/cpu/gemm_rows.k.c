/* Products of up to 96 rows against w stored [n, k]: sequences that decode together, and short prompts.
 *
 * Packing w would cost as much as the product.  So the sides change places: a, which is small, is laid out as panels
 * [k, GEMM_NR] whose vectors are rows of c, and w's numbers are broadcast from where they lie, GROUP of its rows at a
 * time; an f16 or quantised w is decoded first, a range of k of GROUP rows at a time, to where level 1 keeps it.  w is
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

/* Bytes of n elements of w. */
static int64_t bytes_of(const lm_gemm *g, int64_t n)
{
    return g->bq ? n * g->bq->bits / 8 : n * (g->bt == LM_F32 ? 4 : 2);
}

LM_INLINE void widen(float *to, const void *x, lm_dtype type, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) gemm_store(to, LM_F32, i, gemm_load(x, type, at + i, n - i), n - i);
}

/* Elements [p, p + k) of rows [j, j + GROUP) of w, their type BF16 or F32: as they lie, or in `room` [GROUP, GEMM_DEPTH]. */
static const void *lines(float *room, int64_t *ld, lm_dtype *type, const lm_gemm *g, int64_t j, int64_t p, int64_t k)
{
    int64_t at = j * g->ldb + p;
    bool as_they_lie = !g->bq && g->bt != LM_F16;
    *type = as_they_lie ? g->bt : LM_F32;
    *ld = as_they_lie ? g->ldb : GEMM_DEPTH;
    if (as_they_lie) return (const char *)g->b + bytes_of(g, at);
    for (float *to = room; to < room + GROUP * GEMM_DEPTH; to += GEMM_DEPTH, at += g->ldb) {
        if (g->bq) quant_run(to, g->bq, g->b, at, k);
        else widen(to, g->b, LM_F16, at, k);
    }
    return room;
}

/* The i-th number of x in every lane; a bf16 is the high half of an f32, so the one behind it may come along. */
LM_INLINE vf spread(const void *x, lm_dtype type, int64_t i, bool last)
{
    if (type == LM_F32) return vec_set(((const float *)x)[i]);
    float two = 0;                     /* a float: integers would be spread by way of the general registers */
    memcpy(&two, (const uint16_t *)x + i, last ? 2 : 4);
    return (vf)((vu)vec_set(two) << 16);
}

/* ---- the product --------------------------------------------------------------- */

/* What the next group of w's rows has in this range of k, as it lies in memory: fetched while this one is multiplied. */
typedef struct ahead {
    const char *line;
    int64_t ld, step;                  /* bytes between lines, and of FETCH elements */
} ahead;

enum { FETCH = 16 };                   /* elements in a cache line of f32 */

static ahead ahead_of(const lm_gemm *g, int64_t j, int64_t p)
{
    return (ahead){ (const char *)g->b + bytes_of(g, (j + GROUP) * g->ldb + p), bytes_of(g, g->ldb), bytes_of(g, FETCH) };
}

/* acc += of column p of w and row p of a, of which the first `vectors`. */
LM_INLINE void step(vf acc[GROUP][2], const float *a, const void *w, lm_dtype type, int64_t ld, int64_t p, bool last, int vectors)
{
    vf x[2] = { vec_load_f32(a + p * GEMM_NR), vectors > 1 ? vec_load_f32(a + p * GEMM_NR + LANES) : (vf){ 0 } };
#pragma GCC unroll 12
    for (int c = 0; c < GROUP; c++) {
        vf y = spread(w, type, c * ld + p, last);
        acc[c][0] += y * x[0];
        if (vectors > 1) acc[c][1] += y * x[1];
    }
}

/* tile[GROUP, GEMM_NR] += w[GROUP, k] a[k, GEMM_NR]. */
LM_INLINE void multiply(float *tile, const float *a, const void *w, lm_dtype type, int64_t ld, int64_t k, ahead next, int vectors)
{
    vf acc[GROUP][2];
#pragma GCC unroll 12
    for (int c = 0; c < GROUP; c++) acc[c][0] = acc[c][1] = (vf){ 0 };
    for (int64_t p = 0; p < k - 1; p++) {
        if (p % FETCH == 0) {
#pragma GCC unroll 12
            for (int c = 0; c < GROUP; c++) __builtin_prefetch(next.line + c * next.ld);
            next.line += next.step;
        }
        step(acc, a, w, type, ld, p, false, vectors);
    }
    step(acc, a, w, type, ld, k - 1, true, vectors);
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
        lm_dtype type;
        const void *b = lines(room, &ld, &type, g, j, p, k);
        ahead next = ahead_of(g, j, p);
        for (int64_t i = 0; i < g->m; i += GEMM_NR) {
            const float *a = w->a + i * g->k + p * GEMM_NR;
            bool wide = g->m - i > LANES;
            if (type == LM_BF16 && wide) multiply(tile[i / GEMM_NR], a, b, LM_BF16, ld, k, next, 2);
            else if (type == LM_BF16) multiply(tile[i / GEMM_NR], a, b, LM_BF16, ld, k, next, 1);
            else if (wide) multiply(tile[i / GEMM_NR], a, b, LM_F32, ld, k, next, 2);
            else multiply(tile[i / GEMM_NR], a, b, LM_F32, ld, k, next, 1);
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
