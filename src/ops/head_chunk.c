#include "ops/head_chunk.h"

/* Room for logits: few and large chunks, since each reads the head twice and adds to its whole gradient. */
enum { CHUNK_BYTES = 96 << 20 };

enum { X, W, TERMS };                              /* inputs: x, w, then h and up of each term */

int lm_head_inputs(lm_head_chunk *h, lm_tensor **in, lm_tensor *x, lm_tensor *w, const lm_cross_entropy_options *options)
{
    _Static_assert(TERMS + 2 * LM_MAX_TERMS <= LM_MAX_IN, "every term has its inputs");
    *h = (lm_head_chunk){ .transposed = options->transposed, .n_terms = options->n_terms };
    in[X] = x, in[W] = w;
    for (int j = 0; j < h->n_terms; j++) {
        in[TERMS + 2 * j] = options->terms[j].h, in[TERMS + 2 * j + 1] = options->terms[j].up;
        h->scale[j] = options->terms[j].scale;
    }
    return TERMS + 2 * h->n_terms;
}

/* At most `most` rows (but some), and all chunks about the same. */
static int64_t even_chunk(int64_t rows, int64_t most)
{
    if (most < 16) most = 16;
    int64_t chunks = (rows + most - 1) / most;
    return chunks ? (rows + chunks - 1) / chunks : 0;
}

lm_status lm_head_infer(lm_head_chunk *h, lm_tape *t, const lm_node *n, int64_t asked)
{
    const lm_tensor *x = n->in[X], *w = n->in[W];
    h->rows = lm_rows(x);
    h->vocab = w->dim[h->transposed ? 1 : 0];
    if (w->ndim != 2 || w->dim[h->transposed ? 0 : 1] != lm_cols(x) || !lm_is_contiguous(x))
        return lm_tape_fail(t, "the head's input size is not x's");
    for (int j = 0; j < h->n_terms; j++) {
        const lm_tensor *left = n->in[TERMS + 2 * j], *up = n->in[TERMS + 2 * j + 1];
        if (lm_rows(left) != h->rows || up->dim[0] != h->vocab || lm_cols(left) != lm_cols(up) || !lm_is_contiguous(left))
            return lm_tape_fail(t, "a term of low rank does not fit the logits");
    }
    h->most = asked ? asked : even_chunk(h->rows, CHUNK_BYTES / (int64_t)sizeof(float) / h->vocab);
    return LM_OK;
}

lm_head_sinks lm_head_sinks_of(lm_tape *t, const lm_node *n)
{
    lm_head_sinks s = { 0 };
    for (int i = 0; i < LM_MAX_IN && n->in[i]; i++) {
        s.in[i].data = lm_grad_out(t, n->in[i], &s.in[i].acc);
        s.any = s.any || s.in[i].data;
    }
    return s;
}

float *lm_head_room(const lm_head_chunk *h, lm_tape *t) { return lm_scratch(t, (size_t)(h->most * h->vocab) * sizeof(float)); }

/* Row i of data shaped like x. */
static uint8_t *row_of(const lm_tensor *x, void *data, int64_t i)
{
    return (uint8_t *)data + (size_t)(i * lm_cols(x)) * lm_dtype_size(x->dtype);
}

static lm_gemm product(const lm_tape *t, float alpha) { return (lm_gemm){ .alpha = alpha, .compute = t->compute, .deterministic = t->deterministic }; }

void lm_head_logits(const lm_head_chunk *h, lm_tape *t, const lm_node *n, float *logits, int64_t i, int64_t m)
{
    for (int j = 0; j < 1 + h->n_terms; j++) {
        const lm_tensor *x = n->in[2 * j], *w = n->in[2 * j + 1];
        lm_gemm g = product(t, j ? h->scale[j - 1] : 1);
        g.c = logits, g.ct = LM_F32, g.ldc = h->vocab, g.m = m, g.n = h->vocab, g.k = lm_cols(x), g.beta = j > 0;
        g.a = row_of(x, x->data, i), g.at = x->dtype, g.lda = lm_cols(x);
        g.b = w->data, g.bt = w->dtype, g.ldb = w->dim[1], g.trans_b = j || !h->transposed;
        t->k->gemm(&g);
    }
}

/* dx[m, C] = dlogits[m, V] w[V, C] */
static void back_to_rows(const lm_head_chunk *h, lm_tape *t, const lm_tensor *x, const lm_tensor *w, bool transposed, float scale,
                         void *dx, bool acc, const float *dlogits, int64_t i, int64_t m)
{
    lm_gemm g = product(t, scale);
    g.c = row_of(x, dx, i), g.ct = x->dtype, g.ldc = lm_cols(x), g.m = m, g.n = lm_cols(x), g.k = h->vocab, g.beta = acc;
    g.a = dlogits, g.at = LM_F32, g.lda = h->vocab;
    g.b = w->data, g.bt = w->dtype, g.ldb = w->dim[1], g.trans_b = transposed;
    t->k->gemm(&g);
}

/* dw[V, C] += dlogits^T x, or its transpose */
static void back_to_head(const lm_head_chunk *h, lm_tape *t, const lm_tensor *x, const lm_tensor *w, bool transposed, float scale,
                         void *dw, bool acc, const float *dlogits, int64_t i, int64_t m)
{
    const void *xi = row_of(x, x->data, i), *l = transposed ? xi : dlogits, *r = transposed ? dlogits : xi;
    int64_t cols = lm_cols(x);
    lm_gemm g = product(t, scale);
    g.c = dw, g.ct = w->grad ? w->grad->dtype : w->dtype, g.ldc = w->dim[1], g.m = w->dim[0], g.n = w->dim[1], g.k = m, g.beta = acc;
    g.a = l, g.at = l == xi ? x->dtype : LM_F32, g.lda = l == xi ? cols : h->vocab, g.trans_a = true;
    g.b = r, g.bt = r == xi ? x->dtype : LM_F32, g.ldb = r == xi ? cols : h->vocab;
    t->k->gemm(&g);
}

void lm_head_back(const lm_head_chunk *h, lm_tape *t, const lm_node *n, lm_head_sinks *to, const float *dlogits, int64_t i, int64_t m)
{
    for (int j = 0; j < 1 + h->n_terms; j++) {
        const lm_tensor *x = n->in[2 * j], *w = n->in[2 * j + 1];
        const bool transposed = !j && h->transposed;
        const float scale = j ? h->scale[j - 1] : 1;
        if (to->in[2 * j].data) back_to_rows(h, t, x, w, transposed, scale, to->in[2 * j].data, to->in[2 * j].acc, dlogits, i, m);
        if (!to->in[2 * j + 1].data) continue;
        back_to_head(h, t, x, w, transposed, scale, to->in[2 * j + 1].data, to->in[2 * j + 1].acc, dlogits, i, m);
        to->in[2 * j + 1].acc = true;
    }
}
