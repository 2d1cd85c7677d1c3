/* What the commands open and write in the same way: a model with its adapter and tokenizer, and the
 * folder that a new model goes to. */
#ifndef LM_APP_OPEN_H
#define LM_APP_OPEN_H

#include "app/adapters.h"
#include "app/command.h"
#include "token/tokenizer.h"

/* Not to be moved while it is open: the model points at the kernels. */
typedef struct lm_opened {
    lm_kernels kernels;
    lm_model *model;
    lm_adapters adapters;                /* attached */
    lm_tokenizer *tokenizer;             /* NULL until asked for */
    lm_dtype compute;
    const char *load_in;                 /* --load-in, set before opening; NULL: as the folder has it */
    lm_foreign foreign;                  /* set before opening: LM_FOREIGN_WARNED with --force */
} lm_opened;

/* The option --load-in of a command whose values are a `type`. */
#define LM_OPTION_LOAD_IN(type) \
    LM_OPTION(STRING, type, load_in, "load-in", .metavar = "FORMAT", \
              .help = "hold the linears' weights in nf4, fp4 or int8, or all matrices in bf16")

/* The option --force of a command that opens adapters. */
#define LM_OPTION_ANY_BASE(type) \
    LM_OPTION(FLAG, type, force, "force", .help = "take an adapter also where it was trained on another base")

/* What to compute in: the choices of --dtype, for LM_OPT_CHOICE with fallback "auto". */
typedef enum lm_dtype_choice { LM_DTYPE_AUTO, LM_DTYPE_F32, LM_DTYPE_BF16 } lm_dtype_choice;
extern const char *const lm_dtype_choices[];

/* Opens a model's folder, and the adapters that --adapter gives over it (NULL: none).  The caller zeroes *o first
 * and closes it also after a failure. */
lm_status lm_open(lm_opened *o, const lm_call *call, const char *model, const lm_strings *adapters, lm_dtype_choice dtype, lm_err *err);

/* Opens its tokenizer.  LM_E_MISMATCH when that has more ids than the model. */
lm_status lm_open_tokenizer(lm_opened *o, lm_err *err);
void lm_close(lm_opened *o);

#endif
