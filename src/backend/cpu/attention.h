/* What attention's two directions share: how queries and keys are cut into blocks.
 *
 * A block holds up to `queries` rows, each a query of one head; all its heads read the same key head,
 * so a short run of queries (decoding) shares a key tile between the heads of its group.  Scores lie
 * transposed, s[key, row]: the softmax is then vectorised over rows, without sums across lanes. */
#ifndef LM_BACKEND_CPU_ATTENTION_H
#define LM_BACKEND_CPU_ATTENTION_H

#include "backend/cpu/math.h"
#include "backend/cpu/piece.h"
#include "backend/cpu/tile.h"
#include "backend/real.h"

enum {
    MAX_QUERIES = 96, MAX_KEYS = 48, MAX_HEAD_DIM = 768,
    QUERY_ROOM = 12288, KEY_ROOM = 6144, /* numbers in a block of queries, in a tile of keys */
};

typedef float query_room[QUERY_ROOM] __attribute__((aligned(64)));
typedef float key_room[KEY_ROOM] __attribute__((aligned(64)));
typedef float score_room[MAX_KEYS * MAX_QUERIES] __attribute__((aligned(64)));
typedef float row_room[MAX_QUERIES] __attribute__((aligned(64)));

/* Sizes that depend on the head: its dimension rounded up to whole vectors, and how many queries and
 * keys of that length fit their rooms. */
typedef struct cut {
    int64_t dim, queries, keys;
} cut;

static inline cut cut_for(const lm_k_attention *a)
{
    LM_ASSERT(a->head_dim <= MAX_HEAD_DIM);
    cut c = { .dim = round_to_lanes(a->head_dim) };
    if (c.dim <= 128) c.queries = MAX_QUERIES, c.keys = MAX_KEYS;
    else if (c.dim <= 256) c.queries = 48, c.keys = 24;
    else c.queries = 16, c.keys = 8;
    return c;
}

/* The blocks of one segment and key head: `each` queries of `together` heads; per_head blocks cover
 * the queries. */
typedef struct blocks {
    int64_t each, together, per_head, count;
} blocks;

static inline blocks blocks_of(const lm_k_attention *a, const lm_segment *g, cut c)
{
    int64_t group = a->heads / a->kv_heads;
    blocks b = { .each = g->nq, .per_head = 1 };
    if (g->nq > c.queries) {
        b.per_head = (g->nq + c.queries - 1) / c.queries;
        b.each = round_to_lanes((g->nq + b.per_head - 1) / b.per_head);
        b.per_head = (g->nq + b.each - 1) / b.each;
    }
    b.together = b.each ? least(group, c.queries / b.each) : group;
    b.count = b.each ? b.per_head * ((group + b.together - 1) / b.together) : 0;
    return b;
}

/* Row r is query `query[r]` (a row of the tensors) of head `head[r]`; it sees keys low[r] .. high[r] - 1
 * of the segment.  All rows together see some of first .. end - 1, and each sees every key of
 * shared_first .. shared_end - 1.  width: rows rounded up to whole vectors. */
typedef struct block {
    int64_t rows, width, first, end, shared_first, shared_end;
    int64_t query[MAX_QUERIES], head[MAX_QUERIES];
    int32_t low[MAX_QUERIES], high[MAX_QUERIES];
} block;

static inline void see(block *b, const lm_k_attention *a, const lm_segment *g, int64_t i)
{
    int64_t position = g->nk - g->nq + i, low = 0, high = g->nk;
    if (a->causal) high = least(high, position + 1);
    if (a->window > 0 && position - a->window + 1 > 0) low = position - a->window + 1;
    if (low >= high) low = high = 0;
    b->low[b->rows] = (int32_t)low, b->high[b->rows] = (int32_t)high;
    if (high > low) {
        if (low < b->first) b->first = low;
        if (high > b->end) b->end = high;
    }
    if (low > b->shared_first) b->shared_first = low;
    if (high < b->shared_end) b->shared_end = high;
}

static inline void clear_block(block *b, const lm_segment *g)
{
    b->rows = 0, b->first = g->nk, b->end = 0, b->shared_first = 0, b->shared_end = g->nk;
}

/* Queries i .. i + n of the segment, of one head. */
static inline void add_rows(block *b, const lm_k_attention *a, const lm_segment *g, int64_t head, int64_t i, int64_t n)
{
    for (int64_t end = i + n; i < end; i++) {
        see(b, a, g, i);
        b->query[b->rows] = g->q0 + i, b->head[b->rows] = head;
        b->rows++;
    }
}

static inline void make_block(block *b, const lm_k_attention *a, const lm_segment *g, blocks all, int64_t kv_head,
                              int64_t index)
{
    int64_t group = a->heads / a->kv_heads;
    int64_t head0 = index / all.per_head * all.together, i0 = index % all.per_head * all.each;
    int64_t heads = least(all.together, group - head0), queries = least(all.each, g->nq - i0);
    clear_block(b, g);
    for (int64_t h = 0; h < heads; h++) add_rows(b, a, g, kv_head * group + head0 + h, i0, queries);
    b->width = round_to_lanes(b->rows);
    for (int64_t r = b->rows; r < b->width; r++) b->low[r] = b->high[r] = 0;
}

/* The part of the block's keys in begin .. end - 1 that tile j.. shows a row only in part. */
static inline bool needs_mask(const block *b, int64_t j, int64_t n)
{
    return j < b->shared_first || j + n > b->shared_end || b->rows < b->width;
}

static inline void mask(const block *b, float *s, int64_t j0, int64_t n)
{
    const int64_t width = b->width;
    for (int64_t j = 0; j < n; j++) {
        const int32_t at = (int32_t)(j0 + j);
        float *row = s + j * width;
#pragma omp simd
        for (int64_t r = 0; r < width; r++) row[r] = (at >= b->low[r]) & (at < b->high[r]) ? row[r] : -INFINITY;
    }
}

/* ---- to f32 and side by side ------------------------------------------------------------------ */

static inline void pack_row(float *y, const real *x, int64_t n, int64_t dim)
{
#pragma omp simd
    for (int64_t d = 0; d < n; d++) y[d] = load(x[d]);
    for (int64_t d = n; d < dim; d++) y[d] = 0;
}

/* Rows row .. row + n of head `head`, [n, dim] */
static inline void pack_keys(float *y, const real *x, int64_t ld, int64_t row, int64_t head, int64_t n, int64_t head_dim,
                             int64_t dim)
{
    for (int64_t j = 0; j < n; j++) pack_row(y + j * dim, x + (row + j) * ld + head * head_dim, head_dim, dim);
}

/* The block's rows, [rows, dim] */
static inline void pack_queries(float *y, const block *b, const real *x, int64_t ld, int64_t head_dim, int64_t dim)
{
    for (int64_t r = 0; r < b->rows; r++)
        pack_row(y + r * dim, x + b->query[r] * ld + b->head[r] * head_dim, head_dim, dim);
}

/* The same transposed and scaled, [head_dim, width], from packed rows; the rows up to width are 0. */
static inline void transpose(float *y, const block *b, const float *x, float scale, int64_t head_dim, int64_t dim)
{
    const int64_t width = b->width, rows = b->rows;
    for (int64_t d = 0; d < head_dim; d++) {
        for (int64_t r = 0; r < rows; r++) y[d * width + r] = scale * x[r * dim + d];
        for (int64_t r = rows; r < width; r++) y[d * width + r] = 0;
    }
}

/* A thread team pays from about this many multiplications. */
static inline bool worth_a_team(const lm_k_attention *a)
{
    double work = 0;
    for (int64_t s = 0; s < a->n_segments; s++) work += (double)a->segments[s].nq * (double)a->segments[s].nk;
    return work * (double)a->heads * (double)a->head_dim > 1e5;
}

#endif
