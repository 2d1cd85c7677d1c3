#include "train/plan.h"

#include "backend/backend.h"
#include "base/memory.h"

static void part(lm_plan *p, const char *name, const char *what, size_t bytes)
{
    LM_ASSERT(p->n_parts < LM_PLAN_PARTS);
    p->parts[p->n_parts].name = name;
    p->parts[p->n_parts].what = what;
    p->parts[p->n_parts++].bytes = bytes;
    p->total += bytes;
}

static bool in_arena(const lm_arena *a, const void *data)
{
    const uint8_t *p = data;
    return p >= a->base && p < a->base + a->size;
}

/* Bytes of the parameters that stay in the model's file. */
static size_t mapped(const lm_params *ps)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < ps->n; i++) {
        const lm_tensor *w = &ps->items[i]->t;
        if (w->data && !in_arena(&ps->arena, w->data)) bytes += lm_nbytes(w);
    }
    return bytes;
}

static size_t gradients(const lm_optim *o)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < o->n; i++) bytes += lm_nbytes(&o->slots[i].param->grad);
    return bytes;
}

/* Where, among the micro-batches of one pass over a part of the data, the one with the most tokens stands. */
static int64_t largest(const lm_batcher *b, int64_t size, int64_t *tokens)
{
    int64_t at = 0;
    *tokens = 0;
    for (int64_t begin = 0; begin < b->part->n; begin += size) {
        int64_t n = 0;
        for (int64_t i = begin; i < begin + size && i < b->part->n; i++) n += lm_block_length(b->blocks, lm_batcher_block(b, i));
        if (n > *tokens) *tokens = n, at = begin;
    }
    return at;
}

/* Lessons in the first n blocks of a run.  Epochs have the same ones unless sources have weights. */
static int64_t lessons(const lm_batcher *b, int64_t n)
{
    int64_t epoch = 0, rest = 0, whole = b->part->n_sources ? 0 : n / b->part->n;
    for (int64_t i = 0; whole && i < b->part->n; i++) epoch += lm_block_length(b->blocks, b->part->blocks[i]);
    for (int64_t i = whole * b->part->n; i < n; i++) rest += lm_block_length(b->blocks, lm_batcher_block(b, i));
    return whole * epoch + rest;
}

/* A pass over the micro-batch at a position, which leaves its mark in the tape's arenas. */
static lm_status pass(lm_trainer *t, lm_batcher *b, int64_t at, bool trains, lm_err *err)
{
    int64_t n = b->part->n - at < b->size ? b->part->n - at : b->size;
    const lm_microbatch *m = lm_batcher_fill(b, at, n, 1, 1);
    lm_tape_reset(&t->tape);
    t->tape.recording = t->tape.training = trains;
    t->forward.batch = &m->batch;
    const lm_objective *o = t->task.objective;
    lm_tensor *loss = (o->measure && !trains ? o->measure : o->loss)(&t->task, &t->forward, m);
    if (trains) lm_backward(&t->tape, loss);
    return t->tape.err.code ? lm_fail(err, t->tape.err.code, "%s", t->tape.err.message) : LM_OK;
}

/* Of weights and of what is remembered with them. */
static size_t in_memory(const lm_trainer *t, const lm_params *model, const lm_params *beside)
{
    size_t bytes = model->arena.used + (beside ? beside->arena.used : 0);
    for (int i = 0; i < LM_LEARNERS; i++) {
        const lm_learner *l = &t->learners[i];
        if (l->trained && l->trained != model && l->trained != beside) bytes += l->trained->arena.used;
        if (l->remembered) bytes += l->remembered->arena.used;
    }
    return bytes;
}

void lm_plan_memory(lm_plan *p, const lm_trainer *t)
{
    const lm_model *second = t->task.companion ? t->task.companion->model : NULL;
    const lm_params *model = &t->model->params, *beside = second && second != t->model ? &second->params : NULL;
    size_t grads = gradients(&t->optim);
    part(p, "file", "weights that stay in the model's file", mapped(model) + (beside ? mapped(beside) : 0));
    part(p, "weights", "weights in memory", in_memory(t, model, beside) - grads);
    part(p, "gradients", "of the weights that train", grads);
    part(p, "optimizer", t->optim.type->help, t->optim.arena.used);
    part(p, "activations", "what backward needs of the forward pass", t->tape.step.peak + t->tape.kept.peak);
    part(p, "backward", "gradients on their way", t->tape.grads.peak);
    part(p, "scratch", "room within an operation", t->tape.scratch.peak);
    part(p, "process", "program, libraries, tokenizer and data", lm_memory_now());
}

/* A round of the longest prompts, and what is held while they are answered. */
static lm_status pass_round(lm_plan *p, lm_trainer *t, size_t *held, lm_err *err)
{
    int64_t tokens, n = t->n_blocks < t->per_step ? t->n_blocks : t->per_step, at = largest(&t->batches, n, &tokens);
    lm_experience x;
    LM_TRY(lm_experience_open(&x, t, &t->batches, at, n, true, err));
    *held = x.round.bytes;
    at = largest(&x.batches, x.batches.size, &p->batch_tokens);
    lm_status status = pass(t, &x.batches, at, true, err);
    lm_experience_close(&x);
    return status;
}

static lm_status passes(lm_plan *p, lm_trainer *t, lm_err *err)
{
    int64_t held = 0, at = largest(&t->batches, t->batches.size, &p->batch_tokens);
    LM_TRY(pass(t, &t->batches, at, true, err));
    if (!t->val.n) return LM_OK;
    at = largest(&t->val_batches, t->val_batches.size, &held);
    return pass(t, &t->val_batches, at, false, err);
}

static lm_status count(lm_plan *p, lm_trainer *t, lm_err *err)
{
    size_t rollouts = 0;
    LM_TRY(t->task.objective->rounds ? pass_round(p, t, &rollouts, err) : passes(p, t, err));
    lm_plan_memory(p, t);
    if (rollouts) part(p, "rollouts", "keys, values and logits of answers being written", rollouts);
    p->parameters = lm_trainer_parameters(t, false);
    p->trained = lm_trainer_parameters(t, true);
    p->rows = t->corpus.data.n;
    p->truncated = t->corpus.blocks.n_truncated;
    p->data_tokens = t->corpus.data.n_tokens;
    p->context = t->context;
    p->steps = t->schedule.steps;
    p->tokens = lessons(&t->batches, t->n_blocks);
    return LM_OK;
}

lm_status lm_plan_make(lm_plan *plan, const lm_train_config *config, lm_err *err)
{
    lm_train_config counting = *config;
    lm_kernels null = {0};
    LM_TRY(lm_backend(&null, "null", err));
    null.bf16_units = config->k->bf16_units;
    counting.k = &null;
    *plan = (lm_plan){0};
    lm_trainer t;
    LM_TRY(lm_trainer_open(&t, &counting, err));
    lm_status status = count(plan, &t, err);
    lm_trainer_close(&t);
    return status;
}
