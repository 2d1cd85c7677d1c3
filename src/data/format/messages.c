/* Conversations as OpenAI's API has them: messages with role and content, tool calls, tools. */
#include "data/format.h"

enum { MESSAGES, TOOLS };

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    lm_json *messages = lm_messages_read(row->value[MESSAGES], row->name[MESSAGES], true, err);
    if (!messages) return err->code;
    lm_sample_divide(out, messages);
    return lm_kind_tools(out, row, TOOLS, err);
}

const lm_row_kind lm_row_kind_messages = {
    .name = "messages", .help = "messages: a list of role and content, with tool calls; tools",
    .fields = {
        { .role = "messages", .names = { "messages", "conversations", "conversation", "dialog", "dialogue" }, .types = LM_FIELD_ROLES },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_MESSAGES, .usual = LM_SHAPE_MESSAGES, .read = read,
};
