/* Conversations: messages made, and those of others checked. */
#include "data/format.h"

#include "data/labelled.h"

#include <string.h>

lm_json *lm_message(const char *role, const char *text) { return json_pack("{s:s, s:s}", "role", role, "content", text); }

lm_json *lm_question(const char *system, const char *question, const char *more)
{
    lm_json *messages = json_array();
    lm_str text = {0};
    lm_str_printf(&text, "%s%s%s", question, more && *more ? "\n\n" : "", more ? more : "");
    if (system && *system) json_array_append_new(messages, lm_message("system", system));
    json_array_append_new(messages, lm_message("user", text.data));
    lm_str_free(&text);
    return messages;
}

size_t lm_messages_first_answer(const lm_json *messages)
{
    size_t i, n = json_array_size(messages);
    for (i = 0; i < n; i++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        if (role && !strcmp(role, "assistant")) break;
    }
    return i;
}

lm_json *lm_list_slice(const lm_json *list, size_t begin, size_t end)
{
    lm_json *part = json_array();
    for (size_t i = begin; i < end; i++) json_array_append(part, json_array_get(list, i));
    return part;
}

void lm_sample_divide(lm_sample *out, lm_json *messages)
{
    size_t first = lm_messages_first_answer(messages);
    out->prompt = lm_list_slice(messages, 0, first);
    out->answers = json_pack("[o]", lm_list_slice(messages, first, json_array_size(messages)));
    lm_json_free(messages);
}

/* ---- one message ---- */

enum { SYSTEM, USER, ASSISTANT, TOOL, N_ROLES };
static const char *const roles[] = { "system", "user", "assistant", "tool" };

static int role_of(const lm_json *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    for (int r = 0; role && r < N_ROLES; r++)
        if (!strcmp(role, roles[r])) return r;
    return role && !strcmp(role, "developer") ? SYSTEM : -1;
}

/* Parts of text joined; LM_E_UNSUPPORTED for a picture or a sound. */
static lm_status join_parts(lm_str *out, const lm_json *parts, const char *field, size_t at, lm_err *err)
{
    size_t i;
    lm_json *part;
    json_array_foreach((json_t *)(uintptr_t)parts, i, part) {
        const char *type = json_string_value(json_object_get(part, "type")), *text = json_string_value(json_object_get(part, "text"));
        if (!text || (type && strcmp(type, "text")))
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu: part %zu is %s: only text is read here", field, at + 1, i + 1, type ? type : "no text");
        lm_str_puts(out, text);
    }
    return LM_OK;
}

static lm_status check_content(lm_json *message, const char *field, size_t at, lm_err *err)
{
    lm_json *content = lm_json_get(message, "content");
    bool calls = json_array_size(json_object_get(message, "tool_calls")) > 0;
    if (json_is_array(content)) {
        lm_str text = {0};
        lm_status status = join_parts(&text, content, field, at, err);
        if (status == LM_OK) json_object_set_new(message, "content", json_stringn(text.data ? text.data : "", text.len));
        lm_str_free(&text);
        LM_TRY(status);
        content = json_object_get(message, "content");
    }
    if (content && !json_is_string(content)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu: expected text as \"content\"", field, at + 1);
    if (calls) return LM_OK;
    if (!content) return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu has no \"content\"", field, at + 1);
    if (lm_is_blank(lm_span_of(json_string_value(content), json_string_length(content))))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu is empty", field, at + 1);
    return LM_OK;
}

/* ---- their order ---- */

/* Whether `role` may stand behind `before` (-1: first); `called`: what stands before has calls, or answers one. */
static bool may_follow(int before, int role, bool called)
{
    if (role == SYSTEM) return before < 0;
    if (role == USER) return before < 0 || before == SYSTEM || before == ASSISTANT;
    if (role == ASSISTANT) return before == USER || before == TOOL;
    return called;
}

static lm_status check_order(const lm_json *messages, int before, const char *field, lm_err *err)
{
    size_t i;
    lm_json *message;
    bool called = before == ASSISTANT;
    json_array_foreach((json_t *)(uintptr_t)messages, i, message) {
        int role = role_of(message);
        if (role < 0) {
            const char *name = json_string_value(json_object_get(message, "role"));
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu: expected the role system, user, assistant or tool, found %s%.40s%s", field, i + 1,
                           name ? "\"" : "", name ? name : "none", name ? "\"" : "");
        }
        if (!may_follow(before, role, called))
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": message %zu: roles out of order: %s %s%s", field, i + 1, roles[role],
                           before < 0 ? "comes first" : "follows ", before < 0 ? "" : roles[before]);
        if (role != TOOL) called = role == ASSISTANT && json_array_size(json_object_get(message, "tool_calls"));
        before = role;
    }
    return LM_OK;
}

static lm_json *read_messages(const lm_json *list, int before, const char *field, lm_err *err)
{
    lm_json *messages = json_is_array(list) ? json_deep_copy(list) : NULL;
    if (!json_array_size(messages)) lm_fail(err, LM_E_FORMAT, "field \"%s\": expected a list of messages", field);
    lm_status status = json_array_size(messages) ? LM_OK : LM_E_FORMAT;
    if (status == LM_OK) status = check_order(messages, before, field, err);
    for (size_t i = 0; i < json_array_size(messages) && status == LM_OK; i++) status = check_content(json_array_get(messages, i), field, i, err);
    if (status == LM_OK) return messages;
    lm_json_free(messages);
    return NULL;
}

lm_json *lm_messages_read(const lm_json *list, const char *field, bool answered, lm_err *err)
{
    lm_json *messages = read_messages(list, -1, field, err);
    if (!messages) return NULL;
    size_t n = json_array_size(messages);
    int last = role_of(json_array_get(messages, n - 1));
    if (answered == (last == ASSISTANT) && last != SYSTEM) return messages;
    lm_fail(err, LM_E_FORMAT, answered ? "field \"%s\": the last message (%zu) is the %s's: no answer to learn from"
                                       : "field \"%s\": the last message (%zu) is the %s's: expected a question", field, n, roles[last]);
    lm_json_free(messages);
    return NULL;
}

lm_json *lm_messages_answer(const lm_json *list, const char *field, lm_err *err)
{
    lm_json *messages = read_messages(list, USER, field, err);
    if (!messages || role_of(json_array_get(messages, json_array_size(messages) - 1)) == ASSISTANT) return messages;
    lm_fail(err, LM_E_FORMAT, "field \"%s\": the last message is not the assistant's", field);
    lm_json_free(messages);
    return NULL;
}
