/* Regular expressions as tokenizer.json has them, for PCRE2. */
#ifndef LM_TOKEN_EXPRESSION_H
#define LM_TOKEN_EXPRESSION_H

#include "base/err.h"
#include "base/str.h"

/* Appends to *out what PCRE2 (UTF mode, newline LF) must be given to match as Oniguruma does.  `name`
 * heads messages.  LM_E_FORMAT for what is no expression, LM_E_UNSUPPORTED for what has no counterpart. */
lm_status lm_expression_translate(lm_str *out, const char *expression, const char *name, lm_err *err);

#endif
