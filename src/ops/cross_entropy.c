/* Language-model head and cross-entropy in one op, chunk by chunk over the rows.
 *
 *   logits = x w^T + sum_j scale_j h_j up_j^T;   loss = sum_i weight_i * (logsumexp(logits_i) - logits_i[target_i])
 *
 * A whole [N, V] matrix of logits never exists.  While a chunk's logits are there, their gradient
 * is taken, so backward needs no second product with the head: the gradients of x and w are
 * complete after forward.  Hence the result must enter the loss with factor 1 (see ops.h). */
#include "ops/ops.h"

typedef struct attr {
    lm_cross_entropy_options o;
    const int32_t *targets;
    int64_t chunk;
    float scale[LM_MAX_TERMS];
} attr;

enum { X, W, TERMS };                              /* inputs: x, w, then h and up of each term */

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
    const lm_tensor *x = n->in[X], *w = n->in[W];
    int64_t vocab = w->dim[a->o.transposed ? 1 : 0], rows = lm_rows(x);
    if (w->ndim != 2 || w->dim[a->o.transposed ? 0 : 1] != lm_cols(x) || !lm_is_contiguous(x))
        return lm_tape_fail(t, "the head's input size is not x's");
    for (int j = 0; j < a->o.n_terms; j++) {
        const lm_tensor *h = n->in[TERMS + 2 * j], *up = n->in[TERMS + 2 * j + 1];
        if (lm_rows(h) != rows || up->dim[0] != vocab || lm_cols(h) != lm_cols(up) || !lm_is_contiguous(h))
            return lm_tape_fail(t, "a term of low rank does not fit the logits");
    }
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

/* Where gradients go: NULL where none is wanted. */
typedef struct sink {
    void *data;
    bool acc;
} sink;

static sink sink_of(lm_tape *t, lm_tensor *x)
{
    sink s = { 0 };
    if (t->recording) s.data = lm_grad_out(t, x, &s.acc);
    return s;
}

/* logits += scale h up^T of m rows from row i on. */
static void add_term(lm_tape *t, const lm_node *n, int j, float *logits, int64_t i, int64_t m, int64_t vocab)
{
    const lm_tensor *h = n->in[TERMS + 2 * j], *up = n->in[TERMS + 2 * j + 1];
    int64_t r = lm_cols(h);
    t->k->gemm(&(lm_gemm){ .c = logits, .ct = LM_F32, .ldc = vocab, .m = m, .n = vocab, .k = r, .alpha = ((const attr *)n->attr)->scale[j], .beta = 1,
                           .compute = t->compute, .deterministic = t->deterministic, .a = (const uint8_t *)h->data + (size_t)(i * r) * lm_dtype_size(h->dtype),
                           .at = h->dtype, .lda = r, .b = up->data, .bt = up->dtype, .ldb = r, .trans_b = true });
}

/* dh = scale dlogits up;   dup += scale dlogits^T h */
static void teach_term(lm_tape *t, const lm_node *n, int j, sink *dh, sink *dup, const float *logits, int64_t i, int64_t m, int64_t vocab)
{
    const lm_tensor *h = n->in[TERMS + 2 * j], *up = n->in[TERMS + 2 * j + 1];
    int64_t r = lm_cols(h);
    size_t at = (size_t)(i * r) * lm_dtype_size(h->dtype);
    lm_gemm g = { .alpha = ((const attr *)n->attr)->scale[j], .compute = t->compute, .deterministic = t->deterministic, .a = logits, .at = LM_F32, .lda = vocab, .n = r, .ldc = r, .ldb = r };
    if (dh->data) {
        g.c = (uint8_t *)dh->data + at, g.ct = h->dtype, g.m = m, g.k = vocab, g.beta = dh->acc;
        g.b = up->data, g.bt = up->dtype;
        t->k->gemm(&g);
    }
    if (dup->data) {
        g.c = dup->data, g.ct = LM_F32, g.m = vocab, g.k = m, g.beta = dup->acc, g.trans_a = true;
        g.b = (const uint8_t *)h->data + at, g.bt = h->dtype;
        t->k->gemm(&g);
        dup->acc = true;
    }
}

static void forward(lm_tape *t, lm_node *n)
{
    const attr *a = n->attr;
    lm_tensor *x = n->in[X], *w = n->in[W];
    int64_t rows = lm_rows(x), cols = lm_cols(x), vocab = w->dim[a->o.transposed ? 1 : 0];
    bool acc_x, acc_w;
    uint8_t *dx = t->recording ? lm_grad_out(t, x, &acc_x) : NULL;
    void *dw = t->recording ? lm_grad_out(t, w, &acc_w) : NULL;
    sink dh[LM_MAX_TERMS], dup[LM_MAX_TERMS];
    bool learns = dx || dw;
    for (int j = 0; j < a->o.n_terms; j++) {
        dh[j] = sink_of(t, n->in[TERMS + 2 * j]);
        dup[j] = sink_of(t, n->in[TERMS + 2 * j + 1]);
        learns = learns || dh[j].data || dup[j].data;
    }
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
        for (int j = 0; j < a->o.n_terms; j++) add_term(t, n, j, logits, i, m, vocab);
        t->k->xent(&(lm_k_xent){ .logits = logits, .nll = nll + i, .targets = a->targets + i, .weights = weights + i,
                                 .rows = m, .vocab = vocab, .ld = vocab, .grad = learns });
        for (int j = 0; j < a->o.n_terms; j++) teach_term(t, n, j, &dh[j], &dup[j], logits, i, m, vocab);
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
    lm_tensor *in[LM_MAX_IN] = { x, w };
    _Static_assert(TERMS + 2 * LM_MAX_TERMS <= LM_MAX_IN, "every term has its inputs");
    for (int j = 0; j < options->n_terms; j++) {
        in[TERMS + 2 * j] = options->terms[j].h, in[TERMS + 2 * j + 1] = options->terms[j].up;
        a.scale[j] = options->terms[j].scale;
    }
    a.o.terms = NULL;
    return lm_apply(t, &lm_op_cross_entropy, &a, sizeof a, TERMS + 2 * options->n_terms, in)->out[0];
}
