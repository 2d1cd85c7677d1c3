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

/* ---- answers of a row ------------------------------------------------------------------- */

const char *lm_answers_kind(const lm_json *value)
{
    return !value ? "nothing" : json_is_string(value) ? "text" : json_is_array(value) ? "messages" : json_is_object(value) ? "an object" : "something else";
}

static lm_span text_of(const lm_json *value)
{
    return json_is_string(value) ? lm_span_of(json_string_value(value), json_string_length(value)) : lm_span_of("", 0);
}

static lm_status check(const lm_exchange *x, lm_err *err)
{
    bool chat = json_is_array(x->answer);
    if (!chat && !json_is_string(x->answer))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text or a list of messages, found %s", x->field, lm_answers_kind(x->answer));
    if (x->prompt && chat && !json_is_array(x->prompt))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\" is %s, the prompt %s: expected both alike", x->field, lm_answers_kind(x->answer),
                       lm_answers_kind(x->prompt));
    if (chat ? !json_array_size(x->answer) : !json_string_length(x->answer))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no token to learn", x->field);
    return LM_OK;
}

static lm_status put_chat(lm_answers *a, lm_example *out, const lm_exchange *x, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    size_t i;
    lm_json *message, *messages = x->prompt ? json_copy((json_t *)(uintptr_t)x->prompt) : json_array();
    size_t first = json_array_size(messages);
    json_array_foreach((json_t *)(uintptr_t)x->answer, i, message) json_array_append(messages, message);
    if (json_is_string(x->answer)) json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "assistant", "content", x->answer));
    lm_json *chat = json_pack("{s:o, s:O*}", "messages", messages, "tools", x->tools);
    lm_status status = lm_answers_chat(a, out, chat, (int64_t)first, false, encoder, ids, err);
    lm_json_free(chat);
    return status;
}

/* A model of transformers looks for the last token before padding, which an end of text may be. */
static void drop_padding(const lm_task *task, lm_example *out, size_t from)
{
    while (out->n > from + 1 && lm_token_value(out->tokens[out->n - 1]) == task->model->config.pad_id) out->n--;
}

static void fit(const lm_task *task, lm_example *out, size_t from, bool scored)
{
    lm_token *tokens = out->tokens + from;
    size_t n = out->n - from, room = (size_t)task->context + !scored, prompt = 0;
    if (!task->truncate || n <= room) return;
    while (prompt < n && !(tokens[prompt] & LM_TOKEN_SUPERVISED)) prompt++;
    bool marked = prompt && lm_token_value(tokens[0]) == task->model->config.bos_id;
    size_t keep = marked, least = marked || !scored;         /* something must predict the answer's first token */
    size_t most = prompt > least ? prompt - least : 0, cut = n - room < most ? n - room : most;
    memmove(tokens + keep, tokens + keep + cut, (n - keep - cut) * sizeof *tokens);
    out->n -= cut;
    out->lost += (int64_t)cut;
    if (!scored || n - cut <= room) return;                  /* what is left over is the packing's to cut ... */
    out->lost += (int64_t)(n - cut - room);
    out->n = from + room;                                    /* ... but for a score, which needs its place at the end */
}

lm_status lm_answers_put(lm_answers *a, const lm_task *task, lm_example *out, const lm_exchange *x, lm_encoder *encoder,
                         lm_ids *ids, lm_err *err)
{
    size_t from = out->n;
    LM_TRY(check(x, err));
    lm_ids_clear(ids);
    if (json_is_array(x->answer) || json_is_array(x->prompt)) LM_TRY(put_chat(a, out, x, encoder, ids, err));
    else LM_TRY(lm_answers_text(task, out, text_of(x->prompt), text_of(x->answer), false, encoder, ids, err));
    if (x->scored) drop_padding(task, out, from);
    fit(task, out, from, x->scored);
    return LM_OK;
}

void lm_answers_lesson(lm_example *out, size_t from, int32_t lesson, bool beside)
{
    for (size_t i = from; i < out->n && !beside; i++) out->tokens[i] &= ~LM_TOKEN_SUPERVISED;
    lm_example_put(out, &lesson, 1, true);
}

lm_status lm_answers_prompt(lm_answers *a, lm_ids *ids, const lm_json *chat, lm_encoder *encoder, lm_err *err)
{
    const lm_chat what = { .messages = lm_json_get(chat, "messages"), .tools = lm_json_get(chat, "tools"), .prompt = true };
    lm_marked text = {0};
    atomic_store(&a->seen, true);
    if (!a->template) return lm_fail(err, a->err.code, "%s", a->err.message);
    lm_status status = lm_chat_render(a->template, &text, &what, err);
    if (status == LM_OK) status = lm_chat_encode(encoder, ids, &text, err);
    lm_marked_free(&text);
    return status;
}

int32_t lm_answers_end_of_turn(const lm_answers *a, const lm_tokenizer *tk)
{
    return atomic_load(&a->seen) ? lm_chat_end_of_turn(a->template, tk) : -1;
}
