/* Language-model head and cross-entropy in one op, chunk by chunk over the rows.
 *
 *   logits = x w^T + sum_j scale_j h_j up_j^T;   loss = sum_i weight_i * (logsumexp(logits_i) - logits_i[target_i])
 *
 * A whole [N, V] matrix of logits never exists.  While a chunk's logits are there, their gradient
 * is taken, so backward needs no second product with the head: the gradients of x and w are
 * complete after forward.  Hence the result must enter the loss with factor 1 (see ops.h). */
#include "ops/head_chunk.h"

typedef struct attr {
    lm_cross_entropy_options o;
    const int32_t *targets;
    lm_head_chunk head;
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    LM_TRY(lm_head_infer(&a->head, t, n, a->o.chunk));
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
    const lm_head_chunk *h = &a->head;
    lm_head_sinks sinks = t->recording ? lm_head_sinks_of(t, n) : (lm_head_sinks){ 0 };
    size_t mark = lm_scratch_mark(t);
    float *logits = lm_head_room(h, t);
    float *nll = lm_scratch(t, (size_t)h->rows * sizeof *nll);
    float *uniform = NULL;
    if (!a->o.weights && (uniform = lm_scratch(t, (size_t)h->rows * sizeof *uniform)) && t->k->computes)
        uniform_weights(uniform, a->targets, h->rows);
    if (t->err.code) return;
    const float *weights = a->o.weights ? a->o.weights : uniform;

    for (int64_t i = 0; i < h->rows; i += h->most) {
        int64_t m = h->rows - i < h->most ? h->rows - i : h->most;
        lm_head_logits(h, t, n, logits, i, m);
        t->k->xent(&(lm_k_xent){ .logits = logits, .nll = nll + i, .targets = a->targets + i, .weights = weights + i,
                                 .rows = m, .vocab = h->vocab, .ld = h->vocab, .grad = sinks.any });
        lm_head_back(h, t, n, &sinks, logits, i, m);
    }
    t->k->dot(n->out[0]->data, nll, weights, h->rows);
    if (a->o.nll) t->k->copy(a->o.nll, nll, h->rows * (int64_t)sizeof *nll);
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
    lm_tensor *in[LM_MAX_IN];
    int n_in = lm_head_inputs(&a.head, in, x, w, options);
    a.o.terms = NULL;
    return lm_apply(t, &lm_op_cross_entropy, &a, sizeof a, n_in, in)->out[0];
}
