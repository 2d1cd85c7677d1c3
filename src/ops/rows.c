/* y = x with some rows replaced by rows of a table: y[i, :] = table[which[i], :] where which[i] >= 0,
 * else x[i, :].  How learned vectors stand in the place of tokens (prompt tuning) or of their keys and
 * values (prefix tuning).  Backward: dtable[which[i], :] += dy[i, :]; the other rows are x's. */
#include "ops/ops.h"

enum { X, TABLE };

typedef struct attr {
    const int32_t *which;              /* [N] host */
    int32_t *rows, *members;           /* the rows replaced, ascending, and what of the table replaces them */
    int32_t *all;                      /* 0, 1, 2, ... */
    int64_t n;
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *x = n->in[X], *table = n->in[TABLE];
    int64_t rows = lm_rows(x);
    if (table->ndim != 2 || table->dim[1] != lm_cols(x))
        return lm_tape_fail(t, "a table with rows of %lld numbers expected", (long long)lm_cols(x));
    n->out[0] = lm_tensor_new(t, x->dtype, 2, (int64_t[]){ rows, lm_cols(x) });
    int64_t longest = rows > table->dim[0] ? rows : table->dim[0];
    a->rows = lm_tape_meta(t, (size_t)(2 * rows + longest) * sizeof *a->rows);
    if (t->err.code) return t->err.code;
    a->members = a->rows + rows, a->all = a->members + rows;
    for (int64_t i = 0; i < longest; i++) a->all[i] = (int32_t)i;
    for (int64_t i = 0; i < rows; i++) {
        if (a->which[i] < 0) continue;
        if (a->which[i] >= table->dim[0]) return lm_tape_fail(t, "row %d of a table of %lld", a->which[i], (long long)table->dim[0]);
        a->members[a->n] = a->which[i];
        a->rows[a->n++] = (int32_t)i;
    }
    return LM_OK;
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    const lm_tensor *x = n->in[X], *table = n->in[TABLE], *y = n->out[0];
    int64_t cols = lm_cols(y);
    size_t mark = lm_scratch_mark(t);
    void *rows = lm_scratch(t, (size_t)(a->n * cols) * lm_dtype_size(y->dtype));
    if (t->err.code) return;
    t->k->scatter_rows[y->dtype](y->data, x->data, a->all, lm_rows(y), cols, cols, lm_row_stride(x));
    t->k->embedding_fwd[y->dtype](&(lm_k_embedding){ .y = rows, .table = table->data, .ids = a->members, .rows = a->n,
                                                     .cols = cols, .vocab = table->dim[0], .ld = lm_row_stride(table), .wt = table->dtype });
    t->k->scatter_rows[y->dtype](y->data, rows, a->rows, a->n, cols, cols, cols);
    lm_scratch_release(t, mark);
}

/* dtable += the rows of dy that came from it.  A parameter's is f32; that of an activation is summed in
 * f32 and rounded once.  Either may be columns of something wider. */
static void teach(lm_tape *t, lm_node *n, const void *dy, void *rows)
{
    const attr *a = n->attr;
    lm_tensor *table = n->in[TABLE];
    const lm_tensor *y = n->out[0];
    int64_t cols = lm_cols(y), members = table->dim[0], count = lm_numel(table);
    bool acc, wide = lm_is_parameter(table);
    void *dtable = lm_grad_out(t, table, &acc);
    if (!dtable) return;
    float *sum = wide ? dtable : lm_scratch(t, (size_t)count * sizeof *sum);
    if (t->err.code) return;
    if (!wide || (!acc && !table->base)) t->k->zero(sum, count * (int64_t)sizeof *sum);
    t->k->embedding_fwd[y->dtype](&(lm_k_embedding){ .y = rows, .table = dy, .ids = a->rows, .rows = a->n, .cols = cols,
                                                     .vocab = lm_rows(y), .wt = y->dtype });
    t->k->embedding_bwd[y->dtype](&(lm_k_embedding_bwd){ .dtable = sum, .dy = rows, .ids = a->members, .rows = a->n, .cols = cols,
                                                         .vocab = members, .ld = wide ? lm_row_stride(table->grad) : cols });
    if (wide) return;
    void *narrow = lm_scratch(t, (size_t)count * lm_dtype_size(y->dtype));
    if (!narrow) return;
    LM_ASSERT(!acc || !table->base);   /* a view of columns is used once */
    t->k->convert(narrow, y->dtype, sum, LM_F32, count);
    if (acc) t->k->add[y->dtype](dtable, dtable, narrow, 1, 1, count);
    else t->k->scatter_rows[y->dtype](dtable, narrow, a->all, members, cols, lm_row_stride(table->grad), cols);
}

/* The gradient of the rows that stayed; x may be columns of something wider. */
static void pass_back(lm_tape *t, lm_node *n, void *dy, void *rows)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[X];
    const lm_tensor *y = n->out[0];
    int64_t cols = lm_cols(y);
    if (!x->needs_grad) return;
    t->k->zero(rows, a->n * cols * (int64_t)lm_dtype_size(y->dtype));
    t->k->scatter_rows[y->dtype](dy, rows, a->rows, a->n, cols, cols, cols);
    if (!x->base) {
        lm_grad_move(t, x, n->out[0]);
        return;
    }
    bool acc;
    void *dx = lm_grad_out(t, x, &acc);
    LM_ASSERT(!acc);                   /* a view of columns is used once */
    if (dx) t->k->scatter_rows[y->dtype](dx, dy, a->all, lm_rows(y), cols, lm_row_stride(x->grad), cols);
}

static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    size_t mark = lm_scratch_mark(t);
    void *dy = lm_grad_in(n->out[0]), *rows = lm_scratch(t, (size_t)(a->n * lm_cols(n->out[0])) * lm_dtype_size(n->out[0]->dtype));
    if (rows) {
        teach(t, n, dy, rows);
        pass_back(t, n, dy, rows);
    }
    lm_scratch_release(t, mark);
}

const lm_op lm_op_replace_rows = {
    .name = "replace_rows", .source = "Li & Liang 2021, section 4; Lester et al. 2021, section 2",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_replace_rows(lm_tape *t, lm_tensor *x, lm_tensor *table, const int32_t *which)
{
    attr a = { .which = which };
    return lm_apply(t, &lm_op_replace_rows, &a, sizeof a, 2, (lm_tensor *[]){ x, table })->out[0];
}
