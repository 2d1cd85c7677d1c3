/* The model as it was before the run: what DPO measures from and what PPO is kept near to.
 *
 * It is the same model with its adapter switched off, so that no second copy is needed, or, where every weight
 * trains, its folder mapped once more. */
#ifndef LM_OBJECTIVE_REFERENCE_H
#define LM_OBJECTIVE_REFERENCE_H

#include "nn/model.h"

typedef struct lm_reference {
    lm_model *copy;                          /* NULL: the model without its adapters */
    uint64_t acting;                         /* adapters that act when it is opened, bits by slot: those that are switched */
} lm_reference;

/* `model` has the adapter that it will train, if any. */
lm_status lm_reference_open(lm_reference *r, const lm_model *model, lm_err *err);
void lm_reference_close(lm_reference *r);    /* takes {0} */

/* A forward like f through the reference; until lm_reference_leave, f's own model is the reference as well. */
lm_forward lm_reference_enter(const lm_reference *r, const lm_forward *f);
void lm_reference_leave(const lm_reference *r, const lm_forward *f);

#endif
