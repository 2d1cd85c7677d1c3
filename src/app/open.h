/* What the commands open and write in the same way: a model with its adapter and tokenizer, and the
 * folder that a new model goes to. */
#ifndef LM_APP_OPEN_H
#define LM_APP_OPEN_H

#include "app/command.h"
#include "nn/adapter.h"
#include "token/tokenizer.h"

/* Not to be moved while it is open: the model points at the kernels. */
typedef struct lm_opened {
    lm_kernels kernels;
    lm_model *model;
    lm_adapter *adapter;                 /* attached, or NULL */
    lm_tokenizer *tokenizer;
    lm_dtype compute;
} lm_opened;

/* Opens a model's folder, its tokenizer, and with `adapter` != NULL a PEFT folder over it.  `dtype` is
 * "auto", "f32" or "bf16".  LM_E_MISMATCH when the tokenizer has more ids than the model.  The caller
 * zeroes *o first and closes it also after a failure. */
lm_status lm_open(lm_opened *o, const lm_call *call, const char *model, const char *adapter, int dtype, lm_err *err);
void lm_close(lm_opened *o);

/* The choices of --dtype, for LM_OPT_CHOICE with fallback "auto". */
extern const char *const lm_dtype_choices[];

/* Makes the folder `path` for a new model.  LM_E_USAGE when it holds a model already and `force` is not
 * set: nothing is overwritten unasked. */
lm_status lm_open_output(const char *path, bool force, lm_err *err);

#endif
