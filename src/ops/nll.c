/* What each target costs: y[i] = -log softmax(x_i w^T)[target_i], 0 where there is none.
 *
 *   dlogits_i = dy_i (softmax(logits_i) - onehot(target_i))
 *
 * and, where it is wanted, how undecided the model is there: h[i] = -sum_j p_j log p_j.
 *
 *   dlogits_ij -= dh_i p_j (log p_j + h_i)
 *
 * For losses that are not a fixed weighted mean of it (there cross_entropy is cheaper): preference
 * losses, policy gradients.  Logits are made chunk by chunk, and once more on the way back: a product with
 * the head instead of [N, V] numbers kept. */
#include "ops/head_chunk.h"

typedef struct attr {
    const int32_t *targets;
    int64_t chunk;
    bool entropy;                                   /* a second output */
    lm_head_chunk head;
} attr;

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    LM_TRY(lm_head_infer(&a->head, t, n, a->chunk));
    n->out[0] = lm_tensor_new(t, LM_F32, 1, &a->head.rows);
    if (a->entropy) n->out[1] = lm_tensor_new(t, LM_F32, 1, &a->head.rows);
    return t->err.code;
}

/* Every chunk's logits, measured, and with sinks taken back to the inputs.  An output that nothing came back to
 * weighs nothing. */
static void each_chunk(lm_tape *t, const lm_node *n, lm_head_sinks *sinks)
{
    const attr *a = n->attr;
    const lm_head_chunk *h = &a->head;
    size_t mark = lm_scratch_mark(t), bytes = (size_t)h->rows * sizeof(float);
    float *logits = lm_head_room(h, t), *nll = n->out[0]->data, *entropy = a->entropy ? n->out[1]->data : NULL;
    float *weights = sinks ? lm_grad_in(n->out[0]) : NULL, *bonus = sinks && a->entropy ? lm_grad_in(n->out[1]) : NULL;
    if (sinks && !weights && (weights = lm_scratch(t, bytes))) t->k->zero(weights, (int64_t)bytes);
    for (int64_t i = 0; i < h->rows && logits; i += h->most) {
        int64_t m = h->rows - i < h->most ? h->rows - i : h->most;
        lm_head_logits(h, t, n, logits, i, m);
        t->k->xent(&(lm_k_xent){ .logits = logits, .nll = nll + i, .entropy = entropy ? entropy + i : NULL, .targets = a->targets + i, .rows = m,
                                 .vocab = h->vocab, .ld = h->vocab, .weights = weights ? weights + i : NULL, .bonus = bonus ? bonus + i : NULL,
                                 .grad = sinks });
        if (sinks) lm_head_back(h, t, n, sinks, logits, i, m);
    }
    lm_scratch_release(t, mark);
}

static void forward(lm_tape *t, lm_node *n) { each_chunk(t, n, NULL); }

static void backward(lm_tape *t, lm_node *n)
{
    lm_head_sinks sinks = lm_head_sinks_of(t, n);
    if (sinks.any) each_chunk(t, n, &sinks);
}

const lm_op lm_op_nll = {
    .name = "nll", .source = "Shannon 1948, section 12; Hsu et al. 2024 (chunked)", .infer = infer, .forward = forward, .backward = backward,
};

lm_tensor *lm_nll(lm_tape *t, lm_tensor *x, lm_tensor *w, const int32_t *targets, const lm_cross_entropy_options *options)
{
    attr a = { .targets = targets, .chunk = options->chunk, .entropy = options->entropy };
    lm_tensor *in[LM_MAX_IN];
    int n_in = lm_head_inputs(&a.head, in, x, w, options);
    const lm_node *n = lm_apply(t, &lm_op_nll, &a, sizeof a, n_in, in);
    if (options->entropy) *options->entropy = n->out[1];
    return n->out[0];
}
