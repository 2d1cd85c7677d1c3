/* Opening a run: model, adapter, data, optimiser, in the order in which mistakes are cheapest. */
#include "train/trainer.h"

#include "nn/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_CONTEXT = 512 };
static const double LR_FULL = 1e-4, LR_ADAPTER = 1e-3;

/* ---- the model ---- */

static lm_status open_model(lm_trainer *t, lm_err *err)
{
    const lm_train_config *c = t->c;
    if (c->o->load_in && !c->adapter)
        return lm_fail(err, LM_E_USAGE, "--load-in %s: a model in this format is frozen; give --adapter METHOD", c->o->load_in);
    LM_TRY(lm_model_load_in(&t->model, c->o->model, c->o->load_in, c->k, err));
    if (t->model->quant && !c->adapter)
        return lm_fail(err, LM_E_USAGE, "%s: its linears are in %s, which does not train; give --adapter METHOD", c->o->model,
                       t->model->quant->name);
    LM_TRY(lm_tokenizer_load(&t->tokenizer, c->o->model, err));
    int64_t ids = lm_tokenizer_vocab_size(t->tokenizer), rows = t->model->config.vocab_size;
    if (ids > rows)
        return lm_fail(err, LM_E_MISMATCH, "%s: the tokenizer has %lld ids, the model only %lld", c->o->model,
                       (long long)ids, (long long)rows);
    return LM_OK;
}

/* The head that is learnt with, and what trains. */
static lm_status open_trained(lm_trainer *t, lm_err *err)
{
    const lm_train_config *c = t->c;
    t->task = (lm_task){ .objective = c->objective, .options = c->objective_options, .model = t->model,
                         .tokenizer = t->tokenizer, .eos = lm_task_eos(t->model, t->tokenizer), .truncate = c->o->truncate, .seed = (uint64_t)c->o->seed };
    LM_TRY(c->objective->head ? c->objective->head(&t->task, t->model, c->o, err) : lm_model_need_lm_head(t->model, err));
    if (c->adapter) return lm_adapter_new(&t->adapter, t->model, c->adapter, c->adapter_options, (uint64_t)c->o->seed, err);
    lm_params *ps = &t->model->params;
    for (int64_t i = 0; i < ps->n; i++) ps->items[i]->trains = lm_model_uses(t->model, ps->items[i]);
    return LM_OK;
}

static lm_learner learner_of(lm_model *m, lm_adapter *a, const char *prefix)
{
    return (lm_learner){ .trained = a ? &a->params : &m->params, .remembered = a ? &a->state : NULL, .adapter = a, .prefix = prefix };
}

static void list_learners(lm_trainer *t)
{
    const lm_companion *beside = t->task.companion;
    t->learners[0] = learner_of(t->model, t->adapter, "");
    t->learners[1] = (lm_learner){ .trained = t->task.trained, .remembered = t->task.state, .prefix = "" };
    t->learners[2] = beside ? learner_of(beside->model, beside->adapter, "companion.") : (lm_learner){ .prefix = "" };
}

int64_t lm_trainer_parameters(const lm_trainer *t, bool training)
{
    const lm_model *beside = t->task.companion ? t->task.companion->model : NULL;
    int64_t n = 0;
    for (int i = 0; training && i < LM_LEARNERS; i++) n += t->learners[i].trained ? lm_params_count(t->learners[i].trained, true) : 0;
    if (training) return n;
    return lm_params_count(&t->model->params, false) + (beside && beside != t->model ? lm_params_count(&beside->params, false) : 0);
}

static lm_status open_optimizer(lm_trainer *t, lm_err *err)
{
    lm_params *trained[LM_LEARNERS];
    int n = 0;
    for (int i = 0; i < LM_LEARNERS; i++) {
        const lm_learner *l = &t->learners[i];
        if (!l->trained) continue;
        LM_TRY(lm_params_prepare_training(trained[n++] = l->trained, err));
        if (l->adapter && l->adapter->on) lm_adapter_switch(l->adapter, true);       /* aliases of trained modules see their gradients */
    }
    return lm_optim_init_paged(&t->optim, t->c->optimizer, t->c->optimizer_options, trained, n, t->c->o->optim_paged, t->c->k, err);
}

/* ---- the data ---- */

static lm_status choose_context(lm_trainer *t, lm_err *err)
{
    int64_t asked = t->c->o->context, most = lm_model_context(t->model, 0);
    if (asked > most)
        return lm_fail(err, LM_E_USAGE, "--context %lld: the model has positions for %lld tokens%s", (long long)asked, (long long)most,
                       lm_model_virtual(t->model, 0) ? " behind the adapter's own" : "");
    int64_t usual = t->c->objective->splits && most > TEXT_CONTEXT ? TEXT_CONTEXT : most;
    t->context = t->task.context = asked ? asked : usual;
    return LM_OK;
}

static lm_status open_data(lm_trainer *t, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    bool own_file = o->val_data.n > 0;
    if (own_file && o->val_split > 0) return lm_fail(err, LM_E_USAGE, "--val-data and --val-split: give one of them");
    if (o->patience && !own_file && o->val_split <= 0)
        return lm_fail(err, LM_E_USAGE, "--patience needs something to measure on: --val-data or --val-split");
    LM_TRY(lm_corpus_open(t, &t->corpus, &o->data, err));
    LM_TRY(lm_part_split(&t->train, &t->val, &t->corpus.blocks, own_file ? 0 : o->val_split, (uint64_t)o->seed, err));
    if (t->corpus.shares.n) LM_TRY(lm_part_weigh(&t->train, &t->corpus.blocks, &t->corpus.data, &t->corpus.shares, err));
    if (own_file) {
        lm_part none;
        lm_part_free(&t->val);
        LM_TRY(lm_corpus_open(t, &t->val_corpus, &o->val_data, err));
        LM_TRY(lm_part_split(&t->val, &none, &t->val_corpus.blocks, 0, 0, err));
        lm_part_free(&none);
    }
    const lm_corpus *held = own_file ? &t->val_corpus : &t->corpus;
    lm_batcher_init(&t->batches, &t->corpus.data, &t->corpus.blocks, &t->train, o->batch_size, o->shuffle, (uint64_t)o->seed);
    lm_batcher_init(&t->val_batches, &held->data, &held->blocks, &t->val, o->batch_size, false, 0);
    return LM_OK;
}

/* ---- how long, how fast ---- */

/* A number of steps, or a share of all. */
static int64_t count_of(double value, int64_t steps)
{
    double count = value < 1 ? value * (double)steps : value;
    return count >= (double)steps ? steps : (int64_t)llround(count);
}

static void plan_steps(lm_trainer *t)
{
    const lm_train_options *o = t->c->o;
    const lm_rounds *rounds = t->task.objective->rounds;
    t->per_step = rounds ? rounds->prompts(&t->task) : o->batch_size * o->accumulate;
    int64_t steps = o->steps;
    t->n_blocks = steps * t->per_step;
    if (!steps) {
        t->n_blocks = (int64_t)ceil(o->epochs * (double)t->train.n);
        steps = (t->n_blocks + t->per_step - 1) / t->per_step;
    }
    double lr = o->lr > 0 ? o->lr : t->adapter ? LR_ADAPTER : LR_FULL;
    t->schedule = (lm_schedule){ .kind = (lm_schedule_kind)o->schedule, .peak = lr, .floor = o->min_lr, .steps = steps,
                                 .warmup = count_of(o->warmup, steps) };
    t->schedule.decay = count_of(o->decay, steps - t->schedule.warmup);
    t->eval_every = o->eval_every ? o->eval_every : (steps + 9) / 10;
}

static lm_dtype compute_type(const lm_train_config *c)
{
    return c->o->dtype == 0 ? (c->k->bf16_units ? LM_BF16 : LM_F32) : c->o->dtype == 1 ? LM_F32 : LM_BF16;
}

static lm_status open_tape(lm_trainer *t, lm_err *err)
{
    lm_tape_options options = { .compute = compute_type(t->c), .count_only = !t->c->k->computes };
    LM_TRY(lm_tape_init(&t->tape, t->c->k, &options, err));
    t->tape.checkpointing = t->c->o->checkpointing;
    t->tape.keep = (size_t)t->c->o->checkpointing_keep;
    t->tape.deterministic = t->c->o->deterministic;
    t->tape.seed = (uint64_t)t->c->o->seed;
    t->forward = (lm_forward){ .t = &t->tape, .m = t->model };
    return LM_OK;
}

static lm_status open_all(lm_trainer *t, lm_err *err)
{
    LM_TRY(open_model(t, err));
    LM_TRY(open_trained(t, err));
    LM_TRY(choose_context(t, err));
    if (t->task.objective->prepare) LM_TRY(t->task.objective->prepare(&t->task, err));
    LM_TRY(open_data(t, err));
    list_learners(t);
    LM_TRY(open_optimizer(t, err));
    plan_steps(t);
    for (int i = 0; i < LM_LEARNERS; i++) {
        lm_adapter *a = t->learners[i].adapter;
        if (a && a->type->prepare) LM_TRY(a->type->prepare(a, t->schedule.steps, err));
    }
    return open_tape(t, err);
}

lm_status lm_trainer_open(lm_trainer *t, const lm_train_config *config, lm_err *err)
{
    *t = (lm_trainer){ .c = config, .at.best = INFINITY };
    lm_status status = open_all(t, err);
    if (status != LM_OK) lm_trainer_close(t);
    return status;
}

lm_status lm_trainer_open_corpus(lm_trainer *t, const lm_train_config *config, lm_err *err)
{
    *t = (lm_trainer){ .c = config, .at.best = INFINITY };
    lm_status status = open_model(t, err);
    if (status == LM_OK) status = open_trained(t, err);
    if (status == LM_OK) status = choose_context(t, err);
    if (status == LM_OK && t->task.objective->prepare) status = t->task.objective->prepare(&t->task, err);
    if (status == LM_OK) status = lm_corpus_open(t, &t->corpus, &config->o->data, err);
    if (status != LM_OK) lm_trainer_close(t);
    return status;
}

void lm_trainer_close(lm_trainer *t)
{
    if (t->task.objective && t->task.objective->release) t->task.objective->release(&t->task);
    lm_tape_free(&t->tape);
    lm_optim_free(&t->optim);
    lm_batcher_free(&t->batches);
    lm_batcher_free(&t->val_batches);
    lm_part_free(&t->train);
    lm_part_free(&t->val);
    lm_corpus_close(&t->corpus);
    lm_corpus_close(&t->val_corpus);
    lm_tokenizer_free(t->tokenizer);
    lm_adapter_free(t->adapter);
    lm_model_free(t->model);
    *t = (lm_trainer){0};
}
