/* malmoi eval: measures a model with one of the tasks under src/eval. */
#include "app/command.h"
#include "app/open.h"

#include "base/log.h"
#include "base/signal.h"
#include "eval/eval.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

typedef struct eval_options {
    const char *model, *load_in;
    lm_strings adapter, data;
    int dtype;
    bool force, json;
} eval_options;

static const lm_option options[] = {
    LM_OPTION(STRING, eval_options, model, "model", .metavar = "FOLDER", .help = "the model; may also stand after the task"),
    LM_OPTION_ADAPTER(eval_options),
    LM_OPTION(LIST, eval_options, data, "data", .metavar = "FILE", .required = true,
              .help = "text, JSONL, CSV or TSV, also packed; folders; - reads standard input"),
    LM_OPTION_LOAD_IN(eval_options),
    LM_OPTION_ANY_BASE(eval_options),
    LM_OPTION(CHOICE, eval_options, dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices,
              .help = "type to compute in"),
    LM_OPTION(FLAG, eval_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* What prepare finds for run. */
typedef struct chosen {
    const lm_eval_task *task;
    void *values;
} chosen;

static const lm_option no_options[] = { { 0 } };

static lm_status prepare(lm_call *call, lm_err *err)
{
    chosen *c = lm_call_add(call, NULL, no_options, sizeof *c);
    call->own = c;
    c->task = lm_call_pick(call, "task", lm_eval_task_registry, err);
    if (!c->task) return call->help ? LM_OK : err->code;
    if (c->task->options) c->values = lm_call_add(call, c->task->name, c->task->options, c->task->values_size);
    return LM_OK;
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "tasks\n");
    for (int i = 0; lm_eval_task_registry[i]; i++)
        lm_help_entry(out, lm_eval_task_registry[i]->name, lm_eval_task_registry[i]->summary);
}

static bool show_progress(void *context, double share)
{
    if (share >= 0) lm_progress_draw(context, false, "%3.0f%%", 100 * share);
    return !lm_interrupted();
}

/* A number or a text; lists are for machines. */
static void print_value(const char *key, const lm_json *value)
{
    if (json_is_real(value)) printf("%-14s %.6g\n", key, json_real_value(value));
    else if (json_is_integer(value)) printf("%-14s %lld\n", key, (long long)json_integer_value(value));
    else if (json_is_string(value)) printf("%-14s %s\n", key, json_string_value(value));
}

/* An object of objects (a label's measures) gives each a line of its own. */
static void print_plain(const lm_json *result)
{
    const char *key, *part, *name;
    json_t *value, *group, *number;
    json_object_foreach((json_t *)(uintptr_t)result, key, value) {
        print_value(key, value);
        json_object_foreach(value, part, group) {
            printf("  %-12s", part);
            json_object_foreach(group, name, number) {
                if (json_is_real(number)) printf("  %s %.4f", name, json_real_value(number));
                else printf("  %s %lld", name, (long long)json_integer_value(number));
            }
            putchar('\n');
        }
    }
}

static lm_status measure(lm_opened *m, const lm_call *call, const char *model, lm_json **result, lm_err *err)
{
    const eval_options *o = call->values;
    const chosen *c = call->own;
    m->load_in = o->load_in;
    m->foreign = o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(m, call, model, &o->adapter, o->dtype, err));
    LM_TRY(lm_open_tokenizer(m, err));
    lm_progress line = lm_progress_start(isatty(STDERR_FILENO) && !call->common.quiet ? stderr : NULL, 10);
    lm_interrupt_watch();
    const lm_eval e = { .model = m->model, .kernels = &m->kernels, .tokenizer = m->tokenizer, .compute = m->compute,
                        .data = o->data, .progress = show_progress, .context = &line };
    lm_status status = c->task->run(&e, c->values, result, err);
    lm_progress_clear(&line);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const eval_options *o = call->values;
    const char *model;
    int next;
    LM_TRY(lm_call_model(call, o->model, &model, &next, err));
    LM_TRY(lm_call_args(call, next, next, "one MODEL", err));
    lm_opened m = { 0 };
    lm_json *result = NULL;
    lm_status status = measure(&m, call, model, &result, err);
    if (status == LM_OK && o->json) lm_print_json(result);
    else if (status == LM_OK) print_plain(result), lm_json_free(result);
    lm_close(&m);
    return status;
}

const lm_command lm_command_eval = {
    .name = "eval",
    .group = "models",
    .summary = "measure a model",
    .usage = "TASK MODEL --data FILE [options]",
    .example = "malmoi eval perplexity MODEL --data held-out.txt --json",
    .options = options,
    .values_size = sizeof(eval_options),
    .prepare = prepare,
    .topics = topics,
    .run = run,
};
