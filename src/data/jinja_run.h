/* A template at work: what expressions (jinja_eval.c) and statements (jinja_run.c) share. */
#ifndef LM_DATA_JINJA_RUN_H
#define LM_DATA_JINJA_RUN_H

#include "data/jinja_parse.h"

typedef struct lm_jmacro {
    const lm_jnode *node;            /* LM_JN_MACRO, or LM_JN_CALL_BLOCK for what `caller` calls */
    lm_jscope *scope;                /* where it was defined */
} lm_jmacro;

typedef struct lm_jrun {
    lm_jcontext *c;
    lm_jbuild *out;                  /* where output goes now */
    lm_jscope *scope;
    int loops;                       /* open */
} lm_jrun;

lm_jv lm_jeval(lm_jrun *r, const lm_jnode *node);
lm_jargs lm_jeval_arguments(lm_jrun *r, const lm_jnode *list);
lm_jv lm_japply(lm_jrun *r, const lm_jnode *filter, lm_jv value);     /* one filter or test */

/* Calls a function, method or macro; `caller` is what the macro sees by that name, or absent. */
lm_jv lm_jinvoke(lm_jrun *r, lm_jv callee, const lm_jargs *args, lm_jv caller);
lm_jv lm_jcall_macro(lm_jrun *r, const lm_jmacro *macro, const lm_jargs *args, lm_jv caller);

#endif
