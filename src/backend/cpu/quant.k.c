/* Quantised data read as f32, and products of few rows with it.
 *
 * c[m, n] = a[m, k] w[n, k]^T for decoding: w is read where it lies, and its numbers meet those of up to four
 * rows of a in registers.  The order of a sum depends on k and the place of w's row among the blocks: a row of
 * a gives the same bits whatever rows stand beside it. */
#include "backend/cpu/gemm_end.h"
#include "backend/cpu/quant.h"

#if LM_REAL_ID == 0

#include "backend/weight.h"
#include "base/thread.h"

#include <stdlib.h>

static void dequantise(float *y, const lm_quant *q, const void *codes, int64_t i, int64_t n) { quant_run(y, q, codes, i, n); }

/* CHUNK: columns that one task ends together.  ROWS: of a that meet a row of w at once. */
enum { CHUNK = 2 * LANES, ROWS = 4 };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* [m, k] in f32 */
    int64_t lda;
} job;

LM_INLINE float fold(vf x)
{
    float lane[LANES], sum = 0;
    vec_store_f32(lane, x);
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* Element e, which meets number p of the rows of a, outside of vectors. */
LM_INLINE void single(float *rest, const job *w, const float *a, int64_t e, int64_t p, float scale, const int rows)
{
    float x = lm_quant_level(w->g->bq, w->g->b, e) * scale;
    for (int r = 0; r < rows; r++) rest[r] += x * a[r * w->lda + p];
}

/* sums[r] = row i + r of a times row j of w, for `rows` and `bits` that are constants here.  Levels are multiplied
 * as they are, and what a block sums to by its scale. */
LM_INLINE void dots(float *sums, const job *w, int64_t j, int64_t i, const int rows, const int bits)
{
    const lm_quant *q = w->g->bq;
    const void *codes = w->g->b;
    const float *a = w->a + i * w->lda;
    quant_table t = quant_table_of(q);
    vf acc[ROWS] = { 0 };
    float rest[ROWS] = { 0 };
    int64_t first = j * w->g->ldb, end = first + w->g->k, e = first, block = first / q->block;
    while (e < end) {
        int64_t stop = (block + 1) * q->block < end ? (block + 1) * q->block : end;
        float scale = lm_quant_scale(q, block++);
        vf part[ROWS] = { 0 };
        if (bits == 4 && e % 2) single(rest, w, a, e, e - first, scale, rows), e++;          /* up to a whole byte */
        for (; e + LANES <= stop; e += LANES) {
            vf x = bits == 8 ? quant_eight((const int8_t *)codes + e) : quant_four(&t, (const uint8_t *)codes + e / 2);
            for (int r = 0; r < rows; r++) part[r] += x * vec_load_f32(a + r * w->lda + e - first);
        }
        for (; e < stop; e++) single(rest, w, a, e, e - first, scale, rows);
        for (int r = 0; r < rows; r++) acc[r] += part[r] * scale;
    }
    for (int r = 0; r < rows; r++) sums[r * CHUNK] = fold(acc[r]) + rest[r];
}

LM_INLINE void column(float *sums, const job *w, int64_t j, const int bits)
{
    for (int64_t i = 0; i < w->g->m; i += ROWS, sums += ROWS * CHUNK)
        switch (w->g->m - i) {
        case 1: dots(sums, w, j, i, 1, bits); break;
        case 2: dots(sums, w, j, i, 2, bits); break;
        case 3: dots(sums, w, j, i, 3, bits); break;
        default: dots(sums, w, j, i, 4, bits);
        }
}

static void run_chunks(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    float sums[GEMM_FEW_ROWS * CHUNK] = { 0 };
    for (int64_t j = begin * CHUNK; j < g->n && j < end * CHUNK; j += CHUNK) {
        int64_t n = g->n - j < CHUNK ? g->n - j : CHUNK;
        for (int64_t c = 0; c < n; c++)
            if (g->bq->bits == 4) column(sums + c, w, j + c, 4);
            else column(sums + c, w, j + c, 8);
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
