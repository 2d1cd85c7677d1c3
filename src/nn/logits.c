/* Logits of the LM head, and the loss that never forms all of them, with what adapters add at it.
 *
 *   logits = x W^T + sum scale * h B^T,   h = A x
 *
 * Only changes of low rank can stand at the head (the hook `narrow`), so that cross-entropy can take them chunk by
 * chunk.  Rows on which an adapter does not act have h = 0. */
#include "nn/active.h"
#include "nn/head.h"

#include <stdlib.h>

/* The set of adapters at each of the batch's own rows; NULL after a failure. */
static const uint64_t *sets_of_rows(const lm_forward *f)
{
    const lm_batch *b = f->batch;
    uint64_t *sets = lm_tape_meta(f->t, (size_t)b->n_tokens * sizeof *sets);
    for (int64_t i = 0; sets && i < b->n_segments; i++)
        for (int64_t j = 0; j < b->segments[i].nq; j++) sets[b->segments[i].q0 + j] = lm_segment_adapters(f->m, b, i);
    return sets;
}

/* h with zeros where the adapter does not act; index [lm_rows(h)] says which of the batch's rows they are, NULL: all. */
static lm_tensor *silence(const lm_forward *f, lm_tensor *h, const lm_adapter *a, const uint64_t *sets, const int32_t *index)
{
    int64_t n = lm_rows(h), width = lm_cols(h), silent = 0;
    int32_t *which = lm_tape_meta(f->t, (size_t)n * sizeof *which);
    float *zeros = lm_tape_meta(f->t, (size_t)width * sizeof *zeros);
    if (f->t->err.code) return &f->t->dead;
    for (int64_t i = 0; i < n; i++) {
        bool acts = sets[index ? index[i] : i] >> a->slot & 1;
        which[i] = acts ? -1 : 0;
        silent += !acts;
    }
    if (!silent) return h;
    for (int64_t i = 0; i < width; i++) zeros[i] = 0;
    return lm_replace_rows(f->t, h, lm_input(f->t, zeros, LM_F32, 2, (int64_t[]){ 1, width }), which);
}

/* What the adapters at the head add to the logits of x. */
static int find_terms(lm_low_rank *out, const lm_forward *f, lm_tensor *x, const int32_t *index)
{
    int n = 0;
    const lm_link *first = f->m->output ? f->m->output->links : NULL;
    const uint64_t *sets = first ? sets_of_rows(f) : NULL;
    for (const lm_link *l = first; l && sets; l = l->next) {
        if (!l->adapter->on) continue;
        if (n == LM_MAX_TERMS) {
            lm_tape_fail(f->t, "%s: more than %d adapters at the LM head", l->adapter->name, LM_MAX_TERMS);
            break;
        }
        out[n] = l->adapter->type->narrow(f, l, x);
        out[n].h = silence(f, out[n].h, l->adapter, sets, index);
        n++;
    }
    return n;
}

lm_tensor *lm_model_logits(const lm_forward *f, lm_tensor *hidden, lm_tensor *index)
{
    lm_low_rank term[LM_MAX_TERMS];
    if (index) hidden = lm_gather_rows(f->t, hidden, index);
    lm_tensor *y = lm_linear_with(f->t, hidden, lm_model_lm_head(f), NULL, &(lm_linear_options){ .f32 = true });
    int n = f->t->err.code ? 0 : find_terms(term, f, hidden, index ? index->data : NULL);
    for (int i = 0; i < n; i++) y = lm_linear_add_(f->t, y, term[i].h, term[i].up, term[i].scale, false);
    return y;
}

lm_tensor *lm_model_loss(const lm_forward *f, lm_tensor *hidden, const int32_t *targets, const lm_cross_entropy_options *options)
{
    lm_low_rank term[LM_MAX_TERMS];
    lm_cross_entropy_options o = *options;
    o.n_terms = find_terms(term, f, hidden, NULL);
    o.terms = term;
    return lm_cross_entropy(f->t, hidden, lm_model_lm_head(f), targets, &o);
}

lm_tensor *lm_model_costs(const lm_forward *f, lm_tensor *hidden, lm_tensor *index, const int32_t *targets, lm_tensor **entropy)
{
    lm_low_rank term[LM_MAX_TERMS];
    lm_cross_entropy_options o = { .terms = term, .entropy = entropy };
    lm_tensor *rows = lm_gather_rows(f->t, hidden, index);
    o.n_terms = f->t->err.code ? 0 : find_terms(term, f, rows, index->data);
    return lm_nll(f->t, rows, lm_model_lm_head(f), targets, &o);
}
