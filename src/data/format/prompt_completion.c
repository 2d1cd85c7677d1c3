/* A prompt and what completes it, as text or as messages. */
#include "data/format.h"

enum { PROMPT, COMPLETION, TOOLS };

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    LM_TRY(lm_kind_prompt(out, row, PROMPT, -1, err));
    LM_TRY(lm_kind_answer(out, row->value[COMPLETION], row->name[COMPLETION], err));
    return lm_kind_tools(out, row, TOOLS, err);
}

const lm_row_kind lm_row_kind_prompt_completion = {
    .name = "prompt_completion", .help = "prompt, completion: text or messages; tools",
    .fields = {
        { .role = "prompt", .names = { "prompt", "input" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "completion", .names = { "completion", "response", "output" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_PROMPT_COMPLETION, .usual = LM_SHAPE_PROMPT_COMPLETION, .read = read,
};
