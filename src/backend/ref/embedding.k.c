/* Embedding: a row of a table per id, and its transpose, a sum of rows per id.
 *
 *   y[i, :] = table[ids[i], :]         dtable[ids[i], :] += dy[i, :]
 *
 * Rows of dy are added in order, so an id that stands twice sums the same way every time.
 * Leaves out: checking ids, which the caller has done. */
#include "backend/real.h"
#include "backend/weight.h"

static void embedding_fwd(const lm_k_embedding *a)
{
    real *y = a->y;
    int64_t ld = a->ld ? a->ld : a->cols;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            float w = lm_weight_at(a->table, a->wt, a->ids[i] * ld + j);
            y[i * a->cols + j] = store(a->acc ? load(y[i * a->cols + j]) + w : w);
        }
}

static void embedding_bwd(const lm_k_embedding_bwd *a)
{
    const real *dy = a->dy;
    int64_t ld = a->ld ? a->ld : a->cols;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++)
            a->dtable[a->ids[i] * ld + j] += load(dy[i * a->cols + j]);
}

LM_INSTALL(embedding)
{
    k->embedding_fwd[LM_REAL_ID] = embedding_fwd;
    k->embedding_bwd[LM_REAL_ID] = embedding_bwd;
}
