/* Objectives: what is to be learnt from a row, and the loss of a batch.
 *
 * One file each, objective/<name>.c.  `render` turns a row of data into tokens and says which of them
 * are to be predicted; `loss` is the loss of a micro-batch, written in ops.  The loop (trainer.c) calls
 * both and knows no objective by name.
 *
 * An objective that learns from what the model itself answers has rows that are prompts, and rounds: a step of
 * the run asks some prompts, judges the answers and makes one update or several of them (round.c). */
#ifndef LM_TRAIN_OBJECTIVE_H
#define LM_TRAIN_OBJECTIVE_H

#include "base/option.h"
#include "data/batch.h"
#include "nn/model.h"

typedef struct lm_objective lm_objective;
typedef struct lm_train_options lm_train_options;
typedef struct lm_params lm_params;

/* What trains in the same run beside the task's model: PPO's value model.  It is that model with another adapter, or another
 * model. */
typedef struct lm_companion {
    lm_model *model;
    lm_adapter *adapter;                     /* NULL: every weight trains */
} lm_companion;

/* An objective at work in a run. */
typedef struct lm_task {
    const lm_objective *objective;
    const void *options;                     /* options_size bytes */
    const lm_model *model;
    const lm_tokenizer *tokenizer;
    int32_t eos;                             /* the id that ends a text, or -1 */
    int64_t context;                         /* tokens of a block at most */
    bool truncate;                           /* what is longer may be cut off */
    uint64_t seed;                           /* of the run */
    void *own;                               /* made by prepare, and so are: */
    lm_params *trained, *state;              /* what trains beside the model, and what is only remembered in checkpoints, by
                                              * names that no weight has; NULL for none, released with own */
    lm_companion *companion;                 /* the same; NULL: none */
} lm_task;

/* A step of a run that learns from the model's own answers. */
typedef struct lm_round {
    int64_t number;                          /* from 0 */
    uint64_t seed;                           /* of the run */
    bool learns;                             /* false: the prompts are only measured on */
    const lm_dataset *prompts;
    const int32_t *documents;                /* [n] of them are asked */
    int64_t n;
    lm_dataset answers;                      /* by `rollout`; what has the value 0 after `credit` is not learnt from; the loop frees it */
    lm_json *numbers, *table;                /* for the log, by `rollout`: an object of numbers, and rows of OUT/rollouts.jsonl */
    size_t bytes;                            /* by `rollout`: what it held besides the tape's memory */
} lm_round;

typedef struct lm_rounds {
    int64_t (*prompts)(const lm_task *task);             /* of a round */
    int64_t (*passes)(const lm_task *task);              /* over its answers */
    /* The prompts are answered and judged.  f's tape records nothing.  On a backend that does not compute, answers
     * are as long as they may become. */
    lm_status (*rollout)(const lm_task *task, const lm_forward *f, lm_round *round, lm_err *err);
    /* After `collect` has seen all answers; adds to the numbers and finishes the table.  LM_E_NUMERIC: the model has gone
     * too far, and the run falls back to what it was before. */
    lm_status (*credit)(const lm_task *task, lm_round *round, lm_err *err);
    bool (*goes_on)(const lm_task *task);                /* after each update: whether another may follow in this round */
    void (*close)(const lm_task *task, lm_round *round); /* in the end: adds to the numbers what the updates gave */
} lm_rounds;

struct lm_objective {
    const char *name, *source, *help;
    const char *use, *use_option;            /* the command that runs the result, and its option; NULL: generate, prompt */
    const void *method;                      /* what a family of objectives shares its hooks over, or NULL */
    const lm_option *options;                /* over options_size bytes; NULL for none */
    size_t options_size;
    bool packs;                              /* several documents share a block unless --no-pack */
    bool splits;                             /* a document longer than the context becomes several blocks */

    /* Gives the model, just opened and still without adapter, the head that is learnt with.  NULL: the LM head. */
    lm_status (*head)(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err);
    lm_status (*prepare)(lm_task *task, lm_err *err);                   /* NULL: nothing to prepare */
    void (*release)(lm_task *task);

    /* Runs on several threads at once; `ids` is empty room. */
    lm_status (*render)(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder,
                        lm_ids *ids, lm_err *err);

    const lm_rounds *rounds;                 /* NULL: learns from the data as it is */

    /* Before the loss and without gradients: reference log-probabilities.  In a round it sees every answer once,
     * before the first update.  NULL for none. */
    lm_status (*collect)(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err);

    /* Adds the objective's own files to the folder of a finished run.  NULL for none. */
    lm_status (*finish)(const lm_task *task, const char *out, lm_err *err);

    /* A scalar, the micro-batch's part of the step's loss: sum of weights[i] * loss[i].  f->batch is m's. */
    lm_tensor *(*loss)(const lm_task *task, const lm_forward *f, const lm_microbatch *m);

    /* In a measurement in place of loss, and afterwards what it has counted: an object of numbers, which is
     * then forgotten.  NULL: the loss is all. */
    lm_tensor *(*measure)(const lm_task *task, const lm_forward *f, const lm_microbatch *m);
    lm_json *(*measured)(const lm_task *task);
};

extern const lm_objective *const lm_objective_registry[];
const lm_objective *lm_objective_find(const char *name);                /* NULL when there is none */

/* What makes examples of rows for the task, which outlives it. */
lm_renderer lm_task_renderer(const lm_task *task);

/* The id that ends a text: the tokenizer's, else the model's, else -1. */
int32_t lm_task_eos(const lm_model *m, const lm_tokenizer *tk);

/* The text of a row as ids, after whatever the tokenizer puts before a text, and the end-of-text token. */
void lm_task_end(const lm_task *task, lm_ids *ids);                     /* appends eos unless it stands there */

/* For objectives whose lesson stands behind the text: cuts ids to the context and notes how many are lost in
 * out; LM_E_FORMAT where cutting was not allowed. */
lm_status lm_task_fit(const lm_task *task, lm_example *out, lm_ids *ids, lm_err *err);

/* Mean next-token cross-entropy of a model's hidden states: what clm and sft share. */
lm_tensor *lm_next_token_loss(const lm_forward *f, const lm_microbatch *m);

#endif
