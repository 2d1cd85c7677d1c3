/* A prompt and an answer to it as tokens, from text or from messages: what sft and the objectives that
 * compare answers share.
 *
 * Text: the prompt's tokens are exactly those that `generate` will make of it; the answer's are those of
 * the joint text where it divides there, and otherwise those of the answer alone.  It ends with the
 * end-of-text token, which is learnt.
 *
 * Messages become text by the model's chat template (data/chat.h); answers are learnt with their end of
 * turn.  A model without a template gets the plain one, saved beside the result. */
#ifndef LM_OBJECTIVE_ANSWER_H
#define LM_OBJECTIVE_ANSWER_H

#include "data/chat.h"
#include "train/objective.h"

typedef struct lm_answers lm_answers;

/* `template`: a file to use instead of the model's template, or NULL.  A template that cannot be read is no
 * failure until there is a chat, unless it was asked for. */
lm_status lm_answers_open(lm_answers **out, const lm_task *task, const char *template, lm_err *err);
void lm_answers_close(lm_answers *a);                    /* takes NULL */

/* Saves a template that the model does not bring itself beside a result that was trained on it. */
lm_status lm_answers_finish(const lm_answers *a, const char *out, lm_err *err);

/* The messages of `chat` (and its tools) into out.  Answers from message `first` on are learnt; with `all`
 * everything is. */
lm_status lm_answers_chat(lm_answers *a, lm_example *out, const lm_json *chat, int64_t first, bool all, lm_encoder *encoder,
                          lm_ids *ids, lm_err *err);

/* A prompt and its answer, both of which may be empty, into out. */
lm_status lm_answers_text(const lm_task *task, lm_example *out, lm_span prompt, lm_span answer, bool all, lm_encoder *encoder,
                          lm_ids *ids, lm_err *err);

#endif
