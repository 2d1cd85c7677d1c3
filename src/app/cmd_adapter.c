/* malmoi adapter: look at adapters, compare them, combine them, hand them to other programs. */
#include "app/adapter.h"

#include "base/file.h"
#include "nn/adapter.h"

#include <stdlib.h>
#include <string.h>

static const char *base_of(const lm_json *config)
{
    const char *base = NULL;
    lm_json_opt_str(config, "base_model_name_or_path", NULL, &base, NULL);
    return base;
}

/* VeRA's shared matrices stand in the file and never train. */
static bool trains(const char *name) { return strcmp(name, "base_model.vera_A") && strcmp(name, "base_model.vera_B"); }

/* A method that this build does not know is shown by PEFT's word for it. */
static lm_status open_files(lm_adapter_view *v, const char *config, lm_err *err)
{
    v->config = lm_json_read(config, err);
    if (!v->config) return err->code;
    const lm_adapter_type *type = lm_adapter_type_of(v->config, NULL);
    if (type) v->method = type->name;
    else LM_TRY(lm_json_need_str(v->config, "peft_type", config, &v->method, err));
    char *file = lm_path_join(v->folder, lm_adapter_weights(type));
    lm_status status = lm_safetensors_open(&v->file, file, err);
    free(file);
    return status;
}

lm_status lm_adapter_view_open(lm_adapter_view *v, const char *folder, lm_err *err)
{
    lm_err local = { 0 };
    v->folder = lm_strdup(folder);
    char *config = lm_path_join(folder, "adapter_config.json");
    lm_status status = open_files(v, config, err ? err : &local);
    free(config);
    LM_TRY(status);
    v->base = base_of(v->config);
    v->fingerprint = lm_safetensors_meta(&v->file, lm_adapter_base_key);
    for (int64_t i = 0; i < v->file.n; i++) v->trainable += trains(v->file.items[i].name) ? v->file.items[i].numel : 0;
    return LM_OK;
}

void lm_adapter_view_close(lm_adapter_view *v)
{
    lm_safetensors_close(&v->file);
    lm_json_free(v->config);
    free(v->folder);
    *v = (lm_adapter_view){ 0 };
}

lm_status lm_adapter_same_base(const char *folder_a, const lm_json *config_a, const lm_safetensors *a,
                               const char *folder_b, const lm_json *config_b, const lm_safetensors *b, lm_err *err)
{
    const char *x = lm_safetensors_meta(a, lm_adapter_base_key), *y = lm_safetensors_meta(b, lm_adapter_base_key);
    const char *base_a = base_of(config_a), *base_b = base_of(config_b);
    bool marked = x && y, same = marked ? !strcmp(x, y) : !base_a || !base_b || !strcmp(base_a, base_b);
    if (same) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s belongs to %s%s%s%s, %s to %s%s%s%s; --force takes them all the same", folder_a, base_a ? base_a : "a base",
                   marked ? " (" : "", marked ? x : "", marked ? ")" : "", folder_b, base_b ? base_b : "another", marked ? " (" : "", marked ? y : "", marked ? ")" : "");
}

lm_status lm_adapter_dot(double *squares, double *product, const lm_stored *a, const lm_stored *b, lm_err *err)
{
    float *x = lm_malloc((size_t)(a->numel + (b ? b->numel : 0)) * sizeof *x + 1), *y = x + a->numel;
    lm_status status = lm_stored_copy(a, x, LM_F32, err);
    if (status == LM_OK && b) status = lm_stored_copy(b, y, LM_F32, err);
    *squares = 0;
    if (b) *product = 0;
    for (int64_t i = 0; i < a->numel && status == LM_OK; i++) {
        *squares += (double)x[i] * x[i];
        if (b) *product += (double)x[i] * y[i];
    }
    free(x);
    return status;
}

static const lm_command *const commands[] = { &lm_adapter_list, &lm_adapter_show, &lm_adapter_diff, &lm_adapter_combine, &lm_adapter_export, NULL };

const lm_command lm_command_adapter = {
    .name = "adapter",
    .group = "models",
    .summary = "list, show, compare, combine and export adapters",
    .example = "malmoi adapter list .",
    .commands = commands,
};
