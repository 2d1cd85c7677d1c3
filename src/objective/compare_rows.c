/* Rows of preferences as sequences: objective/compare.h says what they look like. */
#include "objective/compare.h"

#include <stdlib.h>
#include <string.h>

/* One row while it is rendered. */
typedef struct reading {
    const lm_task *task;
    lm_answers *answers;
    const lm_json *row, *prompt;             /* the prompt: text, a list of messages, or NULL for none */
    lm_json *shared;                         /* owned: messages that both answers begin with, and their prompt */
    lm_example *out;
    lm_encoder *encoder;
    lm_ids *ids;
    bool scores;                             /* the lesson of a sequence is that of its last token */
    bool apart;                              /* sequences are not compared with each other */
    bool tokens;                             /* the best answer's tokens are learnt beside its score */
    int32_t criterion;                       /* that it is scored by */
} reading;

static lm_span text_of(const lm_json *value)
{
    return json_is_string(value) ? (lm_span){ .data = json_string_value(value), .len = json_string_length(value) } : (lm_span){ .data = "" };
}

static lm_status put_answer(reading *r, const lm_json *answer, const char *field, double value, bool best, lm_err *err)
{
    size_t from = r->out->n;
    const lm_exchange x = { .prompt = r->prompt, .answer = answer, .tools = json_object_get(r->row, "tools"), .field = field, .scored = r->scores };
    LM_TRY(lm_answers_put(r->answers, r->task, r->out, &x, r->encoder, r->ids, err));
    if (r->scores) lm_answers_lesson(r->out, from, r->criterion, r->tokens && best);
    lm_example_end(r->out, (float)value);
    if (r->apart) lm_example_apart(r->out);
    return LM_OK;
}

/* ---- the prompt that two answers share ------------------------------------------------------ */

/* What both texts begin with, whole characters, and without a space that belongs to the next word. */
static size_t common_text(lm_span a, lm_span b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n]) n++;
    while (n && n < a.len && ((uint8_t)a.data[n] & 0xC0) == 0x80) n--;
    if (n && a.data[n - 1] == ' ') n--;
    return n;
}

static size_t common_messages(const lm_json *a, const lm_json *b)
{
    size_t n = 0;
    while (n < json_array_size(a) && n < json_array_size(b) && json_equal(json_array_get(a, n), json_array_get(b, n))) n++;
    return n;
}

static lm_json *slice(const lm_json *list, size_t begin, size_t end)
{
    lm_json *part = json_array();
    for (size_t i = begin; i < end; i++) json_array_append(part, json_array_get(list, i));
    return part;
}

static lm_json *rest_of(const lm_json *answer, size_t n)
{
    if (json_is_array(answer)) return slice(answer, n, json_array_size(answer));
    return json_stringn(json_string_value(answer) + n, json_string_length(answer) - n);
}

static bool begins_with_an_answer(const lm_json *messages)
{
    const char *role = json_string_value(json_object_get(json_array_get(messages, 0), "role"));
    return !json_array_size(messages) || (role && !strcmp(role, "assistant"));
}

/* Splits what both begin with from chosen and rejected (replaced by what remains, to be freed). */
static lm_status split(reading *r, lm_json **chosen, lm_json **rejected, lm_err *err)
{
    bool chat = json_is_array(*chosen);
    if (chat != json_is_array(*rejected) || (!chat && !(json_is_string(*chosen) && json_is_string(*rejected))))
        return lm_fail(err, LM_E_FORMAT, "\"chosen\" is %s and \"rejected\" %s: expected two texts or two lists of messages",
                       lm_answers_kind(*chosen), lm_answers_kind(*rejected));
    size_t n = chat ? common_messages(*chosen, *rejected) : common_text(text_of(*chosen), text_of(*rejected));
    r->shared = chat ? slice(*chosen, 0, n) : json_stringn(json_string_value(*chosen), n);
    r->prompt = r->shared;
    *chosen = rest_of(*chosen, n);
    *rejected = rest_of(*rejected, n);
    if (n && (!chat || (begins_with_an_answer(*chosen) && begins_with_an_answer(*rejected)))) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "the prompts of \"chosen\" and \"rejected\" differ%s; give the prompt in a field of its own",
                   n ? "" : " from the first character on");
}

/* ---- rows ----------------------------------------------------------------------------------- */

static lm_status begin(reading *r, const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder,
                       lm_ids *ids, const char *needs, lm_err *err)
{
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with %s, found plain text", needs);
    const lm_comparison *how = task->objective->method;
    *r = (reading){ .task = task, .answers = lm_comparer_answers(task), .row = row->object, .prompt = json_object_get(row->object, "prompt"), .out = out,
                    .encoder = encoder, .ids = ids, .scores = how->scores, .tokens = how->lm_weight && how->lm_weight(task->options) > 0 };
    return LM_OK;
}

/* Of two answers that differ, the last two in `out`, what is left may be the same: cut off, or normalised by the tokenizer. */
static lm_status need_difference(const reading *r, lm_err *err)
{
    const lm_example *e = r->out;
    size_t first = e->n_parts > 2 ? e->parts[e->n_parts - 3].end : 0, second = e->parts[e->n_parts - 2].end, room = r->task->truncate ? (size_t)r->task->context + 1 : SIZE_MAX;
    size_t a = second - first, b = e->n - second, same = 0;
    if (a > room) a = room;
    if (b > room) b = room;
    while (same < a && same < b && lm_token_value(e->tokens[first + same]) == lm_token_value(e->tokens[second + same])) same++;
    if (same < a || same < b) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "the two answers are the same %s: nothing to prefer", e->lost || a == room ? "after truncation" : "to the tokenizer");
}

static lm_status put_pair(reading *r, lm_json *chosen, lm_json *rejected, double worth, double less, lm_err *err)
{
    if (json_equal(chosen, rejected)) return lm_fail(err, LM_E_FORMAT, "\"chosen\" and \"rejected\" are the same: nothing to prefer");
    LM_TRY(put_answer(r, chosen, "chosen", worth, true, err));
    LM_TRY(put_answer(r, rejected, "rejected", less, false, err));
    return need_difference(r, err);
}

static lm_status render_pair(reading *r, double worth, double less, lm_err *err)
{
    lm_json *chosen = json_object_get(r->row, "chosen"), *rejected = json_object_get(r->row, "rejected");
    if (!chosen || !rejected) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is missing", chosen ? "rejected" : "chosen");
    if (json_equal(chosen, rejected) || r->prompt) return put_pair(r, chosen, rejected, worth, less, err);
    lm_json *a = chosen, *b = rejected;
    lm_status status = split(r, &a, &b, err);
    if (status == LM_OK) status = put_pair(r, a, b, worth, less, err);
    if (a != chosen) lm_json_free(a), lm_json_free(b);
    lm_json_free(r->shared);
    return status;
}

/* ---- answers that are good or bad ------------------------------------------------------------ */

lm_status lm_compare_labelled(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    reading r;
    bool good;
    LM_TRY(begin(&r, task, out, row, encoder, ids, "\"completion\" and \"label\", or \"chosen\" and \"rejected\"", err));
    r.apart = true;
    if (lm_row_has(row, "chosen")) return render_pair(&r, 1, 0, err);
    const lm_json *completion = json_object_get(row->object, "completion");
    if (!completion) return lm_fail(err, LM_E_FORMAT, "field \"completion\" is missing");
    LM_TRY(lm_row_truth(row, "label", &good, err));
    return put_answer(&r, completion, "completion", good, false, err);
}

/* ---- ranked answers --------------------------------------------------------------------------- */

typedef struct ranked {
    const lm_json *answer;
    double score;
    size_t at;
} ranked;

static int better_first(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->at < b->at ? -1 : 1;
}

/* `scores` is called `name`; NULL: answers stand from best to worst. */
static lm_status read_scores(ranked *list, size_t n, const lm_json *scores, const char *name, lm_err *err)
{
    if (scores && json_array_size(scores) != n)
        return lm_fail(err, LM_E_FORMAT, "\"%s\": expected %zu numbers, one for each of \"completions\", found %zu", name, n, json_array_size(scores));
    for (size_t i = 0; i < n; i++) {
        const lm_json *score = json_array_get(scores, i);
        if (scores && !json_is_number(score)) return lm_fail(err, LM_E_FORMAT, "\"%s\": entry %zu is no number", name, i + 1);
        list[i].score = scores ? json_number_value(score) : (double)(n - 1 - i);
    }
    return LM_OK;
}

/* Fills list with the row's completions, the best first; *equal: there is no best. */
static lm_status rank(const reading *r, ranked *list, size_t n, const lm_json *scores, const char *name, bool *equal, lm_err *err)
{
    const lm_json *completions = json_object_get(r->row, "completions");
    for (size_t i = 0; i < n; i++) list[i] = (ranked){ .answer = json_array_get(completions, i), .at = i };
    LM_TRY(read_scores(list, n, scores, name, err));
    qsort(list, n, sizeof *list, better_first);
    *equal = list[0].score == list[n - 1].score;
    return LM_OK;
}

static lm_status rank_by_scores(const reading *r, ranked *list, size_t n, lm_err *err)
{
    bool equal;
    LM_TRY(rank(r, list, n, json_object_get(r->row, "scores"), "scores", &equal, err));
    return equal ? lm_fail(err, LM_E_FORMAT, "\"scores\": all %zu are %g: nothing to prefer", n, list[0].score) : LM_OK;
}

/* Of two scored answers the value is a margin, which a rating is not. */
static lm_status put_ranked(reading *r, const ranked *list, size_t n, lm_err *err)
{
    bool margin = r->scores && n == 2;
    for (size_t i = 0; i < n; i++) LM_TRY(put_answer(r, list[i].answer, "completions", margin ? 0 : list[i].score, i == 0, err));
    return LM_OK;
}

static lm_status render_ranked(reading *r, ranked *list, size_t n, lm_err *err)
{
    LM_TRY(rank_by_scores(r, list, n, err));
    return put_ranked(r, list, n, err);
}

/* The best and the worst of ranked answers. */
static lm_status render_extremes(reading *r, ranked *list, size_t n, lm_err *err)
{
    LM_TRY(rank_by_scores(r, list, n, err));
    LM_TRY(put_answer(r, list[0].answer, "completions", 0, true, err));
    LM_TRY(put_answer(r, list[n - 1].answer, "completions", 0, false, err));
    return need_difference(r, err);
}

/* Once for each criterion that rates the answers differently. */
static lm_status render_rated(reading *r, ranked *list, size_t n, lm_err *err)
{
    const lm_strings *criteria = &r->task->model->labels;
    const lm_json *ratings = json_object_get(r->row, "ratings");
    bool equal, found = false;
    for (r->criterion = 0; r->criterion < criteria->n; r->criterion++) {
        const char *name = criteria->items[r->criterion];
        const lm_json *scores = lm_json_get(ratings, name);
        if (!scores) continue;
        LM_TRY(rank(r, list, n, scores, name, &equal, err));
        if (equal) continue;
        LM_TRY(put_ranked(r, list, n, err));
        lm_example_apart(r->out);
        found = true;
    }
    return found ? LM_OK : lm_fail(err, LM_E_FORMAT, "\"ratings\": nothing to prefer by any of the model's %d criteria (%s, ..)", criteria->n, criteria->items[0]);
}

static lm_status of_completions(reading *r, lm_status (*render)(reading *r, ranked *list, size_t n, lm_err *err), lm_err *err)
{
    size_t n = json_array_size(json_object_get(r->row, "completions"));
    if (n < 2) return lm_fail(err, LM_E_FORMAT, "\"completions\": expected a list of two or more, found %zu", n);
    ranked *list = lm_malloc(n * sizeof *list);
    lm_status status = render(r, list, n, err);
    free(list);
    return status;
}

lm_status lm_compare_ranked(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    reading r;
    LM_TRY(begin(&r, task, out, row, encoder, ids, "\"completions\", or \"chosen\" and \"rejected\"", err));
    return lm_row_has(row, "completions") ? of_completions(&r, render_ranked, err) : render_pair(&r, 1, 0, err);
}

lm_status lm_compare_pair(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    reading r;
    double margin = 0;
    LM_TRY(begin(&r, task, out, row, encoder, ids, "\"chosen\" and \"rejected\"", err));
    if (!lm_row_has(row, "chosen") && lm_row_has(row, "completions")) return of_completions(&r, render_extremes, err);
    LM_TRY(lm_json_opt_real(row->object, "margin", "row", &margin, err));
    return render_pair(&r, margin, 0, err);
}

lm_status lm_compare_rated(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    reading r;
    LM_TRY(begin(&r, task, out, row, encoder, ids, "\"completions\" and \"ratings\"", err));
    if (!json_is_object(json_object_get(row->object, "ratings")))
        return lm_fail(err, LM_E_FORMAT, "field \"ratings\"%s: expected an object with a list of numbers for each criterion", lm_row_has(row, "ratings") ? "" : " is missing");
    return of_completions(&r, render_rated, err);
}
