#include "objective/learnt.h"

const lm_learnt *lm_learnt_of(lm_tape *t, const lm_microbatch *m)
{
    int64_t sequences = m->batch.n_segments, at = 0;
    lm_learnt *l = lm_tape_meta(t, sizeof *l);
    int64_t *begin = lm_tape_meta(t, (size_t)(sequences + 1) * sizeof *begin);
    int32_t *rows = lm_tape_meta(t, (size_t)m->n_targets * sizeof *rows), *targets = lm_tape_meta(t, (size_t)m->n_targets * sizeof *targets);
    if (t->err.code) return NULL;
    *l = (lm_learnt){ .n = m->n_targets, .sequences = sequences, .begin = begin, .rows = rows, .targets = targets };
    for (int64_t s = 0; s < sequences; s++) {
        const lm_segment *seg = &m->batch.segments[s];
        begin[s] = at;
        for (int64_t i = seg->q0; i < seg->q0 + seg->nq; i++)
            if (m->targets[i] >= 0) rows[at] = (int32_t)i, targets[at++] = m->targets[i];
    }
    begin[sequences] = at;
    return l;
}

const lm_learnt *lm_learnt_last(lm_tape *t, const lm_learnt *l)
{
    if (!l) return NULL;
    size_t n = (size_t)l->sequences;
    lm_learnt *last = lm_tape_meta(t, sizeof *last);
    int64_t *begin = lm_tape_meta(t, (n + 1) * sizeof *begin);
    int32_t *rows = lm_tape_meta(t, n * sizeof *rows), *targets = lm_tape_meta(t, n * sizeof *targets);
    if (t->err.code) return NULL;
    *last = (lm_learnt){ .n = l->sequences, .sequences = l->sequences, .begin = begin, .rows = rows, .targets = targets };
    for (int64_t s = 0; s <= l->sequences; s++) begin[s] = s;
    for (int64_t s = 0; s < l->sequences; s++) rows[s] = l->rows[l->begin[s + 1] - 1], targets[s] = l->targets[l->begin[s + 1] - 1];
    return last;
}

lm_tensor *lm_learnt_index(lm_tape *t, const lm_learnt *l) { return lm_input(t, l->rows, LM_I32, 1, &l->n); }
