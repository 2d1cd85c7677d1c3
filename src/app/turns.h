/* Conversations as a model reads them: its chat template, and what ends an answer. */
#ifndef LM_APP_TURNS_H
#define LM_APP_TURNS_H

#include "app/open.h"
#include "data/chat.h"
#include "infer/generation.h"

typedef struct lm_turns {
    lm_chat_template *template;
    lm_encoder *encoder;
    int32_t ends[LM_GENERATION_EOS + 1]; /* ids: the model's own, and the template's end of turn */
    int n_ends;
} lm_turns;

/* The template in `file`, or (NULL) the one that the adapters were trained on, or the model's, or the plain
 * one.  The caller zeroes *t first and closes it also after a failure. */
lm_status lm_turns_open(lm_turns *t, const lm_opened *m, const char *file, const lm_generation *defaults, lm_err *err);
void lm_turns_close(lm_turns *t);

/* Appends the ids of the messages and of what asks for an answer. */
lm_status lm_turns_encode(const lm_turns *t, lm_ids *out, const lm_json *messages, lm_err *err);

/* The text that ends an answer in the plain template, whose models may not know the end-of-text token;
 * NULL for any other. */
const char *lm_turns_stop(const lm_turns *t);

#endif
