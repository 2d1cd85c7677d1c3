/* The learnt tokens of a micro-batch, put together sequence after sequence: only their rows meet the head. */
#ifndef LM_OBJECTIVE_LEARNT_H
#define LM_OBJECTIVE_LEARNT_H

#include "data/batch.h"

typedef struct lm_learnt {
    int64_t n, sequences;                    /* tokens; segments of the micro-batch */
    int64_t *begin;                          /* [sequences + 1] tokens of sequence s: begin[s] .. begin[s + 1] */
    int32_t *rows, *targets;                 /* [n] of the hidden states; what is to be predicted there */
} lm_learnt;

/* Lives with the tape's step; NULL after a failure. */
const lm_learnt *lm_learnt_of(lm_tape *t, const lm_microbatch *m);

/* The last of each sequence alone; every sequence has one. */
const lm_learnt *lm_learnt_last(lm_tape *t, const lm_learnt *l);

/* The index of their rows, for gathering. */
lm_tensor *lm_learnt_index(lm_tape *t, const lm_learnt *l);

#endif
