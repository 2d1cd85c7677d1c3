/* The loss of compared sequences; rows are read in compare_rows.c. */
#include "objective/compare.h"

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

typedef struct lm_comparer {
    const lm_comparison *how;
    lm_answers *answers;
    lm_reference reference;                  /* where it is needed */
    memory memory[2];                        /* of the training data and of data of its own to measure on */
    double kl;                               /* of the micro-batch at hand */
    struct counted {
        int64_t rows, right, n[2];           /* n and reward: of better or good answers, of worse or bad ones */
        double reward[2];
    } counted;                               /* by a measurement */
} lm_comparer;

double lm_log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
double lm_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

lm_status lm_comparer_prepare(lm_task *task, lm_err *err)
{
    const lm_compare_options *o = task->options;
    lm_comparer *c = task->own = lm_calloc(1, sizeof *c);
    c->how = task->objective->method;
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
    const lm_learnt *tokens;
    const double *ref;                       /* [documents] */
    struct counted *counted;                 /* NULL unless it is to be counted */
} lessons;

/* On the tape, with which it lives. */
static lessons *gather(const lm_task *task, lm_tape *t, const lm_microbatch *m)
{
    const lm_learnt *tokens = lm_learnt_of(t, m);
    lessons *l = lm_tape_meta(t, sizeof *l);
    if (t->err.code) return NULL;
    *l = (lessons){ .c = task->own, .options = task->options, .m = m, .tokens = tokens };
    return l;
}

/* -log p of each learnt token [n_targets], or the score of each sequence. */
static lm_tensor *numbers(const lm_forward *f, const lessons *l)
{
    lm_tensor *hidden = lm_model_forward(f), *index = lm_learnt_index(f->t, l->tokens);
    return l->c->how->scores ? lm_model_scores(f, lm_gather_rows(f->t, hidden, index)) : lm_model_costs(f, hidden, index, l->tokens->targets);
}

static double sign(const lessons *l) { return l->c->how->scores ? 1 : -1; }

static double sum_of(const float *x, const lessons *l, int64_t sequence)
{
    double sum = 0;
    for (int64_t i = l->tokens->begin[sequence]; i < l->tokens->begin[sequence + 1]; i++) sum += (double)x[i];
    return sign(l) * sum;
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
    const lm_tensor *cost = l ? numbers(&asked, l) : NULL;
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

static void count_one(struct counted *counted, double reward, bool worse)
{
    counted->n[worse]++;
    counted->reward[worse] += reward;
}

/* The best answer stands first, the worst last; one that stands alone is good or bad. */
static void count(struct counted *counted, const lessons *l, const lm_compared *c)
{
    const lm_comparison *how = l->c->how;
    double first = how->reward(l->options, c, 0), last = how->reward(l->options, c, c->n - 1);
    bool bad = how->alone && c->value[0] <= 0;
    counted->rows++;
    counted->right += how->alone ? (bad ? first < 0 : first > 0) : first > last;
    count_one(counted, first, bad);
    if (!how->alone) count_one(counted, last, true);
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
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = l->tokens->begin[first + i]; j < l->tokens->begin[first + i + 1]; j++) slope[j] += l->m->share * (float)(sign(l) * d[i]);
    if (l->counted) count(l->counted, l, &c);
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

static lm_tensor *loss_of(const lm_task *task, const lm_forward *f, const lm_microbatch *m, bool counts)
{
    lm_comparer *c = task->own;
    lessons *l = gather(task, f->t, m);
    if (!l) return &f->t->dead;
    if (c->how->refers && f->t->k->computes) l->ref = remembered(c, m->data);
    if (counts) l->counted = &c->counted;
    return lm_by_hand(f->t, numbers(f, l), rows_loss, l);
}

lm_tensor *lm_comparer_loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, false); }
lm_tensor *lm_comparer_measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, true); }

static double mean(double sum, int64_t n) { return n ? sum / (double)n : 0; }

lm_json *lm_comparer_measured(const lm_task *task)
{
    struct counted *n = &((lm_comparer *)task->own)->counted;
    lm_json *doc = json_pack("{s:f, s:f}", "accuracy", mean((double)n->right, n->rows), "margin",
                             mean(n->reward[0], n->n[0]) - mean(n->reward[1], n->n[1]));
    *n = (struct counted){0};
    return doc;
}
