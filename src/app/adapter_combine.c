/* malmoi adapter combine: one LoRA adapter out of several, weighted (peft/combine.h). */
#include "app/adapter.h"

#include "base/file.h"
#include "base/log.h"
#include "io/save.h"
#include "io/staging.h"
#include "nn/adapter.h"
#include "peft/combine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct combine_options {
    lm_strings weights;
    const char *out;
    int method;
    int64_t rank, seed;
    double density;
    bool force;
} combine_options;

static const lm_option options[] = {
    LM_OPTION(LIST, combine_options, weights, "weights", .metavar = "W,..", .help = "one for each adapter (default: 1 of all)"),
    LM_OPTION(CHOICE, combine_options, method, "method", .fallback = "svd", .choices = lm_combine_methods, .help = "how they become one"),
    LM_OPTION(REAL, combine_options, density, "density", .fallback = "0.5", .max = 1, .help = "ties, dare, magnitude_prune: share of the numbers that is kept"),
    LM_OPTION(INT, combine_options, rank, "rank", .fallback = "0", .max = 65536, .help = "methods ending in svd: rank of the result (0: the largest of theirs)"),
    LM_OPTION(INT, combine_options, seed, "seed", .fallback = "0", .max = 9e15, .help = "dare: of what is dropped"),
    LM_OPTION(STRING, combine_options, out, "out", .letter = 'o', .metavar = "FOLDER", .required = true, .help = "where the adapter goes"),
    LM_OPTION(FLAG, combine_options, force, "force", .help = "replace an adapter that stands there, and take adapters of different bases"),
    { 0 },
};

static lm_status read_weights(double *weights, const lm_strings *given, int n, lm_err *err)
{
    if (given->n && given->n != n) return lm_fail(err, LM_E_USAGE, "--weights: %d for %d adapters", given->n, n);
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        weights[i] = given->n ? strtod(given->items[i], &end) : 1;
        if (given->n && (end == given->items[i] || *end || !isfinite(weights[i])))
            return lm_fail(err, LM_E_USAGE, "--weights: expected a number, found \"%s\"", given->items[i]);
    }
    return LM_OK;
}

/* The first adapter's settings, where they are the result's as well. */
static lm_json *make_config(const lm_lora_folder *first, const lm_params *made, int64_t rank)
{
    lm_json *config = json_deep_copy(first->config), *targets = json_array();
    static const char *const nulls[] = { "layers_to_transform", "layers_pattern", "modules_to_save", "exclude_modules", NULL };
    for (const char *const *key = nulls; *key; key++) json_object_set_new(config, *key, json_null());
    for (int64_t i = 0; i < made->n; i += 2) {               /* A and B of each module */
        const char *name = made->items[i]->t.name + strlen("base_model.model.");
        size_t n = strlen(name) - strlen(strstr(name, ".lora_"));
        json_array_append_new(targets, json_stringn(name, n));
    }
    json_object_set_new(config, "target_modules", targets);
    json_object_set_new(config, "r", json_integer((json_int_t)rank));
    json_object_set_new(config, "lora_alpha", json_integer((json_int_t)rank));
    json_object_set_new(config, "rank_pattern", json_object());
    json_object_set_new(config, "alpha_pattern", json_object());
    json_object_set_new(config, "use_rslora", json_false());
    return config;
}

static lm_status write_tensors(const lm_params *made, const char *mark, const char *folder, lm_err *err)
{
    lm_save_entry *entries = lm_calloc((size_t)made->n, sizeof *entries);
    for (int64_t i = 0; i < made->n; i++) {
        const lm_tensor *t = &made->items[i]->t;
        entries[i] = (lm_save_entry){ .name = t->name, .dtype = LM_F32, .ndim = t->ndim, .dim = t->dim, .data = t->data, .data_dtype = LM_F32 };
    }
    lm_json *metadata = json_pack("{s:s, s:s*}", "format", "pt", lm_adapter_base_key, mark);
    char *path = lm_path_join(folder, "adapter_model.safetensors");
    lm_status status = lm_save_file(&(lm_save){ .entries = entries, .n = made->n, .metadata = metadata }, path, err);
    free(path);
    lm_json_free(metadata);
    free(entries);
    return status;
}

static lm_status write_folder(const combine_options *o, const lm_lora_folder *first, const lm_params *made, int64_t rank, lm_err *err)
{
    lm_staging staging;
    LM_TRY(lm_staging_begin(&staging, o->out, o->force, err));
    lm_status status = write_tensors(made, lm_safetensors_meta(&first->file, lm_adapter_base_key), staging.path, err);
    lm_json *config = make_config(first, made, rank);
    char *path = lm_path_join(staging.path, "adapter_config.json");
    if (status == LM_OK) status = lm_json_write(config, path, err);
    free(path);
    lm_json_free(config);
    return lm_staging_end(&staging, status, err);
}

static lm_status open_folders(lm_lora_folder *folders, const lm_call *call, lm_err *err)
{
    const combine_options *o = call->values;
    for (int i = 0; i < call->args.n; i++) {
        LM_TRY(lm_lora_folder_open(&folders[i], call->args.items[i], err));
        if (i && !o->force)
            LM_TRY(lm_adapter_same_base(folders[0].path, folders[0].config, &folders[0].file, folders[i].path, folders[i].config, &folders[i].file, err));
    }
    return LM_OK;
}

static lm_status combine(const lm_call *call, lm_lora_folder *folders, double *weights, lm_err *err)
{
    const combine_options *o = call->values;
    lm_kernels k = { 0 };
    lm_params made = { 0 };
    int64_t rank;
    LM_TRY(read_weights(weights, &o->weights, call->args.n, err));
    LM_TRY(open_folders(folders, call, err));
    LM_TRY(lm_call_kernels(call, &k, err));
    LM_TRY(lm_params_init(&made, &k, err));
    lm_status status = lm_combine_run(&(lm_combine){ .folders = folders, .weights = weights, .n = call->args.n, .method = o->method, .rank = o->rank,
                                                     .density = o->density, .seed = (uint64_t)o->seed, .k = &k }, &made, &rank, err);
    if (status == LM_OK) status = write_folder(o, &folders[0], &made, rank, err);
    if (status == LM_OK) printf("%s: %d adapters combined by %s, %lld modules of rank %lld\n", o->out, call->args.n, lm_combine_methods[o->method],
                                (long long)made.n / 2, (long long)rank);
    lm_params_free(&made);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    LM_TRY(lm_call_args(call, 1, -1, "at least one ADAPTER", err));
    int n = call->args.n;
    lm_lora_folder *folders = lm_calloc((size_t)n, sizeof *folders);
    double *weights = lm_calloc((size_t)n, sizeof *weights);
    lm_status status = combine(call, folders, weights, err);
    for (int i = 0; i < n; i++) lm_lora_folder_close(&folders[i]);
    free(folders);
    free(weights);
    return status;
}

const lm_command lm_adapter_combine = {
    .name = "combine",
    .summary = "one LoRA adapter out of several, weighted",
    .usage = "ADAPTER ADAPTER .. --out FOLDER [options]",
    .example = "malmoi adapter combine law poem --weights 0.7,0.3 --out both",
    .notes = "cat is exact and adds the ranks up; svd is the best of the rank asked for; linear, ties, dare_linear, dare_ties\n"
             "and magnitude_prune work on the two factors apart, which is quick and rough; with _svd they work on the updates.",
    .options = options,
    .values_size = sizeof(combine_options),
    .run = run,
};
