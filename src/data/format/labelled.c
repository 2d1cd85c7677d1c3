/* An answer that somebody found good or bad by itself (KTO, outcome reward models). */
#include "data/format.h"

enum { PROMPT, COMPLETION, LABEL, TOOLS };

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const lm_json *label = row->value[LABEL];
    LM_TRY(lm_kind_prompt(out, row, PROMPT, -1, err));
    LM_TRY(lm_kind_answer(out, row->value[COMPLETION], row->name[COMPLETION], err));
    out->labels = json_pack("[b]", json_is_true(label) || json_integer_value(label) == 1);
    return lm_kind_tools(out, row, TOOLS, err);
}

const lm_row_kind lm_row_kind_labelled = {
    .name = "labelled", .help = "prompt, completion, label: true or false",
    .fields = {
        { .role = "prompt", .names = { "prompt", "question", "instruction" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "completion", .names = { "completion", "response", "solution", "output" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "label", .names = { "label", "is_correct", "correct" }, .types = LM_FIELD_TRUTH },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_LABELLED, .usual = LM_SHAPE_LABELLED, .read = read,
};
