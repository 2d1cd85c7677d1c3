#include "app/inspect.h"

#include "backend/backend.h"
#include "base/file.h"
#include "io/checkpoint.h"
#include "io/llama2c.h"
#include "io/safetensors.h"
#include "nn/adapter.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void put_int(lm_json *doc, const char *key, int64_t value) { json_object_set_new(doc, key, json_integer(value)); }
static void put_text(lm_json *doc, const char *key, const char *value) { json_object_set_new(doc, key, json_string(value)); }

/* Takes over the members of `from` that it has. */
static void put_members(lm_json *doc, const lm_json *from, const char *const *keys)
{
    for (; *keys; keys++) {
        lm_json *value = lm_json_get(from, *keys);
        if (value) json_object_set(doc, *keys, value);
    }
}

/* ---- weights ----------------------------------------------------------------- */

static lm_json *tensor_json(const lm_stored *s)
{
    lm_json *shape = json_array();
    for (int i = 0; i < s->ndim; i++) json_array_append_new(shape, json_integer(s->dim[i]));
    return json_pack("{s:s, s:s, s:o}", "name", s->name, "dtype", s->type, "shape", shape);
}

static void put_tensors(lm_json *doc, const lm_stored *const *items, int64_t n, bool list)
{
    lm_json *types = json_object(), *tensors = json_array();
    int64_t numbers = 0, bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        const lm_stored *s = items[i];
        numbers += s->numel, bytes += (int64_t)s->bytes;
        json_object_set_new(types, s->type, json_integer(json_integer_value(json_object_get(types, s->type)) + s->numel));
        if (list) json_array_append_new(tensors, tensor_json(s));
    }
    put_int(doc, "tensor_count", n);
    put_int(doc, "stored_numbers", numbers);
    put_int(doc, "stored_bytes", bytes);
    json_object_set_new(doc, "stored_dtypes", types);
    if (list) json_object_set(doc, "tensors", tensors);
    json_decref(tensors);
}

static lm_status view_weights(lm_json *doc, const char *path, bool list, lm_err *err)
{
    lm_weights w;
    LM_TRY(lm_weights_open(&w, path, err));
    put_int(doc, "files", w.n_files);
    put_tensors(doc, w.items, w.n, list);
    if (w.n_files == 1 && w.files[0].metadata) json_object_set(doc, "metadata", w.files[0].metadata);
    lm_weights_close(&w);
    return LM_OK;
}

/* ---- folders ----------------------------------------------------------------- */

static lm_status view_tokenizer(lm_json *doc, const char *path, lm_err *err)
{
    lm_tokenizer *tk;
    LM_TRY(lm_tokenizer_load(&tk, path, err));
    json_object_set_new(doc, "tokenizer", json_pack("{s:s, s:i, s:i, s:i, s:b}", "model", lm_tokenizer_model_name(tk),
                                                    "ids", lm_tokenizer_vocab_size(tk), "bos_id", (int)lm_bos_id(tk),
                                                    "eos_id", (int)lm_eos_id(tk), "chat_template",
                                                    lm_tokenizer_chat_template(tk) != NULL));
    lm_tokenizer_free(tk);
    return LM_OK;
}

static bool has_tokenizer(const char *folder)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer.bin", NULL };
    for (const char *const *name = names; *name; name++) {
        char *path = lm_path_join(folder, *name);
        bool there = lm_file_exists(path);
        free(path);
        if (there) return true;
    }
    return false;
}

/* Loaded on the null backend: every tensor is looked up and its shape held against the config, nothing
 * is computed. */
static lm_status view_model(lm_json *doc, const char *path, bool list, lm_err *err)
{
    lm_kernels k = {0};
    lm_model *m;
    LM_TRY(lm_backend(&k, "null", err));
    LM_TRY(lm_model_load(&m, path, &k, err));
    const lm_config *c = &m->config;
    const struct { const char *key; int64_t value; } sizes[] = {
        { "parameters", lm_params_count(&m->params, false) }, { "layers", c->n_layers }, { "hidden_size", c->hidden_size },
        { "intermediate_size", c->intermediate_size }, { "heads", c->n_heads }, { "kv_heads", c->n_kv_heads },
        { "head_dim", c->head_dim }, { "vocab_size", c->vocab_size }, { "context", c->max_positions },
    };
    put_text(doc, "family", m->family->name);
    put_text(doc, "model_type", c->model_type);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) put_int(doc, sizes[i].key, sizes[i].value);
    json_object_set_new(doc, "tied_embeddings", json_boolean(c->tie_embeddings));
    lm_model_free(m);
    LM_TRY(view_weights(doc, path, list, err));
    return has_tokenizer(path) ? view_tokenizer(doc, path, err) : LM_OK;
}

static lm_status view_adapter(lm_json *doc, const char *path, bool list, lm_err *err)
{
    static const char *const keys[] = { "peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout",
                                        "use_rslora", "target_modules", "modules_to_save", NULL };
    char *config = lm_path_join(path, "adapter_config.json");
    lm_json *settings = lm_json_read(config, err);
    char *weights = lm_path_join(path, lm_adapter_weights(settings ? lm_adapter_type_of(settings, NULL) : NULL));
    if (settings) put_members(doc, settings, keys);
    lm_status status = settings ? view_weights(doc, weights, list, err) : LM_E_FORMAT;
    lm_json_free(settings);
    free(config);
    free(weights);
    return status;
}

/* The manifest has been held against the files when this returns LM_OK. */
static lm_status view_checkpoint(lm_json *doc, const char *path, lm_err *err)
{
    lm_checkpoint_reader c;
    LM_TRY(lm_checkpoint_open_step(&c, path, err));
    char *name = lm_path_join(path, "manifest.json");
    lm_json *manifest = lm_json_read(name, err);
    put_int(doc, "step", c.step);
    if (manifest) json_object_set(doc, "files", lm_json_get(manifest, "files"));
    if (c.state) json_object_set(doc, "state", c.state);
    lm_status status = manifest ? LM_OK : LM_E_FORMAT;
    lm_json_free(manifest);
    free(name);
    lm_checkpoint_close(&c);
    return status;
}

/* A folder of checkpoints, or the folder of a run that holds one as "checkpoints". */
static lm_status view_run(lm_json *doc, const char *path, lm_err *err)
{
    static const char *const keys[] = { "objective", "adapter", "optimizer", "dtype", "steps", "finished", "data", "options", NULL };
    char *description = lm_path_join(path, "run.json"), *inner = lm_path_join(path, "checkpoints");
    lm_json *run = lm_file_exists(description) ? lm_json_read(description, err) : NULL;
    lm_status status = run || !lm_file_exists(description) ? LM_OK : LM_E_FORMAT;
    if (run) put_members(doc, run, keys);
    int64_t *steps = NULL;
    size_t n = 0;
    const char *folder = lm_is_dir(inner) ? inner : path;
    if (status == LM_OK) status = lm_checkpoint_list(&steps, &n, folder, err);
    lm_json *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(steps[i]));
    json_object_set_new(doc, "checkpoints", list);
    free(steps);
    lm_json_free(run);
    free(description);
    free(inner);
    return status;
}

/* ---- one file ---------------------------------------------------------------- */

static lm_status view_llama2c(lm_json *doc, const char *path, lm_err *err)
{
    lm_llama2c_header h;
    LM_TRY(lm_llama2c_inspect(&h, path, err));
    const struct { const char *key; int64_t value; } sizes[] = {
        { "layers", h.n_layers }, { "hidden_size", h.dim }, { "intermediate_size", h.hidden_dim }, { "heads", h.n_heads },
        { "kv_heads", h.n_kv_heads }, { "vocab_size", h.vocab_size }, { "context", h.seq_len },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) put_int(doc, sizes[i].key, sizes[i].value);
    json_object_set_new(doc, "tied_embeddings", json_boolean(h.shared_head));
    return LM_OK;
}

lm_status lm_inspect_files(lm_json *doc, lm_kind kind, const char *path, bool tensors, lm_err *err)
{
    switch (kind) {
    case LM_KIND_MODEL:       return view_model(doc, path, tensors, err);
    case LM_KIND_ADAPTER:     return view_adapter(doc, path, tensors, err);
    case LM_KIND_CHECKPOINT:  return view_checkpoint(doc, path, err);
    case LM_KIND_RUN:         return view_run(doc, path, err);
    case LM_KIND_TOKENIZER:   return view_tokenizer(doc, path, err);
    case LM_KIND_SAFETENSORS: return view_weights(doc, path, tensors, err);
    case LM_KIND_LLAMA2C:     return view_llama2c(doc, path, err);
    case LM_KIND_GGUF: case LM_KIND_TEXT: case LM_KIND_UNKNOWN: break;
    }
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: %s; nothing here can look into it", path,
                   kind == LM_KIND_GGUF ? "a GGUF file" : "neither a model, adapter, checkpoint, tokenizer nor text");
}
