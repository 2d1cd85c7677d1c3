/* Several answers from best to worst, or with a score each. */
#include "data/format.h"

enum { PROMPT, COMPLETIONS, SCORES, TOOLS };

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    size_t n = json_array_size(row->value[COMPLETIONS]), scores = json_array_size(row->value[SCORES]);
    LM_TRY(lm_kind_prompt(out, row, PROMPT, -1, err));
    if (n < 2) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected two answers or more, found %zu", row->name[COMPLETIONS], n);
    for (size_t i = 0; i < n; i++) LM_TRY(lm_kind_answer(out, json_array_get(row->value[COMPLETIONS], i), row->name[COMPLETIONS], err));
    if (row->value[SCORES] && scores != n)
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected %zu numbers, one for each of \"%s\", found %zu", row->name[SCORES], n, row->name[COMPLETIONS], scores);
    for (size_t i = 0; i < scores; i++)
        if (!json_is_number(json_array_get(row->value[SCORES], i))) return lm_fail(err, LM_E_FORMAT, "field \"%s\": entry %zu is no number", row->name[SCORES], i + 1);
    out->scores = json_incref((json_t *)(uintptr_t)row->value[SCORES]);
    return lm_kind_tools(out, row, TOOLS, err);
}

const lm_row_kind lm_row_kind_ranked = {
    .name = "ranked", .help = "prompt, completions: a list of answers from best to worst, or with scores; tools",
    .fields = {
        { .role = "prompt", .names = { "prompt", "question", "instruction", "query" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "completions", .names = { "completions", "responses", "answers" }, .types = LM_FIELD_ANSWERS },
        { .role = "scores", .names = { "scores", "rewards" }, .types = LM_FIELD_LIST, .optional = true },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_RANKED, .usual = LM_SHAPE_RANKED, .read = read,
};
