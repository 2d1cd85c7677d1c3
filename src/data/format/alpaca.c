/* Alpaca (Taori et al. 2023): an instruction, perhaps with an input that it is about, and what was put out.  "history" is
 * earlier turns, as LLaMA-Factory has them: [["question", "answer"], ..]. */
#include "data/format.h"

enum { INSTRUCTION, INPUT, OUTPUT, SYSTEM, HISTORY };

static lm_status add_history(lm_json *messages, const lm_kind_row *row, lm_err *err)
{
    for (size_t i = 0; i < json_array_size(row->value[HISTORY]); i++) {
        const lm_json *turn = json_array_get(row->value[HISTORY], i);
        const char *question = json_string_value(json_array_get(turn, 0)), *answer = json_string_value(json_array_get(turn, 1));
        if (json_array_size(turn) != 2 || !question || !answer || !*question || !*answer)
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": turn %zu: expected [\"question\", \"answer\"]", row->name[HISTORY], i + 1);
        json_array_append_new(messages, lm_message("user", question));
        json_array_append_new(messages, lm_message("assistant", answer));
    }
    return LM_OK;
}

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const char *instruction, *output, *system = lm_kind_optional(row, SYSTEM);
    LM_TRY(lm_kind_text(&instruction, row, INSTRUCTION, err));
    LM_TRY(lm_kind_text(&output, row, OUTPUT, err));
    out->prompt = json_array();
    if (*system) json_array_append_new(out->prompt, lm_message("system", system));
    LM_TRY(add_history(out->prompt, row, err));
    lm_json *question = lm_question(NULL, instruction, lm_kind_optional(row, INPUT));
    json_array_extend(out->prompt, question);
    lm_json_free(question);
    out->answers = json_pack("[[o]]", lm_message("assistant", output));
    return LM_OK;
}

const lm_row_kind lm_row_kind_alpaca = {
    .name = "alpaca", .help = "instruction, input, output; system and history",
    .fields = {
        { .role = "instruction", .names = { "instruction" }, .types = LM_FIELD_TEXT },
        { .role = "input", .names = { "input" }, .types = LM_FIELD_TEXT, .optional = true },
        { .role = "output", .names = { "output", "response" }, .types = LM_FIELD_TEXT },
        { .role = "system", .names = { "system" }, .types = LM_FIELD_TEXT, .optional = true },
        { .role = "history", .names = { "history" }, .types = LM_FIELD_LIST, .optional = true },
    },
    .shape = LM_SHAPE_MESSAGES, .usual = LM_SHAPE_MESSAGES, .read = read,
};
