/* Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), one
 * direction or both, over sequences that lie end to end.
 *
 *   a_t = gates_t + W h_{t-1}                  gates [N, 4H] what comes from below, W [4H, H]
 *   i, f, o = sigmoid(a_i, a_f, a_o), g = tanh(a_g)
 *   c_t = f c_{t-1} + i g,   h_t = o tanh(c_t)                        h_{-1} = c_{-1} = 0
 *
 *   da from dh_t + W^T da_{t+1} and dc_t + f_{t+1} dc_{t+1};   dW = sum_t da_t h_{t-1}^T
 *
 * The order of the four parts is torch's: i, f, g, o.  States are f32 whatever the activation type.  Backward
 * walks a sequence the other way round, then takes dW in one product a sequence. */
#include "ops/ops.h"

typedef struct attr {
    const lm_segment *segments;
    int64_t n_segments, hidden;
    int directions;
    bool reverse;                            /* of the first direction; a second one is reversed */
    float *gates, *cells, *h;                /* [directions, N, 4H], [directions, N, H] twice: for backward */
} attr;

/* The rows of a segment in the order in which a direction visits them. */
typedef struct walk {
    int64_t first, step, n;
} walk;

static walk walk_of(const attr *a, int direction, int64_t segment)
{
    const lm_segment *s = &a->segments[segment];
    bool back = direction ? true : a->reverse;
    return (walk){ .first = back ? s->q0 + s->nq - 1 : s->q0, .step = back ? -1 : 1, .n = s->nq };
}

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    int64_t rows = lm_rows(n->in[0]), H = a->hidden = lm_cols(n->in[0]) / 4, D = a->directions;
    for (int d = 0; d < a->directions; d++) {
        const lm_tensor *x = n->in[2 * d], *w = n->in[2 * d + 1];
        if (lm_rows(x) != rows || lm_cols(x) != 4 * H || w->ndim != 2 || w->dim[0] != 4 * H || w->dim[1] != H || !lm_is_contiguous(x))
            return lm_tape_fail(t, "an LSTM of width %lld needs gates [N, %lld] and a weight [%lld, %lld]", (long long)H, (long long)(4 * H),
                                (long long)(4 * H), (long long)H);
    }
    a->gates = lm_tape_alloc(t, (size_t)(D * rows * 4 * H) * sizeof(float));
    a->cells = lm_tape_alloc(t, (size_t)(D * rows * H) * sizeof(float));
    a->h = lm_tape_alloc(t, (size_t)(D * rows * H) * sizeof(float));
    n->out[0] = lm_tensor_new(t, n->in[0]->dtype, 2, (int64_t[]){ rows, D * H });
    return t->err.code;
}

/* One direction's own parts of what is kept. */
static attr part_of(const attr *a, int direction, int64_t rows)
{
    attr p = *a;
    p.gates += direction * rows * 4 * a->hidden;
    p.cells += direction * rows * a->hidden;
    p.h += direction * rows * a->hidden;
    return p;
}

static void run(lm_tape *t, const attr *p, int direction, const lm_tensor *w)
{
    int64_t H = p->hidden;
    for (int64_t s = 0; s < p->n_segments; s++) {
        walk at = walk_of(p, direction, s);
        for (int64_t i = 0, row = at.first; i < at.n; i++, row += at.step) {
            const float *h = i ? p->h + (row - at.step) * H : NULL, *c = i ? p->cells + (row - at.step) * H : NULL;
            if (h) t->k->gemm(&(lm_gemm){ .c = p->gates + row * 4 * H, .ldc = 4 * H, .m = 1, .n = 4 * H, .k = H, .alpha = 1, .beta = 1, .a = h, .lda = H,
                                          .b = w->data, .bt = w->dtype, .ldb = H, .trans_b = true, .deterministic = t->deterministic });
            t->k->lstm_cell_fwd(p->h + row * H, p->cells + row * H, p->gates + row * 4 * H, c, H);
        }
    }
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *y = n->out[0];
    int64_t rows = lm_rows(y), H = a->hidden, size = (int64_t)lm_dtype_size(y->dtype);
    for (int d = 0; d < a->directions; d++) {
        attr p = part_of(a, d, rows);
        t->k->convert(p.gates, LM_F32, n->in[2 * d]->data, n->in[2 * d]->dtype, rows * 4 * H);
        run(t, &p, d, n->in[2 * d + 1]);
        for (int64_t i = 0; i < rows; i++)
            t->k->convert((uint8_t *)y->data + (i * a->directions + d) * H * size, y->dtype, p.h + i * H, LM_F32, H);
    }
}

/* da [N, 4H] of one direction from dh [N, H], which takes up what flows back through W. */
static void run_back(lm_tape *t, const attr *p, int direction, const lm_tensor *w, float *da, float *dh, float *dc)
{
    int64_t H = p->hidden;
    for (int64_t s = 0; s < p->n_segments; s++) {
        walk at = walk_of(p, direction, s);
        t->k->zero(dc, H * (int64_t)sizeof *dc);
        for (int64_t i = at.n; i-- > 0;) {
            int64_t row = at.first + i * at.step, before = row - at.step;
            t->k->lstm_cell_bwd(da + row * 4 * H, dc, dh + row * H, p->gates + row * 4 * H, p->cells + row * H, i ? p->cells + before * H : NULL, H);
            if (i) t->k->gemm(&(lm_gemm){ .c = dh + before * H, .ldc = H, .m = 1, .n = H, .k = 4 * H, .alpha = 1, .beta = 1, .a = da + row * 4 * H,
                                          .lda = 4 * H, .b = w->data, .bt = w->dtype, .ldb = H, .deterministic = t->deterministic });
        }
    }
}

/* dw += da^T h, each row of da with the h that was before it. */
static void weight_gradient(lm_tape *t, const attr *p, int direction, float *dw, const float *da)
{
    int64_t H = p->hidden;
    for (int64_t s = 0; s < p->n_segments; s++) {
        walk at = walk_of(p, direction, s);
        int64_t low = p->segments[s].q0;
        if (at.n < 2) continue;
        t->k->gemm(&(lm_gemm){ .c = dw, .ldc = H, .m = 4 * H, .n = H, .k = at.n - 1, .alpha = 1, .beta = 1, .a = da + (at.step > 0 ? low + 1 : low) * 4 * H,
                               .lda = 4 * H, .trans_a = true, .b = p->h + (at.step > 0 ? low : low + 1) * H, .ldb = H, .deterministic = t->deterministic });
    }
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *y = n->out[0];
    int64_t rows = lm_rows(y), H = a->hidden, size = (int64_t)lm_dtype_size(y->dtype);
    const uint8_t *dy = lm_grad_in(y);
    for (int d = 0; d < a->directions; d++) {
        attr p = part_of(a, d, rows);
        lm_tensor *x = n->in[2 * d], *w = n->in[2 * d + 1];
        size_t mark = lm_scratch_mark(t);
        float *da = lm_scratch(t, (size_t)(rows * 4 * H) * sizeof *da), *dh = lm_scratch(t, (size_t)(rows * H) * sizeof *dh);
        float *dc = lm_scratch(t, (size_t)H * sizeof *dc);
        void *sum = lm_scratch(t, (size_t)(rows * 4 * H * size));
        if (t->err.code) return;
        for (int64_t i = 0; i < rows; i++) t->k->convert(dh + i * H, LM_F32, dy + (i * a->directions + d) * H * size, y->dtype, H);
        run_back(t, &p, d, w, da, dh, dc);
        bool acc;
        float *dw = lm_grad_out(t, w, &acc);
        if (dw && !acc) t->k->zero(dw, lm_numel(w) * (int64_t)sizeof *dw);
        if (dw) weight_gradient(t, &p, d, dw, da);
        void *dx = lm_grad_out(t, x, &acc);
        if (dx) t->k->convert(acc ? sum : dx, x->dtype, da, LM_F32, rows * 4 * H);
        if (dx && acc) t->k->add[x->dtype](dx, dx, sum, 1, 1, rows * 4 * H);
        lm_scratch_release(t, mark);
    }
}

const lm_op lm_op_lstm = {
    .name = "lstm", .source = "Hochreiter & Schmidhuber 1997; Gers et al. 2000", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_lstm(lm_tape *t, lm_tensor *gates, lm_tensor *w, const lm_lstm_options *o)
{
    attr a = { .segments = o->segments, .n_segments = o->n_segments, .directions = 1, .reverse = o->reverse };
    return lm_apply(t, &lm_op_lstm, &a, sizeof a, 2, (lm_tensor *[]){ gates, w })->out[0];
}

lm_tensor *lm_bilstm(lm_tape *t, lm_tensor *gates, lm_tensor *w, lm_tensor *back_gates, lm_tensor *back_w, const lm_lstm_options *o)
{
    attr a = { .segments = o->segments, .n_segments = o->n_segments, .directions = 2 };
    return lm_apply(t, &lm_op_lstm, &a, sizeof a, 4, (lm_tensor *[]){ gates, w, back_gates, back_w })->out[0];
}
