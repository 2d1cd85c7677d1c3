/* Attention, forward: a block of queries walks over tiles of keys and keeps, per row, the greatest
 * score, the sum of exponentials and the weighted sum of values, each relative to the greatest score
 * so far (Dao et al. 2022, "FlashAttention", algorithm 1).  Tiles that no row sees are not visited.
 *
 * A segment of at most NARROW queries (a new token) would leave most of a vector empty, and one head's
 * keys lie far apart in the cache: there a thread walks once over the keys for as many heads as it has,
 * a row at a time, and decoding runs at the speed of memory.
 *
 * A block belongs to one thread, so nothing depends on their number.  Room on the stack: 200 KiB.
 * Heads are at most MAX_HEAD_DIM long. */
#include "backend/cpu/attention.h"

#include <omp.h>

enum { NARROW = 2 };

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
        w->shrink[r] = vexp0(w->top[r] - from[r]);
        w->sum[r] *= w->shrink[r];
        w->top[r] = top[r];
    }
    for (int64_t j = 0; j < n; j++) {
        float *row = s + j * width;
#pragma omp simd
        for (int64_t r = 0; r < width; r++) {
            row[r] = vexp0(row[r] - from[r]);
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

/* ---- one row at a time --------------------------------------------------------------------------- */

/* s[f] = the sum of x[f]'s lanes: the four are folded side by side. */
LM_INLINE void sum_lanes(float s[4], const vf x[4])
{
#if LM_LANES_OF(LM_VARIANT) == 16
#define EVEN 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define ODD 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define FIRST 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define LAST 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#else
#define EVEN 0, 8, 2, 10, 4, 12, 6, 14
#define ODD 1, 9, 3, 11, 5, 13, 7, 15
#define FIRST 0, 1, 8, 9, 4, 5, 12, 13
#define LAST 2, 3, 10, 11, 6, 7, 14, 15
#endif
    vf a = __builtin_shufflevector(x[0], x[1], EVEN) + __builtin_shufflevector(x[0], x[1], ODD);      /* 0 1 0 1 .. */
    vf b = __builtin_shufflevector(x[2], x[3], EVEN) + __builtin_shufflevector(x[2], x[3], ODD);      /* 2 3 2 3 .. */
    vf c = __builtin_shufflevector(a, b, FIRST) + __builtin_shufflevector(a, b, LAST);                /* 0 1 2 3 0 1 2 3 .. */
    float lane[LANES];
    vec_store_f32(lane, c);
    for (int f = 0; f < 4; f++) {
        s[f] = lane[f];
        for (int i = 4 + f; i < LANES; i += 4) s[f] += lane[i];
    }
}

/* Where four keys (or values) from row i on stand; past the last of n, the last. */
static void four_rows(const real *row[4], const real *x, int64_t ld, int64_t i, int64_t n)
{
    for (int64_t f = 0; f < 4; f++) row[f] = x + least(i + f, n - 1) * ld;
}

/* This and add_four_values stand alone: inlined, their pointers do not find registers. */
static __attribute__((noinline)) void four_scores(float s[4], const float *q, const real *const k[4], float scale,
                                                  int64_t n)
{
    vf sum[4] = { { 0 } };
    int64_t d = 0;
    for (; d + LANES <= n; d += LANES)
        for (int f = 0; f < 4; f++) sum[f] += vec_load_f32(q + d) * vec_load(k[f], LM_REAL_ID, d);
    if (d < n)
        for (int f = 0; f < 4; f++) sum[f] += vec_load_f32(q + d) * vec_load_part(k[f], LM_REAL_ID, d, n - d);
    sum_lanes(s, sum);
    for (int f = 0; f < 4; f++) s[f] *= scale;
}

static __attribute__((noinline)) void add_four_values(float *o, const float p[4], const real *const v[4], int64_t n)
{
    int64_t d = 0;
    for (; d + LANES <= n; d += LANES) {
        vf sum = vec_load_f32(o + d);
        for (int f = 0; f < 4; f++) sum += p[f] * vec_load(v[f], LM_REAL_ID, d);
        vec_store_f32(o + d, sum);
    }
    for (; d < n; d++)
        for (int f = 0; f < 4; f++) o[d] += p[f] * load(v[f][d]);
}

/* Row r's n scores, of which it sees first .. end - 1, to exp(score - top), in place; what was summed
 * so far shrinks to the new top. */
static void soften_row(rows *w, int64_t r, float *s, int64_t first, int64_t end, int64_t n, int64_t dim)
{
    float top = w->top[r], sum = 0;
    for (int64_t j = 0; j < first; j++) s[j] = -INFINITY;
    for (int64_t j = end; j < n; j++) s[j] = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < n; j++) top = s[j] > top ? s[j] : top;
    const float from = top > -INFINITY ? top : 0, shrink = vexp0(w->top[r] - from);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        s[j] = vexp0(s[j] - from);
        sum += s[j];
    }
    w->sum[r] = w->sum[r] * shrink + sum;
    w->top[r] = top;
    if (shrink == 1) return;
    float *o = w->o + r * dim;
#pragma omp simd
    for (int64_t d = 0; d < dim; d++) o[d] *= shrink;
}

/* One head's keys (or values) of the four rows after these. */
LM_INLINE void prefetch_rows(const real *const row[4], int64_t ld, int64_t n)
{
    for (int f = 0; f < 4; f++)
        for (int64_t d = 0; d < n; d += 64 / (int64_t)sizeof(real)) __builtin_prefetch(row[f] + 4 * ld + d);
}

/* All heads of four keys, then of the next four: the cache is read in the order in which it lies. */
static void narrow_tile(rows *w, const lm_k_attention *a, const lm_segment *g, const block *b, const float *q, cut c,
                        int64_t j, int64_t n)
{
    const int64_t group = a->heads / a->kv_heads, fours = (n + 3) / 4 * 4;
    const real *k = (const real *)a->k + (g->k0 + j) * a->ldk, *v = (const real *)a->v + (g->k0 + j) * a->ldv, *row[4];
    score_room s;
    for (int64_t i = 0; i < n; i += 4)
        for (int64_t r = 0; r < b->rows; r++) {
            four_rows(row, k + b->head[r] / group * a->head_dim, a->ldk, i, n);
            prefetch_rows(row, a->ldk, a->head_dim);
            four_scores(s + r * MAX_KEYS + i, q + r * c.dim, row, a->scale, a->head_dim);
        }
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t first = least(n, b->low[r] > j ? b->low[r] - j : 0), end = least(n, b->high[r] - j);
        soften_row(w, r, s + r * MAX_KEYS, first, end > first ? end : first, fours, c.dim);
    }
    for (int64_t i = 0; i < n; i += 4)
        for (int64_t r = 0; r < b->rows; r++) {
            four_rows(row, v + b->head[r] / group * a->head_dim, a->ldv, i, n);
            prefetch_rows(row, a->ldv, a->head_dim);
            add_four_values(w->o + r * c.dim, s + r * MAX_KEYS + i, row, a->head_dim);
        }
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static void start(rows *w, const block *b, cut c)
{
    memset(w->o, 0, (size_t)(b->rows * c.dim) * sizeof *w->o);
    for (int64_t r = 0; r < MAX_QUERIES; r++) w->top[r] = -INFINITY, w->sum[r] = 0;
}

/* How many key heads a thread takes at once: its share, or all where segments keep the threads busy, as far as their
 * rows find room. */
static int64_t span_of(const lm_k_attention *a, const lm_segment *g, cut c)
{
    int64_t each = a->heads / a->kv_heads * g->nq, room = least(MAX_QUERIES, QUERY_ROOM / c.dim) / (each ? each : 1);
    int64_t sharers = a->n_segments < omp_get_num_threads() ? omp_get_num_threads() : 1;
    int64_t share = (a->kv_heads + sharers - 1) / sharers;
    return room > 1 ? least(room, share) : 1;
}

static bool is_narrow(const lm_k_attention *a, const lm_segment *g, cut c)
{
    return g->nq <= NARROW && a->heads / a->kv_heads * g->nq <= least(MAX_QUERIES, QUERY_ROOM / c.dim);
}

static void attend_narrow(const lm_k_attention *a, const lm_segment *g, cut c, int64_t kv_head, int64_t end)
{
    const int64_t group = a->heads / a->kv_heads;
    block b;
    rows w;
    query_room q;
    clear_block(&b, g);
    for (int64_t h = kv_head * group; h < end * group; h++) add_rows(&b, a, g, h, 0, g->nq);
    pack_queries(q, &b, a->q, a->ldq, a->head_dim, c.dim);
    start(&w, &b, c);
    for (int64_t j = b.first; j < b.end; j += c.keys) narrow_tile(&w, a, g, &b, q, c, j, least(c.keys, b.end - j));
    store_rows(a, &b, &w, c.dim);
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
    start(&w, &b, c);
    for (int64_t j = b.first; j < b.end; j += c.keys) {
        const int64_t n = least(c.keys, b.end - j);
        pack_keys(k, a->k, a->ldk, g->k0 + j, kv_head, n, a->head_dim, c.dim);
        pack_keys(v, a->v, a->ldv, g->k0 + j, kv_head, n, a->head_dim, c.dim);
        product(&(tile){ .c = s, .ldc = b.width, .a = k, .ra = c.dim, .b = qt, .ldb = b.width, .n = a->head_dim },
                n, b.width);
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
        if (is_narrow(a, g, c)) {
            const int64_t span = span_of(a, g, c);
#pragma omp for schedule(dynamic, 1) nowait
            for (int64_t h = 0; h < a->kv_heads; h += span) attend_narrow(a, g, c, h, least(h + span, a->kv_heads));
        } else {
            const blocks all = blocks_of(a, g, c);
#pragma omp for collapse(2) schedule(dynamic, 1) nowait
            for (int64_t h = 0; h < a->kv_heads; h++)
                for (int64_t b = 0; b < all.count; b++) attend(a, g, c, all, h, b);
        }
    }
}

LM_INSTALL(attention)
{
    k->attention_fwd[LM_REAL_ID] = attention_fwd;
}
