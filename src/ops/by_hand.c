/* A scalar of a few numbers whose value and derivatives the caller writes in plain C.
 *
 *   y = f(x, dx)        dx[i] = dy/dx[i], taken together with the value
 *
 * The losses of alignment are such functions: one log-probability or score a sequence goes in, so speed
 * does not matter and the file of a method reads like its paper.  x is copied to host memory and the
 * derivatives back, so f never sees a device's memory; on a backend that does not compute it is not called. */
#include "ops/ops.h"

typedef struct attr {
    lm_by_hand_fn f;
    const void *context;
    float *slope;                                   /* [n] what f said, for backward */
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *x = n->in[0];
    if (x->dtype != LM_F32 || !lm_is_contiguous(x)) return lm_tape_fail(t, "f32 numbers expected");
    a->slope = lm_tape_alloc(t, lm_nbytes(x));
    n->out[0] = lm_tensor_new(t, LM_F32, 1, (int64_t[]){ 1 });
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[0];
    int64_t count = lm_numel(x), bytes = (int64_t)lm_nbytes(x);
    if (!t->k->computes) return;
    float *host = lm_tape_meta(t, 2 * (size_t)bytes), *slope = host + count;
    if (!host) return;
    t->k->copy(host, x->data, bytes);
    for (int64_t i = 0; i < count; i++) slope[i] = 0;
    float value = (float)a->f(a->context, host, slope, count);
    t->k->copy(a->slope, slope, bytes);
    t->k->copy(n->out[0]->data, &value, sizeof value);
}

/* dy is on the device: a column of one factor. */
static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    bool acc;
    float *dx = lm_grad_out(t, n->in[0], &acc);
    if (dx) t->k->scale_columns[LM_F32](dx, a->slope, lm_grad_in(n->out[0]), lm_numel(n->in[0]), 1, acc);
}

const lm_op lm_op_by_hand = {
    .name = "by_hand", .source = "calculus", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_by_hand(lm_tape *t, lm_tensor *x, lm_by_hand_fn f, const void *context)
{
    attr a = { .f = f, .context = context };
    return lm_apply(t, &lm_op_by_hand, &a, sizeof a, 1, &x)->out[0];
}
