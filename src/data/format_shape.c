/* Samples as the rows that training reads. */
#include "data/format.h"

#include <string.h>

const char *const lm_shape_names[] = { "messages", "prompt_completion", "labelled", "preference", "ranked", "ratings", "steps", "text", NULL };

#define AS(shape) (1u << LM_SHAPE_##shape)
static const unsigned becomes[LM_SHAPES] = {
    [LM_SHAPE_MESSAGES] = AS(MESSAGES) | AS(PROMPT_COMPLETION),
    [LM_SHAPE_PROMPT_COMPLETION] = AS(MESSAGES) | AS(PROMPT_COMPLETION),
    [LM_SHAPE_LABELLED] = AS(LABELLED),
    [LM_SHAPE_PREFERENCE] = AS(PREFERENCE) | AS(RANKED) | AS(LABELLED) | AS(MESSAGES) | AS(PROMPT_COMPLETION),
    [LM_SHAPE_RANKED] = AS(RANKED) | AS(PREFERENCE) | AS(MESSAGES) | AS(PROMPT_COMPLETION),
    [LM_SHAPE_RATINGS] = AS(RATINGS) | AS(RANKED) | AS(PREFERENCE) | AS(MESSAGES) | AS(PROMPT_COMPLETION),
    [LM_SHAPE_STEPS] = AS(STEPS) | AS(LABELLED),
    [LM_SHAPE_TEXT] = AS(TEXT),
};

bool lm_shape_becomes(lm_shape from, lm_shape to) { return becomes[from] >> to & 1; }

void lm_sample_free(lm_sample *s)
{
    lm_json_free(s->prompt), lm_json_free(s->answers), lm_json_free(s->tools), lm_json_free(s->scores);
    lm_json_free(s->ratings), lm_json_free(s->labels), lm_json_free(s->margin);
    *s = (lm_sample){0};
}

/* ---- text and messages ---- */

static lm_json *as_messages(const lm_json *value, const char *role)
{
    return json_is_array(value) ? json_copy((json_t *)(uintptr_t)value) : json_pack("[o]", lm_message(role, json_string_value(value)));
}

/* A system message stands in front of the question, with an empty line between. */
static lm_status prompt_text(lm_str *out, const lm_json *prompt, lm_err *err)
{
    size_t i;
    lm_json *message;
    if (json_is_string(prompt)) lm_str_puts(out, json_string_value(prompt));
    json_array_foreach((json_t *)(uintptr_t)prompt, i, message) {
        const char *role = json_string_value(json_object_get(message, "role")), *text = json_string_value(json_object_get(message, "content"));
        if (!strcmp(role, "assistant") || !strcmp(role, "tool"))
            return lm_fail(err, LM_E_FORMAT, "a conversation of more than one turn: prompt_completion holds one; --to messages holds all");
        lm_str_printf(out, "%s%s", i ? "\n\n" : "", text);
    }
    return LM_OK;
}

static lm_status answer_text(lm_str *out, const lm_json *answer, lm_err *err)
{
    const lm_json *message = json_array_get(answer, 0);
    if (json_is_string(answer)) return lm_str_puts(out, json_string_value(answer)), LM_OK;
    if (json_array_size(answer) > 1) return lm_fail(err, LM_E_FORMAT, "a conversation of more than one turn: prompt_completion holds one; --to messages holds all");
    if (json_object_get(message, "tool_calls")) return lm_fail(err, LM_E_FORMAT, "an answer that calls tools: prompt_completion cannot hold it; --to messages can");
    lm_str_puts(out, json_string_value(json_object_get(message, "content")));
    return LM_OK;
}

/* ---- the best and the worst ---- */

/* What each answer is worth; without scores they stand from best to worst.  Ratings count by their mean. */
static double worth(const lm_sample *s, size_t i)
{
    const char *criterion;
    lm_json *list;
    double sum = 0, n = 0;
    if (s->scores) return json_number_value(json_array_get(s->scores, i));
    if (!s->ratings) return -(double)i;
    json_object_foreach(s->ratings, criterion, list) sum += json_number_value(json_array_get(list, i)), n++;
    return n > 0 ? sum / n : 0;
}

static void extremes(const lm_sample *s, size_t *best, size_t *worst)
{
    *best = *worst = 0;
    for (size_t i = 1; i < json_array_size(s->answers); i++) {
        if (worth(s, i) > worth(s, *best)) *best = i;
        if (worth(s, i) <= worth(s, *worst)) *worst = i;
    }
}

/* ---- shapes ---- */

static lm_status put_messages(lm_json *rows, const lm_sample *s, size_t answer)
{
    lm_json *messages = as_messages(s->prompt, "user"), *end = as_messages(json_array_get(s->answers, answer), "assistant");
    json_array_extend(messages, end);
    lm_json_free(end);
    json_array_append_new(rows, json_pack("{s:o, s:O*}", "messages", messages, "tools", s->tools));
    return LM_OK;
}

static lm_status put_completion(lm_json *rows, const lm_sample *s, size_t answer, lm_err *err)
{
    lm_str prompt = {0}, completion = {0};
    if (s->tools) return lm_fail(err, LM_E_FORMAT, "tools, which prompt_completion cannot hold; --to messages can");
    lm_status status = prompt_text(&prompt, s->prompt, err);
    if (status == LM_OK) status = answer_text(&completion, json_array_get(s->answers, answer), err);
    if (status == LM_OK) json_array_append_new(rows, json_pack("{s:s, s:s}", "prompt", prompt.data, "completion", completion.data));
    lm_str_free(&prompt);
    lm_str_free(&completion);
    return status;
}

static lm_json *labelled(const lm_sample *s, size_t answer, bool good)
{
    return json_pack("{s:O*, s:O, s:b, s:O*}", "prompt", s->prompt, "completion", json_array_get(s->answers, answer), "label", good, "tools", s->tools);
}

/* A solution is right where no step of it is wrong. */
static bool all_right(const lm_json *labels)
{
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const lm_json *label = json_array_get(labels, i);
        if (json_is_false(label) || (json_is_integer(label) && json_integer_value(label) < 0)) return false;
    }
    return true;
}

static lm_status put_labelled(lm_json *rows, const lm_sample *s, lm_shape from)
{
    if (from == LM_SHAPE_STEPS) {
        lm_str text = {0};
        for (size_t i = 0; i < json_array_size(s->answers); i++) lm_str_printf(&text, "%s%s", i ? "\n" : "", json_string_value(json_array_get(s->answers, i)));
        json_array_append_new(rows, json_pack("{s:O, s:s, s:b}", "prompt", s->prompt, "completion", text.data, "label", all_right(s->labels)));
        lm_str_free(&text);
    } else if (from == LM_SHAPE_PREFERENCE) {
        json_array_append_new(rows, labelled(s, 0, true));
        json_array_append_new(rows, labelled(s, 1, false));
    } else json_array_append_new(rows, labelled(s, 0, json_is_true(json_array_get(s->labels, 0))));
    return LM_OK;
}

static lm_status put_preference(lm_json *rows, const lm_sample *s, lm_err *err)
{
    size_t best, worst;
    extremes(s, &best, &worst);
    if ((s->scores || s->ratings) && worth(s, best) == worth(s, worst))
        return lm_fail(err, LM_E_FORMAT, "all %zu answers are worth the same: nothing to prefer", json_array_size(s->answers));
    const lm_json *chosen = json_array_get(s->answers, best), *rejected = json_array_get(s->answers, worst);
    if (json_equal(chosen, rejected)) return lm_fail(err, LM_E_FORMAT, "the better and the worse answer are the same: nothing to prefer");
    json_array_append_new(rows, json_pack("{s:O*, s:O, s:O, s:O*, s:O*}", "prompt", s->prompt, "chosen", chosen, "rejected", rejected, "margin", s->margin, "tools", s->tools));
    return LM_OK;
}

static lm_status put_ranked(lm_json *rows, const lm_sample *s)
{
    lm_json *scores = s->scores ? json_incref(s->scores) : NULL;
    if (s->ratings) {
        scores = json_array();
        for (size_t i = 0; i < json_array_size(s->answers); i++) json_array_append_new(scores, json_real(worth(s, i)));
    }
    json_array_append_new(rows, json_pack("{s:O*, s:O, s:o*, s:O*}", "prompt", s->prompt, "completions", s->answers, "scores", scores, "tools", s->tools));
    return LM_OK;
}

lm_status lm_sample_put(lm_json *rows, const lm_sample *s, lm_shape from, lm_shape to, lm_err *err)
{
    size_t best, worst;
    if (from == LM_SHAPE_TEXT) return json_array_append_new(rows, json_pack("{s:O}", "text", json_array_get(s->answers, 0))), LM_OK;
    if (!s->prompt && to != LM_SHAPE_PREFERENCE) return lm_fail(err, LM_E_FORMAT, "no prompt: what both answers begin with is not known to be one");
    extremes(s, &best, &worst);
    switch (to) {
    case LM_SHAPE_MESSAGES: return put_messages(rows, s, best);
    case LM_SHAPE_PROMPT_COMPLETION: return put_completion(rows, s, best, err);
    case LM_SHAPE_LABELLED: return put_labelled(rows, s, from);
    case LM_SHAPE_PREFERENCE: return put_preference(rows, s, err);
    case LM_SHAPE_RANKED: return put_ranked(rows, s);
    case LM_SHAPE_RATINGS:
        json_array_append_new(rows, json_pack("{s:O*, s:O, s:O, s:O*}", "prompt", s->prompt, "completions", s->answers, "ratings", s->ratings, "tools", s->tools));
        return LM_OK;
    default:
        json_array_append_new(rows, json_pack("{s:O, s:O, s:O}", "prompt", s->prompt, "completions", s->answers, "labels", s->labels));
        return LM_OK;
    }
}
