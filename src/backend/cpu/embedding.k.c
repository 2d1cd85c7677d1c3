/* Embedding; the equations stand in ref/embedding.k.c.
 *
 * Backward gives each thread columns of its own and walks all rows in order: ids may repeat, and no
 * two threads meet in one place. */
#include "backend/real.h"
#include "backend/cpu/piece.h"
#include "backend/cpu/weight_row.h"

#include <omp.h>

static void embed_row(const lm_k_embedding *a, int64_t i)
{
    real *y = (real *)a->y + i * a->cols;
    int64_t ld = a->ld ? a->ld : a->cols;
    float room[RUN];
    for (int64_t j = 0; j < a->cols; j += RUN) {
        int64_t n = least(RUN, a->cols - j);
        const float *w = weight_run(room, a->table, a->wt, a->ids[i] * ld + j, n, 0);
        if (a->acc) {
#pragma omp simd
            for (int64_t c = 0; c < n; c++) y[j + c] = store(load(y[j + c]) + w[c]);
        } else {
#pragma omp simd
            for (int64_t c = 0; c < n; c++) y[j + c] = store(w[c]);
        }
    }
}

static void embedding_fwd(const lm_k_embedding *a)
{
#pragma omp parallel for schedule(static) if (a->rows * a->cols > SERIAL)
    for (int64_t i = 0; i < a->rows; i++) embed_row(a, i);
}

static void add_row(float *y, const real *x, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y[j] += load(x[j]);
}

static void embedding_bwd(const lm_k_embedding_bwd *a)
{
    const int64_t ld = a->ld ? a->ld : a->cols, each = columns_each(a->cols, omp_get_max_threads());
#pragma omp parallel for schedule(static) if (a->rows * a->cols > SERIAL)
    for (int64_t j = 0; j < a->cols; j += each)
        for (int64_t i = 0; i < a->rows; i++)
            add_row(a->dtable + a->ids[i] * ld + j, (const real *)a->dy + i * a->cols + j,
                    least(each, a->cols - j));
}

LM_INSTALL(embedding)
{
    k->embedding_fwd[LM_REAL_ID] = embedding_fwd;
    k->embedding_bwd[LM_REAL_ID] = embedding_bwd;
}
