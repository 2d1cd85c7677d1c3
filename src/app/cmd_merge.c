/* malmoi merge: folds an adapter into its base, or takes it out again, and shows that nothing else changed.
 *
 * Before and after, the model answers the same text; the largest difference between the logits is printed, and one
 * beyond a bound is an error that leaves nothing behind. */
#include "app/adapter.h"
#include "app/probe.h"

#include "io/folder.h"
#include "io/staging.h"
#include "nn/quantised.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct merge_options {
    const char *model, *load_in, *adapter, *out, *text;
    int dtype;
    bool undo, force, json;
} merge_options;

static const char *const stored_dtypes[] = { "same", "f32", "bf16", "f16", NULL };

static const lm_option options[] = {
    LM_OPTION(STRING, merge_options, model, "model", .metavar = "FOLDER", .help = "the base; may also stand first"),
    LM_OPTION(STRING, merge_options, adapter, "adapter", .metavar = "FOLDER", .help = "the adapter; may also stand second"),
    LM_OPTION(STRING, merge_options, out, "out", .letter = 'o', .metavar = "FOLDER", .help = "where the merged model goes; may also stand third"),
    LM_OPTION_LOAD_IN(merge_options),
    LM_OPTION(FLAG, merge_options, undo, "undo", .help = "MODEL is a merged one: take the adapter out of it"),
    LM_OPTION(STRING, merge_options, text, "text", .metavar = "FILE", .help = "compare the models on this text instead of a passage of our own"),
    LM_OPTION(CHOICE, merge_options, dtype, "dtype", .fallback = "same", .choices = stored_dtypes,
              .help = "type of the weights in the file; same: as the base's"),
    LM_OPTION(FLAG, merge_options, force, "force", .help = "replace a model that stands there, and take an adapter also where it was trained on another base"),
    LM_OPTION(FLAG, merge_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* 1e-3 of the largest logit: sums of a few thousand f32 products in another order, with room to spare; a wrong
 * scale or a missed layer is far beyond it. */
static const double BOUND = 1e-3;

/* What changed between two states of the model, in its answers to a text. */
typedef struct answers {
    lm_probe probe;
    float *before;
    int64_t columns;
    double most, size;                   /* largest difference of a logit, largest logit */
} answers;

static lm_status ask_before(answers *a, lm_opened *m, lm_err *err)
{
    free(a->before);
    a->before = NULL;
    return lm_probe_run(&a->before, &a->columns, &a->probe, m, err);
}

static lm_status ask_after(answers *a, lm_opened *m, lm_err *err)
{
    float *after = NULL;
    LM_TRY(lm_probe_run(&after, &a->columns, &a->probe, m, err));
    a->most = lm_probe_difference(a->before, after, a->probe.n * a->columns, &a->size);
    free(after);
    return LM_OK;
}

static void answers_free(answers *a)
{
    lm_probe_free(&a->probe);
    free(a->before);
}

static double bound_of(const answers *a) { return BOUND * fmax(a->size, 1); }

/* The adapter goes into the weights, or out of them and beside them; the model must say the same. */
static lm_status change_checked(answers *a, lm_opened *m, bool undo, lm_err *err)
{
    lm_adapter *adapter = m->adapters.items[0].a;
    if (undo) lm_adapter_switch(adapter, false);
    LM_TRY(ask_before(a, m, err));
    LM_TRY(undo ? lm_adapter_unmerge(adapter, err) : lm_adapter_merge(adapter, err));
    if (undo) lm_adapter_switch(adapter, true);
    LM_TRY(ask_after(a, m, err));
    if (undo) lm_adapter_switch(adapter, false);
    if (a->most <= bound_of(a)) return LM_OK;
    return lm_fail(err, LM_E_NUMERIC, "on %s the logits %s differ by %g, allowed are %g (%g of the largest, %g): not written", a->probe.what.data,
                   undo ? "without and with the adapter taken out" : "before and after merging", a->most, bound_of(a), BOUND, a->size);
}

/* What it costs to put the changed weights back into the base's format. */
typedef struct requantised {
    double weight, logit;                /* largest change of a weight, as a share of its matrix' largest, and of a logit */
    int64_t matrices;
} requantised;

static lm_status quantise_again(requantised *cost, answers *a, lm_opened *m, lm_err *err)
{
    double most = a->most, size = a->size;
    LM_TRY(ask_before(a, m, err));
    LM_TRY(lm_quantised_again(m->model, &cost->weight, &cost->matrices, err));
    LM_TRY(ask_after(a, m, err));
    cost->logit = a->most;
    a->most = most, a->size = size;
    return LM_OK;
}

typedef struct paths {
    const char *model, *adapter, *out;
} paths;

static lm_status find_paths(paths *p, const lm_call *call, lm_err *err)
{
    const merge_options *o = call->values;
    const char **const slots[] = { &p->model, &p->adapter, &p->out };
    int next = 0;
    *p = (paths){ o->model, o->adapter, o->out };
    for (int i = 0; i < 3; i++)
        if (!*slots[i] && next < call->args.n) *slots[i] = call->args.items[next++];
    LM_TRY(lm_call_args(call, next, next, "MODEL ADAPTER OUT", err));
    if (p->model && p->adapter && p->out) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "merge: expected MODEL ADAPTER OUT, %s is missing", !p->model ? "MODEL" : !p->adapter ? "ADAPTER" : "OUT");
}

static lm_status write_folder(const merge_options *o, const paths *p, const lm_model *m, lm_dtype stored, lm_err *err)
{
    static const lm_dtype types[] = { LM_F32, LM_F32, LM_BF16, LM_F16 };
    lm_staging staging;
    LM_TRY(lm_staging_begin(&staging, p->out, o->force, err));
    lm_status status = lm_folder_copy_sides(p->model, staging.path, err);
    /* an adapter that was trained on a chat template of its own brings it along */
    if (status == LM_OK && !o->undo) status = lm_folder_copy(p->adapter, staging.path, "chat_template.jinja", err);
    if (status == LM_OK) status = lm_model_save(m, staging.path, o->dtype == 0 ? stored : types[o->dtype], 0, err);
    return lm_staging_end(&staging, status, err);
}

static void tell(const merge_options *o, const paths *p, const answers *a, const requantised *cost, const lm_opened *m)
{
    const char *format = m->model->quant ? m->model->quant->name : "";
    if (o->json) {
        lm_json *doc = json_pack("{s:s, s:s, s:f, s:f, s:s}", "out", p->out, "method", m->adapters.items[0].a->type->name, "max_difference", a->most,
                                 "bound", bound_of(a), "probe", a->probe.what.data);
        if (cost->matrices) json_object_set_new(doc, "requantised", json_pack("{s:s, s:I, s:f, s:f}", "format", format,
                                "matrices", (json_int_t)cost->matrices, "weight", cost->weight, "logit", cost->logit));
        lm_print_json(doc);
        return;
    }
    printf("%s: %s %s %s; on %s the logits differ by at most %.2g, %.2g are allowed\n", p->out, p->adapter, o->undo ? "taken out of" : "merged into", p->model,
           a->probe.what.data, a->most, bound_of(a));
    if (cost->matrices)
        printf("%lld matrices went through floats back into %s: weights moved by at most %.2g of their matrix' largest, logits by %.2g\n",
               (long long)cost->matrices, format, cost->weight, cost->logit);
}

/* The adapter's own base has nothing of it to take out. */
static lm_status refuse_the_base(const lm_opened *m, const paths *p, lm_err *err)
{
    lm_adapter_view v = { 0 };
    lm_status status = lm_adapter_view_open(&v, p->adapter, err);
    if (status == LM_OK && v.fingerprint && !strcmp(v.fingerprint, m->adapters.items[0].a->base))
        status = lm_fail(err, LM_E_MISMATCH, "%s is what %s was trained on: the adapter is not in it", p->model, p->adapter);
    lm_adapter_view_close(&v);
    return status;
}

static lm_status merge(answers *a, lm_opened *m, const lm_call *call, const paths *p, lm_err *err)
{
    const merge_options *o = call->values;
    char *adapter = (char *)(uintptr_t)p->adapter;
    m->load_in = o->load_in;
    m->foreign = o->undo ? LM_FOREIGN_TAKEN : o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(m, call, p->model, &(lm_strings){ &adapter, 1 }, LM_DTYPE_F32, err));
    lm_dtype stored = m->model->embedding->dtype;           /* merging makes f32 of what it changes */
    if (o->undo) LM_TRY(refuse_the_base(m, p, err));
    LM_TRY(lm_probe_make(&a->probe, m, o->text, err));
    LM_TRY(change_checked(a, m, o->undo, err));
    requantised cost = { 0 };
    if (m->model->quant) LM_TRY(quantise_again(&cost, a, m, err));
    LM_TRY(write_folder(o, p, m->model, stored, err));
    tell(o, p, a, &cost, m);
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    paths p;
    LM_TRY(find_paths(&p, call, err));
    lm_opened m = { 0 };
    answers a = { 0 };
    lm_status status = merge(&a, &m, call, &p, err);
    answers_free(&a);
    lm_close(&m);
    return status;
}

const lm_command lm_command_merge = {
    .name = "merge",
    .group = "models",
    .summary = "fold an adapter into its base",
    .usage = "MODEL ADAPTER OUT [options]",
    .example = "malmoi merge MODEL ADAPTER MERGED\n"
               "malmoi merge --undo MERGED ADAPTER MODEL-AGAIN",
    .options = options,
    .values_size = sizeof(merge_options),
    .run = run,
};
