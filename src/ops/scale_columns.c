/* y[i, c] = x[i, c] v[c].  Backward: dx = dy v, dv[c] += sum_i dy[i, c] x[i, c]. */
#include "ops/ops.h"

static lm_status infer(lm_tape *t, lm_node *n)
{
    const lm_tensor *x = n->in[0], *v = n->in[1];
    if (lm_numel(v) != lm_cols(x) || v->dtype != LM_F32 || !lm_is_contiguous(x))
        return lm_tape_fail(t, "one f32 factor for each of %lld columns expected", (long long)lm_cols(x));
    n->out[0] = lm_tensor_new(t, x->dtype, x->ndim, x->dim);
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n)
{
    const lm_tensor *x = n->in[0], *v = n->in[1];
    t->k->scale_columns[x->dtype](n->out[0]->data, x->data, v->data, lm_rows(x), lm_cols(x), false);
}

static void backward(lm_tape *t, lm_node *n)
{
    lm_tensor *x = n->in[0], *v = n->in[1];
    const void *dy = lm_grad_in(n->out[0]);
    bool acc;
    float *dv = lm_grad_out(t, v, &acc);
    if (dv && !acc) t->k->zero(dv, lm_numel(v) * (int64_t)sizeof *dv);
    if (dv) t->k->dot_columns[x->dtype](dv, dy, x->data, lm_rows(x), lm_cols(x));
    void *dx = lm_grad_out(t, x, &acc);
    if (dx) t->k->scale_columns[x->dtype](dx, dy, v->data, lm_rows(x), lm_cols(x), acc);
}

const lm_op lm_op_scale_columns = {
    .name = "scale_columns", .source = "arithmetic", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_scale_columns(lm_tape *t, lm_tensor *x, lm_tensor *v)
{
    return lm_apply(t, &lm_op_scale_columns, NULL, 0, 2, (lm_tensor *[]){ x, v })->out[0];
}
