/* Language-model head and cross-entropy in one op, chunk by chunk over the rows.
 *
 *   logits = x w^T;   loss = sum_i weight_i * (logsumexp(logits_i) - logits_i[target_i])
 *
 * A whole [N, V] matrix of logits never exists.  While a chunk's logits are there, their gradient
 * is taken, so backward needs no second product with the head: the gradients of x and w are
 * complete after forward.  Hence the result must enter the loss with factor 1 (see ops.h). */
#include "ops/ops.h"

typedef struct attr {
    lm_cross_entropy_options o;
    const int32_t *targets;
    int64_t chunk;
} attr;

/* Room for logits: few and large chunks, since each reads the head twice and adds to its whole gradient. */
enum { CHUNK_BYTES = 96 << 20 };

/* At most `most` rows (but some), and all chunks about the same. */
static int64_t even_chunk(int64_t rows, int64_t most)
{
    if (most < 16) most = 16;
    int64_t chunks = (rows + most - 1) / most;
    return chunks ? (rows + chunks - 1) / chunks : 0;
}

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    const lm_tensor *x = n->in[0], *w = n->in[1];
    int64_t vocab = w->dim[a->o.transposed ? 1 : 0], rows = lm_rows(x);
    if (w->ndim != 2 || w->dim[a->o.transposed ? 0 : 1] != lm_cols(x) || !lm_is_contiguous(x))
        return lm_tape_fail(t, "the head's input size is not x's");
    a->chunk = a->o.chunk ? a->o.chunk : even_chunk(rows, CHUNK_BYTES / (int64_t)sizeof(float) / vocab);
    n->out[0] = lm_tensor_new(t, LM_F32, 1, (int64_t[]){ 1 });
    return t->err.code;
}

/* Each target counts the same. */
static void uniform_weights(float *weights, const int32_t *targets, int64_t rows)
{
    int64_t count = 0;
    for (int64_t i = 0; i < rows; i++) count += targets[i] >= 0;
    for (int64_t i = 0; i < rows; i++) weights[i] = targets[i] >= 0 ? 1.0f / (float)count : 0;
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[0], *w = n->in[1];
    int64_t rows = lm_rows(x), cols = lm_cols(x), vocab = w->dim[a->o.transposed ? 1 : 0];
    bool acc_x, acc_w;
    uint8_t *dx = t->recording ? lm_grad_out(t, x, &acc_x) : NULL;
    void *dw = t->recording ? lm_grad_out(t, w, &acc_w) : NULL;
    size_t mark = lm_scratch_mark(t), size = lm_dtype_size(x->dtype);
    float *logits = lm_scratch(t, (size_t)(a->chunk * vocab) * sizeof *logits);
    float *nll = lm_scratch(t, (size_t)rows * sizeof *nll);
    float *uniform = NULL;
    if (!a->o.weights && (uniform = lm_scratch(t, (size_t)rows * sizeof *uniform)) && t->k->computes)
        uniform_weights(uniform, a->targets, rows);
    if (t->err.code) return;
    const float *weights = a->o.weights ? a->o.weights : uniform;

    for (int64_t i = 0; i < rows; i += a->chunk) {
        int64_t m = rows - i < a->chunk ? rows - i : a->chunk;
        const uint8_t *xi = (const uint8_t *)x->data + (size_t)(i * cols) * size;
        lm_gemm g = { .alpha = 1, .compute = t->compute, .deterministic = t->deterministic };
        g.c = logits, g.ct = LM_F32, g.ldc = vocab, g.m = m, g.n = vocab, g.k = cols;
        g.a = xi, g.at = x->dtype, g.lda = cols;
        g.b = w->data, g.bt = w->dtype, g.ldb = w->dim[1], g.trans_b = !a->o.transposed;
        t->k->gemm(&g);
        t->k->xent(&(lm_k_xent){ .logits = logits, .nll = nll + i, .targets = a->targets + i, .weights = weights + i,
                                 .rows = m, .vocab = vocab, .ld = vocab, .grad = dx || dw });
        if (dx) {                                  /* dx[m, C] = dlogits[m, V] w[V, C] */
            g.c = dx + (size_t)(i * cols) * size, g.ct = x->dtype, g.ldc = cols, g.n = cols, g.k = vocab, g.beta = acc_x;
            g.a = logits, g.at = LM_F32, g.lda = vocab;
            g.trans_b = a->o.transposed;
            t->k->gemm(&g);
        }
        if (dw) {                                  /* dw[V, C] += dlogits^T x, or its transpose */
            const void *l = a->o.transposed ? (const void *)xi : logits, *r = a->o.transposed ? (const void *)logits : xi;
            g.c = dw, g.ct = w->grad->dtype, g.ldc = w->dim[1], g.m = w->dim[0], g.n = w->dim[1], g.k = m, g.beta = acc_w;
            g.a = l, g.at = l == xi ? x->dtype : LM_F32, g.lda = l == xi ? cols : vocab, g.trans_a = true;
            g.b = r, g.bt = r == xi ? x->dtype : LM_F32, g.ldb = r == xi ? cols : vocab, g.trans_b = false;
            t->k->gemm(&g);
            acc_w = true;
        }
    }
    t->k->dot(n->out[0]->data, nll, weights, rows);
    if (a->o.nll) t->k->copy(a->o.nll, nll, rows * (int64_t)sizeof *nll);
    lm_scratch_release(t, mark);
}

static void backward(lm_tape *t, lm_node *n) { (void)t, (void)n; }      /* done in forward */

const lm_op lm_op_cross_entropy = {
    .name = "cross_entropy", .source = "Shannon 1948, section 12; Hsu et al. 2024 (chunked, gradient in forward)",
    .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_cross_entropy(lm_tape *t, lm_tensor *x, lm_tensor *w, const int32_t *targets,
                            const lm_cross_entropy_options *options)
{
    attr a = { .o = *options, .targets = targets };
    return lm_apply(t, &lm_op_cross_entropy, &a, sizeof a, 2, (lm_tensor *[]){ x, w })->out[0];
}
