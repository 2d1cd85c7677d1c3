/* y = act(x), elementwise: ReLU, GELU (Hendrycks & Gimpel 2016; erf and tanh forms), SiLU, tanh. */
#include "ops/ops.h"

typedef struct attr {
    lm_act act;
} attr;

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[0];
    t->k->act_fwd[x->dtype](&(lm_k_act){ .y = n->out[0]->data, .x = x->data, .n = lm_numel(x), .act = a->act });
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[0];
    bool acc;
    void *dx = lm_grad_out(t, x, &acc);
    t->k->act_bwd[x->dtype](&(lm_k_act){ .y = dx, .x = x->data, .dy = lm_grad_in(n->out[0]),
                                         .n = lm_numel(x), .act = a->act, .acc = acc });
}

const lm_op lm_op_activation = {
    .name = "activation", .source = "Hendrycks & Gimpel 2016, section 2",
    .infer = lm_infer_elementwise, .forward = forward, .backward = backward,
};

lm_tensor *lm_activation(lm_tape *t, lm_tensor *x, lm_act act)
{
    attr a = { act };
    return lm_apply(t, &lm_op_activation, &a, sizeof a, 1, (lm_tensor *[]){ x })->out[0];
}
