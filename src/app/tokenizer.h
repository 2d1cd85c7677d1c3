/* The subcommands of `malmoi tokenizer`, one file tokenizer_<name>.c each, and what they share.  A new one
 * is declared here and listed in cmd_tokenizer.c. */
#ifndef LM_APP_TOKENIZER_H
#define LM_APP_TOKENIZER_H

#include "app/command.h"

extern const lm_command lm_tokenizer_train, lm_tokenizer_encode, lm_tokenizer_decode, lm_tokenizer_show, lm_tokenizer_convert, lm_tokenizer_stats;

/* The text of an argument, of a file, or (neither given, or "-") of standard input.  LM_E_USAGE for both. */
lm_status lm_tokenizer_text(lm_str *out, const char *text, const char *file, lm_err *err);

/* TEXT of "TOKENIZER [TEXT]", or NULL. */
const char *lm_tokenizer_argument(const lm_call *call);

#endif
