#include "peft/lora_folder.h"

#include "base/file.h"
#include "base/str.h"
#include "nn/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "base_model.model.";
static const struct { const char *a, *b; bool embedding; } kinds[] = {
    { ".lora_A.weight", ".lora_B.weight", false },
    { ".lora_embedding_A", ".lora_embedding_B", true },
};

/* ---- what the configuration says ---- */

static lm_status check_config(lm_lora_folder *f, lm_err *err)
{
    const char *type = NULL;
    bool dora = false;
    f->alpha = 8;
    LM_TRY(lm_json_need_str(f->config, "peft_type", NULL, &type, err));
    if (strcmp(type, "LORA")) return lm_fail(err, LM_E_UNSUPPORTED, "peft_type: found \"%s\", expected \"LORA\"", type);
    LM_TRY(lm_json_opt_bool(f->config, "use_dora", NULL, &dora, err));
    if (dora) return lm_fail(err, LM_E_UNSUPPORTED, "use_dora is set: the lengths of rows are no sum of matrices");
    return lm_json_opt_real(f->config, "lora_alpha", NULL, &f->alpha, err);
}

/* The alpha of a module: that of the first pattern that is its name's, or the end of it from a point on. */
static lm_status find_alpha(double *alpha, const lm_json *patterns, const char *module, lm_err *err)
{
    const char *expression;
    lm_json *value;
    bool hit = false;
    json_object_foreach((json_t *)(uintptr_t)patterns, expression, value) {
        lm_pattern *pattern;
        LM_TRY(lm_name_pattern(&pattern, lm_span_of(expression, strlen(expression)), true, "alpha_pattern", err));
        lm_status status = lm_name_matches(&hit, pattern, module, err);
        lm_pattern_free(pattern);
        LM_TRY(status);
        if (hit && !json_is_number(value)) return lm_fail(err, LM_E_FORMAT, "alpha_pattern: %s: expected a number", expression);
        if (hit) *alpha = json_number_value(value);
        if (hit) return LM_OK;
    }
    return LM_OK;
}

static lm_status find_scale(const lm_lora_folder *f, lm_lora_module *m, lm_err *err)
{
    bool rslora = false;
    m->alpha = f->alpha;
    LM_TRY(lm_json_opt_bool(f->config, "use_rslora", NULL, &rslora, err));
    LM_TRY(find_alpha(&m->alpha, lm_json_get(f->config, "alpha_pattern"), m->name, err));
    m->scale = m->alpha / (rslora ? sqrt((double)m->r) : (double)m->r);
    return LM_OK;
}

/* ---- what the file holds ---- */

static lm_status add_module(lm_lora_folder *f, const lm_stored *a, const char *suffix, const char *other, bool embedding, lm_err *err)
{
    size_t begin = strlen(prefix), end = strlen(a->name) - strlen(suffix);
    lm_lora_module *m = &f->modules[f->n++];
    *m = (lm_lora_module){ .name = lm_strndup(a->name + begin, end - begin), .embedding = embedding, .a = a };
    lm_str name = { 0 };
    lm_str_printf(&name, "%s%s%s", prefix, m->name, other);
    m->b = lm_safetensors_find(&f->file, name.data);
    if (!m->b) lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is missing", f->file.path, name.data);
    lm_str_free(&name);
    if (!m->b) return LM_E_MISMATCH;
    if (a->ndim != 2 || a->numel == 0) return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: expected a matrix", a->path, a->name);
    if (m->b->ndim != 2 || m->b->numel == 0 || m->b->dim[1] != a->dim[0])
        return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: expected %lld columns, the rank of its lora_A", a->path, m->b->name, (long long)a->dim[0]);
    m->r = a->dim[0], m->in = a->dim[1], m->out = m->b->dim[0];
    return find_scale(f, m, err);
}

static lm_status read_module(lm_lora_folder *f, const lm_stored *s, lm_err *err)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && lm_starts_with(s->name, prefix); i++) {
        if (lm_ends_with(s->name, kinds[i].a)) return add_module(f, s, kinds[i].a, kinds[i].b, kinds[i].embedding, err);
        if (lm_ends_with(s->name, kinds[i].b)) return LM_OK;
    }
    if (lm_ends_with(s->name, ".base_layer.weight")) return LM_OK;           /* PEFT repeats a targeted embedding */
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: tensor %s is no part of a pair of LoRA (a module that is saved whole?)", s->path, s->name);
}

static int by_name(const void *a, const void *b) { return strcmp(((const lm_lora_module *)a)->name, ((const lm_lora_module *)b)->name); }

lm_status lm_lora_folder_open(lm_lora_folder *f, const char *path, lm_err *err)
{
    f->path = lm_strdup(path);
    char *config = lm_path_join(path, "adapter_config.json"), *file = lm_path_join(path, "adapter_model.safetensors");
    f->config = lm_json_read(config, err);
    lm_status status = f->config ? check_config(f, err) : err->code;
    if (status != LM_OK && f->config) lm_context(err, "%s", config);
    if (status == LM_OK) status = lm_safetensors_open(&f->file, file, err);
    free(config);
    free(file);
    LM_TRY(status);
    f->modules = lm_calloc((size_t)f->file.n + 1, sizeof *f->modules);
    for (int64_t i = 0; i < f->file.n; i++) LM_TRY(read_module(f, &f->file.items[i], err));
    if (!f->n) return lm_fail(err, LM_E_FORMAT, "%s: no pair of LoRA in it", f->file.path);
    qsort(f->modules, (size_t)f->n, sizeof *f->modules, by_name);
    return LM_OK;
}

void lm_lora_folder_close(lm_lora_folder *f)
{
    for (int64_t i = 0; i < f->n; i++) free(f->modules[i].name);
    free(f->modules);
    lm_safetensors_close(&f->file);
    lm_json_free(f->config);
    free(f->path);
    *f = (lm_lora_folder){ 0 };
}

const lm_lora_module *lm_lora_folder_find(const lm_lora_folder *f, const char *name)
{
    const lm_lora_module key = { .name = (char *)(uintptr_t)name };
    return f->n ? bsearch(&key, f->modules, (size_t)f->n, sizeof key, by_name) : NULL;
}

lm_status lm_lora_read(float **out, const lm_stored *s, lm_err *err)
{
    *out = lm_malloc((size_t)s->numel * sizeof **out);
    lm_status status = lm_stored_copy(s, *out, LM_F32, err);
    if (status == LM_OK) return LM_OK;
    free(*out);
    *out = NULL;
    return status;
}
