#include "objective/scorer.h"

#include "infer/classifier.h"
#include "nn/head.h"

#include <stdlib.h>
#include <string.h>

struct lm_scorer {
    lm_scorer_options o;
    lm_task task;
    lm_answers *answers;
    lm_encoder *encoder;
    lm_classifier *classifier;
    lm_str separator;
    lm_example example;
    lm_ids ids;
    int64_t rows, truncated;

    bool *last;                              /* [texts]: of those given to the classifier, which ends its row */
    int64_t texts, cap, row;                 /* the row that is being scored */
    float *scores;                           /* [n, labels] of its answers so far */
    int64_t n;
};

/* ---- scores come back ---- */

static void scored(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    lm_scorer *s = to;
    int64_t labels = s->task.model->labels.n;
    s->scores = lm_realloc(s->scores, (size_t)((s->n + n_rows) * labels) * sizeof *s->scores);
    memcpy(s->scores + s->n * labels, scores, (size_t)(n_rows * labels) * sizeof *scores);
    s->n += n_rows;
    if (!s->last[text]) return;
    s->o.scored(s->o.to, &(lm_scored){ .row = s->row++, .n = s->n, .labels = labels, .scores = s->scores });
    s->n = 0;
}

static lm_status queue(lm_scorer *s, const int32_t *ids, int64_t n, const int64_t *rows, int64_t n_rows, bool last, lm_err *err)
{
    if (s->texts == s->cap) {
        s->cap = 2 * s->cap + 64;
        s->last = lm_realloc(s->last, (size_t)s->cap * sizeof *s->last);
    }
    s->last[s->texts++] = last;
    return lm_classifier_add_ids(s->classifier, ids, n, rows, n_rows, err);
}

/* ---- steps ---- */

static lm_status encode_steps(lm_scorer *s, const lm_solution *steps, int64_t *ends, lm_err *err)
{
    int64_t n = steps->n;
    LM_TRY(lm_solution_encode(&s->ids, ends, steps, lm_span_of(s->separator.data, s->separator.len), s->answers, s->encoder, err));
    LM_TRY(lm_task_fit(&s->task, &s->example, &s->ids, err));
    while (n && ends[n - 1] >= (int64_t)s->ids.len) n--;
    s->truncated += n < steps->n;
    if (!n) return lm_fail(err, LM_E_FORMAT, "no step is left after truncation");
    return queue(s, s->ids.data, ends[n - 1] + 1, ends, n, true, err);
}

static lm_status add_steps(lm_scorer *s, const lm_row *row, lm_err *err)
{
    lm_solution steps;
    lm_status status = lm_solution_read(&steps, &s->o.fields, lm_span_of(s->separator.data, s->separator.len), row, false, err);
    int64_t *ends = lm_malloc((size_t)(steps.n + 1) * sizeof *ends);
    lm_ids_clear(&s->ids);
    if (status == LM_OK) status = encode_steps(s, &steps, ends, err);
    free(ends);
    lm_solution_free(&steps);
    return status;
}

/* ---- answers ---- */

static lm_status add_answer(lm_scorer *s, const lm_exchange *x, bool last, lm_err *err)
{
    s->example.n = 0, s->example.lost = 0;
    LM_TRY(lm_answers_put(s->answers, &s->task, &s->example, x, s->encoder, &s->ids, err));
    int64_t n = (int64_t)s->example.n, context = s->task.context;
    if (n > context && !s->task.truncate)
        return lm_fail(err, LM_E_FORMAT, "%lld tokens, more than the context of %lld: give --truncate to cut them", (long long)n, (long long)context);
    s->truncated += n > context || s->example.lost;
    if (n > context) n = context;
    lm_ids_clear(&s->ids);
    for (int64_t i = 0; i < n; i++) lm_ids_push(&s->ids, lm_token_value(s->example.tokens[i]));
    const int64_t end = n - 1;
    return queue(s, s->ids.data, n, &end, 1, last, err);
}

static lm_status add_answers(lm_scorer *s, const lm_exchange *x, const lm_json *list, lm_err *err)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        lm_exchange one = *x;
        one.answer = json_array_get(list, i);
        LM_TRY(add_answer(s, &one, i + 1 == n, err));
    }
    return n ? LM_OK : lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no answer to score", x->field);
}

static lm_status add_text(lm_scorer *s, const lm_row *row, lm_err *err)
{
    lm_span text;
    LM_TRY(lm_row_text(row, s->o.text ? s->o.text : "text", &text, err));
    lm_json *answer = json_stringn(text.data ? text.data : "", text.len);
    lm_status status = add_answer(s, &(lm_exchange){ .answer = answer, .field = "text", .scored = true }, true, err);
    lm_json_free(answer);
    return status;
}

/* Where a row has its answer; NULL: it is a text. */
static const char *field_of(const lm_scorer *s, const lm_row *row)
{
    const char *names[] = { s->o.completion ? s->o.completion : "completion", "completions", "messages", NULL };
    const char **name = names;
    while (*name && !lm_row_has(row, *name)) name++;
    return s->o.text ? NULL : *name;
}

lm_status lm_scorer_add(lm_scorer *s, const lm_row *row, lm_err *err)
{
    s->rows++;
    if (s->task.model->labels_tokens) return add_steps(s, row, err);
    const char *field = field_of(s, row);
    if (!field) return add_text(s, row, err);
    lm_exchange x = { .answer = lm_json_get(row->object, field), .tools = lm_json_get(row->object, "tools"), .field = field, .scored = true };
    if (strcmp(field, "messages")) x.prompt = lm_json_get(row->object, s->o.fields.prompt);
    return strcmp(field, "completions") ? add_answer(s, &x, true, err) : add_answers(s, &x, x.answer, err);
}

lm_status lm_scorer_flush(lm_scorer *s, lm_err *err) { return lm_classifier_flush(s->classifier, err); }
int64_t lm_scorer_truncated(const lm_scorer *s) { return s->truncated; }

/* ---- the scorer ---- */

static lm_status open_scorer(lm_scorer *s, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk, lm_err *err)
{
    if (!m->score || !m->labels_tokens) LM_TRY(lm_model_need_reward(m, err));
    const lm_classifier_options how = { .context = s->o.context, .batch_tokens = s->o.batch_tokens, .any_head = true, .compute = s->o.compute,
                                        .scored = scored, .to = s };
    LM_TRY(lm_classifier_new(&s->classifier, m, k, tk, &how, err));
    s->task = (lm_task){ .model = m, .tokenizer = tk, .eos = lm_task_eos(m, tk), .context = lm_classifier_context(s->classifier), .truncate = s->o.truncate };
    s->encoder = lm_encoder_new(tk);
    lm_step_separator(&s->separator, m, s->o.fields.separator);
    return lm_answers_open(&s->answers, &s->task, s->o.template, err);
}

lm_status lm_scorer_new(lm_scorer **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk, const lm_scorer_options *options, lm_err *err)
{
    lm_scorer *s = *out = lm_calloc(1, sizeof *s);
    s->o = *options;
    if (!s->o.fields.prompt) s->o.fields.prompt = "prompt";
    lm_status status = open_scorer(s, m, k, tk, err);
    if (status == LM_OK) return LM_OK;
    lm_scorer_free(s);
    *out = NULL;
    return status;
}

void lm_scorer_free(lm_scorer *s)
{
    if (!s) return;
    lm_classifier_free(s->classifier);
    lm_answers_close(s->answers);
    lm_encoder_free(s->encoder);
    lm_str_free(&s->separator);
    lm_example_free(&s->example);
    lm_ids_free(&s->ids);
    free(s->last), free(s->scores);
    free(s);
}
