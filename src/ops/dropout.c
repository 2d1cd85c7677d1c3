/* Dropout (Srivastava et al. 2014): y = x * keep / (1 - p), keep drawn by counting.
 *
 * The mask is a function of (seed, stream, index), so backward draws it again instead of keeping
 * it, and it is the same on every backend and thread count.  Identity unless tape->training. */
#include "ops/ops.h"

typedef struct attr {
    uint64_t seed, stream;
    float p;
} attr;

static void drop(lm_tape *t, const lm_node *n, void *y, const void *x, bool acc)
{
    const attr *a = n->attr;
    t->k->dropout[n->out[0]->dtype](&(lm_k_dropout){ .y = y, .x = x, .n = lm_numel(n->out[0]), .seed = a->seed,
                                                     .stream = a->stream, .p = a->p, .acc = acc });
}

static void forward(lm_tape *t, lm_node *n) { drop(t, n, n->out[0]->data, n->in[0]->data, false); }

static void backward(lm_tape *t, lm_node *n)
{
    bool acc;
    void *dx = lm_grad_out(t, n->in[0], &acc);
    drop(t, n, dx, lm_grad_in(n->out[0]), acc);
}

const lm_op lm_op_dropout = {
    .name = "dropout", .source = "Srivastava et al. 2014, section 4",
    .infer = lm_infer_elementwise, .forward = forward, .backward = backward,
};

lm_tensor *lm_dropout(lm_tape *t, lm_tensor *x, float p)
{
    if (!t->training || p <= 0 || t->err.code) return x;
    attr a = { t->seed, t->stream++, p };
    return lm_apply(t, &lm_op_dropout, &a, sizeof a, 1, (lm_tensor *[]){ x })->out[0];
}
