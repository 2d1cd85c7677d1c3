/* The rows of the data that a task is given, one after the other. */
#ifndef LM_EVAL_ROWS_H
#define LM_EVAL_ROWS_H

#include "data/source.h"
#include "eval/eval.h"

/* Calls `each` for every row, whose place then stands in front of its message, and asks whether to go on.  `format`:
 * as lm_source_options has it.  LM_E_FORMAT where there is no row. */
lm_status lm_eval_rows(const lm_eval *e, const char *format, lm_status (*each)(void *to, const lm_row *row, lm_err *err), void *to, lm_err *err);

#endif
