/* malmoi new: a fresh model folder, initialised from a seed, that the tokenizer fits. */
#include "app/command.h"
#include "app/open.h"

#include "base/file.h"
#include "base/log.h"
#include "infer/generation.h"
#include "io/staging.h"

#include <stdlib.h>
#include <string.h>

typedef struct new_options {
    const char *family, *preset, *config, *tokenizer, *load_in, *out;
    int64_t hidden, layers, heads, kv_heads, intermediate, context, vocab, seed;
    lm_strings set;
    int dtype;
    bool force, json;
} new_options;

static const char *const stored_dtypes[] = { "f32", "bf16", "f16", NULL };
static const lm_dtype stored_dtype[] = { LM_F32, LM_BF16, LM_F16 };

static const lm_option options[] = {
    LM_OPTION(STRING, new_options, family, "family", .fallback = "llama", .metavar = "NAME", .help = "the kind of model"),
    LM_OPTION(STRING, new_options, preset, "preset", .metavar = "NAME", .help = "its sizes, as listed above (default tiny)"),
    LM_OPTION(STRING, new_options, config, "config", .metavar = "FILE", .help = "a config.json instead of a preset"),
    LM_OPTION(INT, new_options, hidden, "hidden-size", .min = 1, .max = 1 << 20, .help = "width of the hidden states"),
    LM_OPTION(INT, new_options, layers, "layers", .min = 1, .max = 4096, .help = "number of blocks"),
    LM_OPTION(INT, new_options, heads, "heads", .min = 1, .max = 4096, .help = "attention heads of a block"),
    LM_OPTION(INT, new_options, kv_heads, "kv-heads", .min = 1, .max = 4096, .help = "heads of keys and values"),
    LM_OPTION(INT, new_options, intermediate, "intermediate-size", .min = 1, .max = 1 << 22, .help = "width inside the feed-forward part"),
    LM_OPTION(INT, new_options, context, "context", .min = 1, .max = 1 << 30, .help = "longest text, in tokens"),
    LM_OPTION(LIST, new_options, set, "set", .metavar = "KEY=VALUE", .help = "any other setting of config.json; VALUE is JSON or text"),
    LM_OPTION(STRING, new_options, tokenizer, "tokenizer", .metavar = "PATH",
              .help = "folder or file; it comes along, and gives the size of the vocabulary"),
    LM_OPTION(INT, new_options, vocab, "vocab-size", .min = 1, .max = 1 << 24, .help = "without a tokenizer, or larger than its own"),
    LM_OPTION(INT, new_options, seed, "seed", .fallback = "0", .max = 9e15, .help = "of the initial weights"),
    LM_OPTION(CHOICE, new_options, dtype, "dtype", .fallback = "f32", .choices = stored_dtypes, .help = "type of the weights in the file"),
    LM_OPTION(STRING, new_options, load_in, "load-in", .metavar = "FORMAT", .help = "make the linears' weights in nf4, fp4 or int8"),
    LM_OPTION(STRING, new_options, out, "out", .letter = 'o', .metavar = "FOLDER", .required = true, .help = "where the model goes"),
    LM_OPTION(FLAG, new_options, force, "force", .help = "replace a model that stands there"),
    LM_OPTION(FLAG, new_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* ---- config.json ------------------------------------------------------------------ */

static const lm_family *find_family(const char *name, lm_err *err)
{
    lm_str list = { 0 };
    for (int i = 0; lm_family_registry[i]; i++) {
        if (strcmp(lm_family_registry[i]->name, name) == 0) {
            lm_str_free(&list);
            return lm_family_registry[i];
        }
        lm_str_printf(&list, "%s%s", i ? ", " : "", lm_family_registry[i]->name);
    }
    lm_fail(err, LM_E_USAGE, "--family %s: expected one of %s", name, list.data);
    lm_str_free(&list);
    return NULL;
}

static lm_json *preset_config(const lm_family *family, const char *preset, lm_err *err)
{
    lm_str list = { 0 };
    lm_json *config = NULL;
    for (const char *const *p = family->presets; *p && !config; p += 2) {
        if (strcmp(p[0], preset) == 0) config = lm_json_parse(p[1], strlen(p[1]), p[0], err);
        lm_str_printf(&list, "%s%s", list.len ? ", " : "", p[0]);
    }
    if (!config) lm_fail(err, LM_E_USAGE, "--preset %s: %s has %s", preset, family->name, list.data);
    lm_str_free(&list);
    return config;
}

static lm_json *base_config(const new_options *o, lm_err *err)
{
    if (o->config && o->preset) {
        lm_fail(err, LM_E_USAGE, "new: expected --preset or --config, found both");
        return NULL;
    }
    if (o->config) {
        lm_json *config = lm_json_read(o->config, err);
        if (config && !json_is_object(config)) {
            lm_fail(err, LM_E_FORMAT, "%s: expected an object", o->config);
            lm_json_free(config);
            config = NULL;
        }
        return config;
    }
    const lm_family *family = find_family(o->family, err);
    lm_json *config = family ? preset_config(family, o->preset ? o->preset : "tiny", err) : NULL;
    if (!config) return NULL;
    json_object_set_new(config, "model_type", json_string(family->model_types[0]));
    json_object_set_new(config, "architectures", json_pack("[s]", family->architecture));
    return config;
}

/* A size under the word that the family's config.json has for it: GPT-2's differ from everyone else's. */
static lm_status override(lm_json *config, const char *option, const char *key, const char *gpt2_key, int64_t value, lm_err *err)
{
    const char *word = json_object_get(config, "n_embd") ? gpt2_key : key;
    if (value == 0) return LM_OK;                           /* not given */
    if (!word) return lm_fail(err, LM_E_USAGE, "--%s: this family has no such setting", option);
    json_object_set_new(config, word, json_integer(value));
    return LM_OK;
}

static lm_status override_sizes(lm_json *config, const new_options *o, lm_err *err)
{
    LM_TRY(override(config, "hidden-size", "hidden_size", "n_embd", o->hidden, err));
    LM_TRY(override(config, "layers", "num_hidden_layers", "n_layer", o->layers, err));
    LM_TRY(override(config, "heads", "num_attention_heads", "n_head", o->heads, err));
    LM_TRY(override(config, "kv-heads", "num_key_value_heads", NULL, o->kv_heads, err));
    LM_TRY(override(config, "intermediate-size", "intermediate_size", "n_inner", o->intermediate, err));
    return override(config, "context", "max_position_embeddings", "n_positions", o->context, err);
}

static lm_status set_others(lm_json *config, const lm_strings *set, lm_err *err)
{
    for (int i = 0; i < set->n; i++) {
        const char *equals = strchr(set->items[i], '=');
        if (!equals || equals == set->items[i]) return lm_fail(err, LM_E_USAGE, "--set %s: expected KEY=VALUE", set->items[i]);
        lm_str key = { 0 };
        lm_str_append(&key, set->items[i], (size_t)(equals - set->items[i]));
        lm_json *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        json_object_set_new(config, key.data, value ? value : json_string(equals + 1));
        lm_str_free(&key);
    }
    return LM_OK;
}

static void set_id(lm_json *config, const char *key, int32_t id)
{
    json_object_set_new(config, key, id >= 0 ? json_integer(id) : json_null());
}

static lm_status fit_tokenizer(lm_json *config, const new_options *o, const lm_tokenizer *tk, lm_err *err)
{
    int64_t ids = tk ? lm_tokenizer_vocab_size(tk) : 0;
    if (!tk && !o->vocab) return lm_fail(err, LM_E_USAGE, "new: expected --tokenizer PATH (or --vocab-size N for a model without one)");
    if (o->vocab && o->vocab < ids) {
        return lm_fail(err, LM_E_USAGE, "--vocab-size %lld: the tokenizer has %lld ids", (long long)o->vocab, (long long)ids);
    }
    json_object_set_new(config, "vocab_size", json_integer(o->vocab ? o->vocab : ids));
    if (!tk) return LM_OK;
    set_id(config, "bos_token_id", lm_bos_id(tk));
    set_id(config, "eos_token_id", lm_eos_id(tk));
    set_id(config, "pad_token_id", lm_pad_id(tk));
    return LM_OK;
}

/* ---- the command ------------------------------------------------------------------- */

static lm_status write_files(const char *folder, const new_options *o, const lm_model *m, const lm_tokenizer *tk, lm_err *err)
{
    if (tk) {
        LM_TRY(lm_tokenizer_save(tk, folder, err));
        LM_TRY(lm_generation_write(folder, lm_bos_id(tk), lm_eos_id(tk), lm_pad_id(tk), err));
    }
    return lm_model_save(m, folder, stored_dtype[o->dtype], 0, err);
}

static lm_status write_folder(const new_options *o, const lm_model *m, const lm_tokenizer *tk, lm_err *err)
{
    lm_staging staging;
    LM_TRY(lm_staging_begin(&staging, o->out, o->force, err));
    return lm_staging_end(&staging, write_files(staging.path, o, m, tk, err), err);
}

static void report(const new_options *o, const lm_model *m)
{
    const lm_config *c = &m->config;
    int64_t n = lm_params_count(&m->params, false);
    if (o->json) {
        lm_print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "out", o->out, "model_type", c->model_type, "parameters",
                                (json_int_t)n, "vocab_size", (json_int_t)c->vocab_size, "hidden_size", (json_int_t)c->hidden_size,
                                "layers", (json_int_t)c->n_layers, "context", (json_int_t)c->max_positions));
        return;
    }
    char count[24];
    printf("%s: %s with %s parameters, %lld layers of %lld, vocabulary %lld, context %lld\n", o->out, c->model_type,
           lm_format_count(count, (double)n), (long long)c->n_layers, (long long)c->hidden_size, (long long)c->vocab_size,
           (long long)c->max_positions);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const new_options *o = call->values;
    LM_TRY(lm_call_args(call, 0, 0, NULL, err));
    lm_kernels k;
    LM_TRY(lm_call_kernels(call, &k, err));
    lm_tokenizer *tk = NULL;
    lm_model *m = NULL;
    lm_json *config = base_config(o, err);
    lm_status status = config ? LM_OK : err->code;
    if (status == LM_OK && o->tokenizer) status = lm_tokenizer_load(&tk, o->tokenizer, err);
    if (status == LM_OK) status = override_sizes(config, o, err);
    if (status == LM_OK) status = fit_tokenizer(config, o, tk, err);
    if (status == LM_OK) status = set_others(config, &o->set, err);
    const lm_quant_type *quant = o->load_in ? lm_quant_type_find(o->load_in) : NULL;
    if (status == LM_OK && o->load_in && !quant)
        status = lm_fail(err, LM_E_USAGE, "--load-in %s: expected nf4, fp4 or int8", o->load_in);
    if (status == LM_OK) {
        status = lm_model_new_in(&m, config, (uint64_t)o->seed, quant, &k, err);
        config = NULL;                                      /* taken */
    }
    if (status == LM_OK) status = write_folder(o, m, tk, err);
    if (status == LM_OK) report(o, m);
    lm_json_free(config);
    lm_model_free(m);
    lm_tokenizer_free(tk);
    return status;
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "families and their presets\n");
    for (int i = 0; lm_family_registry[i]; i++) {
        lm_str list = { 0 };
        for (const char *const *p = lm_family_registry[i]->presets; *p; p += 2) lm_str_printf(&list, "%s%s", list.len ? ", " : "", p[0]);
        lm_help_entry(out, lm_family_registry[i]->name, list.data);
        lm_str_free(&list);
    }
}

const lm_command lm_command_new = {
    .name = "new",
    .group = "models",
    .summary = "make a fresh model",
    .usage = "--tokenizer PATH --out FOLDER [options]",
    .example = "malmoi new --family llama --preset tiny --tokenizer TOKENIZER --out MODEL",
    .options = options,
    .values_size = sizeof(new_options),
    .topics = topics,
    .run = run,
};
