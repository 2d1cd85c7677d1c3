/* A solution in steps, with a label for each or the number of the first wrong one (from 1; 0 or nothing: none is wrong). */
#include "data/format.h"

#include "data/labelled.h"

#include <stdlib.h>
#include <string.h>

enum { PROMPT, STEPS, LABELS, FIRST };

static bool is_label(const lm_json *v)
{
    const char *name = json_string_value(v);
    if (name) return !strcmp(name, "positive") || !strcmp(name, "neutral") || !strcmp(name, "negative");
    return json_is_null(v) || json_is_boolean(v) || (json_is_integer(v) && llabs(json_integer_value(v)) <= 1);
}

static lm_status read_labels(lm_sample *out, const lm_kind_row *row, size_t n, lm_err *err)
{
    const lm_json *labels = row->value[LABELS];
    if (json_array_size(labels) != n) return lm_fail(err, LM_E_FORMAT, "field \"%s\": %zu labels for %zu steps", row->name[LABELS], json_array_size(labels), n);
    for (size_t i = 0; i < n; i++)
        if (!is_label(json_array_get(labels, i))) return lm_fail(err, LM_E_FORMAT, "field \"%s\": label %zu: expected true, false, 1, 0, -1 or null", row->name[LABELS], i + 1);
    out->labels = json_incref((json_t *)(uintptr_t)labels);
    return LM_OK;
}

/* Steps before the wrong one are right; those behind it have no label. */
static lm_status read_first(lm_sample *out, const lm_kind_row *row, size_t n, lm_err *err)
{
    const lm_json *v = row->value[FIRST];
    int64_t wrong = json_is_integer(v) ? json_integer_value(v) : json_is_string(v) ? strtoll(json_string_value(v), NULL, 10) : 0;
    if (wrong > (int64_t)n) return lm_fail(err, LM_E_FORMAT, "field \"%s\": step %lld of %zu", row->name[FIRST], (long long)wrong, n);
    out->labels = json_array();
    for (int64_t i = 1; i <= (int64_t)n; i++)
        json_array_append_new(out->labels, wrong > 0 && i > wrong ? json_null() : json_boolean(i != wrong));
    return LM_OK;
}

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const char *prompt;
    const lm_json *steps = row->value[STEPS];
    size_t n = json_array_size(steps);
    LM_TRY(lm_kind_text(&prompt, row, PROMPT, err));
    out->prompt = json_string(prompt);
    for (size_t i = 0; i < n; i++) {
        const lm_json *step = json_array_get(steps, i);
        if (lm_is_blank(lm_span_of(json_string_value(step), json_string_length(step)))) return lm_fail(err, LM_E_FORMAT, "field \"%s\": step %zu is empty", row->name[STEPS], i + 1);
    }
    out->answers = json_incref((json_t *)(uintptr_t)steps);
    if (row->value[LABELS]) return read_labels(out, row, n, err);
    return read_first(out, row, n, err);
}

static const char *lacks(const lm_kind_row *row)
{
    return row->value[LABELS] || row->value[FIRST] ? NULL : "\"labels\", one for each step, or \"first_error\"";
}

const lm_row_kind lm_row_kind_steps = {
    .name = "steps", .help = "prompt, completions (steps): a list of texts, labels: one for each, or first_error: the number of the first wrong one",
    .fields = {
        { .role = "prompt", .names = { "prompt", "question", "problem" }, .types = LM_FIELD_TEXT },
        { .role = "steps", .names = { "completions", "steps", "model_output_steps" }, .types = LM_FIELD_TEXTS },
        { .role = "labels", .names = { "labels" }, .types = LM_FIELD_LIST, .optional = true },
        { .role = "first_error", .names = { "first_error", "first_error_step", "model_output_solution_first_error_step" },
          .types = LM_FIELD_NUMBER | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_STEPS, .usual = LM_SHAPE_STEPS, .lacks = lacks, .read = read,
};
