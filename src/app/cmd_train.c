/* malmoi train: fits a model, or an adapter on it, to data. */
#include "app/training.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/signal.h"

#include <stdio.h>
#include <unistd.h>

/* "weights 1.2 GiB, gradients 12 MiB, ..": parts that take anything. */
static void put_memory(lm_str *out, const lm_trainer *t)
{
    lm_plan plan = { 0 };
    char bytes[24];
    lm_plan_memory(&plan, t);
    for (int i = 0; i < plan.n_parts; i++)
        if (plan.parts[i].bytes) lm_str_printf(out, "%s%s %s", out->len ? ", " : "", plan.parts[i].name, lm_format_bytes(bytes, (double)plan.parts[i].bytes));
}

static void tell_what(const lm_trainer *t)
{
    const lm_corpus *c = &t->corpus;
    char all[24], trained[24], tokens[24];
    double parameters = (double)lm_trainer_parameters(t, false), training = (double)lm_trainer_parameters(t, true);
    lm_str memory = { 0 };
    put_memory(&memory, t);
    lm_log(LM_LOG_INFO, "model: %s parameters, %s of them train (%.2g%%); %s on %s", lm_format_count(all, parameters), lm_format_count(trained, training),
           100 * training / parameters, lm_dtype_name(t->tape.compute), t->c->k->name);
    lm_log(LM_LOG_INFO, "memory: %s; activations come with the first step", memory.data);
    lm_str_free(&memory);
    bool rounds = t->c->objective->rounds;
    if (rounds) lm_log(LM_LOG_INFO, "data: %lld prompts", (long long)t->train.n);
    else lm_log(LM_LOG_INFO, "data: %lld rows, %s tokens to learn, in %lld blocks of at most %lld", (long long)c->data.n,
                lm_format_count(tokens, (double)c->blocks.n_supervised), (long long)t->train.n, (long long)t->context);
    for (int i = 0; i < t->train.n_sources; i++)
        lm_log(LM_LOG_INFO, "source: %s: %.2f%% of the rows, %lld of its %lld blocks in an epoch", c->shares.names[i], 100 * c->shares.rates[i], (long long)t->train.sources[i].count,
               (long long)t->train.sources[i].n);
    lm_log(LM_LOG_INFO, "run: %lld %s of %lld %s, learning rate %g", (long long)t->schedule.steps, rounds ? "rounds" : "steps",
           (long long)t->per_step, rounds ? "prompts" : "blocks", t->schedule.peak);
}

static void tell_result(const lm_trainer *t, bool json)
{
    const lm_train_options *o = t->c->o;
    const lm_train_state *at = &t->at;
    if (json) {
        lm_json *doc = json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:I}", "out", o->out, "steps", (json_int_t)at->step,
                                 "tokens", (json_int_t)at->tokens, "supervised_tokens", (json_int_t)at->supervised,
                                 "seconds", at->seconds, "peak_bytes", (json_int_t)lm_memory_peak(),
                                 "rows", (json_int_t)t->corpus.data.n, "truncated_rows", (json_int_t)t->corpus.blocks.n_truncated);
        if (t->corpus.data.n_skipped) json_object_set_new(doc, "skipped_rows", json_integer((json_int_t)t->corpus.data.n_skipped));
        if (t->corpus.n_malformed) json_object_set_new(doc, "malformed_rows", json_integer((json_int_t)t->corpus.n_malformed));
        if (t->val.n) json_object_set_new(doc, "best_val_loss", json_real(at->best));
        lm_print_json(doc);
        return;
    }
    char time[24], tokens[24];
    lm_str memory = { 0 };
    put_memory(&memory, t);
    printf("%s: %lld steps, %s tokens, %s\n", o->out, (long long)at->step, lm_format_count(tokens, (double)at->tokens),
           lm_format_seconds(time, at->seconds));
    printf("memory: %s\n", memory.data);
    lm_str_free(&memory);
    const lm_objective *objective = t->c->objective;
    printf("try: malmoi %s %s", objective->use ? objective->use : "generate", t->adapter ? o->model : o->out);
    if (t->adapter) printf(" --adapter %s", o->out);
    printf(" --%s \"...\"\n", objective->use_option ? objective->use_option : "prompt");
}

static lm_status train(lm_training *training, lm_err *err)
{
    lm_trainer t;
    LM_TRY(lm_trainer_open(&t, &training->config, err));
    tell_what(&t);
    lm_interrupt_watch();
    lm_status status = lm_trainer_run(&t, err);
    if (status == LM_OK) tell_result(&t, training->config.o->json);
    lm_trainer_close(&t);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    lm_training *training = call->own;
    LM_TRY(lm_call_args(call, 0, 0, "no argument but the objective", err));
    LM_TRY(lm_call_kernels(call, &training->kernels, err));
    training->config.progress = call->common.quiet ? NULL : stderr;
    if (!training->config.o->dry_run) {
        if (!training->config.o->out) return lm_fail(err, LM_E_USAGE, "missing: --out (only --dry-run writes nothing)");
        return train(training, err);
    }
    lm_plan plan;
    LM_TRY(lm_plan_make(&plan, &training->config, err));
    lm_print_plan(&plan, training->config.o->json);
    return LM_OK;
}

const lm_command lm_command_train = {
    .name = "train", .group = "training", .summary = "fit a model, or an adapter on it, to data",
    .usage = "OBJECTIVE --model FOLDER --data FILE --out FOLDER [options]",
    .example = "malmoi train clm --model MODEL --adapter lora --data text.txt --steps 300 --out tuned\n"
               "malmoi train sft --model MODEL --adapter lora --data chats.jsonl --out tuned --val-split 0.05",
    .notes = "Ctrl-C once finishes the step, writes a checkpoint and stops; twice stops at once.  --resume goes on.\n"
             "OUT holds the result, log.jsonl with every step, run.json with what was asked, and checkpoints/.\n"
             "malmoi train OBJECTIVE --adapter METHOD --help shows the options of both.",
    .options = lm_train_option_table, .values_size = sizeof(lm_train_options),
    .prepare = lm_training_prepare, .topics = lm_training_topics, .run = run,
};
