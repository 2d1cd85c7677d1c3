/* y[i, :] = table[ids[i], :], and gathering rows of an activation, which is the same product
 * with a one-hot matrix.  Backward scatters: dtable[ids[i], :] += dy[i, :]. */
#include "ops/ops.h"

static lm_status infer(lm_tape *t, lm_node *n)
{
    const lm_tensor *table = n->in[0], *ids = n->in[1];
    if (table->ndim != 2 || ids->ndim != 1 || ids->dtype != LM_I32)
        return lm_tape_fail(t, "a [V, C] table and [N] i32 ids expected");
    if (table->needs_grad && !lm_is_contiguous(table)) return lm_tape_fail(t, "a table that learns is contiguous");
    n->out[0] = lm_tensor_new(t, t->compute, 2, (int64_t[]){ ids->dim[0], table->dim[1] });
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n)
{
    const lm_tensor *table = n->in[0], *ids = n->in[1];
    t->k->embedding_fwd[t->compute](&(lm_k_embedding){
        .y = n->out[0]->data, .table = table->data, .ids = ids->data, .rows = ids->dim[0],
        .cols = table->dim[1], .vocab = table->dim[0], .ld = lm_row_stride(table), .wt = table->dtype });
}

static void backward(lm_tape *t, lm_node *n)
{
    lm_tensor *table = n->in[0], *ids = n->in[1];
    bool acc, parameter = lm_is_parameter(table);
    void *dtable = lm_grad_out(t, table, &acc);
    if (!dtable) return;
    lm_k_embedding_bwd a = { .dtable = dtable, .dy = lm_grad_in(n->out[0]), .ids = ids->data,
                             .rows = ids->dim[0], .cols = table->dim[1], .vocab = table->dim[0] };
    if (parameter || t->compute == LM_F32) {
        if (!acc) t->k->zero(dtable, lm_numel(table) * (int64_t)sizeof(float));
        t->k->embedding_bwd[t->compute](&a);
        return;
    }
    /* The gradient of a bf16 activation: summed in f32, then rounded once. */
    size_t mark = lm_scratch_mark(t);
    int64_t count = lm_numel(table);
    float *wide = lm_scratch(t, (size_t)count * sizeof *wide);
    if (!wide) return;
    a.dtable = wide;
    if (acc) t->k->convert(wide, LM_F32, dtable, t->compute, count);
    else t->k->zero(wide, count * (int64_t)sizeof *wide);
    t->k->embedding_bwd[t->compute](&a);
    t->k->convert(dtable, t->compute, wide, LM_F32, count);
    lm_scratch_release(t, mark);
}

const lm_op lm_op_embedding = {
    .name = "embedding", .source = "Bengio et al. 2003, section 2",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_embedding(lm_tape *t, lm_tensor *table, lm_tensor *ids)
{
    return lm_apply(t, &lm_op_embedding, NULL, 0, 2, (lm_tensor *[]){ table, ids })->out[0];
}

lm_tensor *lm_gather_rows(lm_tape *t, lm_tensor *x, lm_tensor *index) { return lm_embedding(t, x, index); }
