/* The loss of compared sequences; rows are read in compare_rows.c. */
#include "objective/compare.h"

#include "nn/adapter.h"
#include "nn/head.h"

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
    lm_model *reference;                     /* a mapped copy where every weight trains; else NULL */
    memory memory[2];                        /* of the training data and of data of its own to measure on */
    struct counted {
        int64_t rows, right;
        double margin;
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
    if (!c->how->refers || task->model->adapters) return LM_OK;
    return lm_model_load(&c->reference, task->model->path, task->model->params.k, err);
}

void lm_comparer_release(lm_task *task)
{
    lm_comparer *c = task->own;
    task->own = NULL;
    if (!c) return;
    lm_answers_close(c->answers);
    lm_model_free(c->reference);
    for (int i = 0; i < 2; i++) free(c->memory[i].logp);
    free(c);
}

lm_status lm_comparer_finish(const lm_task *task, const char *out, lm_err *err)
{
    return lm_answers_finish(((const lm_comparer *)task->own)->answers, out, err);
}

lm_answers *lm_comparer_answers(const lm_task *task) { return ((const lm_comparer *)task->own)->answers; }

/* ---- the learnt tokens of a micro-batch ------------------------------------------------ */

/* They stand together, sequence after sequence: only their rows meet the head. */
typedef struct learnt {
    const lm_comparer *c;
    const void *options;
    const lm_microbatch *m;
    const double *ref;                       /* [n_segments] */
    int64_t *begin;                          /* [n_segments + 1] tokens of sequence s: begin[s] .. begin[s + 1] */
    int32_t *rows, *targets;                 /* [m->n_targets] */
    struct counted *counted;                 /* NULL unless it is to be counted */
} learnt;

/* On the tape, with which it lives. */
static learnt *gather(const lm_task *task, lm_tape *t, const lm_microbatch *m)
{
    int64_t sequences = m->batch.n_segments, at = 0;
    learnt *l = lm_tape_meta(t, sizeof *l);
    int64_t *begin = lm_tape_meta(t, (size_t)(sequences + 1) * sizeof *begin);
    int32_t *rows = lm_tape_meta(t, (size_t)m->n_targets * sizeof *rows), *targets = lm_tape_meta(t, (size_t)m->n_targets * sizeof *targets);
    if (t->err.code) return NULL;
    *l = (learnt){ .c = task->own, .options = task->options, .m = m, .begin = begin, .rows = rows, .targets = targets };
    for (int64_t s = 0; s < sequences; s++) {
        const lm_segment *seg = &m->batch.segments[s];
        begin[s] = at;
        for (int64_t i = seg->q0; i < seg->q0 + seg->nq; i++)
            if (m->targets[i] >= 0) rows[at] = (int32_t)i, targets[at++] = m->targets[i];
    }
    begin[sequences] = at;
    return l;
}

/* -log p of each learnt token [n_targets], or the score of each sequence. */
static lm_tensor *numbers(const lm_forward *f, const learnt *l)
{
    lm_tensor *hidden = lm_model_forward(f), *index = lm_input(f->t, l->rows, LM_I32, 1, &l->m->n_targets);
    return l->c->how->scores ? lm_model_scores(f, lm_gather_rows(f->t, hidden, index)) : lm_model_costs(f, hidden, index, l->targets);
}

static double sign(const learnt *l) { return l->c->how->scores ? 1 : -1; }

static double sum_of(const float *x, const learnt *l, int64_t sequence)
{
    double sum = 0;
    for (int64_t i = l->begin[sequence]; i < l->begin[sequence + 1]; i++) sum += (double)x[i];
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

static void switch_adapters(lm_model *m, bool on)
{
    for (lm_adapter *a = m->adapters; a; a = a->next) lm_adapter_switch(a, on);
}

lm_status lm_comparer_collect(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err)
{
    lm_comparer *c = task->own;
    if (!c->how->refers || !f->t->k->computes) return LM_OK;
    double *logp = remembered(c, m->data);
    bool known = true;
    for (int64_t s = 0; s < m->batch.n_segments; s++) known &= !isnan(logp[m->documents[s]]);
    if (known) return LM_OK;

    lm_forward reference = *f;
    if (c->reference) reference.m = c->reference;
    else switch_adapters(f->m, false);
    const learnt *l = gather(task, f->t, m);
    const lm_tensor *cost = l ? numbers(&reference, l) : NULL;
    if (!c->reference) switch_adapters(f->m, true);
    if (f->t->err.code) return lm_fail(err, f->t->err.code, "%s", f->t->err.message);

    float *host = lm_malloc((size_t)m->n_targets * sizeof *host);
    f->t->k->copy(host, cost->data, m->n_targets * (int64_t)sizeof *host);
    for (int64_t s = 0; s < m->batch.n_segments; s++) logp[m->documents[s]] = sum_of(host, l, s);
    free(host);
    return LM_OK;
}

/* ---- the loss ----------------------------------------------------------------------------- */

/* The best answer stands first, the worst last. */
static void count(struct counted *counted, const learnt *l, const lm_compared *c)
{
    const lm_comparison *how = l->c->how;
    double margin = how->reward(l->options, c, 0) - how->reward(l->options, c, c->n - 1);
    counted->rows++;
    counted->right += margin > 0;
    counted->margin += margin;
}

/* One row: sequences [first, first + n) of the micro-batch.  slope is that of the numbers x. */
static double row_loss(const learnt *l, const float *x, float *slope, int64_t first, int64_t n)
{
    double logp[n], ref[n], d[n];
    int64_t length[n];
    float value[n];
    for (int64_t i = 0; i < n; i++) {
        int32_t document = l->m->documents[first + i];
        logp[i] = sum_of(x, l, first + i);
        ref[i] = l->ref ? l->ref[document] : 0;
        d[i] = 0;
        length[i] = l->begin[first + i + 1] - l->begin[first + i];
        value[i] = l->m->data->documents[document].value;
    }
    const lm_compared c = { .n = n, .logp = logp, .ref = ref, .length = length, .value = value };
    double loss = l->c->how->loss(l->options, &c, d);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = l->begin[first + i]; j < l->begin[first + i + 1]; j++) slope[j] += l->m->share * (float)(sign(l) * d[i]);
    if (l->counted) count(l->counted, l, &c);
    return loss;
}

static double rows_loss(const void *context, const float *x, float *slope, int64_t n)
{
    const learnt *l = context;
    double sum = 0;
    (void)n;
    for (int64_t b = 0; b < l->m->n_blocks; b++) sum += row_loss(l, x, slope, l->m->first[b], l->m->first[b + 1] - l->m->first[b]);
    return (double)l->m->share * sum;
}

static lm_tensor *loss_of(const lm_task *task, const lm_forward *f, const lm_microbatch *m, bool counts)
{
    lm_comparer *c = task->own;
    learnt *l = gather(task, f->t, m);
    if (!l) return &f->t->dead;
    if (c->how->refers && f->t->k->computes) l->ref = remembered(c, m->data);
    if (counts) l->counted = &c->counted;
    return lm_by_hand(f->t, numbers(f, l), rows_loss, l);
}

lm_tensor *lm_comparer_loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, false); }
lm_tensor *lm_comparer_measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m) { return loss_of(task, f, m, true); }

lm_json *lm_comparer_measured(const lm_task *task)
{
    struct counted *n = &((lm_comparer *)task->own)->counted;
    double rows = n->rows ? (double)n->rows : 1;
    lm_json *doc = json_pack("{s:f, s:f}", "accuracy", (double)n->right / rows, "margin", n->margin / rows);
    *n = (struct counted){0};
    return doc;
}
