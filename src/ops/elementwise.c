/* The small arithmetic: sums, products, scaling, and views. */
#include "ops/ops.h"

typedef struct attr {
    float alpha;
} attr;

/* in += alpha * dy */
static void pass_back(lm_tape *t, lm_tensor *in, const lm_tensor *y, float alpha)
{
    bool acc;
    void *dx = lm_grad_out(t, in, &acc);
    if (dx) t->k->add[y->dtype](dx, lm_grad_in(y), acc ? dx : NULL, alpha, 1, lm_numel(y));
}

/* ---- y = a + b ---- */

static void add_forward(lm_tape *t, lm_node *n)
{
    const lm_tensor *a = n->in[0], *b = n->in[1];
    t->k->add[a->dtype](n->out[0]->data, a->data, b->data, 1, 1, lm_numel(a));
}

static void add_backward(lm_tape *t, lm_node *n)
{
    pass_back(t, n->in[0], n->out[0], 1);
    pass_back(t, n->in[1], n->out[0], 1);
}

const lm_op lm_op_add = {
    .name = "add", .source = "arithmetic", .infer = lm_infer_elementwise, .forward = add_forward, .backward = add_backward,
};

lm_tensor *lm_add(lm_tape *t, lm_tensor *a, lm_tensor *b)
{
    return lm_apply(t, &lm_op_add, NULL, 0, 2, (lm_tensor *[]){ a, b })->out[0];
}

/* ---- y += x, in y's memory ---- */

static lm_status add_in_place_infer(lm_tape *t, lm_node *n)
{
    const lm_tensor *y = n->in[0];
    LM_TRY(lm_check_elementwise(t, n));
    n->out[0] = lm_tensor_over(t, y->data, y->dtype, y->ndim, y->dim);
    return t->err.code;
}

static void add_in_place_backward(lm_tape *t, lm_node *n)
{
    pass_back(t, n->in[1], n->out[0], 1);
    lm_grad_move(t, n->in[0], n->out[0]);
}

const lm_op lm_op_add_in_place = {
    .name = "add_", .source = "arithmetic",
    .infer = add_in_place_infer, .forward = add_forward, .backward = add_in_place_backward,
};

lm_tensor *lm_add_(lm_tape *t, lm_tensor *y, lm_tensor *x)
{
    return lm_apply(t, &lm_op_add_in_place, NULL, 0, 2, (lm_tensor *[]){ y, x })->out[0];
}

/* ---- y = a * b ---- */

static void mul_forward(lm_tape *t, lm_node *n)
{
    const lm_tensor *a = n->in[0], *b = n->in[1];
    t->k->mul[a->dtype](n->out[0]->data, a->data, b->data, lm_numel(a), false);
}

static void mul_backward(lm_tape *t, lm_node *n)
{
    const void *dy = lm_grad_in(n->out[0]);
    for (int i = 0; i < 2; i++) {
        bool acc;
        void *dx = lm_grad_out(t, n->in[i], &acc);
        if (dx) t->k->mul[n->out[0]->dtype](dx, dy, n->in[1 - i]->data, lm_numel(n->out[0]), acc);
    }
}

const lm_op lm_op_mul = {
    .name = "mul", .source = "arithmetic", .infer = lm_infer_elementwise, .forward = mul_forward, .backward = mul_backward,
};

lm_tensor *lm_mul(lm_tape *t, lm_tensor *a, lm_tensor *b)
{
    return lm_apply(t, &lm_op_mul, NULL, 0, 2, (lm_tensor *[]){ a, b })->out[0];
}

/* ---- y = alpha * x ---- */

static void scale_forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    t->k->add[n->in[0]->dtype](n->out[0]->data, n->in[0]->data, NULL, a->alpha, 0, lm_numel(n->in[0]));
}

static void scale_backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    pass_back(t, n->in[0], n->out[0], a->alpha);
}

const lm_op lm_op_scale = {
    .name = "scale", .source = "arithmetic", .infer = lm_infer_elementwise, .forward = scale_forward, .backward = scale_backward,
};

lm_tensor *lm_scale(lm_tape *t, lm_tensor *x, float alpha)
{
    attr a = { alpha };
    return lm_apply(t, &lm_op_scale, &a, sizeof a, 1, (lm_tensor *[]){ x })->out[0];
}

/* ---- views ---- */

static lm_tensor *view(lm_tape *t, lm_tensor *x, void *data, int ndim, const int64_t *dim)
{
    lm_tensor *y = lm_tensor_over(t, data, x->dtype, ndim, dim);
    if (y == &t->dead) return y;
    y->base = x->base ? x->base : x;
    y->needs_grad = x->needs_grad;
    return y;
}

lm_tensor *lm_columns(lm_tape *t, lm_tensor *x, int64_t begin, int64_t n)
{
    if (t->err.code) return &t->dead;
    int64_t ld = lm_row_stride(x);
    if (begin < 0 || n < 0 || begin + n > lm_cols(x)) {
        lm_tape_fail(t, "columns %lld to %lld of %lld", (long long)begin, (long long)(begin + n), (long long)lm_cols(x));
        return &t->dead;
    }
    lm_tensor *y = view(t, x, (uint8_t *)x->data + (size_t)begin * lm_dtype_size(x->dtype), 2, (int64_t[]){ lm_rows(x), n });
    if (y != &t->dead) y->stride[0] = ld;
    return y;
}

lm_tensor *lm_reshape(lm_tape *t, lm_tensor *x, int64_t rows, int64_t cols)
{
    if (t->err.code) return &t->dead;
    if (rows * cols != lm_numel(x) || !lm_is_contiguous(x)) {
        lm_tape_fail(t, "%lld numbers as %lld rows of %lld", (long long)lm_numel(x), (long long)rows, (long long)cols);
        return &t->dead;
    }
    return view(t, x, x->data, 2, (int64_t[]){ rows, cols });
}
