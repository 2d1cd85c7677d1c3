/* y[i, c] = x[i, c] v[c], and the same around a centre: y[i, c] = m[c] + (x[i, c] - m[c]) v[c].
 *
 *   dx = dy v        dv[c] += sum_i dy[i, c] (x[i, c] - m[c])
 *
 * The centre (the bias of a linear whose product alone is scaled) is a constant. */
#include "ops/ops.h"

typedef struct attr {
    const lm_tensor *centre;                        /* NULL: zero */
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    const lm_tensor *x = n->in[0], *v = n->in[1], *m = ((const attr *)n->attr)->centre;
    if (lm_numel(v) != lm_cols(x) || v->dtype != LM_F32 || !lm_is_contiguous(x) || (m && lm_numel(m) != lm_cols(x)))
        return lm_tape_fail(t, "one f32 factor for each of %lld columns expected", (long long)lm_cols(x));
    n->out[0] = lm_tensor_new(t, x->dtype, x->ndim, x->dim);
    return t->err.code;
}

/* The centre in f32, and room for as many numbers again. */
static float *centre_in(lm_tape *t, const lm_tensor *m)
{
    int64_t cols = lm_numel(m);
    float *room = lm_scratch(t, 2 * (size_t)cols * sizeof *room);
    if (room) t->k->convert(room, LM_F32, m->data, m->dtype, cols);
    return room;
}

/* Rows of y += m (1 - v). */
static void shift(lm_tape *t, lm_tensor *y, const lm_tensor *m, const lm_tensor *v)
{
    size_t mark = lm_scratch_mark(t);
    int64_t rows = lm_rows(y), cols = lm_cols(y);
    float *centre = centre_in(t, m), *product = centre + cols;
    if (!centre) return;
    t->k->mul[LM_F32](product, centre, v->data, cols, false);
    t->k->add[LM_F32](centre, centre, product, 1, -1, cols);
    t->k->convert(product, y->dtype, centre, LM_F32, cols);
    for (int64_t i = 0; i < rows; i++) {
        uint8_t *row = (uint8_t *)y->data + (size_t)(i * cols) * lm_dtype_size(y->dtype);
        t->k->add[y->dtype](row, row, product, 1, 1, cols);
    }
    lm_scratch_release(t, mark);
}

static void forward(lm_tape *t, lm_node *n)
{
    const lm_tensor *x = n->in[0], *v = n->in[1], *m = ((const attr *)n->attr)->centre;
    t->k->scale_columns[x->dtype](n->out[0]->data, x->data, v->data, lm_rows(x), lm_cols(x), false);
    if (m) shift(t, n->out[0], m, v);
}

/* dv[c] -= m[c] sum_i dy[i, c] */
static void take_centre(lm_tape *t, float *dv, const void *dy, const lm_tensor *y, const lm_tensor *m)
{
    size_t mark = lm_scratch_mark(t);
    int64_t cols = lm_cols(y);
    float *centre = centre_in(t, m), *sum = centre + cols;
    if (!centre) return;
    t->k->zero(sum, cols * (int64_t)sizeof *sum);
    t->k->sum_rows[y->dtype](sum, dy, lm_rows(y), cols, cols);
    t->k->mul[LM_F32](sum, sum, centre, cols, false);
    t->k->add[LM_F32](dv, dv, sum, 1, -1, cols);
    lm_scratch_release(t, mark);
}

static void backward(lm_tape *t, lm_node *n)
{
    lm_tensor *x = n->in[0], *v = n->in[1];
    const lm_tensor *m = ((const attr *)n->attr)->centre;
    const void *dy = lm_grad_in(n->out[0]);
    bool acc;
    float *dv = lm_grad_out(t, v, &acc);
    if (dv && !acc) t->k->zero(dv, lm_numel(v) * (int64_t)sizeof *dv);
    if (dv) t->k->dot_columns[x->dtype](dv, dy, x->data, lm_rows(x), lm_cols(x));
    if (dv && m) take_centre(t, dv, dy, n->out[0], m);
    void *dx = lm_grad_out(t, x, &acc);
    if (dx) t->k->scale_columns[x->dtype](dx, dy, v->data, lm_rows(x), lm_cols(x), acc);
}

const lm_op lm_op_scale_columns = {
    .name = "scale_columns", .source = "arithmetic", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_scale_columns_about(lm_tape *t, lm_tensor *x, lm_tensor *v, const lm_tensor *centre)
{
    attr a = { centre };
    return lm_apply(t, &lm_op_scale_columns, &a, sizeof a, 2, (lm_tensor *[]){ x, v })->out[0];
}

lm_tensor *lm_scale_columns(lm_tape *t, lm_tensor *x, lm_tensor *v) { return lm_scale_columns_about(t, x, v, NULL); }
