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

/* An answer of a row to a prompt. */
typedef struct lm_exchange {
    const lm_json *prompt, *answer;                      /* text or a list of messages; text may answer a chat; prompt NULL: none */
    const lm_json *tools;                                /* that the prompt offers, or NULL */
    const char *field;                                   /* that the answer stands in, for messages */
    bool scored;                                         /* a head reads it: one token more fits, padding at its end goes */
} lm_exchange;

/* As the sequence at the end of out, the answer's tokens learnt.  Where it is longer than the context and may be cut,
 * the prompt loses its beginning (but for a mark of beginning) before the answer loses its end.  LM_E_FORMAT for an
 * answer that is empty, or messages behind a text. */
lm_status lm_answers_put(lm_answers *a, const lm_task *task, lm_example *out, const lm_exchange *x, lm_encoder *encoder,
                         lm_ids *ids, lm_err *err);

/* Behind a scored sequence that began at token `from`: what its last token is to learn.  Its other lessons are
 * forgotten unless `beside`. */
void lm_answers_lesson(lm_example *out, size_t from, int32_t lesson, bool beside);

/* "text", "messages", ..: what a value is, for messages. */
const char *lm_answers_kind(const lm_json *value);

/* A prompt and its answer, both of which may be empty, into out. */
lm_status lm_answers_text(const lm_task *task, lm_example *out, lm_span prompt, lm_span answer, bool all, lm_encoder *encoder,
                          lm_ids *ids, lm_err *err);

/* The messages of `chat` (and its tools) and what asks for an answer, appended to ids. */
lm_status lm_answers_prompt(lm_answers *a, lm_ids *ids, const lm_json *chat, lm_encoder *encoder, lm_err *err);

/* The token that ends an answer where some row was a chat, else -1. */
int32_t lm_answers_end_of_turn(const lm_answers *a, const lm_tokenizer *tk);

#endif
