/* What rewards read out of texts: the answer that a row knows, and the one that an attempt gives. */
#ifndef LM_REWARD_EXTRACT_H
#define LM_REWARD_EXTRACT_H

#include "base/json.h"

/* What a text gives as its final answer: what follows the last `marker` in its line, or, where marker is
 * "boxed", what the last \boxed{..} holds; trimmed.  False where the text has no such place. */
bool lm_final_answer(lm_span *out, lm_span text, const char *marker);

/* The last number of a text: digits, perhaps with a sign, commas between thousands and a fraction. */
bool lm_last_number(double *out, lm_span text);

/* The row's field "answer", text or a number.  LM_E_FORMAT tells what it has instead. */
lm_status lm_row_answer(lm_str *out, const lm_json *row, lm_err *err);

/* For lm_reward.check of those that need it. */
lm_status lm_row_has_answer(const void *own, const lm_json *row, lm_err *err);

#endif
