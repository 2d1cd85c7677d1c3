/* Training: everything that a run holds, and the loop over it.
 *
 * Invariants
 *  1. A run's state is: the weights that train, the optimiser's numbers, and lm_progress_state.  The
 *     order of the data, dropout and the learning rate are functions of the seed and the step.
 *  2. A checkpoint stands between two steps, never within one.
 *  3. With the null backend everything but the data has its shape only; nothing is computed. */
#ifndef LM_TRAIN_TRAINER_H
#define LM_TRAIN_TRAINER_H

#include "data/packed.h"
#include "nn/adapter.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/objective.h"
#include "train/options.h"

#include <stdio.h>

/* What a run is made from; everything is the caller's and outlives it. */
typedef struct lm_train_config {
    const lm_train_options *o;
    const lm_objective *objective;
    const void *objective_options;
    const lm_optimizer *optimizer;
    const void *optimizer_options;
    const lm_adapter_type *adapter;              /* NULL: every weight trains */
    const void *adapter_options;
    const lm_option_set *sets;                   /* all of these options, for the run folder */
    const lm_kernels *k;
    FILE *progress;                              /* NULL: none */
} lm_train_config;

/* Documents, cut and packed. */
typedef struct lm_corpus {
    lm_dataset data;
    lm_blocks blocks;
    int64_t n_malformed;                         /* rows that were passed over */
    lm_shares shares;                            /* of its sources, where they have weights */
    lm_packed packed;                            /* what data and blocks borrow from, where they were packed ahead */
} lm_corpus;

/* What the loop counts; in a checkpoint as state.json. */
typedef struct lm_train_state {
    int64_t step, updates;                       /* made so far; a step is one update, or a round of several */
    int64_t tokens, supervised;                  /* seen and learnt so far */
    double seconds;                              /* of training, over all its processes */
    double best;                                 /* lowest loss measured, infinite before the first */
    int64_t since_best;                          /* measurements since */
} lm_train_state;

/* Parameters of which some train, and what goes with them. */
typedef struct lm_learner {
    lm_params *trained;                          /* NULL: none */
    const lm_params *remembered;                 /* in checkpoints besides; NULL: none */
    lm_adapter *adapter;                         /* whose they are, or NULL: the loop calls its hooks */
    const char *prefix;                          /* of their names in a checkpoint */
} lm_learner;

enum { LM_LEARNERS = 3 };                        /* the model or its adapter; the objective; the companion or its adapter */

typedef struct lm_trainer {
    const lm_train_config *c;
    lm_model *model;
    lm_adapter *adapter;                         /* NULL: every weight trains */
    lm_tokenizer *tokenizer;
    lm_task task;
    lm_learner learners[LM_LEARNERS];
    lm_corpus corpus, val_corpus;                /* val_corpus is empty without --val-data */
    lm_part train, val;                          /* val.n == 0: nothing is measured */
    lm_batcher batches, val_batches;
    lm_optim optim;
    lm_schedule schedule;
    lm_tape tape;
    lm_forward forward;                          /* of the micro-batch at hand */
    int64_t context, per_step, n_blocks;         /* blocks of a step, and of the whole run */
    int64_t eval_every;
    lm_train_state at;
    bool moved;                                  /* weights are no longer those of at.step: a step is under way, or failed there */
    bool astray;                                 /* the objective found that at.step has gone too far: what stands before it is good */
} lm_trainer;

/* Opens model and data and makes everything ready for step 1. */
lm_status lm_trainer_open(lm_trainer *t, const lm_train_config *config, lm_err *err);
void lm_trainer_close(lm_trainer *t);            /* takes {0} */

/* Reads, renders and packs the rows of `texts` (corpus.c): files, for the corpus that trains also FILE:WEIGHT and FILE:SHARE%
 * as in data/mix.h, or one file of `data pack`.  Wants model, tokenizer, task and context. */
lm_status lm_corpus_open(lm_trainer *t, lm_corpus *corpus, const lm_strings *texts, lm_err *err);
void lm_corpus_close(lm_corpus *corpus);         /* takes {0} */

/* Opens no more of a run than its corpus needs, for `data pack`. */
lm_status lm_trainer_open_corpus(lm_trainer *t, const lm_train_config *config, lm_err *err);

/* One update, or a round of them, of which loss and grad_norm are means. */
typedef struct lm_step_report {
    double loss, lr, grad_norm, seconds;
    int64_t tokens, supervised;
    lm_json *numbers, *table;                    /* of a round: see lm_round; NULL for none */
} lm_step_report;
void lm_step_report_free(lm_step_report *r);     /* takes {0} */

/* LM_E_NUMERIC when the loss or a gradient is not finite: nothing is updated then. */
lm_status lm_trainer_step(lm_trainer *t, lm_step_report *report, lm_err *err);

/* Mean loss over the validation blocks, and what else the objective counts: an object that the caller
 * frees, or NULL. */
lm_status lm_trainer_measure(lm_trainer *t, double *loss, lm_json **counted, lm_err *err);

/* The whole run, from the last checkpoint when resuming, to the result in --out.  LM_E_INTERRUPT after
 * the user asked to stop; a checkpoint stands then. */
lm_status lm_trainer_run(lm_trainer *t, lm_err *err);

/* ---- for the loop and its rounds ---- */

/* One update from the blocks [begin, end) of a batcher; adds to loss, grad_norm and what was seen and learnt. */
lm_status lm_trainer_update(lm_trainer *t, lm_batcher *b, int64_t begin, int64_t end, lm_step_report *r, lm_err *err);

/* How many numbers the model and its companion have, or how many of all that there is train. */
int64_t lm_trainer_parameters(const lm_trainer *t, bool training);

/* The objective's collect on a micro-batch. */
lm_status lm_trainer_collect(lm_trainer *t, lm_microbatch *m, lm_err *err);

/* A round of the objective (round.c): the step at hand, and one over all of the validation prompts, whose loss is the
 * mean reward taken negative. */
lm_status lm_trainer_round(lm_trainer *t, lm_step_report *r, lm_err *err);
lm_status lm_trainer_measure_round(lm_trainer *t, double *loss, lm_json **counted, lm_err *err);

/* The answers of a round to n prompts of `from` from `begin` on, in blocks: for the plan too. */
typedef struct lm_experience {
    lm_round round;
    lm_blocks blocks;
    lm_part all;                                 /* of the blocks; once judged, those that are learnt from */
    lm_batcher batches;
    int32_t *documents;
} lm_experience;
lm_status lm_experience_open(lm_experience *x, lm_trainer *t, const lm_batcher *from, int64_t begin, int64_t n, bool learns, lm_err *err);
void lm_experience_close(lm_experience *x);      /* takes {0} */

#endif
