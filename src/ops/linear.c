/* y[.., n] = act(alpha * x[.., k] w[n, k]^T + bias[n]), and the form that adds to y in place.
 *
 *   dx += alpha * dz w      dw += alpha * dz^T x      dbias += sum of dz's rows      dz = dy * act'(z)
 *
 * Under checkpointing the product is what a block keeps if it may (tape.h): y, or z where there is an activation.
 *
 * The weight may be of another type than the activations (a mapped bf16 or f16 file, or quantised: then
 * it has no gradient), and stored [k, n] (GPT-2's Conv1D).  Only an activation other than NONE keeps z. */
#include "ops/ops.h"

typedef struct attr {
    lm_linear_options o;
    bool in_place;
    void *pre;                                     /* z, when act needs it in backward */
    void *keep;                                    /* room for the product until the block runs again */
    bool kept;                                     /* it is there already: y itself, or z in pre */
} attr;

/* A sum over fewer is made sooner than copied. */
enum { KEEP_LEAST = 32 };

enum { X, W, BIAS, Y };                            /* inputs; Y only in place */

static lm_gemm product(const lm_tape *t, const attr *a)
{
    return (lm_gemm){ .ct = t->compute, .at = t->compute, .bt = t->compute, .compute = t->compute,
                      .alpha = a->o.alpha, .deterministic = t->deterministic };
}

/* y of the product x w^T, where it is not to be added to something. */
static lm_tensor *make_y(lm_tape *t, attr *a, lm_dtype dtype, int ndim, const int64_t *dim, int64_t in)
{
    bool act = a->o.act != LM_ACT_NONE, dear = in >= KEEP_LEAST && (!act || dtype == LM_F32);   /* a z rounded to bf16 gives another y */
    void *kept = dear ? lm_tape_kept(t) : NULL;
    a->kept = kept != NULL;
    lm_tensor *y = kept && !act ? lm_tensor_over(t, kept, dtype, ndim, dim) : lm_tensor_new(t, dtype, ndim, dim);
    if (dear && !kept) a->keep = lm_tape_keep(t, lm_nbytes(y));
    if (act) a->pre = kept ? kept : a->keep ? a->keep : t->recording ? lm_tape_alloc(t, lm_nbytes(y)) : NULL;
    return y;
}

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *x = n->in[X], *w = n->in[W], *bias = n->in[BIAS];
    bool fits = w->ndim == 2 && x->ndim >= 1 && lm_cols(x) == w->dim[a->o.transposed ? 0 : 1];
    int64_t out = w->dim[a->o.transposed ? 1 : 0];
    if (!fits || (bias && lm_numel(bias) != out)) {
        char xs[96], ws[96];
        return lm_tape_fail(t, "x %s does not fit w %s%s", lm_shape_text(xs, x->ndim, x->dim),
                            lm_shape_text(ws, w->ndim, w->dim), a->o.transposed ? " (transposed)" : "");
    }
    lm_dtype dtype = a->o.f32 ? LM_F32 : t->compute;
    int64_t dim[LM_MAX_DIM];
    for (int i = 0; i < x->ndim - 1; i++) dim[i] = x->dim[i];
    dim[x->ndim - 1] = out;
    n->out[0] = a->in_place ? lm_tensor_over(t, n->in[Y]->data, dtype, x->ndim, dim)
                            : make_y(t, a, dtype, x->ndim, dim, lm_cols(x));
    if (a->in_place && (!lm_same_shape(n->out[0], n->in[Y]) || !lm_is_contiguous(n->in[Y])))
        return lm_tape_fail(t, "y of the in-place form has another shape or is not contiguous");
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[X], *w = n->in[W], *bias = n->in[BIAS], *y = n->out[0];
    if (a->kept) {
        if (a->pre) t->k->act_fwd[y->dtype](&(lm_k_act){ .y = y->data, .x = a->pre, .n = lm_numel(y), .act = a->o.act });
        return;
    }
    lm_gemm g = product(t, a);
    g.c = y->data, g.ct = y->dtype, g.ldc = lm_cols(y);
    g.a = x->data, g.lda = lm_row_stride(x);
    g.b = w->data, g.bt = w->dtype, g.bq = w->quant, g.ldb = lm_row_stride(w), g.trans_b = !a->o.transposed;
    g.m = lm_rows(x), g.n = lm_cols(y), g.k = lm_cols(x);
    g.beta = a->in_place ? 1 : 0;
    if (bias) g.bias = bias->data, g.bias_t = bias->dtype;
    g.act = a->o.act, g.pre = a->pre;
    t->k->gemm(&g);
    if (a->keep && a->keep != a->pre) t->k->copy(a->keep, y->data, (int64_t)lm_nbytes(y));
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[X], *w = n->in[W], *bias = n->in[BIAS], *y = n->out[0];
    int64_t rows = lm_rows(x), in = lm_cols(x), out = lm_cols(y);
    bool acc;
    void *dz = lm_grad_in(y);
    if (a->o.act != LM_ACT_NONE)                   /* dy is not needed again: it becomes dz */
        t->k->act_bwd[y->dtype](&(lm_k_act){ .y = dz, .x = a->pre, .dy = dz, .n = lm_numel(y), .act = a->o.act });

    lm_gemm g = product(t, a);
    void *dx = lm_grad_out(t, x, &acc);
    if (dx) {
        g.c = dx, g.ct = x->dtype, g.ldc = lm_row_stride(x->grad), g.beta = acc;
        g.a = dz, g.at = y->dtype, g.lda = out, g.trans_a = false;
        g.b = w->data, g.bt = w->dtype, g.bq = w->quant, g.ldb = lm_row_stride(w), g.trans_b = a->o.transposed;
        g.m = rows, g.n = in, g.k = out;
        t->k->gemm(&g);
    }
    void *dw = lm_grad_out(t, w, &acc);
    g.bq = NULL;
    if (dw) {                                      /* [out, in] = dz^T x, or its transpose */
        const lm_tensor *left = a->o.transposed ? x : y, *right = a->o.transposed ? y : x;
        g.c = dw, g.ct = w->grad->dtype, g.ldc = w->dim[1], g.beta = acc;
        g.a = left == y ? dz : x->data, g.at = left->dtype, g.lda = left == y ? out : lm_row_stride(x), g.trans_a = true;
        g.b = right == y ? dz : x->data, g.bt = right->dtype, g.ldb = right == y ? out : lm_row_stride(x), g.trans_b = false;
        g.m = w->dim[0], g.n = w->dim[1], g.k = rows;
        t->k->gemm(&g);
    }
    float *dbias = bias ? lm_grad_out(t, bias, &acc) : NULL;
    if (dbias) {
        if (!acc) t->k->zero(dbias, out * (int64_t)sizeof *dbias);
        t->k->sum_rows[y->dtype](dbias, dz, rows, out, out);
    }
    if (a->in_place) lm_grad_move(t, n->in[Y], y);
}

const lm_op lm_op_linear = {
    .name = "linear", .source = "Rumelhart et al. 1986",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_linear_with(lm_tape *t, lm_tensor *x, lm_tensor *w, lm_tensor *bias, const lm_linear_options *options)
{
    attr a = { .o = *options };
    if (a.o.alpha == 0) a.o.alpha = 1;
    return lm_apply(t, &lm_op_linear, &a, sizeof a, 3, (lm_tensor *[]){ x, w, bias })->out[0];
}

lm_tensor *lm_linear(lm_tape *t, lm_tensor *x, lm_tensor *w, lm_tensor *bias)
{
    return lm_linear_with(t, x, w, bias, &(lm_linear_options){ 0 });
}

lm_tensor *lm_linear_add_(lm_tape *t, lm_tensor *y, lm_tensor *x, lm_tensor *w, float alpha, bool transposed)
{
    attr a = { .o = { .alpha = alpha, .transposed = transposed, .f32 = y->dtype == LM_F32 }, .in_place = true };
    return lm_apply(t, &lm_op_linear, &a, sizeof a, 4, (lm_tensor *[]){ x, w, NULL, y })->out[0];
}
