/* A reward model on preferences: how often it gives the preferred answer the higher score, and by how much.
 *
 *   accuracy = share of rows with s_best > s_worst;   margin = mean of s_best - s_worst;   loss as in training
 *   calibration_error: of sigmoid(|s_best - s_worst|) as the chance that the preference is right (data/forecast.h)
 *
 * A model of several criteria is measured by each and by all together.
 *
 * Rows are read as train reward reads them (objective/compare.h). */
#include "eval/eval.h"

#include "data/batch.h"
#include "nn/head.h"
#include "train/objective.h"

#include <stdlib.h>

typedef struct reward_options {
    int64_t context, batch_size;
    const char *format;
    bool truncate;
} reward_options;

static const lm_option options[] = {
    LM_OPTION(INT, reward_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of an answer with its prompt at most (0: the model's limit)"),
    LM_OPTION(INT, reward_options, batch_size, "batch-size", .fallback = "8", .min = 1, .max = 1 << 20, .help = "rows that go through the model at once"),
    LM_OPTION(FLAG, reward_options, truncate, "truncate", .help = "cut off what is longer than the context, and count it"),
    LM_OPTION(STRING, reward_options, format, "format", .fallback = "auto", .help = "of the files: jsonl, csv, tsv"),
    { 0 },
};

typedef struct measure {
    const lm_eval *e;
    const reward_options *o;
    lm_task task;
    lm_dataset data;
    lm_blocks blocks;
    lm_part all, none;
    lm_batcher batcher;
    lm_tape tape;
    double loss;
} measure;

static lm_status read(measure *p, lm_err *err)
{
    lm_source *source;
    const lm_renderer renderer = lm_task_renderer(&p->task);
    LM_TRY(lm_source_open(&source, &p->e->data, &(lm_source_options){ .format = p->o->format }, err));
    lm_status status = lm_dataset_read(&p->data, source, p->e->tokenizer, &renderer, err);
    lm_source_close(source);
    LM_TRY(status);
    const lm_pack_options packing = { .context = p->task.context, .longer = p->o->truncate ? LM_LONGER_TRUNCATE : LM_LONGER_REFUSE };
    LM_TRY(lm_blocks_make(&p->blocks, &p->data, &packing, err));
    return lm_part_split(&p->all, &p->none, &p->blocks, 0, 0, err);
}

static lm_status run_batches(measure *p, lm_err *err)
{
    lm_forward f = { .t = &p->tape, .m = p->e->model };
    lm_batcher_init(&p->batcher, &p->data, &p->blocks, &p->all, p->o->batch_size, false, 0);
    for (int64_t at = 0; at < p->all.n; at += p->o->batch_size) {
        int64_t left = p->all.n - at, n = left < p->o->batch_size ? left : p->o->batch_size;
        const lm_microbatch *m = lm_batcher_fill(&p->batcher, at, n, 1, 1 / (float)p->all.n);
        lm_tape_reset(&p->tape);
        f.batch = &m->batch;
        p->loss += (double)lm_scalar(&p->tape, p->task.objective->measure(&p->task, &f, m));
        if (p->tape.err.code) return lm_fail(err, p->tape.err.code, "%s", p->tape.err.message);
        if (p->e->progress && !p->e->progress(p->e->context, (double)(at + n) / (double)p->all.n))
            return lm_fail(err, LM_E_INTERRUPT, "stopped after %lld of %lld rows", (long long)(at + n), (long long)p->all.n);
    }
    return LM_OK;
}

static lm_status measure_all(measure *p, const void *objective_options, lm_err *err)
{
    lm_model *m = p->e->model;
    LM_TRY(lm_model_need_reward(m, err));
    int64_t most = lm_model_context(m, 0);
    if (p->o->context > most) return lm_fail(err, LM_E_USAGE, "--context %lld: the model has positions for %lld tokens", (long long)p->o->context, (long long)most);
    p->task = (lm_task){ .objective = lm_objective_find("reward"), .options = objective_options, .model = m, .tokenizer = p->e->tokenizer,
                         .eos = lm_task_eos(m, p->e->tokenizer), .context = p->o->context ? p->o->context : most, .truncate = p->o->truncate };
    LM_TRY(p->task.objective->prepare(&p->task, err));
    LM_TRY(read(p, err));
    LM_TRY(lm_tape_init(&p->tape, p->e->kernels, &(lm_tape_options){ .compute = p->e->compute }, err));
    return run_batches(p, err);
}

static lm_status run(const lm_eval *e, const void *values, lm_json **result, lm_err *err)
{
    measure p = { .e = e, .o = values };
    const lm_objective *objective = lm_objective_find("reward");
    void *objective_options = lm_calloc(1, objective->options_size);
    lm_options_defaults((const lm_option_set[]){ { .options = objective->options, .values = objective_options }, { 0 } });
    lm_status status = measure_all(&p, objective_options, err);
    if (status == LM_OK) {
        *result = p.task.objective->measured(&p.task);
        json_object_update_new(*result, json_pack("{s:f, s:I, s:I}", "loss", p.loss, "rows", (json_int_t)p.all.n,
                                                  "truncated_answers", (json_int_t)p.blocks.n_truncated));
    }
    if (p.task.objective) p.task.objective->release(&p.task);
    lm_tape_free(&p.tape);
    lm_batcher_free(&p.batcher);
    lm_part_free(&p.all), lm_part_free(&p.none);
    lm_blocks_free(&p.blocks);
    lm_dataset_free(&p.data);
    free(objective_options);
    return status;
}

const lm_eval_task lm_eval_task_reward = {
    .name = "reward",
    .summary = "how often a reward model prefers the answer that people preferred",
    .source = "Ouyang et al. 2022, section 3.5",
    .options = options,
    .values_size = sizeof(reward_options),
    .run = run,
};
