/* Quantised data read as f32, and products of few rows with it.
 *
 * c[m, n] = a[m, k] w[n, k]^T for decoding: a piece of a row of w is decoded into the first-level cache
 * and meets every row of a there, so w is read once and never stands anywhere as floats.  The order of
 * a sum depends on k alone: a row gives the same bits whatever rows stand beside it. */
#include "backend/cpu/gemm_end.h"
#include "backend/cpu/quant.h"

#if LM_REAL_ID == 0

#include "backend/weight.h"
#include "base/thread.h"

#include <stdlib.h>

static void dequantise(float *y, const lm_quant *q, const void *codes, int64_t i, int64_t n) { quant_run(y, q, codes, i, n); }

/* PIECE: elements decoded at once.  CHUNK: columns that one task ends together.  SUMS: chains of additions
 * that run side by side. */
enum { PIECE = 512, CHUNK = 2 * LANES, SUMS = 4 };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* [m, k] in f32 */
    int64_t lda;
} job;

LM_INLINE float dot(const float *x, const float *y, int64_t n)
{
    vf sum[SUMS] = { 0 };
    int64_t i = 0;
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int s = 0; s < SUMS; s++) sum[s] += vec_load_f32(x + i + s * LANES) * vec_load_f32(y + i + s * LANES);
    for (; i < n; i += LANES) {
        int64_t rest = n - i < LANES ? n - i : LANES;
        sum[0] += vec_load_part(x, LM_F32, i, rest) * vec_load_part(y, LM_F32, i, rest);
    }
    vf all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    float y0 = 0, lane[LANES];
    vec_store_f32(lane, all);
    for (int l = 0; l < LANES; l++) y0 += lane[l];
    return y0;
}

/* sums[r, column] = row r of a times row j of w. */
static void column(float *sums, const job *w, int64_t j)
{
    const lm_gemm *g = w->g;
    float piece[PIECE];
    for (int64_t r = 0; r < g->m; r++) sums[r * CHUNK] = 0;
    for (int64_t p = 0; p < g->k; p += PIECE) {
        int64_t n = g->k - p < PIECE ? g->k - p : PIECE;
        quant_run(piece, g->bq, g->b, j * g->ldb + p, n);
        for (int64_t r = 0; r < g->m; r++) sums[r * CHUNK] += dot(piece, w->a + r * w->lda + p, n);
    }
}

static void run_chunks(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    float sums[GEMM_FEW_ROWS * CHUNK] = { 0 };
    for (int64_t j = begin * CHUNK; j < g->n && j < end * CHUNK; j += CHUNK) {
        int64_t n = g->n - j < CHUNK ? g->n - j : CHUNK;
        for (int64_t c = 0; c < n; c++) column(sums + c, w, j + c);
        gemm_part p = { .y = sums, .width = CHUNK, .j = j, .rows = g->m, .cols = n };
        gemm_scale(&p, g->alpha, g->beta, g->c, g->ct, g->ldc);
        gemm_end(g, &p);
    }
}

void gemm_few_rows_quant(const lm_gemm *g)
{
    bool as_it_lies = g->at == LM_F32 && !g->trans_a;
    float *room = as_it_lies ? NULL : malloc((size_t)(g->m * g->k + 1) * sizeof(float));
    if (!as_it_lies && !room) LM_BUG("gemm: no memory for %lld numbers", (long long)(g->m * g->k));
    for (int64_t i = 0; room && i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            room[i * g->k + p] = lm_weight_at(g->a, g->at, g->trans_a ? p * g->lda + i : i * g->lda + p);
    job w = { .g = g, .a = room ? room : g->a, .lda = room ? g->k : g->lda };
    lm_parallel((g->n + CHUNK - 1) / CHUNK, 1 + (1 << 15) / (CHUNK * g->k + 1), run_chunks, &w);
    free(room);
}

LM_INSTALL(quant) { k->dequantise = dequantise; }

#else
LM_INSTALL(quant) { (void)k; }
#endif
