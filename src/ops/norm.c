/* RMSNorm and LayerNorm over the last dimension, with the residual sum in the same pass.
 *
 *   s = x + residual;   y = (s - mean(s)) / sqrt(var(s) + eps) * w + b      (LayerNorm)
 *                       y = s / sqrt(mean(s^2) + eps) * w                   (RMSNorm)
 *
 * With a residual, s takes the residual's memory: what produced the residual does not need its
 * output in backward, and a pass over memory is saved.  Then out[0] = y, out[1] = s. */
#include "ops/ops.h"

typedef struct attr {
    float eps;
    bool layer;
    float *mean, *rstd;
} attr;

enum { X, RESIDUAL, W, B };

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *x = n->in[X], *residual = n->in[RESIDUAL], *w = n->in[W], *b = n->in[B];
    int64_t cols = lm_cols(x);
    if ((w && lm_numel(w) != cols) || (b && lm_numel(b) != cols))
        return lm_tape_fail(t, "weight of %lld for rows of %lld", (long long)lm_numel(w ? w : b), (long long)cols);
    if (!lm_is_contiguous(x) || (residual && (!lm_is_contiguous(residual) || !lm_same_shape(x, residual))))
        return lm_tape_fail(t, "x and residual must be contiguous and of one shape");
    n->out[0] = lm_tensor_new(t, x->dtype, x->ndim, x->dim);
    if (residual) n->out[1] = lm_tensor_over(t, residual->data, x->dtype, x->ndim, x->dim);
    size_t bytes = (size_t)lm_rows(x) * sizeof(float);
    a->rstd = lm_tape_alloc(t, bytes);
    if (a->layer) a->mean = lm_tape_alloc(t, bytes);
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[X], *residual = n->in[RESIDUAL], *w = n->in[W], *b = n->in[B];
    t->k->norm_fwd[x->dtype](&(lm_k_norm){
        .y = n->out[0]->data, .sum = residual ? n->out[1]->data : NULL, .mean = a->mean, .rstd = a->rstd,
        .x = x->data, .residual = residual ? residual->data : NULL,
        .w = w ? w->data : NULL, .b = b ? b->data : NULL,
        .rows = lm_rows(x), .cols = lm_cols(x), .eps = a->eps, .wt = w ? w->dtype : LM_F32 });
}

/* A cleared or standing f32 gradient of a weight vector; NULL when it does not train. */
static float *weight_grad(lm_tape *t, lm_tensor *w)
{
    bool acc;
    float *dw = w ? lm_grad_out(t, w, &acc) : NULL;
    if (dw && !acc) t->k->zero(dw, (int64_t)lm_nbytes(w->grad));
    return dw;
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[X], *residual = n->in[RESIDUAL], *w = n->in[W];
    lm_tensor *s = residual ? n->out[1] : x;       /* its gradient may hold what came round the norm */
    void *dy = lm_grad_in(n->out[0]);
    float *dw = weight_grad(t, w), *db = weight_grad(t, n->in[B]);
    if (dy) {
        bool acc;
        void *ds = lm_grad_out(t, s, &acc);
        t->k->norm_bwd[x->dtype](&(lm_k_norm_bwd){
            .ds = ds, .dw = dw, .db = db, .dy = dy, .s = s->data, .w = w ? w->data : NULL, .mean = a->mean,
            .rstd = a->rstd, .rows = lm_rows(x), .cols = lm_cols(x), .wt = w ? w->dtype : LM_F32, .acc = acc });
    }
    if (!residual) return;
    bool acc;
    void *dx = lm_grad_out(t, x, &acc);
    if (dx) t->k->add[x->dtype](dx, s->grad->data, acc ? dx : NULL, 1, 1, lm_numel(x));
    lm_grad_move(t, residual, s);
}

const lm_op lm_op_norm = {
    .name = "norm", .source = "Ba et al. 2016, equation 3; Zhang & Sennrich 2019, equation 4",
    .infer = infer, .forward = forward, .backward = backward,
};

static lm_tensor *norm(lm_tape *t, lm_tensor *x, lm_tensor *residual, lm_tensor *w, lm_tensor *b,
                       attr a, lm_tensor **sum)
{
    lm_node *n = lm_apply(t, &lm_op_norm, &a, sizeof a, 4, (lm_tensor *[]){ x, residual, w, b });
    if (sum) *sum = residual ? n->out[1] : x;
    return n->out[0];
}

lm_tensor *lm_rmsnorm(lm_tape *t, lm_tensor *x, lm_tensor *residual, lm_tensor *w, float eps, lm_tensor **sum)
{
    return norm(t, x, residual, w, NULL, (attr){ .eps = eps }, sum);
}

lm_tensor *lm_layernorm(lm_tape *t, lm_tensor *x, lm_tensor *residual, lm_tensor *w, lm_tensor *b, float eps,
                        lm_tensor **sum)
{
    return norm(t, x, residual, w, b, (attr){ .eps = eps, .layer = true }, sum);
}
