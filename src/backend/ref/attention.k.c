/* Attention: o = softmax(scale * q k^T + mask) v, one query at a time.
 *
 *   s_ij = scale * q_i . k_j       p_ij = exp(s_ij - lse_i)       o_i = sum_j p_ij v_j
 *
 * Backward (Dao et al. 2022, "FlashAttention", appendix B.2) recomputes p from lse:
 *   delta_i = do_i . o_i           ds_ij = p_ij * (do_i . v_j - delta_i)
 *   dq_i = scale * sum_j ds_ij k_j       dk_j = scale * sum_i ds_ij q_i       dv_j = sum_i p_ij do_i
 *
 * With fewer key heads than query heads, query head h reads key head h / (heads / kv_heads).  A query
 * that sees no key has o = 0 and lse = -infinity.  No score is kept: each is computed again where it
 * is needed, for CHUNK dimensions of the result at a time.  Sums are in f32. */
#include "backend/real.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool sees(const lm_k_attention *a, const lm_segment *g, int64_t i, int64_t j)
{
    int64_t position = g->nk - g->nq + i;
    return (!a->causal || j <= position) && (a->window <= 0 || j > position - a->window);
}

static float inner(const real *x, const real *y, int64_t n)
{
    float sum = 0;
    for (int64_t d = 0; d < n; d++) sum += load(x[d]) * load(y[d]);
    return sum;
}

/* Query i of segment g and head h; key j as query head h reads it; both of any tensor of that layout. */
static const real *query(const lm_k_attention *a, const void *q, int64_t ld, const lm_segment *g, int64_t i, int64_t h)
{
    return (const real *)q + (g->q0 + i) * ld + h * a->head_dim;
}

static const real *key(const lm_k_attention *a, const void *k, int64_t ld, const lm_segment *g, int64_t j, int64_t h)
{
    return (const real *)k + (g->k0 + j) * ld + h / (a->heads / a->kv_heads) * a->head_dim;
}

static float score(const lm_k_attention *a, const lm_segment *g, int64_t i, int64_t j, int64_t h)
{
    return a->scale * inner(query(a, a->q, a->ldq, g, i, h), key(a, a->k, a->ldk, g, j, h), a->head_dim);
}

/* log of the sum of exp(score), kept relative to the greatest score so far. */
static float log_sum_exp(const lm_k_attention *a, const lm_segment *g, int64_t i, int64_t h)
{
    float greatest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < g->nk; j++) {
        if (!sees(a, g, i, j)) continue;
        float s = score(a, g, i, j, h);
        if (s > greatest) sum *= expf(greatest - s), greatest = s;
        sum += expf(s - greatest);
    }
    return greatest + logf(sum);
}

static void attend(const lm_k_attention *a, const lm_segment *g, int64_t i, int64_t h)
{
    float lse = log_sum_exp(a, g, i, h), sum[CHUNK];
    a->lse[(g->q0 + i) * a->heads + h] = lse;
    real *o = (real *)a->o + (g->q0 + i) * a->ldo + h * a->head_dim;
    for (int64_t d0 = 0; d0 < a->head_dim; d0 += CHUNK) {
        int64_t n = least(CHUNK, a->head_dim - d0);
        memset(sum, 0, sizeof sum);
        for (int64_t j = 0; j < g->nk; j++) {
            if (!sees(a, g, i, j)) continue;
            const real *v = key(a, a->v, a->ldv, g, j, h) + d0;
            float p = expf(score(a, g, i, j, h) - lse);
            for (int64_t d = 0; d < n; d++) sum[d] += p * load(v[d]);
        }
        for (int64_t d = 0; d < n; d++) o[d0 + d] = store(sum[d]);
    }
}

static void attention_fwd(const lm_k_attention *a)
{
    for (int64_t s = 0; s < a->n_segments; s++)
        for (int64_t i = 0; i < a->segments[s].nq; i++)
            for (int64_t h = 0; h < a->heads; h++) attend(a, &a->segments[s], i, h);
}

/* p_ij, and *ds without the factor `scale`. */
static float weight(const lm_k_attention_bwd *b, const lm_segment *g, int64_t i, int64_t j, int64_t h, float *ds)
{
    const lm_k_attention *a = &b->f;
    int64_t row = (g->q0 + i) * a->heads + h;
    float p = expf(score(a, g, i, j, h) - a->lse[row]);
    float dp = inner(query(a, b->dout, b->lddo, g, i, h), key(a, a->v, a->ldv, g, j, h), a->head_dim);
    *ds = p * (dp - b->delta[row]);
    return p;
}

static void query_grad(const lm_k_attention_bwd *b, const lm_segment *g, int64_t i, int64_t h)
{
    const lm_k_attention *a = &b->f;
    real *dq = (real *)b->dq + (g->q0 + i) * b->lddq + h * a->head_dim;
    b->delta[(g->q0 + i) * a->heads + h] =
        inner(query(a, b->dout, b->lddo, g, i, h), query(a, a->o, a->ldo, g, i, h), a->head_dim);
    for (int64_t d0 = 0; d0 < a->head_dim; d0 += CHUNK) {
        int64_t n = least(CHUNK, a->head_dim - d0);
        float sum[CHUNK] = { 0 };
        for (int64_t j = 0; j < g->nk; j++) {
            if (!sees(a, g, i, j)) continue;
            const real *k = key(a, a->k, a->ldk, g, j, h) + d0;
            float ds;
            weight(b, g, i, j, h, &ds);
            for (int64_t d = 0; d < n; d++) sum[d] += ds * load(k[d]);
        }
        for (int64_t d = 0; d < n; d++) dq[d0 + d] = store(a->scale * sum[d]);
    }
}

/* Of key j and key head kh: a sum over the query heads that read it. */
static void key_grad(const lm_k_attention_bwd *b, const lm_segment *g, int64_t j, int64_t kh)
{
    const lm_k_attention *a = &b->f;
    int64_t group = a->heads / a->kv_heads;
    real *dk = (real *)b->dk + (g->k0 + j) * b->lddk + kh * a->head_dim;
    real *dv = (real *)b->dv + (g->k0 + j) * b->lddv + kh * a->head_dim;
    for (int64_t d0 = 0; d0 < a->head_dim; d0 += CHUNK) {
        int64_t n = least(CHUNK, a->head_dim - d0);
        float sum_k[CHUNK] = { 0 }, sum_v[CHUNK] = { 0 };
        for (int64_t h = kh * group; h < (kh + 1) * group; h++)
            for (int64_t i = 0; i < g->nq; i++) {
                if (!sees(a, g, i, j)) continue;
                const real *q = query(a, a->q, a->ldq, g, i, h) + d0;
                const real *dout = query(a, b->dout, b->lddo, g, i, h) + d0;
                float ds, p = weight(b, g, i, j, h, &ds);
                for (int64_t d = 0; d < n; d++) sum_k[d] += ds * load(q[d]), sum_v[d] += p * load(dout[d]);
            }
        for (int64_t d = 0; d < n; d++) dk[d0 + d] = store(a->scale * sum_k[d]), dv[d0 + d] = store(sum_v[d]);
    }
}

static void attention_bwd(const lm_k_attention_bwd *b)
{
    const lm_k_attention *a = &b->f;
    for (int64_t s = 0; s < a->n_segments; s++) {
        const lm_segment *g = &a->segments[s];
        for (int64_t i = 0; i < g->nq; i++)
            for (int64_t h = 0; h < a->heads; h++) query_grad(b, g, i, h);
        for (int64_t j = 0; j < g->nk; j++)
            for (int64_t kh = 0; kh < a->kv_heads; kh++) key_grad(b, g, j, kh);
    }
}

LM_INSTALL(attention)
{
    k->attention_fwd[LM_REAL_ID] = attention_fwd;
    k->attention_bwd[LM_REAL_ID] = attention_bwd;
}
