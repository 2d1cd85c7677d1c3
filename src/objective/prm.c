/* A process reward model: a head for every token learns at each step's last one whether the step is right.
 *
 *   loss = - 1/n sum_i log softmax(W h_t(i) + b)[y_i]       over the n labelled steps of a step of training
 *
 * Labels are negative and positive (0, 1), or negative, neutral and positive (0, 1, 2).  The folder is transformers'
 * *ForTokenClassification, as TRL's PRMTrainer saved it; rows and their tokens are described in objective/steps.h.
 * config.json keeps what separates steps ("step_separator").
 *
 * Sources: Uesato et al. 2022, "Solving math word problems with process- and outcome-based feedback", section 2.3;
 * Lightman et al. 2023, "Let's Verify Step by Step", sections 2.4 and 2.6. */
#include "objective/learnt.h"
#include "objective/steps.h"

#include "nn/head.h"
#include "train/options.h"

#include <math.h>
#include <stdlib.h>

enum { AS_POSITIVE, AS_LABEL, LEFT_OUT };
static const char *const neutrals[] = { "positive", "label", "skip", NULL };

typedef struct settings {
    lm_step_fields fields;
    const char *template;
    int neutral;
    bool last_only;
} settings;

static const lm_option options[] = {
    LM_OPTION_STEPS(settings),
    LM_OPTION(CHOICE, settings, neutral, "neutral", .fallback = "positive", .choices = neutrals, .help = "what a neutral step is learnt as; label: a third label"),
    LM_OPTION(FLAG, settings, last_only, "last-step-only", .help = "learn the label of a solution's last step alone"),
    LM_OPTION(STRING, settings, template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's"),
    { 0 },
};

typedef struct own {
    lm_str separator;
    lm_answers *chats;
    lm_step_tally tally;                                 /* of a measurement */
} own;

/* ---- the head ---- */

static void keep_separator(lm_model *model, const settings *s)
{
    lm_str separator = {0};
    lm_step_separator(&separator, model, s->fields.separator);
    json_object_set_new(model->config_json, "step_separator", json_stringn(separator.data, separator.len));
    lm_str_free(&separator);
}

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    static char *names[] = { "negative", "positive" }, *three[] = { "negative", "neutral", "positive" };
    const settings *s = task->options;
    int n = s->neutral == AS_LABEL ? 3 : 2;
    if (model->score) LM_TRY(lm_model_need_token_labels(model, err));
    else LM_TRY(lm_model_label_tokens(model, &(lm_strings){ n == 3 ? three : names, n }, (uint64_t)o->seed, err));
    if (model->labels.n < 2 || model->labels.n > 3)
        return lm_fail(err, LM_E_USAGE, "%s: its head has %d labels, expected 2 or 3", model->path, model->labels.n);
    keep_separator(model, s);
    return LM_OK;
}

static lm_status prepare(lm_task *task, lm_err *err)
{
    const settings *s = task->options;
    own *w = task->own = lm_calloc(1, sizeof *w);
    w->tally.threshold = 0.5;
    lm_step_separator(&w->separator, task->model, s->fields.separator);
    return lm_answers_open(&w->chats, task, s->template, err);
}

static void release(lm_task *task)
{
    own *w = task->own;
    task->own = NULL;
    if (!w) return;
    lm_step_tally_free(&w->tally);
    lm_answers_close(w->chats);
    lm_str_free(&w->separator);
    free(w);
}

static lm_status finish(const lm_task *task, const char *out, lm_err *err) { return lm_answers_finish(((const own *)task->own)->chats, out, err); }

/* ---- rows ---- */

/* The head's label of a step, or -1 where none is learnt. */
static int lesson_of(const lm_task *task, lm_step_label label)
{
    const settings *s = task->options;
    if (label == LM_STEP_UNLABELLED || (label == LM_STEP_NEUTRAL && s->neutral == LEFT_OUT)) return -1;
    return task->model->labels.n == 3 ? (int)label : label != LM_STEP_NEGATIVE;
}

/* One token more than the solution has: the label of its last one stands in that place. */
static lm_status put(const lm_task *task, lm_example *out, const lm_solution *steps, const int64_t *ends, lm_ids *ids, lm_err *err)
{
    const settings *s = task->options;
    const int32_t anything = 0;
    int64_t learnt = 0;
    LM_TRY(lm_task_fit(task, out, ids, err));
    lm_example_put(out, ids->data, ids->len, false);
    lm_example_put(out, &anything, 1, false);
    for (int64_t i = s->last_only ? steps->n - 1 : 0; i < steps->n; i++) {
        int lesson = lesson_of(task, steps->label[i]);
        if (lesson < 0 || ends[i] >= (int64_t)ids->len) continue;
        lm_example_label(out, (size_t)ends[i] + 1, lesson);
        learnt++;
    }
    return learnt ? LM_OK : lm_fail(err, LM_E_FORMAT, "no labelled step%s", out->lost ? " is left after truncation" : "");
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *s = task->options;
    const own *w = task->own;
    const lm_span separator = lm_span_of(w->separator.data, w->separator.len);
    lm_solution steps = {0};
    int64_t *ends = NULL;
    lm_status status = lm_solution_read(&steps, &s->fields, separator, row, true, err);
    if (status == LM_OK) {
        ends = lm_malloc((size_t)steps.n * sizeof *ends);
        status = lm_solution_encode(ids, ends, &steps, separator, w->chats, encoder, err);
    }
    if (status == LM_OK) status = put(task, out, &steps, ends, ids, err);
    free(ends);
    lm_solution_free(&steps);
    return status;
}

/* ---- the loss ---- */

typedef struct lessons {
    const lm_microbatch *m;
    const lm_learnt *steps;
    int64_t labels;
    lm_step_tally *tally;                                /* NULL unless it is to be counted */
} lessons;

/* One step: -log softmax(x)[y], and its slope. */
static double cost(const float *x, float *slope, int64_t labels, int32_t y, double weight)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < labels; j++) most = fmax(most, (double)x[j]);
    for (int64_t j = 0; j < labels; j++) sum += exp((double)x[j] - most);
    for (int64_t j = 0; j < labels; j++) slope[j] += (float)(weight * (exp((double)x[j] - most) / sum - (j == y)));
    return weight * (log(sum) + most - (double)x[y]);
}

static void count(const lessons *l, const float *x, int64_t solution)
{
    int64_t begin = l->steps->begin[solution], n = l->steps->begin[solution + 1] - begin;
    double p[n];
    lm_step_label label[n];
    for (int64_t i = 0; i < n; i++) {
        int32_t lesson = l->steps->targets[begin + i];
        p[i] = lm_step_probability(x + (begin + i) * l->labels, l->labels);
        label[i] = l->labels == 3 ? (lm_step_label)lesson : lesson ? LM_STEP_POSITIVE : LM_STEP_NEGATIVE;
    }
    lm_step_tally_add(l->tally, p, label, n);
}

static double costs(const void *context, const float *x, float *slope, int64_t n)
{
    const lessons *l = context;
    double sum = 0;
    for (int64_t i = 0; i < n / l->labels; i++)
        sum += cost(x + i * l->labels, slope + i * l->labels, l->labels, l->steps->targets[i], (double)l->m->weights[l->steps->rows[i]]);
    for (int64_t s = 0; l->tally && s < l->steps->sequences; s++) count(l, x, s);
    return sum;
}

static lm_tensor *loss_of(const lm_forward *f, const lm_microbatch *m, lm_step_tally *tally)
{
    lm_tensor *hidden = lm_model_forward(f);
    const lm_learnt *steps = lm_learnt_of(f->t, m);
    lessons *l = lm_tape_meta(f->t, sizeof *l);
    if (f->t->err.code) return &f->t->dead;
    *l = (lessons){ .m = m, .steps = steps, .labels = f->m->labels.n, .tally = tally };
    return lm_by_hand(f->t, lm_model_scores(f, lm_gather_rows(f->t, hidden, lm_learnt_index(f->t, steps))), costs, l);
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return loss_of(f, m, NULL);
}

static lm_tensor *measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    return loss_of(f, m, &((own *)task->own)->tally);
}

static lm_json *measured(const lm_task *task)
{
    lm_json *all = lm_step_tally_take(&((own *)task->own)->tally), *doc = json_object();
    static const char *const shown[] = { "step_accuracy", "first_error_accuracy", NULL };
    for (const char *const *name = shown; *name; name++) json_object_set(doc, *name, json_object_get(all, *name));
    lm_json_free(all);
    return doc;
}

const lm_objective lm_objective_prm = {
    .name = "prm", .source = "Uesato et al. 2022, section 2.3; Lightman et al. 2023, section 2.6",
    .help = "a process reward model: right or wrong for every step of a solution (\"prompt\", \"completions\", \"labels\")",
    .use = "eval prm", .use_option = "data",
    .options = options, .options_size = sizeof(settings), .head = head, .prepare = prepare, .release = release,
    .render = render, .finish = finish, .loss = loss, .measure = measure, .measured = measured,
};
