#include "app/turns.h"

#include <stdlib.h>

lm_status lm_turns_open(lm_turns *t, const lm_opened *m, const char *file, const lm_generation *defaults, lm_err *err)
{
    char *trained = NULL;
    if (!file) LM_TRY(lm_adapters_template(&trained, &m->adapters, err));
    lm_status status = lm_chat_template_load(&t->template, m->model->path, m->tokenizer, file ? file : trained, err);
    free(trained);
    if (status != LM_OK) return status;
    t->encoder = lm_encoder_new(m->tokenizer);
    for (; t->n_ends < defaults->n_eos; t->n_ends++) t->ends[t->n_ends] = defaults->eos[t->n_ends];
    int32_t end = lm_chat_end_of_turn(t->template, m->tokenizer);
    if (end >= 0) t->ends[t->n_ends++] = end;
    return LM_OK;
}

void lm_turns_close(lm_turns *t)
{
    lm_encoder_free(t->encoder);
    lm_chat_template_free(t->template);
    *t = (lm_turns){ 0 };
}

lm_status lm_turns_encode(const lm_turns *t, lm_ids *out, const lm_json *messages, lm_err *err)
{
    lm_marked text = { 0 };
    const lm_chat what = { .messages = messages, .prompt = true };
    lm_status status = lm_chat_render(t->template, &text, &what, err);
    if (status == LM_OK) status = lm_chat_encode(t->encoder, out, &text, err);
    lm_marked_free(&text);
    return status;
}

const char *lm_turns_stop(const lm_turns *t)
{
    return lm_chat_template_is_plain(t->template) ? "\nUser:" : NULL;
}
