/* Attention, forward: a block of queries walks over tiles of keys and keeps, per row, the greatest
 * score, the sum of exponentials and the weighted sum of values, each relative to the greatest score
 * so far (Dao et al. 2022, "FlashAttention", algorithm 1).  Tiles that no row sees are not visited.
 *
 * A block belongs to one thread, so nothing depends on their number.  Room on the stack: 200 KiB.
 * Heads are at most MAX_HEAD_DIM long. */
#include "backend/cpu/attention.h"

typedef struct rows {                  /* per row of the block, and o [rows, dim] */
    row_room top, sum, shrink;
    query_room o;
} rows;

/* Scores become exp(score - top); what was summed so far shrinks to the new top. */
static void soften(rows *w, float *s, int64_t n, int64_t width)
{
    row_room top, from;
    memcpy(top, w->top, sizeof top);
    for (int64_t j = 0; j < n; j++) {
        const float *row = s + j * width;
#pragma omp simd
        for (int64_t r = 0; r < width; r++) top[r] = row[r] > top[r] ? row[r] : top[r];
    }
#pragma omp simd
    for (int64_t r = 0; r < width; r++) {
        from[r] = top[r] > -INFINITY ? top[r] : 0;         /* a row that has seen no key yet */
        w->shrink[r] = vexp(w->top[r] - from[r]);
        w->sum[r] *= w->shrink[r];
        w->top[r] = top[r];
    }
    for (int64_t j = 0; j < n; j++) {
        float *row = s + j * width;
#pragma omp simd
        for (int64_t r = 0; r < width; r++) {
            row[r] = vexp(row[r] - from[r]);
            w->sum[r] += row[r];
        }
    }
}

static void shrink_values(rows *w, int64_t n, int64_t dim)
{
    for (int64_t r = 0; r < n; r++) {
        const float shrink = w->shrink[r];
        if (shrink == 1) continue;
        float *o = w->o + r * dim;
#pragma omp simd
        for (int64_t d = 0; d < dim; d++) o[d] *= shrink;
    }
}

static void store_rows(const lm_k_attention *a, const block *b, const rows *w, int64_t dim)
{
    for (int64_t r = 0; r < b->rows; r++) {
        const float sum = w->sum[r], inverse = sum == 0 ? 0 : 1 / sum, *from = w->o + r * dim;
        real *o = (real *)a->o + b->query[r] * a->ldo + b->head[r] * a->head_dim;
        const int64_t n = a->head_dim;
#pragma omp simd
        for (int64_t d = 0; d < n; d++) o[d] = store(from[d] * inverse);
        a->lse[b->query[r] * a->heads + b->head[r]] = sum == 0 ? -INFINITY : w->top[r] + logf(sum);
    }
}

static void attend(const lm_k_attention *a, const lm_segment *g, cut c, blocks all, int64_t kv_head, int64_t index)
{
    block b;
    rows w;
    query_room qt;
    key_room k, v;
    score_room s;
    make_block(&b, a, g, all, kv_head, index);
    pack_queries(w.o, &b, a->q, a->ldq, a->head_dim, c.dim);
    transpose(qt, &b, w.o, a->scale, a->head_dim, c.dim);
    memset(w.o, 0, (size_t)(b.rows * c.dim) * sizeof *w.o);
    for (int64_t r = 0; r < b.width; r++) w.top[r] = -INFINITY, w.sum[r] = 0;
    for (int64_t j = b.first; j < b.end; j += c.keys) {
        const int64_t n = least(c.keys, b.end - j);
        pack_keys(k, a->k, a->ldk, g->k0 + j, kv_head, n, a->head_dim, c.dim);
        pack_keys(v, a->v, a->ldv, g->k0 + j, kv_head, n, a->head_dim, c.dim);
        product(&(tile){ .c = s, .ldc = b.width, .a = k, .ra = c.dim, .b = qt, .ldb = b.width, .n = a->head_dim }, n, b.width);
        if (needs_mask(&b, j, n)) mask(&b, s, j, n);
        soften(&w, s, n, b.width);
        shrink_values(&w, b.rows, c.dim);
        product_t(&(tile){ .c = w.o, .ldc = c.dim, .a = s, .ia = b.width, .b = v, .ldb = c.dim, .n = n, .add = true },
                  b.rows, c.dim);
    }
    store_rows(a, &b, &w, c.dim);
}

static void attention_fwd(const lm_k_attention *a)
{
    const cut c = cut_for(a);
#pragma omp parallel if (worth_a_team(a))
    for (int64_t s = 0; s < a->n_segments; s++) {
        const lm_segment *g = &a->segments[s];
        const blocks all = blocks_of(a, g, c);
#pragma omp for collapse(2) schedule(dynamic, 1) nowait
        for (int64_t h = 0; h < a->kv_heads; h++)
            for (int64_t b = 0; b < all.count; b++) attend(a, g, c, all, h, b);
    }
}

LM_INSTALL(attention)
{
    k->attention_fwd[LM_REAL_ID] = attention_fwd;
}
