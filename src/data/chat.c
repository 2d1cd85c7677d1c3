#include "data/chat.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

const char lm_chat_plain[] =
    "{{- bos_token -}}\n"
    "{%- for message in messages -%}\n"
    "    {%- if message.role == 'system' -%}\n"
    "        {{- message.content + '\\n\\n' -}}\n"
    "    {%- elif message.role == 'assistant' -%}\n"
    "        {{- 'Assistant: ' + message.content + (eos_token or '') + '\\n\\n' -}}\n"
    "    {%- else -%}\n"
    "        {{- message.role | capitalize + ': ' + message.content + '\\n\\n' -}}\n"
    "    {%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "    {{- 'Assistant:' -}}\n"
    "{%- endif -%}\n";

struct lm_chat_template {
    lm_jinja *jinja;
    char *text;
    lm_json *tokens;                 /* bos_token, eos_token, ... */
    bool plain;
};

/* ---- loading ------------------------------------------------------------------------- */

static const size_t template_limit = (size_t)16 << 20;

lm_status lm_chat_template_new(lm_chat_template **out, const char *text, const char *name, const lm_json *tokens, lm_err *err)
{
    lm_chat_template *t = lm_calloc(1, sizeof *t);
    lm_status status = lm_jinja_compile(&t->jinja, text, strlen(text), name, err);
    t->text = lm_strdup(text);
    t->tokens = tokens ? json_deep_copy(tokens) : json_object();
    *out = status == LM_OK ? t : NULL;
    if (status != LM_OK) lm_chat_template_free(t);
    return status;
}

void lm_chat_template_free(lm_chat_template *t)
{
    if (!t) return;
    lm_jinja_free(t->jinja);
    free(t->text);
    lm_json_free(t->tokens);
    free(t);
}

bool lm_chat_template_is_plain(const lm_chat_template *t) { return t->plain; }
const char *lm_chat_template_text(const lm_chat_template *t) { return t->text; }

/* "bos_token": "<s>", or {"content": "<s>", ...}, of a tokenizer_config.json. */
static lm_status read_tokens(lm_json *tokens, const char *folder, lm_err *err)
{
    char *path = lm_path_join(folder, "tokenizer_config.json");
    lm_json *config = lm_file_exists(path) ? lm_json_read(path, err) : json_object();
    free(path);
    if (!config) return LM_E_FORMAT;
    const char *key;
    lm_json *value;
    json_object_foreach(config, key, value) {
        const lm_json *content = json_is_object(value) ? lm_json_get(value, "content") : value;
        if (lm_ends_with(key, "_token") && json_is_string(content)) json_object_set(tokens, key, (lm_json *)(uintptr_t)content);
    }
    lm_json_free(config);
    return LM_OK;
}

static void add_token(lm_json *tokens, const char *key, const lm_tokenizer *tk, int32_t id)
{
    lm_span text = lm_token_text(tk, id);
    if (text.data && !json_object_get(tokens, key)) json_object_set_new(tokens, key, json_stringn(text.data, text.len));
}

static lm_status gather(lm_json *tokens, const char *folder, const lm_tokenizer *tk, lm_err *err)
{
    LM_TRY(read_tokens(tokens, folder, err));
    add_token(tokens, "bos_token", tk, lm_bos_id(tk));
    add_token(tokens, "eos_token", tk, lm_eos_id(tk));
    add_token(tokens, "unk_token", tk, lm_unk_id(tk));
    add_token(tokens, "pad_token", tk, lm_pad_id(tk));
    return LM_OK;
}

lm_status lm_chat_template_load(lm_chat_template **out, const char *folder, const lm_tokenizer *tk, const char *file, lm_err *err)
{
    *out = NULL;
    lm_str own = {0}, name = {0};
    if (file) LM_TRY(lm_file_read(&own, file, template_limit, err));
    const char *text = file ? (own.data ? own.data : "") : lm_tokenizer_chat_template(tk);
    if (file) lm_str_puts(&name, file);
    else lm_str_printf(&name, "%s: chat template", folder);
    lm_json *tokens = json_object();
    lm_status status = gather(tokens, folder, tk, err);
    if (status == LM_OK) status = lm_chat_template_new(out, text ? text : lm_chat_plain, name.data, tokens, err);
    if (status == LM_OK) (*out)->plain = !text;
    lm_json_free(tokens);
    lm_str_free(&own);
    lm_str_free(&name);
    return status;
}

/* ---- messages -------------------------------------------------------------------------- */

/* Reasoning goes by three names: templates find it under each that transformers offers. */
static void name_reasoning(lm_json *message)
{
    static const char *const names[] = { "reasoning_content", "thinking", "reasoning" };
    lm_json *found = NULL;
    for (size_t i = 0; i < 3 && !found; i++) found = lm_json_get(message, names[i]);
    if (!found) return;
    if (!json_object_get(message, "thinking")) json_object_set(message, "thinking", found);
    json_object_set(message, "reasoning_content", found);
}

/* A message as templates see it: null members are none at all.  NULL when it is no message. */
static lm_json *message_for(const lm_json *message, size_t i, lm_err *err)
{
    if (!json_is_object(message) || !json_is_string(json_object_get(message, "role"))) {
        lm_fail(err, LM_E_FORMAT, "message %zu: expected an object with a \"role\"", i + 1);
        return NULL;
    }
    lm_json *copy = json_object();
    const char *key;
    lm_json *value;
    json_object_foreach((lm_json *)(uintptr_t)message, key, value)
        if (!json_is_null(value)) json_object_set(copy, key, value);
    name_reasoning(copy);
    return copy;
}

static lm_status prepare(lm_json **out, const lm_chat *chat, lm_err *err)
{
    *out = NULL;
    if (!json_is_array(chat->messages) || !json_array_size(chat->messages))
        return lm_fail(err, LM_E_FORMAT, "messages: expected a list of at least one message");
    if (chat->tools && !json_is_array(chat->tools)) return lm_fail(err, LM_E_FORMAT, "tools: expected a list");
    lm_json *messages = json_array();
    size_t i;
    lm_json *message;
    json_array_foreach((lm_json *)(uintptr_t)chat->messages, i, message) {
        lm_json *copy = message_for(message, i, err);
        if (!copy) return lm_json_free(messages), LM_E_FORMAT;
        json_array_append_new(messages, copy);
    }
    *out = messages;
    return LM_OK;
}

/* ---- rendering --------------------------------------------------------------------------- */

static lm_status render(const lm_chat_template *t, lm_marked *out, lm_json *messages, const lm_chat *chat, bool prompt, lm_err *err)
{
    lm_json *data = chat->variables ? json_copy((lm_json *)(uintptr_t)chat->variables) : json_object();
    json_object_set(data, "messages", messages);
    json_object_set_new(data, "documents", json_null());
    if (chat->tools) json_object_set(data, "tools", (lm_json *)(uintptr_t)chat->tools);
    else json_object_set_new(data, "tools", json_null());
    json_object_set_new(data, "add_generation_prompt", json_boolean(prompt));
    const lm_jinja_input input = { .data = data, .trusted = t->tokens, .now = chat->now };
    lm_status status = lm_jinja_render(t->jinja, out, &input, err);
    lm_json_free(data);
    return status;
}

lm_status lm_chat_render(const lm_chat_template *t, lm_marked *out, const lm_chat *chat, lm_err *err)
{
    lm_json *messages;
    LM_TRY(prepare(&messages, chat, err));
    lm_status status = render(t, out, messages, chat, chat->prompt, err);
    lm_json_free(messages);
    return status;
}

/* ---- what the assistant wrote ----------------------------------------------------------------- */

/* One search for the answers of a chat. */
typedef struct search {
    const lm_chat_template *t;
    const lm_chat *chat;
    lm_json *messages;
    lm_marked *whole;                /* the conversation as it is rendered */
    lm_marked part;                  /* room for beginnings of it */
} search;

static bool is_answer(const lm_json *messages, size_t i)
{
    const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    return role && !strcmp(role, "assistant");
}

/* Renders the first n messages, and message `further` behind them if it is not 0, into s->part.  A template
 * that refuses them (roles out of order) gives an empty text. */
static void render_first(search *s, size_t n, size_t further, bool prompt)
{
    lm_json *messages = json_array();
    for (size_t i = 0; i < n; i++) json_array_append(messages, json_array_get(s->messages, i));
    if (further) json_array_append(messages, json_array_get(s->messages, further));
    if (render(s->t, &s->part, messages, s->chat, prompt, NULL) != LM_OK) lm_str_clear(&s->part.text);
    lm_json_free(messages);
}

/* Whether s->part is a beginning of the whole; its length. */
static bool begins_whole(const search *s, size_t *n)
{
    *n = s->part.text.len;
    return *n && *n <= s->whole->text.len && !memcmp(s->part.text.data, s->whole->text.data, *n);
}

/* Where the answer i begins: behind the prompt for it.  A prompt that goes on differently than the answer
 * (it opens a reasoning that the answer lacks) counts as far as both are the template's own and the same. */
static bool find_begin(search *s, size_t i, size_t *begin)
{
    size_t before = 0;
    if (i) {
        render_first(s, i, 0, false);
        if (!begins_whole(s, &before)) return false;
    }
    render_first(s, i, 0, true);
    if (begins_whole(s, begin)) return true;
    const lm_str *whole = &s->whole->text, *prompt = &s->part.text;
    if (prompt->len < before || memcmp(prompt->data, whole->data, before)) return false;
    for (*begin = before; *begin < whole->len && *begin < prompt->len; ++*begin)
        if (whole->data[*begin] != prompt->data[*begin] || (s->whole->marks.data[*begin] & LM_MARK_DATA)) break;
    return *begin > before;
}

/* Where message i ends, from the text of the message behind it: that is what the next message adds to the
 * messages before i, and it ends the conversation up to itself. */
static bool find_end_before_next(search *s, size_t i, size_t *end)
{
    size_t both, before = 0;
    if (i) {
        render_first(s, i, 0, false);
        before = s->part.text.len;
        if (!before) return false;
    }
    lm_str next = {0};
    render_first(s, i, i + 1, false);
    if (s->part.text.len > before) lm_str_append(&next, s->part.text.data + before, s->part.text.len - before);
    render_first(s, i + 2, 0, false);
    bool found = begins_whole(s, &both) && next.len && next.len <= both
                 && !memcmp(s->part.text.data + both - next.len, next.data, next.len);
    *end = both - next.len;
    lm_str_free(&next);
    return found;
}

static bool find_end(search *s, size_t i, size_t *end)
{
    *end = s->whole->text.len;
    if (i + 1 == json_array_size(s->messages)) return true;
    render_first(s, i + 1, 0, false);
    return begins_whole(s, end) || find_end_before_next(s, i, end);
}

static lm_status unseen(size_t i, const char *what, lm_err *err)
{
    return lm_fail(err, LM_E_UNSUPPORTED, "message %zu: the chat template does not show where this answer %s: what it writes for the "
                   "messages before is no beginning of the whole chat; split the chat, or mark answers with {%% generation %%}", i + 1, what);
}

static lm_status mark_answers(search *s, lm_err *err)
{
    for (size_t i = 0; i < json_array_size(s->messages); i++) {
        size_t begin, end;
        if (!is_answer(s->messages, i)) continue;
        if (!find_begin(s, i, &begin)) return unseen(i, "begins", err);
        if (!find_end(s, i, &end) || end < begin) return unseen(i, "ends", err);
        for (size_t at = begin; at < end; at++) s->whole->marks.data[at] |= LM_MARK_ANSWER;
    }
    return LM_OK;
}

/* Answers before message s->chat->first do not count. */
static lm_status forget_earlier(search *s, lm_err *err)
{
    size_t begin, first = (size_t)s->chat->first;
    if (!first) return LM_OK;
    if (!find_begin(s, first, &begin)) return unseen(first, "begins", err);
    for (size_t at = 0; at < begin; at++) s->whole->marks.data[at] &= (char)~LM_MARK_ANSWER;
    return LM_OK;
}

static bool has_mark(const lm_marked *m, int mark)
{
    for (size_t i = 0; i < m->marks.len; i++)
        if (m->marks.data[i] & mark) return true;
    return false;
}

lm_status lm_chat_render_answers(const lm_chat_template *t, lm_marked *out, const lm_chat *chat, lm_err *err)
{
    lm_json *messages;
    LM_TRY(prepare(&messages, chat, err));
    search s = { .t = t, .chat = chat, .messages = messages, .whole = out };
    lm_status status = render(t, out, messages, chat, false, err);
    if (status == LM_OK && !lm_jinja_has_generation(t->jinja)) status = mark_answers(&s, err);
    if (status == LM_OK) status = forget_earlier(&s, err);
    if (status == LM_OK && !has_mark(out, LM_MARK_ANSWER))
        status = lm_fail(err, LM_E_FORMAT, "messages: no assistant's answer among them, so nothing to learn");
    lm_marked_free(&s.part);
    lm_json_free(messages);
    return status;
}

/* ---- tokens -------------------------------------------------------------------------------------- */

/* The marks of a text as lm_parts wants them. */
static uint8_t *foreign_bytes(const lm_marked *text)
{
    uint8_t *foreign = lm_malloc(text->marks.len);
    for (size_t i = 0; i < text->marks.len; i++) foreign[i] = text->marks.data[i] & LM_MARK_DATA;
    return foreign;
}

/* cuts[n_cuts], offsets in the text, become the indices of the tokens behind them. */
static lm_status encode(lm_encoder *encoder, lm_ids *out, const lm_marked *text, size_t *cuts, size_t n_cuts, lm_err *err)
{
    uint8_t *foreign = foreign_bytes(text);
    size_t *at = lm_malloc(n_cuts * sizeof *at);
    const lm_parts parts = { .foreign = foreign, .cuts = cuts, .n_cuts = n_cuts, .at = at };
    lm_status status = lm_encoder_run_parts(encoder, out, text->text.data ? text->text.data : "", text->text.len, &parts, err);
    if (status == LM_OK && n_cuts) memcpy(cuts, at, n_cuts * sizeof *at);
    free(foreign);
    free(at);
    return status;
}

lm_status lm_chat_encode(lm_encoder *encoder, lm_ids *out, const lm_marked *text, lm_err *err)
{
    return encode(encoder, out, text, NULL, 0, err);
}

static bool answer_at(const lm_marked *m, size_t i) { return i < m->marks.len && (m->marks.data[i] & LM_MARK_ANSWER); }

/* Offsets where answers begin and end, in turn; *n of them.  The caller frees. */
static size_t *answer_edges(const lm_marked *m, size_t *n)
{
    size_t *edges = NULL, cap = 0;
    *n = 0;
    for (size_t i = 0; i <= m->text.len; i++) {
        if (answer_at(m, i) == (*n % 2 == 1)) continue;
        if (*n == cap) edges = lm_realloc(edges, (cap = 2 * cap + 16) * sizeof *edges);
        edges[(*n)++] = i;
    }
    return edges;
}

static lm_status put_example(lm_example *out, const lm_marked *text, bool all, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    size_t n, from = 0;
    size_t *edges = answer_edges(text, &n);
    lm_status status = encode(encoder, ids, text, edges, n, err);
    for (size_t i = 0; i < n && status == LM_OK; i++) {
        lm_example_put(out, ids->data + from, edges[i] - from, all || i % 2 == 1);
        from = edges[i];
    }
    if (status == LM_OK) lm_example_put(out, ids->data + from, ids->len - from, all);
    free(edges);
    return status;
}

/* The first special token behind the content of a one-word answer. */
static int32_t end_of(const lm_marked *text, const lm_tokenizer *tk)
{
    size_t n = 0, last = 0;
    for (size_t i = 0; i < text->marks.len; i++)
        if (text->marks.data[i] & LM_MARK_DATA) last = i + 1;
    lm_ids ids = {0};
    lm_marked tail = {0};
    lm_str_append(&tail.text, text->text.data + last, text->text.len - last);
    lm_str_append(&tail.marks, text->marks.data + last, text->marks.len - last);
    lm_encoder *encoder = lm_encoder_new(tk);
    int32_t id = -1;
    if (lm_chat_encode(encoder, &ids, &tail, NULL) == LM_OK)
        for (; n < ids.len && id < 0; n++) id = lm_token_is_special(tk, ids.data[n]) ? ids.data[n] : -1;
    lm_encoder_free(encoder);
    lm_ids_free(&ids);
    lm_marked_free(&tail);
    return id;
}

int32_t lm_chat_end_of_turn(const lm_chat_template *t, const lm_tokenizer *tk)
{
    lm_json *messages = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", "a", "role", "assistant", "content", "b");
    lm_marked text = {0};
    const lm_chat chat = { .messages = messages };
    int32_t id = lm_chat_render(t, &text, &chat, NULL) == LM_OK && text.text.len ? end_of(&text, tk) : -1;
    lm_marked_free(&text);
    lm_json_free(messages);
    return id;
}

lm_status lm_chat_example(const lm_chat_template *t, lm_example *out, const lm_json *row, int64_t first, bool all,
                          lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const lm_chat chat = { .messages = lm_json_get(row, "messages"), .tools = lm_json_get(row, "tools"), .first = first };
    lm_marked text = {0};
    lm_status status = all ? lm_chat_render(t, &text, &chat, err) : lm_chat_render_answers(t, &text, &chat, err);
    if (status == LM_OK) status = put_example(out, &text, all, encoder, ids, err);
    lm_marked_free(&text);
    return status;
}
