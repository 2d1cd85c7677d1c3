/* The answers of a round are written: a session of sequences, some at a time, each drawn by its own stream of
 * random numbers. */
#ifndef LM_OBJECTIVE_ROLLOUT_WRITE_H
#define LM_OBJECTIVE_ROLLOUT_WRITE_H

#include "objective/rollout.h"

typedef struct lm_writing {
    lm_model *model;
    const lm_kernels *k;
    const lm_tokenizer *tokenizer;
    lm_dtype compute;
    int64_t context;
    int32_t end_of_turn;                 /* ends an answer besides the model's own; -1: nothing does */
    const lm_rollout_options *o;
    uint64_t seed, stream;               /* answer i is drawn by stream + i */
} lm_writing;

/* r->items have their prompts and how long they may become; ids, n, text and finish are filled in.  On a backend
 * that does not compute, an answer is as long as it may be, of the id 0. */
lm_status lm_rollouts_write(lm_rollouts *r, const lm_writing *w, lm_err *err);

/* Memory that it takes: the cache, and logits. */
lm_status lm_rollouts_write_bytes(size_t *out, const lm_rollouts *r, const lm_writing *w, lm_err *err);

#endif
