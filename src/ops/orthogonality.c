/* |p p^T - I|_F of the rows of p [r, n], or |p^T p - I|_F of the columns of p [n, r]: how far they are from
 * being orthonormal (Zhang et al. 2023, "AdaLoRA", equation 4, without the square, as in PEFT).
 *
 *   G = p p^T - I        dp = dy * 2 G p / |G|        (columns: 2 p G / |G|) */
#include "ops/ops.h"

#include <math.h>

typedef struct attr {
    bool columns;
    float *gram;                                    /* G, for backward */
    double norm;
} attr;

static int64_t rank_of(const attr *a, const lm_tensor *p) { return p->dim[a->columns]; }

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *p = n->in[0];
    if (p->ndim != 2 || p->dtype != LM_F32 || !lm_is_contiguous(p)) return lm_tape_fail(t, "an f32 matrix expected");
    int64_t r = rank_of(a, p), one = 1;
    a->gram = lm_tape_alloc(t, (size_t)(r * r) * sizeof *a->gram);
    n->out[0] = lm_tensor_new(t, LM_F32, 1, &one);
    return t->err.code;
}

/* What the product is less of. */
static void identity(lm_tape *t, float *gram, int64_t r)
{
    const float one = 1;
    t->k->zero(gram, r * r * (int64_t)sizeof *gram);
    for (int64_t i = 0; i < r; i++) t->k->copy(gram + i * (r + 1), &one, sizeof one);
}

static void forward(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *p = n->in[0];
    int64_t r = rank_of(a, p), ld = p->dim[1];
    identity(t, a->gram, r);
    t->k->gemm(&(lm_gemm){ .c = a->gram, .ldc = r, .m = r, .n = r, .k = p->dim[!a->columns], .alpha = 1, .beta = -1,
                           .a = p->data, .lda = ld, .trans_a = a->columns, .b = p->data, .ldb = ld, .trans_b = !a->columns,
                           .deterministic = t->deterministic });
    t->k->sum_squares(&a->norm, a->gram, r * r);
    a->norm = sqrt(a->norm);
    float value = (float)a->norm;
    t->k->copy(n->out[0]->data, &value, sizeof value);
}

/* dy is on the device: 2 G p / |G| is made first and then scaled by it as a column of one factor. */
static void backward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *p = n->in[0];
    int64_t r = rank_of(a, p), rows = p->dim[0], cols = p->dim[1];
    bool acc;
    float *dp = lm_grad_out(t, p, &acc);
    if (!dp) return;
    size_t mark = lm_scratch_mark(t);
    float *product = lm_scratch(t, lm_nbytes(p));
    if (!product) return;
    lm_gemm g = { .c = product, .ldc = cols, .m = rows, .n = cols, .k = r, .alpha = a->norm > 0 ? (float)(2 / a->norm) : 0,
                  .a = a->gram, .lda = r, .b = p->data, .ldb = cols, .deterministic = t->deterministic };
    if (a->columns) g.a = p->data, g.lda = cols, g.b = a->gram, g.ldb = r;
    t->k->gemm(&g);
    t->k->scale_columns[LM_F32](dp, product, lm_grad_in(n->out[0]), rows * cols, 1, acc);
    lm_scratch_release(t, mark);
}

const lm_op lm_op_orthogonality = {
    .name = "orthogonality", .source = "Zhang et al. 2023, equation 4", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_orthogonality(lm_tape *t, lm_tensor *p, bool columns)
{
    attr a = { .columns = columns };
    return lm_apply(t, &lm_op_orthogonality, &a, sizeof a, 1, &p)->out[0];
}
