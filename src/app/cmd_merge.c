/* malmoi merge: folds an adapter into its base, and shows that nothing else changed.
 *
 * Before and after the merge the model answers the same random tokens; the largest difference between the
 * logits is printed, and one beyond rounding is an error that leaves nothing behind. */
#include "app/command.h"
#include "app/open.h"

#include "base/rng.h"
#include "io/folder.h"
#include "io/staging.h"
#include "nn/quantised.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct merge_options {
    const char *model, *load_in, *adapter, *out;
    int dtype;
    bool force, json;
} merge_options;

static const char *const stored_dtypes[] = { "same", "f32", "bf16", "f16", NULL };

static const lm_option options[] = {
    LM_OPTION(STRING, merge_options, model, "model", .metavar = "FOLDER", .help = "the base; may also stand first"),
    LM_OPTION(STRING, merge_options, adapter, "adapter", .metavar = "FOLDER", .help = "the adapter; may also stand second"),
    LM_OPTION(STRING, merge_options, out, "out", .letter = 'o', .metavar = "FOLDER", .help = "where the merged model goes; may also stand third"),
    LM_OPTION_LOAD_IN(merge_options),
    LM_OPTION(CHOICE, merge_options, dtype, "dtype", .fallback = "same", .choices = stored_dtypes,
              .help = "type of the weights in the file; same: as the base's"),
    LM_OPTION(FLAG, merge_options, force, "force", .help = "replace a model that stands there, and take an adapter also where it was trained on another base"),
    LM_OPTION(FLAG, merge_options, json, "json", .help = "one JSON object"),
    { 0 },
};

enum { PROBE = 16 };

/* Logits [PROBE, V] of random tokens, computed in f32; the caller frees. */
static lm_status probe(float **out, lm_opened *m, lm_err *err)
{
    int64_t vocab = m->model->config.vocab_size;
    int64_t n = m->model->config.max_positions < PROBE ? m->model->config.max_positions : PROBE;
    int32_t ids[PROBE], positions[PROBE];
    lm_rng rng = { .seed = 1 };
    for (int i = 0; i < n; i++) {
        ids[i] = (int32_t)lm_rng_below(&rng, (uint64_t)vocab);
        positions[i] = i;
    }
    const lm_segment segment = { .nq = n, .nk = n };
    const lm_batch batch = { .n_tokens = n, .n_segments = 1, .ids = ids, .positions = positions, .segments = &segment };
    lm_tape t;
    LM_TRY(lm_tape_init(&t, &m->kernels, &(lm_tape_options){ .compute = LM_F32 }, err));
    lm_forward f = { .t = &t, .m = m->model, .batch = &batch };
    const lm_tensor *logits = lm_model_logits(&f, lm_model_forward(&f), NULL);
    if (t.err.code) {
        lm_fail(err, t.err.code, "%s", t.err.message);
    } else {
        *out = lm_calloc(PROBE * (size_t)vocab, sizeof **out);
        memcpy(*out, logits->data, (size_t)(n * vocab) * sizeof **out);
    }
    lm_status status = t.err.code;
    lm_tape_free(&t);
    return status;
}

/* Largest |a - b|, and the largest |a| to hold it against. */
static double difference(const float *a, const float *b, int64_t n, double *size)
{
    double most = 0;
    *size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) most = d;                         /* also when d is NaN */
        *size = fmax(*size, fabs((double)a[i]));
    }
    return most;
}

/* Merges, and checks that the model still says the same.  1e-3 of the largest logit: sums of a few thousand
 * f32 products in another order, with room to spare; a wrong scale or a missed layer is far beyond it. */
static lm_status merge_checked(lm_opened *m, double *most, lm_err *err)
{
    float *before = NULL, *after = NULL;
    double size = 0;
    lm_status status = probe(&before, m, err);
    if (status == LM_OK) status = lm_adapter_merge(m->adapters.items[0].a, err);
    if (status == LM_OK) status = probe(&after, m, err);
    if (status == LM_OK) *most = difference(before, after, PROBE * m->model->config.vocab_size, &size);
    if (status == LM_OK && !(*most <= 1e-3 * fmax(size, 1))) {
        status = lm_fail(err, LM_E_NUMERIC, "the merged model's logits differ by %g from the unmerged one's (of %g): not written",
                         *most, size);
    }
    free(before);
    free(after);
    return status;
}

/* What it costs to put the merged weights back into the base's format. */
typedef struct requantised {
    double weight, logit;                /* largest change of a weight, as a share of its matrix' largest, and of a logit */
    int64_t matrices;
} requantised;

static lm_status quantise_again(lm_opened *m, requantised *cost, lm_err *err)
{
    float *before = NULL, *after = NULL;
    double size;
    lm_status status = probe(&before, m, err);
    if (status == LM_OK) status = lm_quantised_again(m->model, &cost->weight, &cost->matrices, err);
    if (status == LM_OK) status = probe(&after, m, err);
    if (status == LM_OK) cost->logit = difference(before, after, PROBE * m->model->config.vocab_size, &size);
    free(before);
    free(after);
    return status;
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
    if (status == LM_OK) status = lm_folder_copy(p->adapter, staging.path, "chat_template.jinja", err);
    if (status == LM_OK) status = lm_model_save(m, staging.path, o->dtype == 0 ? stored : types[o->dtype], 0, err);
    return lm_staging_end(&staging, status, err);
}

static lm_status merge(lm_opened *m, const lm_call *call, const paths *p, lm_err *err)
{
    const merge_options *o = call->values;
    m->load_in = o->load_in;
    m->any_base = o->force;
    char *adapter = (char *)(uintptr_t)p->adapter;
    LM_TRY(lm_open(m, call, p->model, &(lm_strings){ &adapter, 1 }, LM_DTYPE_F32, err));
    lm_dtype stored = m->model->embedding->dtype;           /* merging makes f32 of what it changes */
    double most = 0;
    LM_TRY(merge_checked(m, &most, err));
    requantised cost = { 0 };
    if (m->model->quant) LM_TRY(quantise_again(m, &cost, err));
    LM_TRY(write_folder(o, p, m->model, stored, err));
    if (o->json) {
        lm_json *doc = json_pack("{s:s, s:s, s:f}", "out", p->out, "method", m->adapters.items[0].a->type->name, "max_difference", most);
        if (cost.matrices) json_object_set_new(doc, "requantised", json_pack("{s:s, s:I, s:f, s:f}", "format", m->model->quant->name,
                               "matrices", (json_int_t)cost.matrices, "weight", cost.weight, "logit", cost.logit));
        lm_print_json(doc);
    } else {
        printf("%s: %s merged into %s; on %d random tokens the logits differ by at most %.2g\n", p->out, p->adapter, p->model,
               PROBE, most);
        if (cost.matrices)
            printf("%lld matrices went through floats back into %s: weights moved by at most %.2g of their matrix' largest, logits by %.2g\n",
                   (long long)cost.matrices, m->model->quant->name, cost.weight, cost.logit);
    }
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    paths p;
    LM_TRY(find_paths(&p, call, err));
    lm_opened m = { 0 };
    lm_status status = merge(&m, call, &p, err);
    lm_close(&m);
    return status;
}

const lm_command lm_command_merge = {
    .name = "merge",
    .group = "models",
    .summary = "fold an adapter into its base",
    .usage = "MODEL ADAPTER OUT [options]",
    .example = "malmoi merge MODEL ADAPTER MERGED",
    .options = options,
    .values_size = sizeof(merge_options),
    .run = run,
};
