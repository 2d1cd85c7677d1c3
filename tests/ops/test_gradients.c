/* Every op's backward against a directional finite difference of its forward, for every input.
 *
 *   d/de f(x + e u) at 0  ~  (f(x + h u) - f(x - h u)) / 2h      f(x) = sum_i r_i y_i(x)
 *
 * with random directions u and read-outs r.  The op under test is reached through a copy of its
 * input (scale by 1) so that in-place ops can be repeated and gradients pass through a non-leaf.
 * Tolerance: forward is f32, so the quotient carries about 1e-7 |f| / h = 1e-4 |f|, beside O(h^2);
 * 1e-2 of the derivative's size holds both.  A new op without a case fails test_no_op_is_missing. */
#include "backend/backend.h"
#include "ops/ops.h"

#include "base/rng.h"
#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 5, ROWS = 11, COLS = 24 };

typedef struct input {
    int ndim;
    int64_t dim[2];
} input;

typedef struct op_case {
    const char *op, *name;
    input in[MAX_INPUTS];
    /* Builds y from copies of the inputs (leaf[i] is the parameter itself: for weights). */
    lm_tensor *(*build)(lm_tape *t, lm_tensor **x, lm_tensor **leaf);
    bool scalar;                             /* y is the loss already */
} op_case;

/* ---- the cases ---- */

static const int32_t ids[ROWS] = { 3, 0, 5, 3, 1, 1, 4, 2, 3, 5, 0 };
static const int32_t targets[ROWS] = { 3, -1, 5, 30, 1, 17, 4, -1, 3, 36, 0 };
static const lm_segment segments[2] = { { 0, 7, 0, 7 }, { 7, 4, 7, 4 } };
static float angles[2 * ROWS * 3];

static lm_tensor *index_of(lm_tape *t) { return lm_input(t, ids, LM_I32, 1, (int64_t[]){ ROWS }); }
static lm_tensor *angle_table(lm_tape *t)
{
    for (int i = 0; i < ROWS * 3; i++) angles[i] = cosf((float)i), angles[ROWS * 3 + i] = sinf((float)i);
    return lm_input(t, angles, LM_F32, 3, (int64_t[]){ 2, ROWS, 3 });
}

#define CASE(name) static lm_tensor *name(lm_tape *t, lm_tensor **x, lm_tensor **leaf)
#define UNUSED_LEAF (void)leaf
CASE(embedding) { (void)x; return lm_embedding(t, leaf[0], index_of(t)); }
CASE(gather) { UNUSED_LEAF; return lm_gather_rows(t, x[0], index_of(t)); }
CASE(linear) { return lm_linear(t, x[0], leaf[1], leaf[2]); }
CASE(linear_transposed)
{
    return lm_linear_with(t, x[0], leaf[1], leaf[2], &(lm_linear_options){ .transposed = true, .alpha = 0.7f });
}
CASE(linear_gelu) { return lm_linear_with(t, x[0], leaf[1], leaf[2], &(lm_linear_options){ .act = LM_ACT_GELU_TANH }); }
CASE(linear_add) { return lm_linear_add_(t, x[2], x[0], leaf[1], 0.3f, false); }
CASE(linear_of_activations) { UNUSED_LEAF; return lm_linear(t, x[0], x[1], NULL); }
CASE(linear_of_columns) { return lm_linear(t, lm_columns(t, x[0], 4, 12), leaf[1], NULL); }
CASE(rmsnorm) { return lm_rmsnorm(t, x[0], NULL, leaf[1], 1e-5f, NULL); }
CASE(rmsnorm_residual)
{
    lm_tensor *sum, *y = lm_rmsnorm(t, x[0], x[1], leaf[2], 1e-5f, &sum);
    return lm_add(t, y, lm_scale(t, sum, 0.5f));
}
CASE(rmsnorm_sum_unused) { return lm_rmsnorm(t, x[0], x[1], leaf[2], 1e-5f, NULL); }
CASE(layernorm) { return lm_layernorm(t, x[0], NULL, leaf[1], leaf[2], 1e-5f, NULL); }
CASE(layernorm_residual)
{
    lm_tensor *sum, *y = lm_layernorm(t, x[0], x[1], leaf[2], leaf[3], 1e-5f, &sum);
    return lm_mul(t, y, sum);
}
CASE(rope) { UNUSED_LEAF; return lm_rope_(t, x[0], angle_table(t), 3); }
static lm_tensor *attend(lm_tape *t, lm_tensor *q, lm_tensor *k, lm_tensor *v, int64_t window, bool causal)
{
    return lm_attention(t, q, k, v, &(lm_attention_options){ .heads = 4, .kv_heads = 2, .window = window, .segments = segments,
                                                             .n_segments = 2, .scale = 0.4f, .causal = causal });
}
CASE(attention) { UNUSED_LEAF; return attend(t, x[0], x[1], x[2], 0, true); }
CASE(attention_window) { UNUSED_LEAF; return attend(t, x[0], x[1], x[2], 3, true); }
CASE(attention_full) { UNUSED_LEAF; return attend(t, x[0], x[1], x[2], 0, false); }
CASE(attention_columns)
{
    UNUSED_LEAF;
    return attend(t, lm_columns(t, x[0], 0, 24), lm_columns(t, x[0], 24, 12), lm_columns(t, x[0], 36, 12), 0, true);
}
CASE(attention_columns_shared)               /* the same columns in two attentions */
{
    UNUSED_LEAF;
    lm_tensor *q = lm_columns(t, x[0], 0, 24), *k = lm_columns(t, x[0], 24, 12), *v = lm_columns(t, x[0], 36, 12);
    return lm_add(t, attend(t, q, k, v, 0, true), attend(t, q, k, v, 0, false));
}
CASE(attention_shared)                       /* keys are values: both gradients join in one buffer */
{
    UNUSED_LEAF;
    return attend(t, x[0], x[1], x[1], 0, true);
}
CASE(swiglu) { UNUSED_LEAF; return lm_glu(t, x[0], x[1], LM_ACT_SILU); }
CASE(geglu) { UNUSED_LEAF; return lm_glu(t, x[0], x[1], LM_ACT_GELU); }
CASE(gelu) { UNUSED_LEAF; return lm_activation(t, x[0], LM_ACT_GELU); }
CASE(gelu_tanh) { UNUSED_LEAF; return lm_activation(t, x[0], LM_ACT_GELU_TANH); }
CASE(silu) { UNUSED_LEAF; return lm_activation(t, x[0], LM_ACT_SILU); }
CASE(tanh_) { UNUSED_LEAF; return lm_activation(t, x[0], LM_ACT_TANH); }
CASE(relu) { UNUSED_LEAF; return lm_activation(t, lm_add(t, x[0], lm_mul(t, x[0], x[0])), LM_ACT_RELU); }
CASE(dropout) { UNUSED_LEAF; t->stream = 7; return lm_dropout(t, x[0], 0.3f); }
CASE(add) { UNUSED_LEAF; return lm_add(t, x[0], x[1]); }
CASE(add_self) { UNUSED_LEAF; return lm_add(t, x[0], x[0]); }
CASE(add_in_place) { UNUSED_LEAF; return lm_add_(t, x[0], x[1]); }
CASE(mul) { UNUSED_LEAF; return lm_mul(t, x[0], x[1]); }
CASE(square) { UNUSED_LEAF; return lm_mul(t, x[0], x[0]); }
CASE(scale) { UNUSED_LEAF; return lm_scale(t, x[0], -1.7f); }
CASE(scale_columns) { return lm_scale_columns(t, x[0], leaf[1]); }
CASE(scale_columns_about)
{
    static float centre[COLS];
    for (int i = 0; i < COLS; i++) centre[i] = sinf((float)i);
    return lm_scale_columns_about(t, x[0], leaf[1], lm_input(t, centre, LM_F32, 1, (int64_t[]){ COLS }));
}
static const lm_lstm_options ahead = { .segments = segments, .n_segments = 2 }, backwards = { .segments = segments, .n_segments = 2, .reverse = true };
CASE(lstm) { return lm_lstm(t, x[0], leaf[1], &ahead); }
CASE(lstm_reverse) { return lm_lstm(t, x[0], leaf[1], &backwards); }
CASE(bilstm) { return lm_bilstm(t, x[0], leaf[1], x[2], leaf[3], &ahead); }
CASE(bilstm_shared) { return lm_bilstm(t, x[0], leaf[1], x[0], leaf[1], &ahead); }
CASE(orthogonality) { (void)x; return lm_orthogonality(t, leaf[0], false); }
CASE(orthogonality_of_columns) { (void)x; return lm_scale(t, lm_orthogonality(t, leaf[0], true), 0.3f); }
static const int32_t which[ROWS] = { 0, 1, -1, -1, 2, -1, 0, 1, 2, -1, -1 };
CASE(replace_rows) { return lm_replace_rows(t, x[0], leaf[1], which); }
static const int32_t ids_or_not[ROWS] = { -1, 1, 0, -1, -1, 2, -1, -1, -1, 2, 2 };
CASE(replace_rows_of_columns) { UNUSED_LEAF; return lm_replace_rows(t, lm_columns(t, x[0], 4, 12), x[1], which); }
CASE(rows_of_columns_of_a_parameter)
{
    return lm_replace_rows(t, lm_replace_rows(t, x[0], lm_columns(t, leaf[1], 0, 12), which), lm_columns(t, leaf[1], 12, 12), ids_or_not);
}
CASE(reshape) { UNUSED_LEAF; return lm_mul(t, lm_reshape(t, x[0], 2 * ROWS, COLS / 2), lm_scale(t, lm_reshape(t, x[1], 2 * ROWS, COLS / 2), 2)); }
CASE(cross_entropy) { return lm_cross_entropy(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .chunk = 4 }); }
CASE(cross_entropy_transposed)
{
    static const float weights[ROWS] = { .1f, 2, .3f, .4f, 0, .6f, .7f, 8, .9f, 1, 1.1f };
    return lm_cross_entropy(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .weights = weights, .transposed = true });
}
CASE(nll) { return lm_nll(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .chunk = 4 }); }
CASE(nll_transposed) { lm_tensor *y = lm_nll(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .transposed = true }); return lm_mul(t, y, y); }
static lm_cross_entropy_options with_terms(lm_low_rank *term, lm_tensor **x, lm_tensor **leaf)
{
    *term = (lm_low_rank){ .h = x[2], .up = leaf[3], .scale = 0.6f };
    return (lm_cross_entropy_options){ .chunk = 4, .terms = term, .n_terms = 1 };
}
CASE(cross_entropy_low_rank)
{
    lm_low_rank term;
    lm_cross_entropy_options o = with_terms(&term, x, leaf);
    return lm_cross_entropy(t, x[0], leaf[1], targets, &o);
}
CASE(nll_entropy)
{
    lm_tensor *h, *y = lm_nll(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .chunk = 4, .entropy = &h });
    return lm_mul(t, y, h);
}
CASE(entropy)
{
    lm_tensor *h;
    lm_nll(t, x[0], leaf[1], targets, &(lm_cross_entropy_options){ .entropy = &h });
    return h;
}
CASE(nll_low_rank)
{
    lm_low_rank term;
    lm_cross_entropy_options o = with_terms(&term, x, leaf);
    return lm_nll(t, x[0], leaf[1], targets, &o);
}
static double softplus_sum(const void *context, const float *x, float *slope, int64_t n)
{
    double sum = 0, sharp = *(const double *)context;
    for (int64_t i = 0; i < n; i++) sum += log1p(exp(sharp * x[i])), slope[i] += (float)(sharp / (1 + exp(-sharp * x[i])));
    return sum;
}
CASE(by_hand)
{
    static const double sharp = 0.7;
    UNUSED_LEAF;
    return lm_scale(t, lm_by_hand(t, x[0], softplus_sum, &sharp), 0.5f);
}
static lm_tensor *block_weight;
static lm_tensor *block(lm_tape *t, void *context, lm_tensor *x)
{
    (void)context;
    lm_tensor *h = lm_dropout(t, lm_linear_with(t, x, block_weight, NULL, &(lm_linear_options){ .act = LM_ACT_SILU }), 0.2f);
    return lm_add_(t, h, x);
}
CASE(checkpoint)
{
    block_weight = leaf[1];
    t->stream = 3;
    t->checkpointing = true;
    lm_tensor *y = lm_checkpoint(t, block, NULL, lm_checkpoint(t, block, NULL, x[0]));
    t->checkpointing = false;
    return y;
}

#define M(r, c) { 2, { r, c } }
#define V(n) { 1, { n } }
static const op_case cases[] = {
    { "embedding", "embedding", { M(6, COLS) }, embedding, false },
    { "embedding", "gather_rows", { M(6, COLS) }, gather, false },
    { "linear", "linear", { M(ROWS, COLS), M(17, COLS), V(17) }, linear, false },
    { "linear", "linear, transposed", { M(ROWS, COLS), M(COLS, 17), V(17) }, linear_transposed, false },
    { "linear", "linear, gelu", { M(ROWS, COLS), M(17, COLS), V(17) }, linear_gelu, false },
    { "linear", "linear, in place", { M(ROWS, COLS), M(17, COLS), M(ROWS, 17) }, linear_add, false },
    { "linear", "linear of two activations", { M(ROWS, COLS), M(17, COLS) }, linear_of_activations, false },
    { "linear", "linear of columns", { M(ROWS, COLS), M(5, 12) }, linear_of_columns, false },
    { "norm", "rmsnorm", { M(ROWS, COLS), V(COLS) }, rmsnorm, false },
    { "norm", "rmsnorm, residual", { M(ROWS, COLS), M(ROWS, COLS), V(COLS) }, rmsnorm_residual, false },
    { "norm", "rmsnorm, sum unused", { M(ROWS, COLS), M(ROWS, COLS), V(COLS) }, rmsnorm_sum_unused, false },
    { "norm", "layernorm", { M(ROWS, COLS), V(COLS), V(COLS) }, layernorm, false },
    { "norm", "layernorm, residual", { M(ROWS, COLS), M(ROWS, COLS), V(COLS), V(COLS) }, layernorm_residual, false },
    { "rope", "rope", { M(ROWS, COLS) }, rope, false },
    { "attention", "attention", { M(ROWS, 24), M(ROWS, 12), M(ROWS, 12) }, attention, false },
    { "attention", "attention, window", { M(ROWS, 24), M(ROWS, 12), M(ROWS, 12) }, attention_window, false },
    { "attention", "attention, full", { M(ROWS, 24), M(ROWS, 12), M(ROWS, 12) }, attention_full, false },
    { "attention", "attention of columns", { M(ROWS, 48) }, attention_columns, false },
    { "attention", "attention of shared columns", { M(ROWS, 48) }, attention_columns_shared, false },
    { "attention", "attention, keys are values", { M(ROWS, 24), M(ROWS, 12) }, attention_shared, false },
    { "glu", "swiglu", { M(ROWS, COLS), M(ROWS, COLS) }, swiglu, false },
    { "glu", "geglu", { M(ROWS, COLS), M(ROWS, COLS) }, geglu, false },
    { "activation", "gelu", { M(ROWS, COLS) }, gelu, false },
    { "activation", "gelu_tanh", { M(ROWS, COLS) }, gelu_tanh, false },
    { "activation", "silu", { M(ROWS, COLS) }, silu, false },
    { "activation", "tanh", { M(ROWS, COLS) }, tanh_, false },
    { "activation", "relu", { M(ROWS, COLS) }, relu, false },
    { "dropout", "dropout", { M(ROWS, COLS) }, dropout, false },
    { "add", "add", { M(ROWS, COLS), M(ROWS, COLS) }, add, false },
    { "add", "x + x", { M(ROWS, COLS) }, add_self, false },
    { "add_", "add_", { M(ROWS, COLS), M(ROWS, COLS) }, add_in_place, false },
    { "mul", "mul", { M(ROWS, COLS), M(ROWS, COLS) }, mul, false },
    { "mul", "x * x", { M(ROWS, COLS) }, square, false },
    { "scale", "scale", { M(ROWS, COLS) }, scale, false },
    { "scale_columns", "scale_columns", { M(ROWS, COLS), V(COLS) }, scale_columns, false },
    { "scale_columns", "scale_columns, about a centre", { M(ROWS, COLS), V(COLS) }, scale_columns_about, false },
    { "lstm", "lstm", { M(ROWS, COLS), M(COLS, COLS / 4) }, lstm, false },
    { "lstm", "lstm, reversed", { M(ROWS, COLS), M(COLS, COLS / 4) }, lstm_reverse, false },
    { "lstm", "lstm, both ways", { M(ROWS, COLS), M(COLS, COLS / 4), M(ROWS, COLS), M(COLS, COLS / 4) }, bilstm, false },
    { "lstm", "lstm, both ways by the same weights", { M(ROWS, COLS), M(COLS, COLS / 4) }, bilstm_shared, false },
    { "orthogonality", "orthogonality", { M(5, COLS) }, orthogonality, true },
    { "orthogonality", "orthogonality of columns", { M(COLS, 5) }, orthogonality_of_columns, true },
    { "replace_rows", "replace_rows", { M(ROWS, COLS), M(3, COLS) }, replace_rows, false },
    { "replace_rows", "replace_rows, of columns", { M(ROWS, COLS), M(3, 12) }, replace_rows_of_columns, false },
    { "replace_rows", "replace_rows by columns", { M(ROWS, 12), M(3, 24) }, rows_of_columns_of_a_parameter, false },
    { "mul", "views of another shape", { M(ROWS, COLS), M(ROWS, COLS) }, reshape, false },
    { "cross_entropy", "cross_entropy", { M(ROWS, COLS), M(37, COLS) }, cross_entropy, true },
    { "cross_entropy", "cross_entropy, transposed", { M(ROWS, COLS), M(COLS, 37) }, cross_entropy_transposed, true },
    { "nll", "nll", { M(ROWS, COLS), M(37, COLS) }, nll, false },
    { "nll", "nll times entropy", { M(ROWS, COLS), M(37, COLS) }, nll_entropy, false },
    { "nll", "entropy", { M(ROWS, COLS), M(37, COLS) }, entropy, false },
    { "nll", "nll, transposed, squared", { M(ROWS, COLS), M(COLS, 37) }, nll_transposed, false },
    { "cross_entropy", "cross_entropy, a term of low rank", { M(ROWS, COLS), M(37, COLS), M(ROWS, 3), M(37, 3) }, cross_entropy_low_rank, true },
    { "nll", "nll, a term of low rank", { M(ROWS, COLS), M(37, COLS), M(ROWS, 3), M(37, 3) }, nll_low_rank, false },
    { "by_hand", "by_hand", { M(ROWS, COLS) }, by_hand, true },
    { "checkpoint", "checkpoint", { M(ROWS, COLS), M(COLS, COLS) }, checkpoint, false },
};

/* ---- the check ---- */

typedef struct bench {
    lm_kernels k;
    lm_tape t;
    lm_tensor leaf[MAX_INPUTS], grad[MAX_INPUTS];
    float *value[MAX_INPUTS], *saved[MAX_INPUTS], *direction[MAX_INPUTS];
    int n;
    float readout[4096];
} bench;

static void fill(float *x, int64_t n, uint64_t stream)
{
    lm_rng rng = { 5, stream, 0 };
    for (int64_t i = 0; i < n; i++) x[i] = (float)lm_rng_normal(&rng);
}

static void open_bench(bench *b, const op_case *c)
{
    memset(b, 0, sizeof *b);
    assert_int_equal(lm_backend(&b->k, "ref", NULL), LM_OK);
    assert_int_equal(lm_tape_init(&b->t, &b->k, &(lm_tape_options){ .compute = LM_F32, .bytes = 1 << 26 }, NULL), LM_OK);
    b->t.seed = 11;
    b->t.training = true;
    for (; b->n < MAX_INPUTS && c->in[b->n].ndim; b->n++) {
        int i = b->n;
        lm_tensor *x = &b->leaf[i];
        *x = lm_tensor_of(NULL, LM_F32, c->in[i].ndim, c->in[i].dim);
        size_t bytes = lm_nbytes(x);
        x->data = b->value[i] = malloc(bytes);
        b->saved[i] = malloc(bytes);
        b->direction[i] = malloc(bytes);
        fill(b->saved[i], lm_numel(x), (uint64_t)i);
        fill(b->direction[i], lm_numel(x), (uint64_t)i + 100);
        memcpy(b->value[i], b->saved[i], bytes);
        b->grad[i] = *x;
        b->grad[i].data = malloc(bytes);
        x->name = "leaf";
        x->needs_grad = true;
        x->grad = &b->grad[i];
    }
    fill(b->readout, 4096, 999);
}

static void close_bench(bench *b)
{
    for (int i = 0; i < b->n; i++) free(b->value[i]), free(b->saved[i]), free(b->direction[i]), free(b->grad[i].data);
    lm_tape_free(&b->t);
}

/* f at the current values; with `backward`, gradients too. */
static double evaluate(bench *b, const op_case *c, bool backward)
{
    lm_tensor *x[MAX_INPUTS] = { 0 }, *leaf[MAX_INPUTS] = { 0 };
    b->t.recording = backward;
    for (int i = 0; i < b->n; i++) {
        leaf[i] = &b->leaf[i];
        if (backward) leaf[i]->grad->fresh = true;
        x[i] = lm_scale(&b->t, leaf[i], 1);
    }
    lm_tensor *y = c->build(&b->t, x, leaf), *loss = y;
    if (b->t.err.code) fail_msg("%s: %s", c->name, b->t.err.message);
    int64_t n = lm_numel(y);
    double f = 0;
    for (int64_t i = 0; i < n; i++) f += (double)((float *)y->data)[i] * (c->scalar ? 1 : (double)b->readout[i % 4096]);
    if (backward) {
        if (!c->scalar) {                    /* a head of one row reads y out: loss = y . r */
            lm_tensor *flat = lm_tensor_over(&b->t, y->data, LM_F32, 2, (int64_t[]){ 1, n });
            flat->base = y;
            flat->needs_grad = true;
            loss = lm_linear(&b->t, flat, lm_input(&b->t, b->readout, LM_F32, 2, (int64_t[]){ 1, n }), NULL);
            loss = lm_tensor_over(&b->t, loss->data, LM_F32, 1, (int64_t[]){ 1 });
            loss->needs_grad = true;
            b->t.last->out[0] = loss;
        }
        if (lm_backward(&b->t, loss) != LM_OK) fail_msg("%s: %s", c->name, b->t.err.message);
    }
    lm_tape_reset(&b->t);
    return f;
}

static double difference(bench *b, const op_case *c, int i)
{
    const float h = 2e-3f;
    double f[2];
    int64_t n = lm_numel(&b->leaf[i]);
    for (int s = 0; s < 2; s++) {
        for (int64_t j = 0; j < n; j++) b->value[i][j] = b->saved[i][j] + (s ? -h : h) * b->direction[i][j];
        f[s] = evaluate(b, c, false);
    }
    memcpy(b->value[i], b->saved[i], lm_nbytes(&b->leaf[i]));
    return (f[0] - f[1]) / (2 * (double)h);
}

static void test_every_gradient(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const op_case *c = &cases[k];
        bench b;
        open_bench(&b, c);
        evaluate(&b, c, true);
        for (int i = 0; i < b.n; i++) {
            const float *g = b.grad[i].data;
            if (b.grad[i].fresh) fail_msg("%s: no gradient reached input %d", c->name, i);
            double slope = 0, size = 0;
            for (int64_t j = 0; j < lm_numel(&b.leaf[i]); j++) {
                slope += (double)g[j] * (double)b.direction[i][j];
                size += (double)g[j] * (double)g[j];
            }
            double want = difference(&b, c, i), bound = 1e-2 * (sqrt(size) + 0.05);
            if (!(fabs(slope - want) <= bound)) fail_msg("%s, input %d: slope %g, finite difference %g", c->name, i, slope, want);
            assert_true(size > 0);
        }
        close_bench(&b);
    }
}

/* A second backward without clearing in between adds the same again. */
static void test_gradients_accumulate(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, &(op_case){ .in = { M(ROWS, COLS), M(37, COLS) } });
    b.t.recording = true;
    float *once = malloc(lm_nbytes(&b.leaf[1])), *g = b.grad[1].data;
    b.grad[0].fresh = b.grad[1].fresh = true;
    for (int pass = 0; pass < 2; pass++) {
        lm_tensor *loss = lm_cross_entropy(&b.t, &b.leaf[0], &b.leaf[1], targets, &(lm_cross_entropy_options){ 0 });
        assert_int_equal(lm_backward(&b.t, loss), LM_OK);
        lm_tape_reset(&b.t);
        if (!pass) memcpy(once, g, lm_nbytes(&b.leaf[1]));
    }
    for (int64_t j = 0; j < lm_numel(&b.leaf[1]); j++)
        if (fabsf(g[j] - 2 * once[j]) > 1e-6f) fail_msg("%g is not twice %g", (double)g[j], (double)once[j]);
    free(once);
    close_bench(&b);
}

/* The first failure sticks: later ops do nothing, and say nothing new. */
static void test_the_first_failure_sticks(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, &(op_case){ .in = { M(ROWS, COLS), M(5, 7) } });
    lm_tensor *y = lm_linear(&b.t, &b.leaf[0], &b.leaf[1], NULL);
    assert_string_equal(b.t.err.message, "linear: x [11, 24] does not fit w [5, 7]");
    y = lm_rmsnorm(&b.t, lm_add(&b.t, y, &b.leaf[0]), NULL, NULL, 1e-5f, NULL);
    assert_ptr_equal(y, &b.t.dead);
    assert_int_equal(lm_backward(&b.t, y), LM_E_MISMATCH);
    assert_string_equal(b.t.err.message, "linear: x [11, 24] does not fit w [5, 7]");
    close_bench(&b);
}

static void test_no_op_is_missing(void **state)
{
    (void)state;
    int n = 0;
    for (const lm_op *const *op = lm_op_registry; *op; op++, n++) {
        bool found = false;
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) found |= !strcmp(cases[k].op, (*op)->name);
        if (!found) fail_msg("op %s has no gradient case", (*op)->name);
        assert_non_null((*op)->source);
    }
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_gradient),
        cmocka_unit_test(test_gradients_accumulate),
        cmocka_unit_test(test_the_first_failure_sticks),
        cmocka_unit_test(test_no_op_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
