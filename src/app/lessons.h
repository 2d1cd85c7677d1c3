/* What a model would learn of a corpus: the share of its tokens that are predicted, and what a context cuts off. */
#ifndef LM_APP_LESSONS_H
#define LM_APP_LESSONS_H

#include "app/command.h"
#include "data/source.h"

typedef struct lm_lessons {
    const char *objective;               /* that they are for */
    int64_t context;                     /* lessons that a row may have */
    int64_t rows, tokens, supervised;    /* supervised: tokens that are learnt */
    int64_t cut, lost, lost_supervised;  /* rows that are longer, and what lies beyond; nothing where the objective divides texts */
    int64_t untaught;                    /* rows of which nothing to learn is left */
    int64_t skipped;                     /* rows that cannot be learnt from */
} lm_lessons;

/* Renders every row as training with this model and objective ("clm", "sft", ...) does.  context 0: the model's.  LM_E_UNSUPPORTED
 * where the objective does not learn token by token. */
lm_status lm_lessons_count(lm_lessons *out, const lm_strings *paths, const lm_source_options *how, const char *model, const char *objective, int64_t context, lm_err *err);

#endif
