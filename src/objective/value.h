/* What is expected of an answer at each of its tokens: a linear head V_t = w . h_t + b on hidden states, which are
 *
 *   the policy's own                            nothing but the head is added
 *   those of its base under a second adapter    (apart) of the policy's method and settings, beside it in one model: one
 *                                               acts while the other does not, and no weight of the trunk is held twice
 *   those of another model                      (a folder) that reads the same tokens, tuned as the policy is: by an adapter,
 *                                               or in all of its weights
 *
 * Another model has transformers' *ForSequenceClassification with one label, w without b: a reward model as it is, so
 * that values begin as rewards, or a language model that is given such a head of zeros.  Elsewhere the head begins at 0. */
#ifndef LM_OBJECTIVE_VALUE_H
#define LM_OBJECTIVE_VALUE_H

#include "train/objective.h"

typedef struct lm_value_options {
    const char *folder;                      /* of another model; NULL: none */
    bool apart;                              /* a second adapter; a folder is apart anyway */
    bool detached;                           /* no gradient reaches the policy's trunk */
    double rate;                             /* of the head, times the learning rate */
} lm_value_options;

typedef struct lm_value {
    lm_value_options o;
    lm_companion apart;                      /* what the head stands on; model NULL: the policy */
    lm_adapter *policy;                      /* that does not act while the companion's does; NULL: none shares its model */
    lm_param *weight, *bias;                 /* of the head; bias NULL: none */
} lm_value;

/* Declares a head of its own among `trained`, and makes what is apart the task's companion. */
lm_status lm_value_open(lm_value *v, lm_task *task, const lm_value_options *o, lm_params *trained, lm_err *err);
void lm_value_close(lm_value *v);            /* takes {0} */

/* V [n] in f32 at the rows `index` [n] (i32); hidden: the policy's at all rows of f's batch. */
lm_tensor *lm_value_at(const lm_value *v, const lm_forward *f, lm_tensor *hidden, lm_tensor *index);

/* Writes a head of its own to value_head.safetensors in a folder, under TRL's names, and what is apart to the folder value there. */
lm_status lm_value_save(const lm_value *v, const char *out, lm_err *err);

#endif
