/* Several answers rated by one criterion or more: lists beside the answers,
 *
 *   "completions": ["..", ".."], "ratings": {"helpful": [4, 2], "honest": [5, 5]}
 *
 * or each answer an object with its ratings, as UltraFeedback (Cui et al. 2023) has them:
 *
 *   "completions": [{"response": "..", "annotations": {"helpful": {"Rating": "4"}, ..}}, ..] */
#include "data/format.h"

#include <math.h>
#include <stdlib.h>

enum { PROMPT, COMPLETIONS, RATINGS, TOOLS };

/* A number, also in quotes or under "Rating"; NAN where there is none. */
static double number_of(const lm_json *v)
{
    if (json_is_object(v)) v = json_object_get(v, "Rating") ? json_object_get(v, "Rating") : json_object_get(v, "rating");
    if (json_is_number(v)) return json_number_value(v);
    char *end = NULL;
    double value = json_is_string(v) ? strtod(json_string_value(v), &end) : NAN;
    return end && end > json_string_value(v) && !*end ? value : NAN;
}

static lm_status check_lists(const lm_json *ratings, size_t n, const char *field, lm_err *err)
{
    const char *criterion;
    lm_json *list;
    json_object_foreach((json_t *)(uintptr_t)ratings, criterion, list) {
        if (json_array_size(list) != n) return lm_fail(err, LM_E_FORMAT, "field \"%s\": %s: expected a list of %zu numbers, one for each answer", field, criterion, n);
        for (size_t i = 0; i < n; i++)
            if (!json_is_number(json_array_get(list, i))) return lm_fail(err, LM_E_FORMAT, "field \"%s\": %s: entry %zu is no number", field, criterion, i + 1);
    }
    return json_object_size(ratings) ? LM_OK : lm_fail(err, LM_E_FORMAT, "field \"%s\": no criterion in it", field);
}

/* Adds the ratings of one answer, whose criteria are those of the first. */
static lm_status add(lm_sample *out, const lm_json *answer, size_t at, const char *field, lm_err *err)
{
    static const char *const texts[] = { "response", "text", "completion", "content", NULL }, *const places[] = { "annotations", "ratings", "scores", NULL };
    const lm_json *text = NULL, *rated = NULL;
    const char *criterion;
    lm_json *value;
    for (int i = 0; texts[i] && !text; i++) text = lm_json_get(answer, texts[i]);
    for (int i = 0; places[i] && !rated; i++) rated = lm_json_get(answer, places[i]);
    if (!text || !json_object_size(rated))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": answer %zu: expected an object with \"response\" and \"annotations\" (or \"text\" and \"ratings\")", field, at + 1);
    LM_TRY(lm_kind_answer(out, text, field, err));
    json_object_foreach((json_t *)(uintptr_t)rated, criterion, value) {
        double x = number_of(value);
        if (isnan(x)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": answer %zu: %s is no number", field, at + 1, criterion);
        if (!at) json_object_set_new(out->ratings, criterion, json_array());
        lm_json *list = json_object_get(out->ratings, criterion);
        if (json_array_size(list) != at || !list) return lm_fail(err, LM_E_FORMAT, "field \"%s\": answer %zu: %s does not rate every answer", field, at + 1, criterion);
        json_array_append_new(list, json_real(x));
    }
    return LM_OK;
}

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const lm_json *list = row->value[COMPLETIONS];
    size_t n = json_array_size(list);
    LM_TRY(lm_kind_prompt(out, row, PROMPT, -1, err));
    LM_TRY(lm_kind_tools(out, row, TOOLS, err));
    if (n < 2) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected two answers or more, found %zu", row->name[COMPLETIONS], n);
    bool apart = json_is_object(row->value[RATINGS]);
    if (!apart) out->ratings = json_object();
    for (size_t i = 0; i < n; i++)
        LM_TRY(apart ? lm_kind_answer(out, json_array_get(list, i), row->name[COMPLETIONS], err) : add(out, json_array_get(list, i), i, row->name[COMPLETIONS], err));
    if (apart) out->ratings = json_incref((json_t *)(uintptr_t)row->value[RATINGS]);
    return check_lists(out->ratings, n, apart ? row->name[RATINGS] : row->name[COMPLETIONS], err);
}

static const char *lacks(const lm_kind_row *row)
{
    return row->value[RATINGS] || json_is_object(json_array_get(row->value[COMPLETIONS], 0)) ? NULL : "field \"ratings\"";
}

const lm_row_kind lm_row_kind_ratings = {
    .name = "ratings", .help = "prompt, completions, ratings: an object of lists by criterion; or completions as objects with ratings",
    .fields = {
        { .role = "prompt", .names = { "prompt", "question", "instruction", "query" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "completions", .names = { "completions", "responses", "answers" }, .types = LM_FIELD_ANSWERS | LM_FIELD_OBJECTS },
        { .role = "ratings", .names = { "ratings" }, .types = LM_FIELD_OBJECT, .optional = true },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_RATINGS, .usual = LM_SHAPE_RATINGS, .lacks = lacks, .read = read,
};
