/* Attention, backward (Dao et al. 2022, "FlashAttention", appendix B.2); the equations stand in
 * ref/attention.k.c.
 *
 * A segment's key head belongs to one thread, with all query heads that read it: dk and dv are sums
 * that no other thread adds to.  They are held in f32 for a range of keys at a time, while the blocks
 * of queries pass over the range; dq of a block is held in f32 over the range and then stored, or
 * added to what the range before left.  In bf16 such sums would be rounded once a range: there dq of all
 * blocks is held in f32 over all ranges.  Everything is summed in a fixed order.  Room on the stack:
 * 600 KiB. */
#include "backend/cpu/attention.h"

#include <stdlib.h>

enum { RANGE_ROOM = 32768 };

typedef struct work {
    query_room q, qt, dout, dout_t, dq;
    key_room k, v;
    score_room p, ds;
    row_room lse, delta;
    float dk[RANGE_ROOM], dv[RANGE_ROOM];
} work;

/* lse of a row without keys is -infinity and its scores are too; 0 makes their exponential 0. */
static void load_block(work *w, const lm_k_attention_bwd *a, const block *b, cut c)
{
    const lm_k_attention *f = &a->f;
    pack_queries(w->q, b, f->q, f->ldq, f->head_dim, c.dim);
    pack_queries(w->dout, b, a->dout, a->lddo, f->head_dim, c.dim);
    transpose(w->qt, b, w->q, f->scale, f->head_dim, c.dim);
    transpose(w->dout_t, b, w->dout, 1, f->head_dim, c.dim);
    for (int64_t r = 0; r < b->width; r++) w->lse[r] = w->delta[r] = 0;
    for (int64_t r = 0; r < b->rows; r++) {
        const real *o = (const real *)f->o + b->query[r] * f->ldo + b->head[r] * f->head_dim;
        const float *dout = w->dout + r * c.dim, lse = f->lse[b->query[r] * f->heads + b->head[r]];
        const int64_t n = f->head_dim;
        float delta = 0;
#pragma omp simd reduction(+ : delta)
        for (int64_t d = 0; d < n; d++) delta += dout[d] * load(o[d]);
        w->delta[r] = delta;
        w->lse[r] = lse == -INFINITY ? 0 : lse;
    }
}

/* p: scores to probabilities; ds: from dp to p * (dp - delta) */
static void soften(work *w, int64_t n, int64_t width)
{
    for (int64_t j = 0; j < n; j++) {
        float *p = w->p + j * width, *ds = w->ds + j * width;
#pragma omp simd
        for (int64_t r = 0; r < width; r++) {
            p[r] = vexp0(p[r] - w->lse[r]);
            ds[r] = p[r] * (ds[r] - w->delta[r]);
        }
    }
}

/* Keys j .. j + n of the segment, whose gradients stand `at` rows into the range. */
static void visit(work *w, float *dq, const lm_k_attention_bwd *a, const lm_segment *g, const block *b, cut c, int64_t kv_head,
                  int64_t j, int64_t n, int64_t at)
{
    const lm_k_attention *f = &a->f;
    const int64_t dim = c.dim, width = b->width;
    float *dk = w->dk + at * dim, *dv = w->dv + at * dim;
    pack_keys(w->k, f->k, f->ldk, g->k0 + j, kv_head, n, f->head_dim, dim);
    pack_keys(w->v, f->v, f->ldv, g->k0 + j, kv_head, n, f->head_dim, dim);
    product(&(tile){ .c = w->p, .ldc = width, .a = w->k, .ra = dim, .b = w->qt, .ldb = width, .n = f->head_dim },
            n, width);
    product(&(tile){ .c = w->ds, .ldc = width, .a = w->v, .ra = dim, .b = w->dout_t, .ldb = width, .n = f->head_dim },
            n, width);
    if (needs_mask(b, j, n)) mask(b, w->p, j, n);
    soften(w, n, width);
    product(&(tile){ .c = dv, .ldc = dim, .a = w->p, .ra = width, .b = w->dout, .ldb = dim, .n = b->rows, .add = true },
            n, dim);
    product(&(tile){ .c = dk, .ldc = dim, .a = w->ds, .ra = width, .b = w->q, .ldb = dim, .n = b->rows, .add = true },
            n, dim);
    product_t(&(tile){ .c = dq, .ldc = dim, .a = w->ds, .ia = width, .b = w->k, .ldb = dim, .n = n, .add = true },
              b->rows, dim);
}

static void store_row(real *y, const float *x, float scale, int64_t n, bool add)
{
    if (add) {
#pragma omp simd
        for (int64_t d = 0; d < n; d++) y[d] = store(load(y[d]) + scale * x[d]);
    } else {
#pragma omp simd
        for (int64_t d = 0; d < n; d++) y[d] = store(scale * x[d]);
    }
}

/* The part of a segment and a key head that a thread works on. */
typedef struct part {
    const lm_k_attention_bwd *a;
    const lm_segment *g;
    cut c;
    int64_t kv_head;
    float *dq;                         /* of every block, c.queries * c.dim each; NULL: a block's is added to a->dq */
} part;

static void store_queries(const part *p, const block *b, const float *dq, bool add)
{
    const int64_t n = p->a->f.head_dim;
    for (int64_t r = 0; r < b->rows; r++)
        store_row((real *)p->a->dq + b->query[r] * p->a->lddq + b->head[r] * n, dq + r * p->c.dim, p->a->f.scale, n, add);
}

/* All blocks over keys begin .. end of the segment. */
static void range_grad(work *w, const part *p, int64_t begin, int64_t end)
{
    const lm_k_attention_bwd *a = p->a;
    const lm_k_attention *f = &a->f;
    const blocks all = blocks_of(f, p->g, p->c);
    const int64_t dim = p->c.dim, n = f->head_dim;
    memset(w->dk, 0, (size_t)((end - begin) * dim) * sizeof *w->dk);
    memset(w->dv, 0, (size_t)((end - begin) * dim) * sizeof *w->dv);
    for (int64_t i = 0; i < all.count; i++) {
        block b;
        make_block(&b, f, p->g, all, p->kv_head, i);
        load_block(w, a, &b, p->c);
        float *dq = p->dq ? p->dq + i * p->c.queries * dim : w->dq;
        if (!p->dq || begin == 0) memset(dq, 0, (size_t)(b.rows * dim) * sizeof *dq);
        const int64_t first = b.first > begin ? b.first : begin, last = least(b.end, end);
        for (int64_t j = first; j < last; j += p->c.keys)
            visit(w, dq, a, p->g, &b, p->c, p->kv_head, j, least(p->c.keys, last - j), j - begin);
        if (!p->dq || end == p->g->nk) store_queries(p, &b, dq, !p->dq && begin > 0);
    }
    for (int64_t j = begin; j < end; j++) {
        store_row((real *)a->dk + (p->g->k0 + j) * a->lddk + p->kv_head * n, w->dk + (j - begin) * dim, f->scale, n, false);
        store_row((real *)a->dv + (p->g->k0 + j) * a->lddv + p->kv_head * n, w->dv + (j - begin) * dim, 1, n, false);
    }
}

static float *room_for_queries(const part *p)
{
    size_t bytes = (size_t)(blocks_of(&p->a->f, p->g, p->c).count * p->c.queries * p->c.dim) * sizeof(float);
    float *room = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!room) LM_BUG("attention: no memory for %zu bytes of gradients", bytes);
    return room;
}

static void head_grad(const lm_k_attention_bwd *a, const lm_segment *g, cut c, int64_t kv_head)
{
    work w;
    part p = { .a = a, .g = g, .c = c, .kv_head = kv_head };
    const int64_t most = RANGE_ROOM / c.dim;
    if (LM_REAL_ID != 0 && g->nk > most) p.dq = room_for_queries(&p);
    int64_t begin = 0;
    do {
        int64_t end = least(begin + most, g->nk);
        range_grad(&w, &p, begin, end);
        begin = end;
    } while (begin < g->nk);
    free(p.dq);
}

static void attention_bwd(const lm_k_attention_bwd *a)
{
    const cut c = cut_for(&a->f);
#pragma omp parallel if (worth_a_team(&a->f))
    for (int64_t s = 0; s < a->f.n_segments; s++) {
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t h = 0; h < a->f.kv_heads; h++) head_grad(a, &a->f.segments[s], c, h);
    }
}

LM_INSTALL(attention_bwd)
{
    k->attention_bwd[LM_REAL_ID] = attention_bwd;
}
