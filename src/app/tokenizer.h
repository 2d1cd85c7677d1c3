/* What the subcommands of `malmoi tokenizer` share. */
#ifndef LM_APP_TOKENIZER_H
#define LM_APP_TOKENIZER_H

#include "base/err.h"
#include "base/str.h"

/* The text of an argument, of a file, or (neither given, or "-") of standard input.  LM_E_USAGE for both. */
lm_status lm_tokenizer_text(lm_str *out, const char *text, const char *file, lm_err *err);

#endif
