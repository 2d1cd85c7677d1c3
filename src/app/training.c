#include "app/training.h"

#include "base/log.h"

#include <string.h>

lm_status lm_training_prepare(lm_call *call, lm_err *err)
{
    static const lm_option none[] = { { 0 } };
    lm_training *training = lm_call_add(call, NULL, none, sizeof *training);
    lm_train_config *c = &training->config;
    call->own = training;
    c->o = call->values;

    c->objective = lm_call_pick(call, "objective", lm_objective_registry, err);
    if (!c->objective && !call->help) return err->code;
    if (c->objective) {
        ((lm_train_options *)call->values)->pack = c->objective->packs;
        if (c->objective->rounds) ((lm_train_options *)call->values)->save_every = LM_SAVE_ROUNDS;
        if (c->objective->options)
            c->objective_options = lm_call_add(call, c->objective->name, c->objective->options, c->objective->options_size);
    }

    const char *optimizer = lm_call_peek(call, "optimizer"), *adapter = lm_call_peek(call, "adapter");
    c->optimizer = lm_optimizer_find(optimizer ? optimizer : "adamw");
    if (!c->optimizer) return lm_fail(err, LM_E_USAGE, "--optimizer: there is no '%s'; malmoi train --help lists them", optimizer);
    c->optimizer_options = lm_call_add(call, c->optimizer->name, c->optimizer->options, c->optimizer->options_size);
    if (adapter && strcmp(adapter, "none")) {
        c->adapter = lm_adapter_type_find(adapter);
        if (!c->adapter) return lm_fail(err, LM_E_USAGE, "--adapter: there is no '%s'; malmoi train --help lists them", adapter);
        c->adapter_options = lm_call_add(call, c->adapter->name, c->adapter->options, c->adapter->options_size);
    }
    c->sets = call->sets;
    c->k = &training->kernels;
    return LM_OK;
}

void lm_training_topics(lm_str *out)
{
    lm_str_puts(out, "objectives\n");
    for (const lm_objective *const *o = lm_objective_registry; *o; o++) lm_help_entry(out, (*o)->name, (*o)->help);
    lm_str_puts(out, "\n--adapter\n");
    lm_help_entry(out, "none", "every weight trains");
    for (const lm_adapter_type *const *a = lm_adapter_type_registry; *a; a++) lm_help_entry(out, (*a)->name, (*a)->source);
    lm_str_puts(out, "\n--optimizer\n");
    for (const lm_optimizer *const *o = lm_optimizer_registry; *o; o++) lm_help_entry(out, (*o)->name, (*o)->help);
}

static lm_json *plan_json(const lm_plan *p)
{
    lm_json *doc = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "parameters", (json_int_t)p->parameters,
                             "trained_parameters", (json_int_t)p->trained, "rows", (json_int_t)p->rows,
                             "truncated_rows", (json_int_t)p->truncated, "data_tokens", (json_int_t)p->data_tokens,
                             "steps", (json_int_t)p->steps, "tokens", (json_int_t)p->tokens,
                             "batch_tokens", (json_int_t)p->batch_tokens, "context", (json_int_t)p->context,
                             "peak_bytes", (json_int_t)p->total);
    lm_json *parts = json_object();
    for (int i = 0; i < p->n_parts; i++) json_object_set_new(parts, p->parts[i].name, json_integer((json_int_t)p->parts[i].bytes));
    json_object_set_new(doc, "bytes", parts);
    return doc;
}

void lm_print_plan(const lm_plan *p, bool json)
{
    if (json) {
        lm_print_json(plan_json(p));
        return;
    }
    char a[24], b[24];
    printf("parameters   %s, %s of them train (%.2f%%)\n", lm_format_count(a, (double)p->parameters),
           lm_format_count(b, (double)p->trained), 100 * (double)p->trained / (double)p->parameters);
    printf("data         %lld rows, %s tokens", (long long)p->rows, lm_format_count(a, (double)p->data_tokens));
    if (p->truncated) printf(", %lld rows truncated", (long long)p->truncated);
    printf("\nrun          %lld steps over %s tokens, contexts of %lld, at most %lld tokens in a pass\n", (long long)p->steps,
           lm_format_count(a, (double)p->tokens), (long long)p->context, (long long)p->batch_tokens);
    printf("memory       %s at most\n", lm_format_bytes(a, (double)p->total));
    for (int i = 0; i < p->n_parts; i++)
        printf("  %-12s %10s  %s\n", p->parts[i].name, lm_format_bytes(a, (double)p->parts[i].bytes), p->parts[i].what);
}
