/* What main.c needs to run a command, and nobody else does. */
#ifndef LM_APP_SHELL_H
#define LM_APP_SHELL_H

#include "app/command.h"

void lm_shell_overview(lm_str *out);                     /* malmoi --help */
void lm_shell_help(lm_str *out, const lm_call *call);    /* malmoi COMMAND --help */
void lm_shell_common(lm_call *call);                     /* adds the options that every command takes */
void lm_shell_log(const lm_common *common);              /* messages of the library go to stderr */
lm_status lm_shell_flush(lm_err *err);                   /* LM_E_IO when stdout could not be written */
void lm_shell_free(lm_call *call);

#endif
