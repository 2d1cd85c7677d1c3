/* An outcome reward model: a head of one score learns whether a whole answer is right.
 *
 *   loss = - 1/n sum_i y log sigmoid(s_i) + (1 - y) log sigmoid(-s_i)
 *
 * over the last token of each answer, or with --at all over every token of it, so that a beginning may be judged as
 * well.  The folder is transformers' *ForSequenceClassification with one label, a reward model's: sigmoid of its score
 * is the probability that the answer is right.
 *
 * Sources: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", sections 4.2 and 4.3 (every token);
 * Lightman et al. 2023, section 2.5 (outcome supervision).  Left out: learning the answers beside it. */
#include "objective/compare.h"
#include "objective/learnt.h"
#include "data/forecast.h"

#include "nn/head.h"
#include "train/options.h"

#include <stdlib.h>

enum { AT_LAST, AT_ALL };
static const char *const places[] = { "last", "all", NULL };

typedef struct settings {
    const char *prompt, *completion, *label, *template;
    int at;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"),
    LM_OPTION(STRING, settings, completion, "completion-field", .fallback = "completion", .metavar = "NAME", .help = "field that answers"),
    LM_OPTION(STRING, settings, label, "label-field", .fallback = "label", .metavar = "NAME", .help = "field that says whether the answer is right"),
    LM_OPTION(CHOICE, settings, at, "at", .fallback = "last", .choices = places, .help = "tokens of an answer that the score is learnt at"),
    LM_OPTION(STRING, settings, template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's"),
    { 0 },
};

typedef struct own {
    lm_answers *answers;
    lm_forecasts forecasts;                              /* of a measurement */
} own;

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    (void)task;
    if (model->score) LM_TRY(lm_model_need_reward(model, err));
    if (model->score && model->labels.n != 1)
        return lm_fail(err, LM_E_USAGE, "%s: its head gives %d labels, not one score", model->path, model->labels.n);
    if (model->score) return LM_OK;
    lm_strings name = lm_labels_default(1);
    lm_status status = lm_model_score_texts(model, &name, (uint64_t)o->seed, err);
    lm_strings_free(&name);
    return status;
}

static lm_status prepare(lm_task *task, lm_err *err)
{
    const settings *s = task->options;
    own *w = task->own = lm_calloc(1, sizeof *w);
    return lm_answers_open(&w->answers, task, s->template, err);
}

static void release(lm_task *task)
{
    own *w = task->own;
    task->own = NULL;
    if (!w) return;
    lm_answers_close(w->answers);
    lm_forecasts_free(&w->forecasts);
    free(w);
}

static lm_status finish(const lm_task *task, const char *out, lm_err *err) { return lm_answers_finish(((const own *)task->own)->answers, out, err); }

/* ---- rows ---- */

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *s = task->options;
    bool right;
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with \"%s\" and \"%s\", found plain text", s->completion, s->label);
    const bool whole = !lm_row_has(row, s->completion) && lm_row_has(row, "messages");       /* a chat that ends in the answer */
    const char *field = whole ? "messages" : s->completion;
    const lm_exchange x = { .prompt = whole ? NULL : lm_json_get(row->object, s->prompt), .answer = lm_json_get(row->object, field),
                            .tools = lm_json_get(row->object, "tools"), .field = field, .scored = true };
    if (!x.answer) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is missing", field);
    LM_TRY(lm_row_truth(row, s->label, &right, err));
    LM_TRY(lm_answers_put(((const own *)task->own)->answers, task, out, &x, encoder, ids, err));
    size_t answer = 0;
    while (answer < out->n && !(out->tokens[answer] & LM_TOKEN_SUPERVISED)) answer++;
    lm_answers_lesson(out, 0, right, false);
    for (size_t i = answer + 1; s->at == AT_ALL && i < out->n; i++) lm_example_label(out, i, right);
    return LM_OK;
}

/* ---- the loss ---- */

typedef struct lessons {
    const lm_microbatch *m;
    const lm_learnt *tokens;
    lm_forecasts *forecasts;                             /* NULL unless it is to be counted */
} lessons;

static double costs(const void *context, const float *x, float *slope, int64_t n)
{
    const lessons *l = context;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double s = (double)x[i], sign = l->tokens->targets[i] ? 1 : -1, weight = (double)l->m->weights[l->tokens->rows[i]];
        sum -= weight * lm_log_sigmoid(sign * s);
        slope[i] -= (float)(weight * sign * lm_sigmoid(-sign * s));
    }
    for (int64_t a = 0; l->forecasts && a < l->tokens->sequences; a++) {
        int64_t last = l->tokens->begin[a + 1] - 1;
        lm_forecasts_add(l->forecasts, lm_sigmoid((double)x[last]), l->tokens->targets[last]);
    }
    return sum;
}

static lm_tensor *loss_of(const lm_forward *f, const lm_microbatch *m, lm_forecasts *forecasts)
{
    lm_tensor *hidden = lm_model_forward(f);
    const lm_learnt *tokens = lm_learnt_of(f->t, m);
    lessons *l = lm_tape_meta(f->t, sizeof *l);
    if (f->t->err.code) return &f->t->dead;
    *l = (lessons){ .m = m, .tokens = tokens, .forecasts = forecasts };
    return lm_by_hand(f->t, lm_model_scores(f, lm_gather_rows(f->t, hidden, lm_learnt_index(f->t, tokens))), costs, l);
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return loss_of(f, m, NULL);
}

static lm_tensor *measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    return loss_of(f, m, &((own *)task->own)->forecasts);
}

static lm_json *measured(const lm_task *task)
{
    lm_forecasts *f = &((own *)task->own)->forecasts;
    double auc = lm_forecasts_auc(f);
    lm_json *doc = json_pack("{s:f, s:o*, s:f}", "accuracy", lm_forecasts_accuracy(f), "auc", auc >= 0 ? json_real(auc) : NULL,
                             "calibration_error", lm_forecasts_calibration(f));
    lm_forecasts_clear(f);
    return doc;
}

const lm_objective lm_objective_orm = {
    .name = "orm", .source = "Cobbe et al. 2021, section 4; Lightman et al. 2023, section 2.5",
    .help = "an outcome reward model: right or wrong for a whole answer (\"prompt\", \"completion\", \"label\")",
    .use = "eval orm", .use_option = "data",
    .options = options, .options_size = sizeof(settings), .head = head, .prepare = prepare, .release = release,
    .render = render, .finish = finish, .loss = loss, .measure = measure, .measured = measured,
};
