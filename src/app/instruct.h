/* `malmoi data format` with a template set. */
#ifndef LM_APP_INSTRUCT_H
#define LM_APP_INSTRUCT_H

#include "app/command.h"
#include "data/instruct.h"

typedef struct lm_instruct_call {
    const char *file, *name, *profile;           /* of --template, --template-set, --profile */
    int64_t seed;
    lm_instruct_how how;
    lm_instruct_options o;
    bool list, json;
} lm_instruct_call;

lm_status lm_instruct_run(lm_call *call, lm_instruct_call *c, lm_err *err);

/* Prints the sets that come with the program, each with an instruction made of its own example. */
lm_status lm_instruct_list(bool json, lm_err *err);

#endif
