/* What `train`, its dry run and `plan` share: the objective, the optimiser and the adapter are chosen on
 * the command line, and each brings options of its own. */
#ifndef LM_APP_TRAINING_H
#define LM_APP_TRAINING_H

#include "app/command.h"
#include "train/plan.h"
#include "train/trainer.h"

typedef struct lm_training {
    lm_train_config config;
    lm_kernels kernels;
} lm_training;

/* For lm_command.prepare, with lm_train_options as the command's own: leaves an lm_training in call->own,
 * which the shell frees. */
lm_status lm_training_prepare(lm_call *call, lm_err *err);

/* For lm_command.topics: objectives, adapters, optimisers. */
void lm_training_topics(lm_str *out);

/* Prints a plan, as JSON or for people. */
void lm_print_plan(const lm_plan *plan, bool json);

#endif
