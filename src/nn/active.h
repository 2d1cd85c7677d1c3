/* Which adapters act on which rows of a batch.
 *
 * Several adapters can be attached to a model at once.  On one sequence they act together, first to last in the
 * order in which they were attached, each around what the ones before it made of the model: what LoRA-like ones
 * add is summed, other changes follow each other, and the result is that of merging one after the other.
 *
 * A batch may choose for each of its segments (lm_batch.off).  Where all agree, hooks see the whole batch.  Else
 * the rows are divided into parts, one for each set of adapters in use; a hook runs on the rows of a part, which
 * are taken out for it and put back.  The base's own products run once over all rows in either case. */
#ifndef LM_NN_ACTIVE_H
#define LM_NN_ACTIVE_H

#include "nn/adapter.h"

/* The rows on which the same adapters act; at least one does. */
struct lm_part {
    lm_forward f;                        /* over these rows alone: f.active, ids, positions, virtual rows */
    lm_tensor *rows;                     /* i32 [n] in the whole batch */
    const int32_t *which;                /* [N] the place of a row of the batch in this part, or -1 */
};

static inline bool lm_acts(const lm_forward *f, const lm_adapter *a) { return f->active >> a->slot & 1; }

/* f with its adapters resolved and their virtual tokens in front of every sequence; *kept [i32] are the rows of
 * f's own tokens in it, NULL when that is all of them.  NULL after a failure. */
const lm_forward *lm_with_adapters(const lm_forward *f, lm_tensor **kept);

/* Adapters that are on and act on segment i, as bits by slot. */
uint64_t lm_segment_adapters(const lm_model *m, const lm_batch *b, int64_t i);

/* virtual.c: puts the virtual tokens of sets [n_segments] of adapters in front of g's sequences. */
void lm_put_virtual(lm_forward *g, const uint64_t *sets, lm_tensor **kept);

/* x's rows that belong to a part, and x with those rows replaced by y. */
static inline lm_tensor *lm_part_take(const lm_part *p, lm_tensor *x) { return lm_gather_rows(p->f.t, x, p->rows); }
static inline lm_tensor *lm_part_put(const lm_part *p, lm_tensor *x, lm_tensor *y) { return lm_replace_rows(p->f.t, x, y, p->which); }

#endif
