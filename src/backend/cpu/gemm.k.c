/* c = act(alpha * op(a) op(b) + beta * c + bias) in f32 arithmetic, for operands of any type.
 *
 * One row, up to 96 against a b stored [n, k], and up to 8 against one stored [k, n] have files of their own
 * (gemm_one, gemm_rows, gemm_strips).  For all others loops as in Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
 *
 *     for a range of columns of c
 *       for a range of k             pack b's part, once for all threads: the slab
 *         for blocks of rows         one thread: packs a's part, then runs over the tiles
 *
 * Where all rows are one block (a prompt of some words, b stored [k, n]), each thread packs the columns that it multiplies
 * next, where its level 2 keeps them: b is read once and its packed form never goes to memory.
 *
 * Partial sums rest in c when it is f32, else in room beside the slab.  A tile that has its last
 * contribution gets bias and activation before it leaves the cache.
 *
 * Threads divide rows and columns, never k, and the ranges of k depend on k alone: the result is
 * the same for any number of threads. */
#include "backend/cpu/gemm_end.h"
#include "backend/cpu/gemm_tile.h"

#if LM_REAL_ID == 0

#include "base/thread.h"

#include <stdlib.h>

/* A thread's part of a takes a third of a 512 KiB level-2 cache, a panel of b most of level 1; the slab
 * shares level 3. */
enum { K_MOST = GEMM_DEPTH, ROWS_MOST = 96, COLS_MOST = 1536, SUM_ROWS_MOST = 1024, COLS_LEAST = 8 * GEMM_NR };

typedef struct step {
    const lm_gemm *g;
    int64_t i0, m, j0, n, p0, k;       /* rows, columns and range of k that this step covers */
    float *slab, *sums;                /* sums [m, n], distance ld_sums */
    int64_t ld_sums;
    int64_t row_blocks, col_blocks;    /* how the threads' tasks divide it */
    bool first, last;                  /* of the ranges of k */
} step;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static const void *address(const void *x, lm_dtype type, int64_t i)
{
    return (const char *)x + i * (type == LM_F32 ? 4 : 2);
}

/* a[i, p] and b[p, j] as the product sees them. */
static const void *a_at(const lm_gemm *g, int64_t i, int64_t p) { return address(g->a, g->at, g->trans_a ? p * g->lda + i : i * g->lda + p); }
static const void *b_at(const lm_gemm *g, int64_t p, int64_t j) { return address(g->b, g->bt, g->trans_b ? j * g->ldb + p : p * g->ldb + j); }

/* Columns [j, j + n) of rows [p, p + k) of b. */
static void pack_b(float *to, const lm_gemm *g, int64_t p, int64_t k, int64_t j, int64_t n)
{
    if (g->bq) gemm_pack_b_quant(to, g, p, k, j, n);
    else gemm_pack_b(to, b_at(g, p, j), g->bt, g->ldb, g->trans_b, k, n);
}

/* ---- the end of a tile ------------------------------------------------------- */

static void finish_tile(const step *s, float *tile, int64_t i, int64_t j)
{
    const lm_gemm *g = s->g;
    gemm_part in_c = { .y = tile, .width = GEMM_NR, .i = i, .j = j, .rows = least(GEMM_MR, s->i0 + s->m - i),
                       .cols = least(GEMM_NR, s->j0 + s->n - j) };
    gemm_part in_sums = in_c;
    in_sums.i -= s->i0;
    in_sums.j -= s->j0;
    if (s->first) gemm_scale(&in_c, g->alpha, g->beta, g->c, g->ct, g->ldc);
    else gemm_scale(&in_sums, g->alpha, 1, s->sums, LM_F32, s->ld_sums);
    if (s->last) gemm_end(g, &in_c);
    else gemm_put(&in_sums, s->sums, LM_F32, s->ld_sums);
}

/* Whether a whole tile ends in nothing but f32 sums. */
static bool ends_in_sums(const step *s)
{
    const lm_gemm *g = s->g;
    if (s->first && g->beta != 0 && g->ct != LM_F32) return false;
    return !s->last || (g->ct == LM_F32 && !g->bias && !g->pre && g->act == LM_ACT_NONE);
}

LM_INLINE void finish_in_sums(const step *s, const gemm_acc *acc, int64_t i, int64_t j, float old)
{
    float *sums = s->sums + (i - s->i0) * s->ld_sums + j - s->j0;
#pragma GCC unroll 14
    for (int r = 0; r < GEMM_MR; r++)
        for (int v = 0; v < 2; v++) {
            float *at = sums + r * s->ld_sums + v * LANES;
            vf y = acc->row[r][v] * s->g->alpha;
            vec_store_f32(at, old != 0 ? y + vec_load_f32(at) * old : y);
        }
}

/* ---- one step ---------------------------------------------------------------- */

/* Tiles of rows [i, i + m) from a packed there, and of the columns of panels [first, end). */
static void tiles(const step *s, const float *a, int64_t i, int64_t m, int64_t first, int64_t end)
{
    bool sums_only = ends_in_sums(s);
    float old = s->first ? s->g->beta : 1;
    for (int64_t panel = first; panel < end; panel++) {
        const float *b = s->slab + panel * GEMM_NR * s->k;
        int64_t j = panel * GEMM_NR;
        bool whole = sums_only && j + GEMM_NR <= s->n;
        for (int64_t r = 0; r < m; r += GEMM_MR) {
            gemm_acc acc;
            if (whole)
                for (int q = 0; q < GEMM_MR; q++)     /* c, by the time the sums are done */
                    __builtin_prefetch(s->sums + (i - s->i0 + r + q) * s->ld_sums + j, 1);
            gemm_micro(&acc, a + r * s->k, b, s->k);
            if (whole && r + GEMM_MR <= m) {
                finish_in_sums(s, &acc, i + r, s->j0 + j, old);
            } else {
                float tile[GEMM_MR * GEMM_NR];
                gemm_spill(tile, &acc);
                finish_tile(s, tile, i + r, s->j0 + j);
            }
        }
    }
}

static void run_tasks(int64_t begin, int64_t end, void *context)
{
    const step *s = context;
    const lm_gemm *g = s->g;
    _Alignas(64) float a[ROWS_MOST * K_MOST + 2 * LANES];
    int64_t row_panels = ceil_div(s->m, GEMM_MR), col_panels = ceil_div(s->n, GEMM_NR), packed = -1;
    for (int64_t task = begin; task < end; task++) {
        int64_t rb = task / s->col_blocks, cb = task % s->col_blocks;
        int64_t r = row_panels * rb / s->row_blocks * GEMM_MR;
        int64_t m = least(row_panels * (rb + 1) / s->row_blocks * GEMM_MR, s->m) - r, i = s->i0 + r;
        if (rb != packed)
            gemm_pack_a(a, a_at(g, i, s->p0), g->at, g->lda, g->trans_a, m, s->k);
        packed = rb;
        tiles(s, a, i, m, col_panels * cb / s->col_blocks, col_panels * (cb + 1) / s->col_blocks);
    }
}

static void pack_slab(int64_t begin, int64_t end, void *context)
{
    const step *s = context;
    const lm_gemm *g = s->g;
    int64_t j = s->j0 + begin * GEMM_NR, n = least(s->n, end * GEMM_NR) - begin * GEMM_NR;
    pack_b(s->slab + begin * GEMM_NR * s->k, g, s->p0, s->k, j, n);
}

/* Blocks of rows that a thread can pack, as many for each thread; then of columns, until the
 * threads have enough to share. */
static void divide(step *s)
{
    int64_t threads = lm_threads(), row_panels = ceil_div(s->m, GEMM_MR), col_panels = ceil_div(s->n, GEMM_NR);
    int64_t blocks = ceil_div(row_panels, ROWS_MOST / GEMM_MR), even = ceil_div(blocks, threads) * threads;
    s->row_blocks = row_panels >= 8 * even ? even : blocks;
    s->col_blocks = least(ceil_div(4 * threads, s->row_blocks), ceil_div(col_panels * GEMM_NR, COLS_LEAST));
}

static void run_step(step *s)
{
    lm_parallel(ceil_div(s->n, GEMM_NR), COLS_LEAST / GEMM_NR, pack_slab, s);
    divide(s);
    lm_parallel(s->row_blocks * s->col_blocks, 1, run_tasks, s);
}

static float *room_for(int64_t floats)
{
    size_t bytes = ((size_t)floats * sizeof(float) + 64) / 64 * 64;
    float *room = aligned_alloc(64, bytes);
    if (!room) LM_BUG("gemm: no memory for %zu bytes of packed operands", bytes);
    return room;
}

/* ---- one block of rows ------------------------------------------------------- */

typedef struct slim {
    const lm_gemm *g;
    float *a;                          /* all of it, packed range by range, `room` floats apart */
    int64_t ranges, depth, room;
} slim;

static int64_t range_length(const slim *w, int64_t range) { return least(w->depth, w->g->k - range * w->depth); }

static void pack_ranges(int64_t begin, int64_t end, void *context)
{
    const slim *w = context;
    const lm_gemm *g = w->g;
    for (int64_t range = begin; range < end; range++)
        gemm_pack_a(w->a + range * w->room, a_at(g, 0, range * w->depth), g->at, g->lda, g->trans_a, g->m, range_length(w, range));
}

static void run_columns(int64_t begin, int64_t end, void *context)
{
    const slim *w = context;
    const lm_gemm *g = w->g;
    _Alignas(64) float slab[COLS_LEAST * K_MOST], sums[ROWS_MOST * COLS_LEAST];
    for (int64_t block = begin; block < end; block++) {
        int64_t j = block * COLS_LEAST;
        step s = { .g = g, .m = g->m, .j0 = j, .n = least(COLS_LEAST, g->n - j), .slab = slab,
                   .sums = g->ct == LM_F32 ? (float *)g->c + j : sums, .ld_sums = g->ct == LM_F32 ? g->ldc : COLS_LEAST };
        for (int64_t range = 0; range < w->ranges; range++) {
            s.p0 = range * w->depth;
            s.k = range_length(w, range);
            s.first = range == 0;
            s.last = range == w->ranges - 1;
            pack_b(slab, g, s.p0, s.k, j, s.n);
            tiles(&s, w->a + range * w->room, 0, g->m, 0, ceil_div(s.n, GEMM_NR));
        }
    }
}

static void slim_product(const lm_gemm *g, int64_t ranges, int64_t depth)
{
    slim w = { .g = g, .ranges = ranges, .depth = depth, .room = gemm_room_a(g->m, depth) };
    w.a = room_for(ranges * w.room);
    lm_parallel(ranges, 1 + (1 << 16) / (g->m * depth + 1), pack_ranges, &w);
    lm_parallel(ceil_div(g->n, COLS_LEAST), 1, run_columns, &w);
    free(w.a);
}

/* ---- the whole --------------------------------------------------------------- */

void gemm_product(const lm_gemm *g)
{
    if (g->m <= 0 || g->n <= 0) return;
    if (g->m == 1 && g->trans_b) {
        gemm_one_row(g);
        return;
    }
    if (g->m <= GEMM_FEW_ROWS && !g->trans_b && !g->bq) {
        gemm_by_strips(g);
        return;
    }
    int64_t ranges = g->k > 0 ? ceil_div(g->k, K_MOST) : 1, cols = least(g->n, COLS_MOST);
    int64_t depth = ceil_div(ceil_div(g->k, ranges), 4) * 4;   /* 4: packing's unit */
    if (g->m <= GEMM_SOME_ROWS && g->trans_b && g->n >= GEMM_GROUP && g->k > 0) {
        gemm_by_rows(g, depth);
        return;
    }
    if (g->m <= ROWS_MOST / GEMM_MR * GEMM_MR) {
        slim_product(g, ranges, depth);
        return;
    }
    bool sums_apart = g->ct != LM_F32 && ranges > 1;
    int64_t rows = sums_apart ? least(g->m, SUM_ROWS_MOST) : g->m;
    int64_t slab = gemm_room_b(depth, cols);
    float *room = room_for(slab + (sums_apart ? rows * cols : 0));
    step s = { .g = g, .slab = room };
    for (s.i0 = 0; s.i0 < g->m; s.i0 += rows)
        for (s.j0 = 0; s.j0 < g->n; s.j0 += cols) {
            s.m = least(rows, g->m - s.i0);
            s.n = least(cols, g->n - s.j0);
            s.sums = sums_apart ? room + slab : g->ct == LM_F32 ? (float *)g->c + s.i0 * g->ldc + s.j0 : NULL;
            s.ld_sums = sums_apart ? cols : g->ldc;
            for (int64_t range = 0; range < ranges; range++) {
                s.p0 = range * depth;
                s.k = least(depth, g->k - s.p0);
                s.first = range == 0;
                s.last = range == ranges - 1;
                run_step(&s);
            }
        }
    free(room);
}

static void activate_rows(int64_t begin, int64_t end, void *context)
{
    const lm_gemm *g = context;
    float y[32 * LANES];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < g->n; j += 32 * LANES) {
            gemm_part p = { .y = y, .width = 32 * LANES, .i = i, .j = j, .rows = 1, .cols = least(32 * LANES, g->n - j) };
            for (int64_t v = 0; v < p.width; v += LANES)
                vec_store_f32(y + v, v < p.cols ? gemm_load(g->pre, g->ct, i * g->ldc + j + v, p.cols - v) : (vf){ 0 });
            gemm_act(g->act, y, p.width);
            gemm_put_typed(&p, g->c, g->ct, g->ldc);
        }
}

void gemm_activate(const lm_gemm *g)
{
    lm_parallel(g->m, 1 + (1 << 12) / g->n, activate_rows, (void *)g);
}

LM_INSTALL(gemm) { k->gemm = gemm_product; }

#else
LM_INSTALL(gemm) { (void)k; }
#endif
