/* Rotary position embedding (Su et al. 2021, section 3.4.2), in place.
 *
 * The rotation is orthogonal, so backward is the rotation by minus the angle, also in place:
 * neither pass needs memory.  The table of angles [2, N, half] (cosines, sines; f32) is made once a
 * batch and shared by all layers (nn/rope.h). */
#include "ops/ops.h"

typedef struct attr {
    int64_t heads;
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[0], *table = n->in[1];
    int64_t half = table->dim[2];
    if (table->ndim != 3 || table->dim[1] != lm_rows(x) || lm_cols(x) % a->heads || lm_cols(x) / a->heads < 2 * half)
        return lm_tape_fail(t, "table of %lld rows and %lld angles does not fit %lld rows of %lld heads",
                            (long long)table->dim[1], (long long)half, (long long)lm_rows(x), (long long)a->heads);
    lm_tensor *y = lm_tensor_over(t, x->data, x->dtype, x->ndim, x->dim);
    if (t->err.code) return t->err.code;
    y->base = x->base;                             /* a rotated view stays a view */
    for (int i = 0; i < x->ndim; i++) y->stride[i] = x->stride[i];
    n->out[0] = y;
    return LM_OK;
}

static void rotate(lm_tape *t, lm_node *n, void *x, int64_t ld, bool inverse)
{
    const attr *a = n->attr;
    const lm_tensor *table = n->in[1], *y = n->out[0];
    int64_t rows = table->dim[1], half = table->dim[2];
    const float *cos = table->data;
    t->k->rope[y->dtype](&(lm_k_rope){
        .x = x, .cos = cos, .sin = cos + rows * half, .rows = rows, .heads = a->heads,
        .head_dim = lm_cols(y) / a->heads, .half = half, .ld = ld, .inverse = inverse });
}

static void forward(lm_tape *t, lm_node *n) { rotate(t, n, n->out[0]->data, lm_row_stride(n->out[0]), false); }

static void backward(lm_tape *t, lm_node *n)
{
    rotate(t, n, lm_grad_in(n->out[0]), lm_row_stride(n->out[0]->grad), true);
    lm_grad_move(t, n->in[0], n->out[0]);
}

const lm_op lm_op_rope = {
    .name = "rope", .source = "Su et al. 2021, section 3.4.2",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_rope_(lm_tape *t, lm_tensor *x, lm_tensor *table, int64_t heads)
{
    attr a = { heads };
    return lm_apply(t, &lm_op_rope, &a, sizeof a, 2, (lm_tensor *[]){ x, table })->out[0];
}
