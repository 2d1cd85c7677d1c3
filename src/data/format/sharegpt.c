/* ShareGPT: turns with "from" and "value".  A call of a tool is a turn of its own, {"name": .., "arguments": {..}} as text, and
 * what the tool said is an observation. */
#include "data/format.h"

#include <string.h>

enum { TURNS, SYSTEM, TOOLS };

static const struct { const char *from, *role; } roles[] = {
    { "human", "user" }, { "user", "user" }, { "gpt", "assistant" }, { "assistant", "assistant" }, { "chatgpt", "assistant" }, { "model", "assistant" },
    { "bot", "assistant" }, { "bing", "assistant" }, { "bard", "assistant" }, { "system", "system" }, { "tool", "tool" }, { "observation", "tool" },
    { "function_response", "tool" }, { "function_call", "call" },
};

static lm_json *call_message(const char *value, size_t at, lm_err *err)
{
    lm_json *call = lm_json_parse(value, strlen(value), "function_call", err);
    if (!call) return NULL;
    if (!json_is_array(call)) call = json_pack("[o]", call);
    lm_json *calls = json_array(), *one;
    size_t i;
    json_array_foreach(call, i, one) {
        if (json_is_string(json_object_get(one, "name")))
            json_array_append_new(calls, json_pack("{s:s, s:{s:O, s:O?}}", "type", "function", "function", "name", json_object_get(one, "name"), "arguments",
                                                   json_object_get(one, "arguments")));
        else lm_fail(err, LM_E_FORMAT, "turn %zu: expected a call with a \"name\"", at + 1);
    }
    bool good = json_array_size(calls) == json_array_size(call) && json_array_size(calls);
    lm_json_free(call);
    if (good) return json_pack("{s:s, s:s, s:o}", "role", "assistant", "content", "", "tool_calls", calls);
    lm_json_free(calls);
    lm_fail(err, LM_E_FORMAT, "turn %zu: no call in it", at + 1);
    return NULL;
}

static lm_json *message_of(const lm_json *turn, const char *field, size_t at, lm_err *err)
{
    const char *from = json_string_value(json_object_get(turn, "from")), *value = json_string_value(json_object_get(turn, "value")), *role = NULL;
    for (size_t i = 0; from && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(from, roles[i].from)) role = roles[i].role;
    if (role && value) return !strcmp(role, "call") ? call_message(value, at, err) : lm_message(role, value);
    if (!role)
        lm_fail(err, LM_E_FORMAT, "field \"%s\": turn %zu: expected \"from\" human, gpt, system, function_call or observation, found %.40s", field, at + 1, from ? from : "none");
    else lm_fail(err, LM_E_FORMAT, "field \"%s\": turn %zu: expected text as \"value\"", field, at + 1);
    return NULL;
}

static lm_status read_turns(lm_json *messages, const lm_kind_row *row, lm_err *err)
{
    size_t i;
    lm_json *turn;
    const char *system = lm_kind_optional(row, SYSTEM);
    if (*system) json_array_append_new(messages, lm_message("system", system));
    json_array_foreach((json_t *)(uintptr_t)row->value[TURNS], i, turn) {
        lm_json *message = message_of(turn, row->name[TURNS], i, err);
        if (!message) return err->code;
        json_array_append_new(messages, message);
    }
    return LM_OK;
}

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    lm_json *turns = json_array(), *messages = NULL;
    lm_status status = read_turns(turns, row, err);
    if (status == LM_OK) messages = lm_messages_read(turns, row->name[TURNS], true, err);
    lm_json_free(turns);
    if (!messages) return err->code;
    lm_sample_divide(out, messages);
    return lm_kind_tools(out, row, TOOLS, err);
}

const lm_row_kind lm_row_kind_sharegpt = {
    .name = "sharegpt", .help = "conversations: a list of from (human, gpt, system, function_call, observation) and value; system, tools",
    .fields = {
        { .role = "conversations", .names = { "conversations", "conversation" }, .types = LM_FIELD_FROMS },
        { .role = "system", .names = { "system" }, .types = LM_FIELD_TEXT, .optional = true },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_MESSAGES, .usual = LM_SHAPE_MESSAGES, .read = read,
};
