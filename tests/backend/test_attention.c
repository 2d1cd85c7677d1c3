/* Attention of every backend against the definition: all scores of a head as a matrix in double, its
 * softmax row by row, and the product with v; gradients against finite differences of that in double. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct problem {
    const char *name;
    int heads, kv_heads, head_dim, window;
    bool causal;
    int n_segments;
    lm_segment segments[3];
} problem;

static const problem problems[] = {
    { "causal", 2, 2, 5, 0, true, 1, { { 0, 7, 0, 7 } } },
    { "full", 1, 1, 4, 0, false, 1, { { 0, 6, 0, 6 } } },
    { "grouped queries", 6, 2, 3, 0, true, 1, { { 0, 5, 0, 5 } } },
    { "window", 2, 1, 8, 3, true, 1, { { 0, 9, 0, 9 } } },
    { "two documents and a new token", 2, 1, 4, 0, true, 3, { { 0, 4, 0, 4 }, { 4, 5, 4, 5 }, { 9, 1, 9, 6 } } },
    { "a longer cache", 1, 1, 9, 4, true, 1, { { 0, 3, 0, 11 } } },
    { "queries before any key", 1, 1, 3, 0, true, 1, { { 0, 5, 0, 2 } } },
};
enum { PROBLEMS = sizeof problems / sizeof problems[0], MOST = 4096 };

static int count(const problem *p, bool keys)
{
    int n = 0;
    for (int s = 0; s < p->n_segments; s++) n += (int)(keys ? p->segments[s].nk : p->segments[s].nq);
    return n;
}

/* o[query, head, dim] of one query and head, by the definition; returns log of the denominator. */
static double attend(double *o, const problem *p, const lm_segment *g, int i, int h, const double *q, const double *k,
                     const double *v)
{
    const int D = p->head_dim, kh = h * p->kv_heads / p->heads, position = (int)(g->nk - g->nq) + i;
    double weight[64], sum = 0;
    for (int j = 0; j < g->nk; j++) {
        bool seen = (!p->causal || j <= position) && (!p->window || position - j < p->window);
        double score = 0;
        for (int d = 0; d < D; d++)
            score += q[((g->q0 + i) * p->heads + h) * D + d] * k[((g->k0 + j) * p->kv_heads + kh) * D + d];
        sum += weight[j] = seen ? exp(score / sqrt(D)) : 0;
    }
    for (int d = 0; d < D; d++) {
        o[d] = 0;
        for (int j = 0; j < g->nk && sum > 0; j++) o[d] += weight[j] / sum * v[((g->k0 + j) * p->kv_heads + kh) * D + d];
    }
    return log(sum);
}

/* sum of dout * o */
static double loss(const problem *p, const double *q, const double *k, const double *v, const float *dout)
{
    double sum = 0, o[64];
    for (int s = 0; s < p->n_segments; s++)
        for (int i = 0; i < p->segments[s].nq; i++)
            for (int h = 0; h < p->heads; h++) {
                attend(o, p, &p->segments[s], i, h, q, k, v);
                for (int d = 0; d < p->head_dim; d++)
                    sum += o[d] * dout[((p->segments[s].q0 + i) * p->heads + h) * p->head_dim + d];
            }
    return sum;
}

typedef struct buffers {
    float q[MOST], k[MOST], v[MOST], o[MOST], lse[MOST], dout[MOST], dq[MOST], dk[MOST], dv[MOST], delta[MOST];
    double dense[3][MOST];             /* q, k, v */
} buffers;

static lm_k_attention arguments(const problem *p, buffers *b)
{
    lm_rng rng = { .seed = 11 };
    int nq = count(p, false) * p->heads * p->head_dim, nk = count(p, true) * p->kv_heads * p->head_dim;
    for (int i = 0; i < nq; i++) b->dense[0][i] = b->q[i] = (float)lm_rng_normal(&rng), b->dout[i] = (float)lm_rng_normal(&rng);
    for (int i = 0; i < nk; i++) b->dense[1][i] = b->k[i] = (float)lm_rng_normal(&rng);
    for (int i = 0; i < nk; i++) b->dense[2][i] = b->v[i] = (float)lm_rng_normal(&rng);
    int ldq = p->heads * p->head_dim, ldk = p->kv_heads * p->head_dim;
    return (lm_k_attention){ .o = b->o, .lse = b->lse, .q = b->q, .k = b->k, .v = b->v, .segments = p->segments,
                             .n_segments = p->n_segments, .rows = count(p, false), .heads = p->heads,
                             .kv_heads = p->kv_heads, .head_dim = p->head_dim, .ldq = ldq, .ldk = ldk, .ldv = ldk,
                             .ldo = ldq, .window = p->window, .scale = 1 / sqrtf((float)p->head_dim), .causal = p->causal };
}

/* f32 arithmetic over at most a dozen terms of order one */
static const double FORWARD = 2e-6;

static void check_forward(const lm_kernels *k, const problem *p, buffers *b)
{
    lm_k_attention a = arguments(p, b);
    k->attention_fwd[LM_F32](&a);
    for (int s = 0; s < p->n_segments; s++)
        for (int i = 0; i < p->segments[s].nq; i++)
            for (int h = 0; h < p->heads; h++) {
                const int64_t row = (p->segments[s].q0 + i) * p->heads + h;
                double o[64], lse = attend(o, p, &p->segments[s], i, h, b->dense[0], b->dense[1], b->dense[2]);
                if (!(b->lse[row] == lse || fabs(b->lse[row] - lse) <= FORWARD))
                    fail_msg("%s, %s: lse of query %d, head %d: got %g, want %g", k->name, p->name, i, h, (double)b->lse[row], lse);
                for (int d = 0; d < p->head_dim; d++)
                    if (!(fabs(b->o[row * p->head_dim + d] - o[d]) <= FORWARD))
                        fail_msg("%s, %s: query %d, head %d, dim %d: got %g, want %g", k->name, p->name, i, h, d,
                                 (double)b->o[row * p->head_dim + d], o[d]);
            }
}

static void check_backward(const lm_kernels *k, const problem *p, buffers *b)
{
    lm_k_attention a = arguments(p, b);
    k->attention_fwd[LM_F32](&a);
    k->attention_bwd[LM_F32](&(lm_k_attention_bwd){ .f = a, .dq = b->dq, .dk = b->dk, .dv = b->dv, .dout = b->dout,
                                                    .delta = b->delta, .lddo = a.ldo, .lddq = a.ldq, .lddk = a.ldk,
                                                    .lddv = a.ldv });
    const float *got[] = { b->dq, b->dk, b->dv };
    for (int t = 0; t < 3; t++) {
        int n = t ? count(p, true) * p->kv_heads * p->head_dim : count(p, false) * p->heads * p->head_dim;
        for (int i = 0; i < n; i++) {
            const double step = 1e-5, at = b->dense[t][i];
            b->dense[t][i] = at + step;
            double up = loss(p, b->dense[0], b->dense[1], b->dense[2], b->dout);
            b->dense[t][i] = at - step;
            double down = loss(p, b->dense[0], b->dense[1], b->dense[2], b->dout), want = (up - down) / (2 * step);
            b->dense[t][i] = at;
            if (!(fabs(got[t][i] - want) <= 1e-5))             /* f32 gradients of order one; the difference is good to 1e-9 */
                fail_msg("%s, %s: d%c[%d]: got %g, want %g", k->name, p->name, "qkv"[t], i, (double)got[t][i], want);
        }
    }
}

static void each(const char *backend)
{
    lm_kernels k;
    lm_err err = { 0 };
    if (lm_backend(&k, backend, &err) == LM_E_UNSUPPORTED) {
        printf("skipped: %s\n", err.message);
        skip();
    }
    buffers *b = malloc(sizeof *b);
    assert_non_null(b);
    for (int i = 0; i < PROBLEMS; i++) {
        check_forward(&k, &problems[i], b);
        check_backward(&k, &problems[i], b);
    }
    free(b);
}

static void test_ref(void **state) { (void)state; each("ref"); }
static void test_avx2(void **state) { (void)state; each("avx2"); }
static void test_avx512(void **state) { (void)state; each("avx512"); }

/* Scores of 1e4 and -1e4 in one row: the softmax is exact at its ends and nothing overflows. */
static void test_large_scores(void **state)
{
    (void)state;
    const char *names[] = { "ref", "auto" };
    for (int n = 0; n < 2; n++) {
        lm_kernels k;
        assert_int_equal(lm_backend(&k, names[n], NULL), LM_OK);
        float q[5] = { 100, 100, 100, 100, 100 }, key[5] = { -100, 100, -100, 99, -100 }, v[5] = { 1, 2, 3, 4, 5 }, o[5], lse[5];
        const lm_segment s = { 0, 5, 0, 5 };
        k.attention_fwd[LM_F32](&(lm_k_attention){ .o = o, .lse = lse, .q = q, .k = key, .v = v, .segments = &s,
                                                   .n_segments = 1, .rows = 5, .heads = 1, .kv_heads = 1, .head_dim = 1,
                                                   .ldq = 1, .ldk = 1, .ldv = 1, .ldo = 1, .scale = 1, .causal = true });
        assert_true(o[0] == 1 && lse[0] == -10000);
        for (int i = 1; i < 5; i++) assert_true(o[i] == 2 && lse[i] == 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_avx512),
        cmocka_unit_test(test_large_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
