/* Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) without the matrix of scores
 * (Dao et al. 2022, "FlashAttention"): forward keeps the output and one number per query and head,
 * backward computes the scores again.
 *
 * Sequences are segments of the rows, so packed documents do not see each other and a batch of
 * different lengths needs no padding.  Causal or full, grouped-query (Ainslie et al. 2023), sliding
 * window (Beltagy et al. 2020).  No dropout on the scores. */
#include "ops/ops.h"

typedef struct attr {
    lm_attention_options o;
    float *lse;
} attr;

enum { Q, K, V };

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *q = n->in[Q], *k = n->in[K], *v = n->in[V];
    int64_t head_dim = lm_cols(q) / a->o.heads;
    if (lm_cols(q) % a->o.heads || a->o.heads % a->o.kv_heads ||
        lm_cols(k) != a->o.kv_heads * head_dim || lm_cols(v) != lm_cols(k))
        return lm_tape_fail(t, "q of %lld, k of %lld, v of %lld channels do not fit %lld heads and %lld key-value heads",
                            (long long)lm_cols(q), (long long)lm_cols(k), (long long)lm_cols(v),
                            (long long)a->o.heads, (long long)a->o.kv_heads);
    n->out[0] = lm_tensor_new(t, q->dtype, 2, (int64_t[]){ lm_rows(q), lm_cols(q) });
    a->lse = lm_tape_alloc(t, (size_t)(lm_rows(q) * a->o.heads) * sizeof *a->lse);
    return t->err.code;
}

static lm_k_attention arguments(const lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *q = n->in[Q], *k = n->in[K], *v = n->in[V], *o = n->out[0];
    return (lm_k_attention){
        .o = o->data, .lse = a->lse, .q = q->data, .k = k->data, .v = v->data,
        .segments = a->o.segments, .n_segments = a->o.n_segments, .rows = lm_rows(q),
        .heads = a->o.heads, .kv_heads = a->o.kv_heads, .head_dim = lm_cols(q) / a->o.heads,
        .ldq = lm_row_stride(q), .ldk = lm_row_stride(k), .ldv = lm_row_stride(v), .ldo = lm_row_stride(o),
        .window = a->o.window, .scale = a->o.scale, .causal = a->o.causal };
}

static void forward(lm_tape *t, lm_node *n)
{
    lm_k_attention f = arguments(n);
    t->k->attention_fwd[n->out[0]->dtype](&f);
}

/* The kernel overwrites: an input whose gradient must be added to, or that needs none, gets room of its own. */
typedef struct target {
    void *data, *sum;                              /* sum: where data is added afterwards, or NULL */
    int64_t ld;
} target;

static target target_of(lm_tape *t, lm_tensor *x)
{
    bool acc;
    void *dx = lm_grad_out(t, x, &acc);
    if (dx && !acc) return (target){ dx, NULL, lm_row_stride(x->grad) };
    return (target){ lm_scratch(t, lm_nbytes(x)), dx, lm_cols(x) };
}

static void add_target(lm_tape *t, const lm_tensor *x, target d)
{
    if (!d.sum) return;
    int64_t cols = lm_cols(x), ld = lm_row_stride(x->grad), rows = ld == cols ? 1 : lm_rows(x);
    size_t size = lm_dtype_size(x->dtype);
    for (int64_t i = 0; i < rows; i++) {           /* one by one where x is columns of something wider */
        uint8_t *sum = (uint8_t *)d.sum + (size_t)(i * ld) * size;
        t->k->add[x->dtype](sum, sum, (uint8_t *)d.data + (size_t)(i * cols) * size, 1, 1, lm_numel(x) / rows);
    }
}

static void backward(lm_tape *t, lm_node *n)
{
    size_t mark = lm_scratch_mark(t);
    lm_k_attention_bwd b = { .f = arguments(n), .dout = lm_grad_in(n->out[0]), .lddo = lm_cols(n->out[0]) };
    target dq = target_of(t, n->in[Q]), dk = target_of(t, n->in[K]), dv = target_of(t, n->in[V]);
    b.delta = lm_scratch(t, (size_t)(b.f.rows * b.f.heads) * sizeof *b.delta);
    if (t->err.code) return;
    b.dq = dq.data, b.lddq = dq.ld, b.dk = dk.data, b.lddk = dk.ld, b.dv = dv.data, b.lddv = dv.ld;
    t->k->attention_bwd[n->out[0]->dtype](&b);
    add_target(t, n->in[Q], dq);
    add_target(t, n->in[K], dk);
    add_target(t, n->in[V], dv);
    lm_scratch_release(t, mark);
}

const lm_op lm_op_attention = {
    .name = "attention", .source = "Vaswani et al. 2017, section 3.2; Dao et al. 2022, algorithms 1 and 4",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_attention(lm_tape *t, lm_tensor *q, lm_tensor *k, lm_tensor *v, const lm_attention_options *options)
{
    attr a = { .o = *options };
    return lm_apply(t, &lm_op_attention, &a, sizeof a, 3, (lm_tensor *[]){ q, k, v })->out[0];
}
