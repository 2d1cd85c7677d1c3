/* Adapter folders as PEFT has them: adapter_config.json and adapter_model.safetensors. */
#include "nn/adapter.h"

#include "base/file.h"
#include "base/log.h"
#include "io/save.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char lm_adapter_base_key[] = "malmoi.base";

static const char *prefix_of(const lm_adapter *a) { return a->type->bare || a->type->file ? "" : "base_model.model."; }

const char *lm_adapter_weights(const lm_adapter_type *type) { return type && type->file ? type->file : "adapter_model.safetensors"; }

/* What a parameter is called in a file. */
static char *file_name(const lm_adapter *a, const char *name)
{
    lm_str text = { 0 };
    lm_str_printf(&text, "%s%s", lm_starts_with(name, "base_model.") ? "" : prefix_of(a), name);
    return lm_str_take(&text);
}

static lm_status save_tensors(const lm_adapter *a, const lm_params *params, const lm_json *metadata, const char *folder, lm_err *err)
{
    int64_t n = params->n;
    lm_save_entry *entries = lm_calloc((size_t)n + 1, sizeof *entries);
    char **names = lm_calloc((size_t)n + 1, sizeof *names);
    for (int64_t i = 0; i < n; i++) {
        const lm_tensor *t = &params->items[i]->t;
        names[i] = file_name(a, t->name);
        entries[i] = (lm_save_entry){ .name = names[i], .dtype = LM_F32, .ndim = t->ndim, .dim = t->dim,
                                      .data = t->data, .data_dtype = t->dtype };
    }
    char *path = lm_path_join(folder, lm_adapter_weights(a->type));
    lm_status status = lm_save_file(&(lm_save){ .entries = entries, .n = n, .metadata = metadata }, path, err);
    free(path);
    for (int64_t i = 0; i < n; i++) free(names[i]);
    free(names);
    free(entries);
    return status;
}

/* Trained copies are kept as they are, whatever the method makes of its own parameters. */
static lm_status keep_saved(const lm_adapter *a, lm_params *kept, lm_err *err)
{
    for (int64_t i = 0; i < a->n_saved; i++) {
        const lm_tensor *from = &a->saved[i].copy->t;
        if (lm_param_find(kept, from->name)) continue;
        lm_tensor *to = &lm_param_declare(kept, LM_INIT_ZERO, 0, from->ndim, from->dim, "%s", from->name)->t;
        LM_TRY(lm_params_initialise(kept, 0, err));
        kept->k->copy(to->data, from->data, (int64_t)lm_nbytes(from));
    }
    return LM_OK;
}

static lm_status save_kept(lm_adapter *a, const lm_json *metadata, const char *folder, lm_err *err)
{
    lm_params kept;
    LM_TRY(lm_params_init(&kept, a->params.k, err));
    lm_status status = a->type->kept(a, &kept, err);
    if (status == LM_OK) status = keep_saved(a, &kept, err);
    if (status == LM_OK) status = save_tensors(a, &kept, metadata, folder, err);
    lm_params_free(&kept);
    return status;
}

lm_status lm_adapter_save(lm_adapter *a, const char *folder, lm_err *err)
{
    LM_TRY(lm_make_dirs(folder, err));
    json_t *metadata = json_pack("{s:s, s:s*}", "format", "pt", lm_adapter_base_key, a->params.k->computes ? a->base : NULL);
    json_t *config = json_object();
    json_object_set_new(config, "peft_type", json_string(a->type->peft_type));
    json_object_set_new(config, "task_type", json_string("CAUSAL_LM"));
    json_object_set_new(config, "base_model_name_or_path", a->model->path ? json_string(a->model->path) : json_null());
    json_object_set_new(config, "inference_mode", json_true());
    a->type->write_config(a, config);
    if (lm_adapter_classifies(a)) lm_adapter_head_write(a, config, metadata);
    lm_status status = a->type->kept ? save_kept(a, metadata, folder, err) : save_tensors(a, &a->params, metadata, folder, err);
    char *path = lm_path_join(folder, "adapter_config.json");
    if (status == LM_OK) status = lm_json_write(config, path, err);
    free(path);
    lm_json_free(metadata);
    lm_json_free(config);
    return status;
}

const lm_adapter_type *lm_adapter_type_of(const lm_json *config, lm_err *err)
{
    const char *peft_type = NULL;
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++)
        if ((*t)->recognise && (*t)->recognise(config)) return *t;
    if (lm_json_need_str(config, "peft_type", NULL, &peft_type, err) != LM_OK) return NULL;
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++)
        if (!(*t)->recognise && !strcmp((*t)->peft_type, peft_type)) return *t;
    lm_fail(err, LM_E_UNSUPPORTED, "peft_type: found \"%s\", which no method of this build reads", peft_type);
    return NULL;
}

/* PEFT puts a targeted embedding's own weight into the file ("NAME.base_layer.weight"): it has to be this
 * model's, but for rounding to bf16. */
static lm_status check_repeated(const lm_adapter *a, const lm_stored *s, const char *name, size_t module, lm_err *err)
{
    lm_str own = { 0 };
    lm_str_printf(&own, "%.*s.weight", (int)module, name);
    const lm_param *p = lm_param_find(&a->model->params, a->model->head && !strcmp(own.data, "lm_head.weight") ? a->model->head->name : own.data);
    lm_str_free(&own);
    if (!p || !p->t.data) return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: this model has no such module", s->path, s->name);
    LM_TRY(lm_stored_need_shape(s, p->t.ndim, p->t.dim, err));
    if (!a->params.k->computes || p->t.quant) return LM_OK;
    int64_t n = lm_numel(&p->t), at = 0;
    float *found = lm_malloc(2 * (size_t)n * sizeof *found), *expected = found + n;
    lm_status status = lm_stored_copy(s, found, LM_F32, err);
    a->params.k->convert(expected, LM_F32, p->t.data, p->t.dtype, n);
    while (status == LM_OK && at < n && fabsf(found[at] - expected[at]) <= 0x1p-7f * fabsf(expected[at]) + 1e-30f) at++;
    if (status == LM_OK && at < n)
        status = lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is not this model's: the adapter was made on another base", s->path, s->name);
    free(found);
    return status;
}

/* Every parameter must be in the file with its shape, and nothing else. */
static lm_status read_tensors(lm_adapter *a, const lm_safetensors *file, lm_err *err)
{
    for (int64_t i = 0; i < a->params.n; i++) {
        lm_param *p = a->params.items[i];
        char *name = file_name(a, p->t.name);
        const lm_stored *s = lm_safetensors_find(file, name);
        if (!s) lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is missing", file->path, name);
        free(name);
        if (!s) return LM_E_MISMATCH;
        LM_TRY(lm_stored_need_shape(s, p->t.ndim, p->t.dim, err));
        LM_TRY(lm_adapter_allocate(a, p, err));
        if (a->params.k->computes) LM_TRY(lm_stored_copy(s, p->t.data, LM_F32, err));
    }
    for (int64_t i = 0; i < file->n; i++) {
        const char *name = file->items[i].name, *prefix = prefix_of(a), *repeated = strstr(name, ".base_layer.weight");
        if (a->type->embeds && repeated && lm_starts_with(name, prefix)) {
            LM_TRY(check_repeated(a, &file->items[i], name + strlen(prefix), (size_t)(repeated - name) - strlen(prefix), err));
            continue;
        }
        if (!lm_param_find(&a->params, name) && (!lm_starts_with(name, prefix) || !lm_param_find(&a->params, name + strlen(prefix))))
            return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is not one that adapter_config.json implies for this model", file->path, name);
    }
    return LM_OK;
}

/* A folder without a fingerprint is PEFT's own, and taken on trust. */
static lm_status check_base(const lm_adapter *a, const lm_safetensors *file, lm_foreign foreign, lm_err *err)
{
    const char *mark = lm_safetensors_meta(file, lm_adapter_base_key), *base = "another base", *here = a->model->path ? a->model->path : "in memory";
    if (!mark || !a->params.k->computes || foreign == LM_FOREIGN_TAKEN || !strcmp(mark, a->base)) return LM_OK;
    lm_json_opt_str(a->config, "base_model_name_or_path", NULL, &base, NULL);
    if (foreign == LM_FOREIGN_REFUSED)
        return lm_fail(err, LM_E_MISMATCH, "%s: trained on %s (%s), this model is %s (%s); --force takes it all the same", file->path, base,
                       mark, here, a->base);
    lm_log(LM_LOG_WARN, "%s: trained on %s (%s), this model is %s (%s)", file->path, base, mark, here, a->base);
    return LM_OK;
}

/* The base is looked at first: what else does not fit another one says less.  A head that classifies must
 * stand before anything is attached to the model. */
static lm_status fill(lm_adapter *a, const lm_safetensors *file, const char *config_path, lm_foreign foreign, lm_err *err)
{
    bool classifies;
    LM_TRY(check_base(a, file, foreign, err));
    LM_TRY(lm_adapter_head_read(a, file, &classifies, err));
    lm_status status = a->type->read_config(a, a->config, err);
    if (status == LM_OK) status = a->type->attach(a, err);
    if (status == LM_OK && classifies) lm_adapter_head_attach(a);
    return status == LM_OK ? read_tensors(a, file, err) : lm_context(err, "%s", config_path);
}

static lm_status load(lm_adapter **out, lm_model *m, const char *folder, lm_foreign foreign, lm_err *err)
{
    lm_safetensors file = { 0 };
    char *config_path = lm_path_join(folder, "adapter_config.json"), *path = NULL;
    lm_json *config = lm_json_read(config_path, err);
    const lm_adapter_type *type = config ? lm_adapter_type_of(config, err) : NULL;
    if (config && !type) lm_context(err, "%s", config_path);
    lm_status status = type ? lm_adapter_begin(out, m, type, folder, err) : err->code;
    if (*out) (*out)->config = config;
    else lm_json_free(config);
    if (type) path = lm_path_join(folder, lm_adapter_weights(type));
    if (status == LM_OK) status = lm_safetensors_open(&file, path, err);
    if (status == LM_OK) status = fill(*out, &file, config_path, foreign, err);
    lm_safetensors_close(&file);
    free(config_path);
    free(path);
    return status;
}

lm_status lm_adapter_load_on(lm_adapter **out, lm_model *m, const char *folder, lm_foreign foreign, lm_err *err)
{
    lm_err local = { 0 };
    if (!err) err = &local;
    *out = NULL;
    return lm_adapter_finish(out, load(out, m, folder, foreign, err), err);
}

lm_status lm_adapter_load(lm_adapter **out, lm_model *m, const char *folder, lm_err *err)
{
    return lm_adapter_load_on(out, m, folder, LM_FOREIGN_REFUSED, err);
}

lm_status lm_adapter_strings(lm_adapter *a, const lm_json *config, const char *key, lm_strings *out, lm_err *err)
{
    const lm_json *value = lm_json_get(config, key);
    size_t n = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
    *out = (lm_strings){ lm_calloc(n + 1, sizeof(char *)), (int)n };
    lm_adapter_keep(a, out->items);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
        if (!text) return lm_fail(err, LM_E_FORMAT, "%s: expected a string or a list of strings", key);
        out->items[i] = (char *)(uintptr_t)text;
    }
    return LM_OK;
}

void lm_adapter_put_strings(lm_json *config, const char *key, const lm_strings *strings)
{
    json_t *list = strings->n ? json_array() : json_null();
    for (int i = 0; i < strings->n; i++) json_array_append_new(list, json_string(strings->items[i]));
    json_object_set_new(config, key, list);
}
