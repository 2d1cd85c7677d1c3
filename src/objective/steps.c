#define _GNU_SOURCE                                          /* memmem */
#include "objective/steps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ------------------------------------------------------------------------------------ */

void lm_step_separator(lm_str *out, const lm_model *m, const char *given)
{
    const char *text = given ? given : json_string_value(lm_json_get(m->config_json, "step_separator"));
    for (const char *at = text ? text : "\n"; *at; at++) {
        bool escaped = given && at[0] == '\\' && (at[1] == 'n' || at[1] == 't');
        lm_str_putc(out, !escaped ? *at : *++at == 'n' ? '\n' : '\t');
    }
}

static void add(lm_solution *s, const char *text, size_t n)
{
    if ((s->n & (s->n - 1)) == 0) {                      /* a power of two: full */
        size_t cap = s->n ? 2 * (size_t)s->n : 1;
        s->text = lm_realloc(s->text, cap * sizeof *s->text);
        s->label = lm_realloc(s->label, cap * sizeof *s->label);
    }
    s->text[s->n] = lm_span_of(text, n);
    s->label[s->n++] = LM_STEP_UNLABELLED;
}

static lm_status add_list(lm_solution *s, const lm_json *list, const char *field, lm_err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const lm_json *step = json_array_get(list, i);
        if (!json_is_string(step) || !json_string_length(step))
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": step %zu is %s", field, i + 1, json_is_string(step) ? "empty" : "no text");
        add(s, json_string_value(step), json_string_length(step));
    }
    return LM_OK;
}

/* Pieces between separators, but for empty ones. */
static bool add_divided(lm_solution *s, const lm_json *text, lm_span separator)
{
    const char *at = json_string_value(text), *end = at + json_string_length(text), *cut;
    bool divided = false;
    while ((cut = separator.len ? memmem(at, (size_t)(end - at), separator.data, separator.len) : NULL)) {
        if (cut > at) add(s, at, (size_t)(cut - at));
        at = cut + separator.len;
        divided = true;
    }
    if (end > at) add(s, at, (size_t)(end - at));
    return divided;
}

/* What the assistant says in the last of some messages; NULL: they do not end so. */
static const lm_json *said_last(const lm_json *messages)
{
    const lm_json *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return role && !strcmp(role, "assistant") ? json_object_get(last, "content") : NULL;
}

/* Where a row has its steps: a conversation of its own ends in them. */
static const char *field_of_steps(const lm_step_fields *fields, const lm_row *row)
{
    if (fields->steps) return fields->steps;
    return lm_row_has(row, "completions") ? "completions" : lm_row_has(row, "completion") || !lm_row_has(row, "messages") ? "completion" : "messages";
}

static lm_status read_steps(lm_solution *s, const lm_step_fields *fields, lm_span separator, const lm_row *row, bool labelled, lm_err *err)
{
    const char *field = field_of_steps(fields, row);
    const lm_json *value = lm_json_get(row->object, field);
    if (json_is_object(json_array_get(value, 0)) && !(value = said_last(value)))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected messages that end in one of the assistant's", field);
    if (json_is_array(value)) LM_TRY(add_list(s, value, field, err));
    else if (!json_is_string(value))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\"%s: expected a list of steps, or a text with a separator behind each", field, value ? "" : " is missing");
    else if (!add_divided(s, value, separator) && labelled)
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": no step separator in it; give another --step-separator, or a list of steps", field);
    return s->n ? LM_OK : lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no step to judge", field);
}

static bool label_of(lm_step_label *out, const lm_json *value)
{
    static const char *const names[] = { "negative", "neutral", "positive" };
    *out = LM_STEP_UNLABELLED;
    if (json_is_null(value)) return true;
    if (json_is_boolean(value)) *out = json_is_true(value) ? LM_STEP_POSITIVE : LM_STEP_NEGATIVE;
    else if (json_is_integer(value) && llabs(json_integer_value(value)) <= 1) *out = (lm_step_label)(json_integer_value(value) + 1);
    for (int i = 0; json_is_string(value) && i < 3; i++)
        if (!strcmp(json_string_value(value), names[i])) *out = (lm_step_label)i;
    return *out != LM_STEP_UNLABELLED;
}

static lm_status read_labels(lm_solution *s, const lm_json *labels, const char *field, lm_err *err)
{
    if (!json_is_array(labels))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\"%s: expected a list with a label for each step", field, labels ? "" : " is missing");
    if (json_array_size(labels) != (size_t)s->n)
        return lm_fail(err, LM_E_FORMAT, "field \"%s\": %zu labels for %lld steps", field, json_array_size(labels), (long long)s->n);
    for (int64_t i = 0; i < s->n; i++)
        if (!label_of(&s->label[i], json_array_get(labels, (size_t)i)))
            return lm_fail(err, LM_E_FORMAT, "field \"%s\": label %lld: expected true, false, 1, 0, -1 or null", field, (long long)i + 1);
    return LM_OK;
}

/* A number, also one in quotes; what is none, or not above 0, says that every step is right. */
static lm_status read_first_error(lm_solution *s, const lm_json *value, const char *field, lm_err *err)
{
    int64_t wrong = json_is_integer(value) ? json_integer_value(value) : json_is_string(value) ? strtoll(json_string_value(value), NULL, 10) : 0;
    if (wrong > s->n) return lm_fail(err, LM_E_FORMAT, "field \"%s\": step %lld of %lld", field, (long long)wrong, (long long)s->n);
    for (int64_t i = 0; i < (wrong > 0 ? wrong : s->n); i++) s->label[i] = i + 1 == wrong ? LM_STEP_NEGATIVE : LM_STEP_POSITIVE;
    return LM_OK;
}

/* Text, or messages; those of a conversation without the solution that it ends in. */
static lm_status read_prompt(lm_solution *s, const lm_step_fields *fields, const lm_row *row, lm_err *err)
{
    const lm_json *prompt = lm_json_get(row->object, fields->prompt), *messages = prompt ? prompt : lm_json_get(row->object, "messages");
    if (!json_is_array(messages)) return lm_row_text(row, fields->prompt, &s->prompt, err);
    lm_json *asked = json_copy((json_t *)(uintptr_t)messages);
    if (!prompt && json_array_size(asked)) json_array_remove(asked, json_array_size(asked) - 1);
    s->chat = json_pack("{s:o, s:O*}", "messages", asked, "tools", lm_json_get(row->object, "tools"));
    return json_array_size(asked) ? LM_OK : lm_fail(err, LM_E_FORMAT, "field \"%s\": no message asks for the steps", prompt ? fields->prompt : "messages");
}

lm_status lm_solution_read(lm_solution *out, const lm_step_fields *fields, lm_span separator, const lm_row *row, bool labelled, lm_err *err)
{
    *out = (lm_solution){0};
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with a prompt and steps, found plain text");
    LM_TRY(read_prompt(out, fields, row, err));
    LM_TRY(read_steps(out, fields, separator, row, labelled, err));
    if (!labelled) return LM_OK;
    const char *field = fields->first_error ? fields->first_error : fields->labels;
    return (fields->first_error ? read_first_error : read_labels)(out, json_object_get(row->object, field), field, err);
}

void lm_solution_free(lm_solution *s)
{
    free(s->text);
    free(s->label);
    lm_json_free(s->chat);
    *s = (lm_solution){0};
}

lm_status lm_solution_encode(lm_ids *ids, int64_t *ends, const lm_solution *s, lm_span separator, lm_answers *chats, lm_encoder *encoder, lm_err *err)
{
    LM_TRY(s->chat ? lm_answers_prompt(chats, ids, s->chat, encoder, err) : lm_encoder_run(encoder, ids, s->prompt.data, s->prompt.len, LM_ENCODE_BOS, err));
    for (int64_t i = 0; i < s->n; i++) {
        size_t before = ids->len;
        LM_TRY(lm_encoder_run(encoder, ids, s->text[i].data, s->text[i].len, 0, err));
        LM_TRY(lm_encoder_run(encoder, ids, separator.data, separator.len, 0, err));
        if (ids->len == before) return lm_fail(err, LM_E_FORMAT, "step %lld has no token", (long long)i + 1);
        ends[i] = (int64_t)ids->len - 1;
    }
    return LM_OK;
}

/* ---- the tally -------------------------------------------------------------------------------- */

double lm_step_probability(const float *scores, int64_t labels)
{
    double most = 0, rest = 0;                           /* relative to the score of "negative" */
    for (int64_t i = 1; i < labels; i++) most = fmax(most, (double)scores[i] - (double)scores[0]);
    for (int64_t i = 1; i < labels; i++) rest += exp((double)scores[i] - (double)scores[0] - most);
    return rest / (rest + exp(-most));
}

void lm_step_tally_add(lm_step_tally *t, const double *p, const lm_step_label *label, int64_t n)
{
    int64_t guessed = n, wrong = n;                      /* the first of each; n: none */
    double least = 1, product = 1;
    for (int64_t i = 0; i < n; i++) {
        if (guessed == n && p[i] <= t->threshold) guessed = i;
        if (wrong == n && label[i] == LM_STEP_NEGATIVE) wrong = i;
        if (label[i] != LM_STEP_UNLABELLED) lm_forecasts_add(&t->steps, p[i], label[i] != LM_STEP_NEGATIVE);
        least = fmin(least, p[i]);
        product *= p[i];
    }
    bool error = wrong < n;
    lm_forecasts_add(&t->least, least, !error);
    lm_forecasts_add(&t->product, product, !error);
    lm_forecasts_add(&t->last, p[n - 1], !error);
    t->solutions[error]++;
    t->located[error] += guessed == wrong;
}

static double share(int64_t part, int64_t whole) { return whole ? (double)part / (double)whole : 0; }

static lm_json *number(double x) { return isnan(x) ? json_null() : json_real(x); }

/* F1 is the harmonic mean of the two shares (Zheng et al. 2024, "ProcessBench", section 3.3). */
lm_json *lm_step_tally_take(lm_step_tally *t)
{
    double kept = share(t->located[0], t->solutions[0]), found = share(t->located[1], t->solutions[1]);
    int64_t all = t->solutions[0] + t->solutions[1];
    lm_json *doc = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "step_accuracy", lm_forecasts_accuracy(&t->steps),
                             "first_error_accuracy", share(t->located[0] + t->located[1], all), "error_found", found, "right_kept", kept,
                             "f1", found + kept > 0 ? 2 * found * kept / (found + kept) : 0, "calibration_error", lm_forecasts_calibration(&t->steps));
    json_object_update_new(doc, json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "auc_min", number(lm_forecasts_auc(&t->least)),
                                          "auc_product", number(lm_forecasts_auc(&t->product)), "auc_last", number(lm_forecasts_auc(&t->last)),
                                          "steps", (json_int_t)t->steps.n, "solutions", (json_int_t)all, "with_error", (json_int_t)t->solutions[1]));
    lm_forecasts_clear(&t->steps), lm_forecasts_clear(&t->least), lm_forecasts_clear(&t->product), lm_forecasts_clear(&t->last);
    for (int i = 0; i < 2; i++) t->solutions[i] = t->located[i] = 0;
    return doc;
}

void lm_step_tally_free(lm_step_tally *t)
{
    lm_forecasts_free(&t->steps), lm_forecasts_free(&t->least), lm_forecasts_free(&t->product), lm_forecasts_free(&t->last);
}
