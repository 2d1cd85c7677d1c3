/* What a run will take, before any of it is computed.
 *
 * The run is opened with the null backend: the same code lays out the same weights, gradients and
 * optimiser, and one pass over the largest micro-batch fills the tape's arenas, which are only counted.
 * The data is read for real, so rows, tokens and steps are those of the run.  A run in rounds is counted with
 * answers as long as they may become, and the cache that they are written with.  What lies outside the
 * arenas (program, libraries, tokenizer, data) is this process's own resident memory, for the run has
 * the same. */
#ifndef LM_TRAIN_PLAN_H
#define LM_TRAIN_PLAN_H

#include "train/trainer.h"

enum { LM_PLAN_PARTS = 9 };

typedef struct lm_plan {
    struct { const char *name, *what; size_t bytes; } parts[LM_PLAN_PARTS];
    int n_parts;
    size_t total;                            /* peak resident memory */
    int64_t parameters, trained;             /* numbers in the weights, and of those that train */
    int64_t rows, truncated, data_tokens;
    int64_t context, steps, tokens;          /* tokens: lessons of the whole run */
    int64_t batch_tokens;                    /* in the largest micro-batch */
} lm_plan;

/* Fills parts and total with what a run holds: its arenas, of the tape's the highest so far. */
void lm_plan_memory(lm_plan *plan, const lm_trainer *t);

/* config as for the run; its kernels only tell which element type would be computed in. */
lm_status lm_plan_make(lm_plan *plan, const lm_train_config *config, lm_err *err);

#endif
