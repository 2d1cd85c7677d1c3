/* Gated linear units: y = act(gate) * up (Shazeer 2020; SwiGLU with act = SiLU). */
#include "ops/ops.h"

typedef struct attr {
    lm_act act;
} attr;

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *gate = n->in[0], *up = n->in[1];
    t->k->glu_fwd[gate->dtype](&(lm_k_glu){ .y = n->out[0]->data, .gate = gate->data, .up = up->data,
                                            .n = lm_numel(gate), .act = a->act });
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *gate = n->in[0], *up = n->in[1];
    lm_k_glu_bwd b = { .dy = lm_grad_in(n->out[0]), .gate = gate->data, .up = up->data, .n = lm_numel(gate), .act = a->act };
    b.dgate = lm_grad_out(t, gate, &b.acc_gate);
    b.dup = lm_grad_out(t, up, &b.acc_up);
    t->k->glu_bwd[gate->dtype](&b);
}

const lm_op lm_op_glu = {
    .name = "glu", .source = "Shazeer 2020, equation 6",
    .infer = lm_infer_elementwise, .forward = forward, .backward = backward,
};

lm_tensor *lm_glu(lm_tape *t, lm_tensor *gate, lm_tensor *up, lm_act act)
{
    attr a = { act };
    return lm_apply(t, &lm_op_glu, &a, sizeof a, 2, (lm_tensor *[]){ gate, up })->out[0];
}
