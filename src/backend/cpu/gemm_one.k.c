/* Products of one row against w stored [n, k]: decoding.
 *
 * The time is that of reading w, so w is read where it lies: COLS of its rows at a time meet a, each sum in the lanes
 * of one vector, which is folded at the end.  Quantised levels are multiplied as they are, and what a block sums to by
 * its scale.  (The other order of sums, that of products of several rows, would take up to twice the time.) */
#include "backend/cpu/gemm_end.h"
#include "backend/cpu/gemm_plain.h"

#if LM_REAL_ID == 0

#include "backend/cpu/quant.h"
#include "base/thread.h"

#include <stdlib.h>

/* CHUNK: columns that end together, a multiple of COLS and of LANES. */
enum { COLS = 6, CHUNK = 3 * LANES };

typedef struct job {
    const lm_gemm *g;
    const float *a;                    /* [k] in f32 */
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

/* sums[c] = a times row at[c] of w. */
LM_INLINE void dots(float *sums, const job *w, lm_dtype type, const int64_t at[COLS])
{
    const void *b = w->g->b;
    vf acc[COLS] = { 0 };
    int64_t p = 0, k = w->g->k;
    for (; p + LANES <= k; p += LANES) {
        vf x = vec_load_f32(w->a + p);
        for (int c = 0; c < COLS; c++) acc[c] += x * vec_load(b, type, at[c] + p);
    }
    if (p < k)
        for (int c = 0; c < COLS; c++) acc[c] += vec_load_part(w->a, LM_F32, p, k - p) * vec_load_part(b, type, at[c] + p, k - p);
    for (int c = 0; c < COLS; c++) sums[c] = fold(acc[c]);
}

/* Columns [j, j + n), n <= CHUNK.  Past the last column the last one is read again. */
LM_INLINE void chunk(float *sums, const job *w, lm_dtype type, int64_t j, int64_t n)
{
    for (int64_t c = 0; c < n; c += COLS) {
        int64_t at[COLS];
        for (int q = 0; q < COLS; q++) at[q] = (j + least(c + q, n - 1)) * w->g->ldb;
        dots(sums + c, w, type, at);
    }
}

/* a times row j of a quantised w, for `bits` that are a constant here. */
LM_INLINE float dot_quant(const job *w, int64_t j, const int bits)
{
    const lm_quant *q = w->g->bq;
    const void *codes = w->g->b;
    int64_t first = j * w->g->ldb, end = first + w->g->k, e = first, block = first / q->block;
    quant_table t = quant_table_of(q);
    vf acc = { 0 };
    float rest = 0;                                        /* of the elements outside of vectors */
    while (e < end) {
        int64_t stop = least((block + 1) * q->block, end);
        float scale = lm_quant_scale(q, block++);
        vf part = { 0 };
        if (bits == 4 && e % 2) rest += lm_quant_level(q, codes, e) * scale * w->a[e - first], e++;     /* up to a whole byte */
        for (; e + LANES <= stop; e += LANES) {
            vf x = bits == 8 ? quant_eight((const int8_t *)codes + e) : quant_four(&t, (const uint8_t *)codes + e / 2);
            part += x * vec_load_f32(w->a + e - first);
        }
        for (; e < stop; e++) rest += lm_quant_level(q, codes, e) * scale * w->a[e - first];
        acc += part * scale;
    }
    return fold(acc) + rest;
}

static void chunk_quant(float *sums, const job *w, int64_t j, int64_t n)
{
    for (int64_t c = 0; c < n; c++) sums[c] = w->g->bq->bits == 4 ? dot_quant(w, j + c, 4) : dot_quant(w, j + c, 8);
}

static void run(int64_t begin, int64_t end, void *context)
{
    const job *w = context;
    const lm_gemm *g = w->g;
    float sums[CHUNK] = { 0 };
    for (int64_t j = begin * CHUNK; j < least(end * CHUNK, g->n); j += CHUNK) {
        int64_t n = least(CHUNK, g->n - j);
        if (g->bq) chunk_quant(sums, w, j, n);
        else if (g->bt == LM_F32) chunk(sums, w, LM_F32, j, n);
        else if (g->bt == LM_BF16) chunk(sums, w, LM_BF16, j, n);
        else chunk(sums, w, LM_F16, j, n);
        gemm_part p = { .y = sums, .width = CHUNK, .j = j, .rows = 1, .cols = n };
        gemm_scale(&p, g->alpha, g->beta, g->c, g->ct, g->ldc);
        gemm_end(g, &p);
    }
}

void gemm_one_row(const lm_gemm *g)
{
    int64_t lda;
    float *room;
    const float *a = gemm_rows_in_f32(&room, &lda, g);
    job w = { .g = g, .a = a };
    lm_parallel((g->n + CHUNK - 1) / CHUNK, 1 + (1 << 16) / (g->k * CHUNK + 1), run, &w);
    free(room);
}

LM_INSTALL(gemm_one) { (void)k; }

#else
LM_INSTALL(gemm_one) { (void)k; }
#endif
