#include "objective/answer.h"

#include "base/file.h"
#include "base/log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct lm_answers {
    lm_chat_template *template;              /* NULL: it could not be read, for the reason in err */
    bool brought;                            /* from a file that the user named */
    lm_err err;
    atomic_bool seen;                        /* some row is a chat */
};

lm_status lm_answers_open(lm_answers **out, const lm_task *task, const char *template, lm_err *err)
{
    lm_answers *a = *out = lm_calloc(1, sizeof *a);
    a->brought = template;
    if (lm_chat_template_load(&a->template, task->model->path, task->tokenizer, template, &a->err) == LM_OK) return LM_OK;
    return template ? lm_fail(err, a->err.code, "%s", a->err.message) : LM_OK;
}

void lm_answers_close(lm_answers *a)
{
    if (a) lm_chat_template_free(a->template);
    free(a);
}

lm_status lm_answers_finish(const lm_answers *a, const char *out, lm_err *err)
{
    if (!atomic_load(&a->seen) || !(a->brought || lm_chat_template_is_plain(a->template))) return LM_OK;
    char *path = lm_path_join(out, "chat_template.jinja");
    const char *text = lm_chat_template_text(a->template);
    lm_status status = lm_file_write(path, text, strlen(text), err);
    if (status == LM_OK && !a->brought) lm_log(LM_LOG_INFO, "the model has no chat template: trained on the plain one, saved as %s", path);
    free(path);
    return status;
}

lm_status lm_answers_chat(lm_answers *a, lm_example *out, const lm_json *chat, int64_t first, bool all, lm_encoder *encoder,
                          lm_ids *ids, lm_err *err)
{
    atomic_store(&a->seen, true);
    if (!a->template) return lm_fail(err, a->err.code, "%s", a->err.message);
    return lm_chat_example(a->template, out, chat, first, all, encoder, ids, err);
}

/* ids: prompt and answer; returns how many of them are the prompt. */
static lm_status encode_pair(lm_ids *ids, size_t *n_prompt, lm_span prompt, lm_span answer, lm_encoder *encoder, lm_err *err)
{
    lm_ids asked = {0};
    lm_str joint = {0};
    lm_str_append(&joint, prompt.data, prompt.len);
    lm_str_append(&joint, answer.data, answer.len);
    lm_status status = lm_encoder_run(encoder, &asked, prompt.data, prompt.len, LM_ENCODE_BOS, err);
    if (status == LM_OK) status = lm_encoder_run(encoder, ids, joint.data, joint.len, LM_ENCODE_BOS, err);
    bool divides = asked.len <= ids->len && (!asked.len || !memcmp(asked.data, ids->data, asked.len * sizeof *asked.data));
    if (status == LM_OK && !divides) {
        lm_ids_clear(ids);
        lm_ids_append(ids, asked.data, asked.len);
        status = lm_encoder_run(encoder, ids, answer.data, answer.len, 0, err);
    }
    *n_prompt = asked.len;
    lm_ids_free(&asked);
    lm_str_free(&joint);
    return status;
}

lm_status lm_answers_text(const lm_task *task, lm_example *out, lm_span prompt, lm_span answer, bool all, lm_encoder *encoder,
                          lm_ids *ids, lm_err *err)
{
    size_t n_prompt;
    LM_TRY(encode_pair(ids, &n_prompt, prompt, answer, encoder, err));
    lm_task_end(task, ids);
    lm_example_put(out, ids->data, n_prompt, all);
    lm_example_put(out, ids->data + n_prompt, ids->len - n_prompt, true);
    return LM_OK;
}
