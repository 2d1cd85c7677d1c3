/* Evaluation: what is measured of a model that is open already.
 *
 * A task is one file, eval/<name>.c.  It reads its data, runs the model without gradients and returns
 * one JSON object of numbers; nothing is printed here. */
#ifndef LM_EVAL_EVAL_H
#define LM_EVAL_EVAL_H

#include "base/json.h"
#include "base/option.h"
#include "nn/model.h"
#include "token/tokenizer.h"

typedef struct lm_eval {
    lm_model *model;                     /* with its adapter, if any */
    const lm_kernels *kernels;
    const lm_tokenizer *tokenizer;
    lm_dtype compute;
    lm_strings data;                     /* files, folders or "-" */
    /* Called now and then with the share that is done, 0 to 1, or below 0 when unknown; false stops the
     * task with LM_E_INTERRUPT.  NULL: no one listens. */
    bool (*progress)(void *context, double share);
    void *context;
} lm_eval;

typedef struct lm_eval_task {
    const char *name, *summary, *source;
    const lm_option *options;            /* the task's own, over values_size bytes */
    size_t values_size;
    lm_status (*run)(const lm_eval *e, const void *values, lm_json **result, lm_err *err);
} lm_eval_task;

extern const lm_eval_task *const lm_eval_task_registry[];

#endif
