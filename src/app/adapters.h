/* --adapter of the commands that use a model: one folder; several, which act together in their order; or
 * NAME=FOLDER, which acts only on prompts that ask for NAME. */
#ifndef LM_APP_ADAPTERS_H
#define LM_APP_ADAPTERS_H

#include "nn/adapter.h"

typedef struct lm_opened_adapter {
    char *name;                          /* NULL: acts on everything */
    char *folder;
    lm_adapter *a;
} lm_opened_adapter;

typedef struct lm_adapters {
    lm_opened_adapter *items;
    int n;
} lm_adapters;

/* The option of a command whose values are a `type` with the field lm_strings adapter. */
#define LM_OPTION_ADAPTER(type) \
    LM_OPTION(LIST, type, adapter, "adapter", .metavar = "FOLDER,..", \
              .help = "PEFT adapters over it, acting together; NAME=FOLDER: on prompts that ask for NAME alone")

/* Opens and attaches them; foreign: see lm_adapter_load_on.  The caller zeroes *s, and closes it before the
 * model also after a failure. */
lm_status lm_adapters_open(lm_adapters *s, lm_model *m, const lm_strings *given, lm_foreign foreign, lm_err *err);
void lm_adapters_close(lm_adapters *s);

/* Those that do not act on a prompt which asks for `asked`: a name, a list of names, or nothing (NULL). */
lm_status lm_adapters_off(uint64_t *off, const lm_adapters *s, const lm_json *asked, lm_err *err);

/* The chat template that the adapters were trained on, as a path that the caller frees; NULL: none of their own.
 * LM_E_USAGE when they differ. */
lm_status lm_adapters_template(char **out, const lm_adapters *s, lm_err *err);

#endif
