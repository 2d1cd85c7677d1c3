#include "app/prompts.h"

#include "base/json.h"
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>

static lm_prompt *append(lm_prompts *p, const char *text, size_t n)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 8;
        p->items = lm_realloc(p->items, (size_t)p->cap * sizeof *p->items);
    }
    lm_prompt *item = &p->items[p->n++];
    *item = (lm_prompt){ .text = lm_strndup(text, n) };
    return item;
}

static lm_status encode_turn(lm_ids *ids, const char *text, size_t n, const lm_prompt_form *form, lm_err *err)
{
    lm_json *messages = json_array();
    if (form->system) json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", form->system));
    json_array_append_new(messages, json_pack("{s:s, s:s%}", "role", "user", "content", text, n));
    lm_status status = lm_turns_encode(form->turns, ids, messages, err);
    lm_json_free(messages);
    return status;
}

lm_status lm_prompts_add(lm_prompts *p, const char *text, size_t n, const lm_prompt_form *form, lm_err *err)
{
    size_t valid = lm_utf8_valid(text, n);
    if (valid < n) return lm_fail(err, LM_E_FORMAT, "the prompt is not UTF-8 at byte %zu", valid);
    lm_prompt *item = append(p, text, n);
    LM_TRY(lm_adapters_off(&item->off, form->adapters, NULL, err));
    if (form->turns) return encode_turn(&item->ids, text, n, form, err);
    unsigned flags = (form->bos ? LM_ENCODE_BOS : 0) | (form->special ? LM_ENCODE_ALLOW_SPECIAL : 0);
    return lm_encode(form->tokenizer, &item->ids, text, n, flags, err);
}

/* A whole conversation; what is shown as the prompt is its last message. */
static lm_status add_messages(lm_prompts *p, const lm_json *messages, const char *name, const lm_prompt_form *form, lm_err *err)
{
    const lm_json *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *content = json_string_value(json_object_get(last, "content"));
    if (!form->turns) return lm_fail(err, LM_E_USAGE, "%s: messages: say --chat to have them rendered by the chat template", name);
    if (!content) return lm_fail(err, LM_E_FORMAT, "%s: messages: expected a list that ends with a message of text", name);
    return lm_turns_encode(form->turns, &append(p, content, strlen(content))->ids, messages, err);
}

static lm_status add_object(lm_prompts *p, const lm_str *line, const char *name, const lm_prompt_form *form, lm_err *err)
{
    lm_json *row = lm_json_parse(line->data, line->len, name, err);
    if (!row) return err->code;
    const lm_json *messages = lm_json_get(row, "messages");
    const char *text = NULL;
    lm_status status;
    if (messages) {
        status = add_messages(p, messages, name, form, err);
    } else {
        status = lm_json_need_str(row, "prompt", name, &text, err);
        if (status == LM_OK) status = lm_prompts_add(p, text, strlen(text), form, err);
    }
    if (status == LM_OK) {
        status = lm_adapters_off(&p->items[p->n - 1].off, form->adapters, lm_json_get(row, "adapter"), err);
        if (status != LM_OK) lm_context(err, "%s", name);
    }
    lm_json_free(row);
    return status;
}

lm_status lm_prompts_read(lm_prompts *p, const char *path, const lm_prompt_form *form, lm_err *err)
{
    lm_stream *stream;
    LM_TRY(lm_stream_open(&stream, path, err));
    lm_str line = { 0 }, name = { 0 };
    bool objects = false, eof = false;
    lm_status status = LM_OK;
    while (status == LM_OK) {
        status = lm_stream_line(stream, &line, &eof, err);
        if (status != LM_OK || eof) break;
        if (line.len == 0) continue;
        if (p->n == 0) objects = line.data[0] == '{';
        lm_str_clear(&name);
        lm_str_printf(&name, "%s:%lld", lm_stream_name(stream), (long long)lm_stream_number(stream));
        if (objects) {
            status = add_object(p, &line, name.data, form, err);
        } else {
            status = lm_prompts_add(p, line.data, line.len, form, err);
            if (status != LM_OK) lm_context(err, "%s", name.data);
        }
    }
    if (status == LM_OK && p->n == 0) status = lm_fail(err, LM_E_FORMAT, "%s: no prompt in it", lm_stream_name(stream));
    lm_str_free(&line);
    lm_str_free(&name);
    lm_stream_close(stream);
    return status;
}

void lm_prompts_free(lm_prompts *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        free(p->items[i].text);
        lm_ids_free(&p->items[i].ids);
    }
    free(p->items);
    *p = (lm_prompts){ 0 };
}
