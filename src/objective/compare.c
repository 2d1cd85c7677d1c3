/* The loss of compared sequences; rows are read in compare_rows.c. */
#include "objective/compare.h"

#include "data/forecast.h"
#include "nn/head.h"
#include "objective/learnt.h"
#include "objective/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the reference gave the documents of a data set; NaN: not asked yet. */
typedef struct memory {
    const lm_dataset *data;
    double *logp;
} memory;

/* What a measurement counts, for each criterion of a model of scores. */
typedef struct counted {
    int64_t rows, right, n[2];               /* n and reward: of better or good answers, of worse or bad ones */
    double reward[2];
    lm_forecasts forecasts;                  /* how surely scores prefer an answer, and whether rightly */
} counted;

typedef struct lm_comparer {
    const lm_comparison *how;
    lm_answers *answers;
    lm_reference reference;                  /* where it is needed */
    memory memory[2];                        /* of the training data and of data of its own to measure on */
    double kl;                               /* of the micro-batch at hand */
    counted *counted;                        /* [criteria] */
    int criteria;
} lm_comparer;

double lm_log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
double lm_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

lm_status lm_comparer_prepare(lm_task *task, lm_err *err)
{
    const lm_compare_options *o = task->options;
    lm_comparer *c = task->own = lm_calloc(1, sizeof *c);
    c->how = task->objective->method;
    c->criteria = c->how->scores && task->model->labels.n > 1 ? task->model->labels.n : 1;
    c->counted = lm_calloc((size_t)c->criteria, sizeof *c->counted);
    if (c->how->check) LM_TRY(c->how->check(task->options, err));
    LM_TRY(lm_answers_open(&c->answers, task, o->template, err));
    return c->how->refers ? lm_reference_open(&c->reference, task->model, err) : LM_OK;
}

void lm_comparer_release(lm_task *task)
{
    lm_comparer *c = task->own;
    task->own = NULL;
    if (!c) return;
    lm_answers_close(c->answers);
    lm_reference_close(&c->reference);
    for (int i = 0; i < 2; i++) free(c->memory[i].logp);
    for (int i = 0; i < c->criteria; i++) lm_forecasts_free(&c->counted[i].forecasts);
    free(c->counted);
    free(c);
}

lm_status lm_comparer_finish(const lm_task *task, const char *out, lm_err *err)
{
    return lm_answers_finish(((const lm_comparer *)task->own)->answers, out, err);
}

lm_answers *lm_comparer_answers(const lm_task *task) { return ((const lm_comparer *)task->own)->answers; }

/* ---- the numbers of a micro-batch ------------------------------------------------------ */

typedef struct lessons {
    const lm_comparer *c;
    const void *options;
    const lm_microbatch *m;
    const lm_learnt *tokens;                 /* whose log-probabilities count, or which are scored */
    const double *ref;                       /* [documents] */
    bool counts;
} lessons;

/* On the tape, with which it lives. */
static lessons *gather(const lm_task *task, lm_tape *t, const lm_microbatch *m)
{
    const lm_comparer *c = task->own;
    const lm_learnt *tokens = lm_learnt_of(t, m);
    if (c->how->scores) tokens = lm_learnt_last(t, tokens);
    lessons *l = lm_tape_meta(t, sizeof *l);
    if (t->err.code) return NULL;
    *l = (lessons){ .c = c, .options = task->options, .m = m, .tokens = tokens };
    return l;
}

/* -log p of each learnt token [n], or the scores of each sequence [n, criteria]. */
static lm_tensor *numbers(const lm_forward *f, const lessons *l, lm_tensor *hidden)
{
    lm_tensor *index = lm_learnt_index(f->t, l->tokens);
    return l->c->how->scores ? lm_model_scores(f, lm_gather_rows(f->t, hidden, index)) : lm_model_costs(f, hidden, index, l->tokens->targets, NULL);
}

/* The numbers of a sequence: sign times the sum of x[begin .. end). */
typedef struct span {
    int64_t begin, end, sign;
} span;

static span span_of(const lessons *l, int64_t sequence)
{
    const lm_learnt *t = l->tokens;
    if (!l->c->how->scores) return (span){ t->begin[sequence], t->begin[sequence + 1], -1 };
    int64_t score = sequence * l->c->criteria + t->targets[sequence];
    return (span){ score, score + 1, 1 };
}

static double sum_of(const float *x, const lessons *l, int64_t sequence)
{
    const span s = span_of(l, sequence);
    double sum = 0;
    for (int64_t i = s.begin; i < s.end; i++) sum += (double)x[i];
    return (double)s.sign * sum;
}

/* ---- the reference ------------------------------------------------------------------------ */

static double *remembered(lm_comparer *c, const lm_dataset *data)
{
    memory *m = !c->memory[0].data || c->memory[0].data == data ? &c->memory[0] : &c->memory[1];
    if (m->data) return m->logp;
    m->data = data;
    m->logp = lm_malloc((size_t)data->n * sizeof *m->logp);
    for (int64_t i = 0; i < data->n; i++) m->logp[i] = NAN;
    return m->logp;
}

/* log p of each sequence of m, by the model or by its reference. */
static lm_status ask(double *logp, const lm_task *task, const lm_forward *f, const lm_microbatch *m, bool reference, lm_err *err)
{
    const lm_reference *r = &((lm_comparer *)task->own)->reference;
    lm_tape_reset(f->t);
    lm_forward asked = reference ? lm_reference_enter(r, f) : *f;
    asked.batch = &m->batch;
    const lessons *l = gather(task, f->t, m);
    const lm_tensor *cost = l ? numbers(&asked, l, lm_model_forward(&asked)) : NULL;
    if (reference) lm_reference_leave(r, f);
    if (f->t->err.code) return lm_fail(err, f->t->err.code, "%s", f->t->err.message);

    float *host = lm_malloc((size_t)m->n_targets * sizeof *host);
    f->t->k->copy(host, cost->data, m->n_targets * (int64_t)sizeof *host);
    for (int64_t s = 0; s < m->batch.n_segments; s++) logp[s] = sum_of(host, l, s);
    free(host);
    return LM_OK;
}

static lm_status ask_reference(const lm_task *task, const lm_forward *f, const lm_microbatch *m, lm_err *err)
{
    double *known = remembered(task->own, m->data);
    int64_t n = m->batch.n_segments, unknown = 0;
    for (int64_t s = 0; s < n; s++) unknown += isnan(known[m->documents[s]]);
    if (!unknown) return LM_OK;
    double *logp = lm_malloc((size_t)n * sizeof *logp);
    lm_status status = ask(logp, task, f, m, true, err);
    for (int64_t s = 0; s < n && status == LM_OK; s++) known[m->documents[s]] = logp[s];
    free(logp);
    return status;
}

static lm_status estimate_kl(const lm_task *task, const lm_forward *f, const lm_microbatch *m, lm_err *err)
{
    lm_mismatched other;
    int64_t n = m->batch.n_segments;
    double *logp = lm_malloc(2 * (size_t)n * sizeof *logp), *ref = logp + n, sum = 0;
    lm_mismatched_make(&other, m, task->context);
    lm_status status = ask(logp, task, f, &other.m, false, err);
    if (status == LM_OK) status = ask(ref, task, f, &other.m, true, err);
    for (int64_t s = 0; s < n && status == LM_OK; s++) sum += (logp[s] - ref[s]) / (double)n;
    ((lm_comparer *)task->own)->kl = sum > 0 ? sum : 0;
    lm_mismatched_free(&other);
    free(logp);
    return status;
}

lm_status lm_comparer_collect(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err)
{
    const lm_comparison *how = task->objective->method;
    if (!f->t->k->computes) return LM_OK;
    if (how->refers) LM_TRY(ask_reference(task, f, m, err));
    return how->needs_kl && how->needs_kl(task->options) ? estimate_kl(task, f, m, err) : LM_OK;
}

/* ---- the loss ----------------------------------------------------------------------------- */

static void count_one(counted *all, double reward, bool worse)
{
    all->n[worse]++;
    all->reward[worse] += reward;
}

/* The best answer stands first, the worst last; one that stands alone is good or bad. */
static void count(counted *all, const lessons *l, const lm_compared *c)
{
    const lm_comparison *how = l->c->how;
    double first = how->reward(l->options, c, 0), last = how->reward(l->options, c, c->n - 1);
    bool bad = how->alone && c->value[0] <= 0;
    all->rows++;
    all->right += how->alone ? (bad ? first < 0 : first > 0) : first > last;
    count_one(all, first, bad);
    if (!how->alone) count_one(all, last, true);
    if (how->scores) lm_forecasts_add(&all->forecasts, lm_sigmoid(fabs(first - last)), first > last);
}

/* One row: sequences [first, first + n) of the micro-batch.  slope is that of the numbers x. */
static double row_loss(const lessons *l, const float *x, float *slope, int64_t first, int64_t n)
{
    double logp[n], ref[n], d[n];
    int64_t length[n];
    float value[n];
    for (int64_t i = 0; i < n; i++) {
        int32_t document = l->m->documents[first + i];
        logp[i] = sum_of(x, l, first + i);
        ref[i] = l->ref ? l->ref[document] : 0;
        d[i] = 0;
        length[i] = l->tokens->begin[first + i + 1] - l->tokens->begin[first + i];
        value[i] = l->m->data->documents[document].value;
    }
    const lm_compared c = { .n = n, .logp = logp, .ref = ref, .length = length, .value = value, .kl = l->c->kl };
    double loss = l->c->how->loss(l->options, &c, d);
    for (int64_t i = 0; i < n; i++) {
        const span s = span_of(l, first + i);
        for (int64_t j = s.begin; j < s.end; j++) slope[j] += l->m->share * (float)((double)s.sign * d[i]);
    }
    if (l->counts) count(&l->c->counted[l->c->criteria > 1 ? l->tokens->targets[first] : 0], l, &c);
    return loss;
}

static double rows_loss(const void *context, const float *x, float *slope, int64_t n)
{
    const lessons *l = context;
    double sum = 0;
    (void)n;
    for (int64_t b = 0; b < l->m->n_blocks; b++) sum += row_loss(l, x, slope, l->m->first[b], l->m->first[b + 1] - l->m->first[b]);
    return (double)l->m->share * sum;
}

/* Beside the scores: w / |y| times -log p of each token of the best answers, which alone have lessons but for the
 * last, their score's. */
static lm_tensor *learn_tokens(const lm_forward *f, const lm_microbatch *m, lm_tensor *hidden, double w)
{
    const lm_learnt *l = lm_learnt_of(f->t, m);
    size_t n = (size_t)m->batch.n_tokens;
    int32_t *targets = lm_tape_meta(f->t, n * sizeof *targets);
    float *weights = lm_tape_meta(f->t, n * sizeof *weights);
    if (f->t->err.code) return &f->t->dead;
    for (size_t i = 0; i < n; i++) targets[i] = -1, weights[i] = 0;
    for (int64_t s = 0; s < l->sequences; s++) {
        int64_t tokens = l->begin[s + 1] - l->begin[s] - 1;
        for (int64_t i = l->begin[s]; i < l->begin[s] + tokens; i++) {
            targets[l->rows[i]] = l->targets[i];
            weights[l->rows[i]] = m->share * (float)(w / (double)tokens);
        }
    }
    return lm_model_loss(f, hidden, targets, &(lm_cross_entropy_options){ .weights = weights });
}

static lm_tensor *loss_of(const lm_task *task, const lm_forward *f, const lm_microbatch *m, bool counts)
{
    lm_comparer *c = task->own;
    lessons *l = gather(task, f->t, m);
    if (!l) return &f->t->dead;
    if (c->how->refers && f->t->k->computes) l->ref = remembered(c, m->data);
    l->counts = counts;
    double weight = c->how->lm_weight ? c->how->lm_weight(task->options) : 0;
    lm_tensor *hidden = lm_model_forward(f), *loss = lm_by_hand(f->t, numbers(f, l, hidden), rows_loss, l);
    return weight > 0 ? lm_add(f->t, learn_tokens(f, m, hidden, weight), loss) : loss;
}

lm_tensor *lm_comparer_loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, false); }
lm_tensor *lm_comparer_measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, true); }

static double mean(double sum, int64_t n) { return n ? sum / (double)n : 0; }

static double margin(const counted *n) { return mean(n->reward[0], n->n[0]) - mean(n->reward[1], n->n[1]); }

/* Into `all`, which becomes the sum of what was counted; the criterion's own numbers under its name. */
static void put_criterion(lm_json *doc, counted *all, const counted *n, const char *name)
{
    lm_str key = {0};
    lm_str_printf(&key, "accuracy_%s", name);
    json_object_set_new(doc, key.data, json_real(mean((double)n->right, n->rows)));
    lm_str_clear(&key);
    lm_str_printf(&key, "margin_%s", name);
    json_object_set_new(doc, key.data, json_real(margin(n)));
    lm_str_free(&key);
    all->rows += n->rows, all->right += n->right;
    for (int i = 0; i < 2; i++) all->n[i] += n->n[i], all->reward[i] += n->reward[i];
    for (int64_t i = 0; i < n->forecasts.n; i++) lm_forecasts_add(&all->forecasts, n->forecasts.items[i].p, n->forecasts.items[i].came_true);
}

static void forget(counted *n)
{
    lm_forecasts_free(&n->forecasts);
    *n = (counted){0};
}

lm_json *lm_comparer_measured(const lm_task *task)
{
    lm_comparer *c = task->own;
    lm_json *doc = json_object(), *parts = json_object();
    counted sum = {0}, *all = c->criteria > 1 ? &sum : c->counted;
    for (int i = 0; c->criteria > 1 && i < c->criteria; i++) put_criterion(parts, &sum, &c->counted[i], task->model->labels.items[i]);
    json_object_set_new(doc, "accuracy", json_real(mean((double)all->right, all->rows)));
    json_object_set_new(doc, "margin", json_real(margin(all)));
    if (c->how->scores) json_object_set_new(doc, "calibration_error", json_real(lm_forecasts_calibration(&all->forecasts)));
    json_object_update_new(doc, parts);
    for (int i = 0; i < c->criteria; i++) forget(&c->counted[i]);
    forget(&sum);
    return doc;
}
