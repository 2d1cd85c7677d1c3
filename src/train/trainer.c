#include "train/trainer.h"

#include "base/log.h"
#include "base/signal.h"
#include "train/run.h"

#include <math.h>
#include <stdlib.h>

/* ---- one step ---- */

/* "a.jsonl:3, a.jsonl:7, ...": the rows of a micro-batch, for messages.  The caller frees. */
static char *rows_of(const lm_batcher *b, const lm_microbatch *m)
{
    enum { MOST = 8 };
    lm_str rows = {0};
    int64_t shown = 0, last = -1;
    for (int64_t i = 0; i < m->n_blocks; i++)
        for (int64_t p = b->blocks->first[m->blocks[i]]; p < b->blocks->first[m->blocks[i] + 1]; p++) {
            int64_t document = b->blocks->pieces[p].document;
            if (document == last || shown > MOST) continue;
            char *place = lm_document_place(b->data, last = document);
            lm_str_printf(&rows, "%s%s", shown ? ", " : "", shown < MOST ? place : "...");
            free(place);
            shown++;
        }
    return lm_str_take(&rows);
}

static lm_status not_finite(const lm_trainer *t, const char *what, double value, const lm_batcher *b, lm_err *err)
{
    char *rows = b ? rows_of(b, &b->at) : NULL;
    lm_fail(err, LM_E_NUMERIC, "step %lld: the %s is %s%s%s; a lower --lr, or --dtype f32, may help",
            (long long)t->at.step + 1, what, isnan(value) ? "not a number" : "infinite", b ? ", in rows " : "", b ? rows : "");
    free(rows);
    return LM_E_NUMERIC;
}

/* With the penalties of adapters. */
static lm_tensor *penalised(lm_trainer *t, lm_tensor *loss)
{
    for (int i = 0; i < LM_LEARNERS; i++) {
        lm_adapter *a = t->learners[i].adapter;
        lm_tensor *penalty = a && a->type->penalty ? a->type->penalty(&t->tape, a) : NULL;
        if (penalty) loss = lm_add(&t->tape, loss, penalty);
    }
    return loss;
}

/* The loss of a micro-batch as a scalar on the tape, penalties with the first one of a step. */
static lm_tensor *loss_of(lm_trainer *t, const lm_microbatch *m, bool first)
{
    const lm_objective *o = t->task.objective;
    lm_tape_reset(&t->tape);
    t->forward.batch = &m->batch;
    lm_tensor *loss = (o->measure && !t->tape.recording ? o->measure : o->loss)(&t->task, &t->forward, m);
    return first ? penalised(t, loss) : loss;
}

lm_status lm_trainer_collect(lm_trainer *t, lm_microbatch *m, lm_err *err)
{
    if (!t->task.objective->collect) return LM_OK;
    lm_tape_reset(&t->tape);
    t->tape.recording = t->tape.training = false;
    t->forward.batch = &m->batch;
    return t->task.objective->collect(&t->task, &t->forward, m, err);
}

/* Forward and backward over the blocks [begin, end); gradients add up.  Dropout would make another policy of the one
 * that answered: a round does without. */
static lm_status accumulate(lm_trainer *t, lm_batcher *b, int64_t begin, int64_t end, lm_step_report *r, lm_err *err)
{
    const bool rounds = t->task.objective->rounds;
    int64_t size = t->c->o->batch_size, targets = lm_batcher_targets(b, begin, end - begin);
    float weight = 1 / (float)targets, share = 1 / (float)(end - begin);
    for (int64_t at = begin; at < end; at += size) {
        int64_t n = end - at < size ? end - at : size;
        const lm_microbatch *m = lm_batcher_fill(b, at, n, weight, share);
        t->tape.stream = (uint64_t)at << 24;
        if (!rounds) LM_TRY(lm_trainer_collect(t, &b->at, err));
        t->tape.recording = true;
        t->tape.training = !rounds;
        lm_tensor *loss = loss_of(t, m, at == begin);
        double value = lm_scalar(&t->tape, loss);
        if (!isfinite(value)) return not_finite(t, "loss", value, b, err);
        if (lm_backward(&t->tape, loss) != LM_OK) return lm_fail(err, t->tape.err.code, "%s", t->tape.err.message);
        r->loss += value;
        r->tokens += m->batch.n_tokens;
    }
    r->supervised += targets;
    return LM_OK;
}

lm_status lm_trainer_update(lm_trainer *t, lm_batcher *b, int64_t begin, int64_t end, lm_step_report *r, lm_err *err)
{
    double clip = t->c->o->clip;
    for (int i = 0; i < LM_LEARNERS; i++)
        if (t->learners[i].trained) lm_params_zero_grad(t->learners[i].trained);
    LM_TRY(accumulate(t, b, begin, end, r, err));
    double norm = lm_optim_grad_norm(&t->optim);
    if (!isfinite(norm)) return not_finite(t, "gradient's norm", norm, NULL, err);
    t->moved = true;
    lm_optim_update(&t->optim, r->lr, clip > 0 && norm > clip ? clip / norm : 1);
    for (int i = 0; i < LM_LEARNERS; i++) {
        lm_adapter *a = t->learners[i].adapter;
        if (a && a->type->after_step) a->type->after_step(a, t->at.step + 1);
    }
    r->grad_norm += norm;
    t->at.updates++;
    return LM_OK;
}

static lm_status learn(lm_trainer *t, lm_step_report *r, lm_err *err)
{
    int64_t begin = t->at.step * t->per_step, end = begin + t->per_step;
    if (t->task.objective->rounds) return lm_trainer_round(t, r, err);
    if (end > t->n_blocks) end = t->n_blocks;
    return lm_trainer_update(t, &t->batches, begin, end, r, err);
}

lm_status lm_trainer_step(lm_trainer *t, lm_step_report *r, lm_err *err)
{
    double start = lm_now();
    *r = (lm_step_report){ .lr = lm_schedule_at(&t->schedule, t->at.step + 1) };
    t->moved = false;
    lm_status status = learn(t, r, err);
    if (status != LM_OK) {
        lm_step_report_free(r);
        return status;
    }
    r->seconds = lm_now() - start;
    t->moved = false;
    t->at.step++;
    t->at.tokens += r->tokens;
    t->at.supervised += r->supervised;
    t->at.seconds += r->seconds;
    return LM_OK;
}

void lm_step_report_free(lm_step_report *r)
{
    lm_json_free(r->numbers);
    lm_json_free(r->table);
    r->numbers = r->table = NULL;
}

/* ---- measuring ---- */

lm_status lm_trainer_measure(lm_trainer *t, double *loss, lm_json **counted, lm_err *err)
{
    *counted = NULL;
    if (t->task.objective->rounds) return lm_trainer_measure_round(t, loss, counted, err);
    int64_t size = t->c->o->batch_size, targets = lm_batcher_targets(&t->val_batches, 0, t->val.n);
    *loss = 0;
    t->tape.recording = t->tape.training = false;
    for (int64_t at = 0; at < t->val.n; at += size) {
        int64_t n = t->val.n - at < size ? t->val.n - at : size;
        const lm_microbatch *m = lm_batcher_fill(&t->val_batches, at, n, 1 / (float)targets, 1 / (float)t->val.n);
        LM_TRY(lm_trainer_collect(t, &t->val_batches.at, err));
        *loss += lm_scalar(&t->tape, loss_of(t, m, false));
        if (t->tape.err.code) return lm_fail(err, t->tape.err.code, "%s", t->tape.err.message);
    }
    if (t->task.objective->measured) *counted = t->task.objective->measured(&t->task);
    return LM_OK;
}

/* ---- the loop ---- */

static bool due(const lm_trainer *t, int64_t every)
{
    return every && (t->at.step % every == 0 || t->at.step == t->schedule.steps);
}

static bool out_of_patience(const lm_trainer *t)
{
    return t->c->o->patience && t->at.since_best >= t->c->o->patience;
}

static lm_status measure(lm_trainer *t, lm_run *run, lm_err *err)
{
    double start = lm_now(), loss;
    lm_json *counted;
    LM_TRY(lm_trainer_measure(t, &loss, &counted, err));
    bool better = loss < t->at.best;
    t->at.since_best = better ? 0 : t->at.since_best + 1;
    if (better) t->at.best = loss;
    lm_status status = better && t->c->o->patience ? lm_run_save_best(run, err) : LM_OK;
    if (status == LM_OK) status = lm_run_measured(run, loss, counted, lm_now() - start, err);
    lm_json_free(counted);
    return status;
}

static lm_status stopped(const lm_trainer *t, lm_run *run, lm_err *err)
{
    LM_TRY(lm_run_save(run, err));
    return lm_fail(err, LM_E_INTERRUPT, "stopped after step %lld of %lld; the same command with --resume goes on",
                   (long long)t->at.step, (long long)t->schedule.steps);
}

/* What a failure leaves: the weights of the last step, kept unless they are what is wrong. */
static void leave(lm_trainer *t, lm_run *run, lm_status status)
{
    if (status == LM_E_INTERRUPT) return;
    if (t->astray) {
        lm_run_fall_back(run);
        return;
    }
    if (status != LM_E_NUMERIC && !t->moved && t->at.step) lm_run_save(run, NULL);
    if (run->saved >= 0) lm_log(LM_LOG_WARN, "the checkpoint of step %lld in %s stands", (long long)run->saved, run->checkpoints);
    else lm_log(LM_LOG_WARN, "there was no checkpoint yet");
}

static lm_status loop(lm_trainer *t, lm_run *run, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    if (lm_run_finished(run)) return LM_OK;
    while (t->at.step < t->schedule.steps && !out_of_patience(t)) {
        lm_step_report report;
        LM_TRY(lm_trainer_step(t, &report, err));
        lm_status logged = lm_run_step(run, &report, err);
        lm_step_report_free(&report);
        LM_TRY(logged);
        if (t->val.n && due(t, t->eval_every)) LM_TRY(measure(t, run, err));
        if (lm_interrupted() && t->at.step < t->schedule.steps) return stopped(t, run, err);
        if (o->save_every && t->at.step % o->save_every == 0) LM_TRY(lm_run_save(run, err));
    }
    if (o->patience && t->at.since_best) LM_TRY(lm_run_restore_best(run, err));
    return lm_run_finish(run, err);
}

lm_status lm_trainer_run(lm_trainer *t, lm_err *err)
{
    lm_run run;
    lm_status status = lm_run_open(&run, t, err);
    if (status == LM_OK) {
        status = loop(t, &run, err);
        if (status != LM_OK) leave(t, &run, status);
    }
    lm_run_close(&run);
    return status;
}
