#include "nn/adapter.h"

#include "base/file.h"
#include "io/save.h"
#include "token/pattern.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char base_key[] = "malmoi.base";        /* metadata of adapter_model.safetensors */

static const char *prefix_of(const lm_adapter *a) { return a->type->bare ? "" : "base_model.model."; }

/* What a parameter is called in a file. */
static char *file_name(const lm_adapter *a, const char *name)
{
    lm_str text = { 0 };
    lm_str_printf(&text, "%s%s", lm_starts_with(name, "base_model.") ? "" : prefix_of(a), name);
    return lm_str_take(&text);
}

const lm_adapter_type *lm_adapter_type_find(const char *name)
{
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
}

/* ---- which sites ---- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && !strcmp(name + n - m, suffix) && (n == m || name[n - m - 1] == '.');
}

static lm_status no_site(const lm_model *m, const char *target, lm_err *err)
{
    const char **last = lm_calloc((size_t)m->n_sites + 1, sizeof *last);
    for (int64_t i = 0; i < m->n_sites; i++) {
        const char *dot = strrchr(m->sites[i]->name, '.');
        last[i] = dot ? dot + 1 : m->sites[i]->name;
    }
    const char *nearest = lm_nearest(target, last);
    lm_str names = { 0 };
    for (int64_t i = 0; i < m->n_sites; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++) seen = !strcmp(last[i], last[j]);
        if (!seen) lm_str_printf(&names, "%s%s", names.len ? ", " : "", last[i]);
    }
    lm_status status;
    if (!strcmp(target, "lm_head"))
        status = lm_fail(err, LM_E_UNSUPPORTED, "target module \"lm_head\": the head cannot be a target; --modules-to-save lm_head trains it whole");
    else
        status = lm_fail(err, LM_E_USAGE, "target module \"%s\" matches no linear of this %s model%s%s%s; it has %s", target,
            m->config.model_type, nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"" : "", names.data);
    lm_str_free(&names);
    free(last);
    return status;
}

/* A plain suffix has no character that only a pattern has. */
static bool is_pattern(const char *target) { return strpbrk(target, "\\^$*+?()[]{}|") != NULL; }

/* The linears, and the embedding behind them where the method can change it. */
static int64_t n_targets(const lm_adapter *a) { return a->model->n_sites + a->type->embeds; }
static lm_linear_site *target_at(const lm_adapter *a, int64_t i) { return i < a->model->n_sites ? a->model->sites[i] : a->model->table; }

/* As in PEFT, the expression has to match the whole name. */
static lm_status visit_pattern(lm_adapter *a, const char *expression, void (*visit)(lm_adapter *, lm_linear_site *), lm_err *err)
{
    lm_str whole = { 0 };
    lm_pattern *pattern = NULL;
    lm_str_printf(&whole, "\\A(?:%s)\\z", expression);
    lm_status status = lm_pattern_regex(&pattern, whole.data, "target modules", err);
    int64_t n = 0;
    for (int64_t i = 0; i < n_targets(a) && status == LM_OK; i++) {
        lm_linear_site *s = target_at(a, i);
        lm_match match;
        lm_matcher matcher = lm_matcher_start(pattern, lm_span_of(s->name, strlen(s->name)));
        bool hit = lm_matcher_next(&matcher, &match);
        status = lm_matcher_end(&matcher, err);
        if (!hit || status != LM_OK) continue;
        visit(a, s);
        n++;
    }
    lm_pattern_free(pattern);
    lm_str_free(&whole);
    return status != LM_OK || n ? status : no_site(a->model, expression, err);
}

lm_status lm_adapter_targets(lm_adapter *a, const lm_strings *targets, void (*visit)(lm_adapter *, lm_linear_site *), lm_err *err)
{
    const lm_model *m = a->model;
    if (targets->n == 1 && is_pattern(targets->items[0])) return visit_pattern(a, targets->items[0], visit, err);
    bool all = targets->n == 1 && !strcmp(targets->items[0], "all-linear");
    bool *used = lm_calloc((size_t)targets->n + 1, sizeof *used);
    for (int64_t i = 0; i < n_targets(a); i++) {
        lm_linear_site *s = target_at(a, i);
        bool hit = all && s != m->table;
        for (int j = 0; j < targets->n && !all; j++)
            if (has_suffix(s->name, targets->items[j])) used[j] = hit = true;
        if (hit) visit(a, s);
    }
    lm_status status = LM_OK;
    for (int j = 0; j < targets->n && !all && status == LM_OK; j++)
        if (!used[j]) status = no_site(m, targets->items[j], err);
    free(used);
    return status;
}

bool lm_adapter_names(const lm_strings *suffixes, const lm_linear_site *site)
{
    for (int j = 0; j < suffixes->n; j++)
        if (has_suffix(site->name, suffixes->items[j])) return true;
    return false;
}

lm_link *lm_adapter_link(lm_adapter *a, lm_linear_site *site)
{
    lm_link *l = lm_calloc(1, sizeof *l), **end = &site->links;
    *l = (lm_link){ .adapter = a, .site = site, .scale = 1 };
    while (*end) end = &(*end)->next;
    *end = l;
    a->links = lm_realloc(a->links, (size_t)(a->n_links + 1) * sizeof(lm_link *));
    a->links[a->n_links++] = l;
    return l;
}

lm_tensor *lm_adapter_rows(lm_tape *t, lm_tensor *table)
{
    int64_t n = lm_rows(table);
    int32_t *all = lm_tape_meta(t, (size_t)n * sizeof *all);
    for (int64_t i = 0; all && i < n; i++) all[i] = (int32_t)i;
    return lm_embedding(t, lm_columns(t, table, 0, lm_cols(table)), lm_input(t, all, LM_I32, 1, &n));
}

/* ---- modules_to_save ---- */

int64_t lm_adapter_copy_params(lm_adapter *a, bool (*wanted)(const lm_param *p, const void *context), const void *context)
{
    const lm_params *base = &a->model->params;
    int64_t before = a->n_saved;
    for (int64_t i = 0; i < base->n; i++) {
        lm_param *p = base->items[i];
        if (!p->t.data || lm_param_find(&a->params, p->t.name) || !wanted(p, context)) continue;
        a->saved = lm_realloc(a->saved, (size_t)(a->n_saved + 1) * sizeof *a->saved);
        lm_param *copy = lm_param_declare(&a->params, p->init, p->range, p->t.ndim, p->t.dim, "%s", p->t.name);
        copy->decays = p->decays;
        a->saved[a->n_saved++] = (lm_saved_module){ .base = p, .copy = copy, .original = p->t };
    }
    return a->n_saved - before;
}

static bool is_of_module(const lm_param *p, const void *suffix)
{
    char *module = lm_strdup(p->t.name), *dot = strrchr(module, '.');
    if (dot) *dot = '\0';
    bool is = has_suffix(module, suffix);
    free(module);
    return is;
}

lm_status lm_adapter_save_modules(lm_adapter *a, const lm_strings *modules, lm_err *err)
{
    for (int j = 0; j < modules->n; j++)
        if (!lm_adapter_copy_params(a, is_of_module, modules->items[j]))
            return lm_fail(err, LM_E_USAGE, "modules to save: \"%s\" names no module of this %s model", modules->items[j],
                           a->model->config.model_type);
    return LM_OK;
}

lm_status lm_adapter_allocate(lm_adapter *a, lm_param *p, lm_err *err)
{
    p->t.data = lm_arena_alloc(&a->params.arena, lm_nbytes(&p->t));
    return p->t.data ? LM_OK : lm_fail(err, LM_E_NOMEM, "no room for tensor %s", p->t.name);
}

/* The copies start as the base. */
static lm_status fill_saved(lm_adapter *a, lm_err *err)
{
    for (int64_t i = 0; i < a->n_saved; i++) {
        lm_saved_module *s = &a->saved[i];
        if (s->copy->t.data) continue;
        LM_TRY(lm_adapter_allocate(a, s->copy, err));
        const lm_tensor *w = &s->original;
        if (w->quant) a->params.k->dequantise(s->copy->t.data, w->quant, w->data, 0, lm_numel(w));
        else a->params.k->convert(s->copy->t.data, LM_F32, w->data, w->dtype, lm_numel(w));
    }
    return LM_OK;
}

void lm_adapter_switch(lm_adapter *a, bool on)
{
    for (int64_t i = 0; i < a->n_saved; i++) a->saved[i].base->t = on ? a->saved[i].copy->t : a->saved[i].original;
    for (int64_t i = 0; on && i < a->n_saved; i++) a->saved[i].base->t.name = a->saved[i].original.name;
    a->on = on;
    a->model->adapter_off = !on;
}

/* ---- making one ---- */

static lm_status begin(lm_adapter **out, lm_model *m, const lm_adapter_type *type, lm_err *err)
{
    lm_adapter *a = lm_calloc(1, sizeof *a);
    *out = a;
    a->type = type;
    a->model = m;
    a->options = lm_calloc(1, type->options_size);
    if (m->adapter) return lm_fail(err, LM_E_USAGE, "the model has an adapter already");
    m->adapter = a;
    LM_TRY(lm_params_init(&a->params, m->params.k, err));
    return lm_params_init(&a->state, m->params.k, err);
}

void lm_adapter_free(lm_adapter *a)
{
    if (!a) return;
    if (a->model->adapter == a) {
        lm_adapter_switch(a, false);
        a->model->adapter = NULL;
    }
    for (int64_t i = 0; i < a->n_links; i++) {
        lm_link **at = &a->links[i]->site->links;
        while (*at && *at != a->links[i]) at = &(*at)->next;
        if (*at) *at = a->links[i]->next;
        free(a->links[i]);
    }
    for (int i = 0; i < a->n_kept; i++) free(a->kept[i]);
    free(a->kept);
    free(a->links);
    free(a->saved);
    free(a->options);
    lm_params_free(&a->params);
    lm_params_free(&a->state);
    lm_json_free(a->config);
    free(a);
}

static lm_status finish(lm_adapter **out, lm_status status)
{
    if (status == LM_OK) {
        for (int64_t i = 0; i < (*out)->params.n; i++) (*out)->params.items[i]->trains = !(*out)->params.items[i]->frozen;
        lm_adapter_switch(*out, true);
        return LM_OK;
    }
    lm_adapter_free(*out);
    *out = NULL;
    return status;
}

lm_status lm_adapter_new(lm_adapter **out, lm_model *m, const lm_adapter_type *type, const void *options, uint64_t seed, lm_err *err)
{
    lm_status status = begin(out, m, type, err);
    if (status == LM_OK) {
        memcpy((*out)->options, options, type->options_size);
        status = type->attach(*out, err);
    }
    if (status == LM_OK) status = fill_saved(*out, err);
    if (status == LM_OK) status = lm_params_initialise(&(*out)->params, seed, err);
    if (status == LM_OK && type->start) status = type->start(*out, seed, err);
    return finish(out, status);
}

/* ---- files ---- */

/* A weight that was quantised as it was read counts as what it was read from: the adapter fits that model in
 * any format. */
static lm_tensor before_quantising(const lm_model *m, const lm_tensor *t)
{
    const lm_stored *s = t->quant && !m->quant_stored ? lm_model_stored(m, t->name) : NULL;
    if (!s) return *t;
    lm_tensor stored = lm_tensor_of((void *)(uintptr_t)s->data, (lm_dtype)s->dtype, s->ndim, s->dim);
    stored.name = t->name;
    return stored;
}

static uint16_t sample(const lm_adapter *a, const lm_tensor *t, int64_t i)
{
    uint16_t value;
    float x;
    const lm_kernels *k = a->params.k;
    if (t->quant) {
        k->dequantise(&x, t->quant, t->data, i, 1);
        return lm_f32_to_bf16(x);
    }
    k->convert(&value, LM_BF16, (const uint8_t *)t->data + (size_t)i * lm_dtype_size(t->dtype), t->dtype, 1);
    return value;
}

/* Which base: names, shapes and a sample of the weights, rounded to bf16 so that the same model saved
 * in another type counts as the same. */
static uint64_t fingerprint(const lm_adapter *a)
{
    enum { SAMPLES = 64 };
    uint64_t hash = 0;
    for (int64_t i = 0; i < a->model->params.n; i++) {
        const lm_tensor *t = &a->model->params.items[i]->t;
        for (int64_t j = 0; j < a->n_saved; j++)
            if (a->saved[j].base == a->model->params.items[i]) t = &a->saved[j].original;
        if (!t->data) continue;
        lm_tensor base = before_quantising(a->model, t);
        hash = lm_hash(base.name, strlen(base.name), hash);
        hash = lm_hash(base.dim, sizeof *base.dim * base.ndim, hash);
        int64_t n = lm_numel(&base), step = n / SAMPLES + 1;
        for (int64_t j = 0; j < n; j += step) {
            uint16_t value = sample(a, &base, j);
            hash = lm_hash(&value, sizeof value, hash);
        }
        if (base.data != t->data) lm_mapping_unload(base.data, lm_nbytes(&base));
    }
    return hash;
}

static lm_status save_tensors(const lm_adapter *a, const lm_params *params, const char *folder, lm_err *err)
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
    char mark[20];
    snprintf(mark, sizeof mark, "%016" PRIx64, fingerprint(a));
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", base_key, mark);
    char *path = lm_path_join(folder, "adapter_model.safetensors");
    lm_status status = lm_save_file(&(lm_save){ .entries = entries, .n = n, .metadata = metadata }, path, err);
    free(path);
    lm_json_free(metadata);
    for (int64_t i = 0; i < n; i++) free(names[i]);
    free(names);
    free(entries);
    return status;
}

static lm_status save_kept(lm_adapter *a, const char *folder, lm_err *err)
{
    lm_params kept;
    LM_TRY(lm_params_init(&kept, a->params.k, err));
    lm_status status = a->type->kept(a, &kept, err);
    if (status == LM_OK) status = save_tensors(a, &kept, folder, err);
    lm_params_free(&kept);
    return status;
}

lm_status lm_adapter_save(lm_adapter *a, const char *folder, lm_err *err)
{
    LM_TRY(lm_make_dirs(folder, err));
    LM_TRY(a->type->kept ? save_kept(a, folder, err) : save_tensors(a, &a->params, folder, err));
    json_t *config = json_object();
    json_object_set_new(config, "peft_type", json_string(a->type->peft_type));
    json_object_set_new(config, "task_type", json_string("CAUSAL_LM"));
    json_object_set_new(config, "base_model_name_or_path", a->model->path ? json_string(a->model->path) : json_null());
    json_object_set_new(config, "inference_mode", json_true());
    a->type->write_config(a, config);
    char *path = lm_path_join(folder, "adapter_config.json");
    lm_status status = lm_json_write(config, path, err);
    free(path);
    lm_json_free(config);
    return status;
}

static const lm_adapter_type *type_of(const lm_json *config, lm_err *err)
{
    const char *peft_type = NULL;
    if (lm_json_need_str(config, "peft_type", NULL, &peft_type, err) != LM_OK) return NULL;
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++)
        if (!strcmp((*t)->peft_type, peft_type)) return *t;
    lm_fail(err, LM_E_UNSUPPORTED, "peft_type: found \"%s\", which no method of this build reads", peft_type);
    return NULL;
}

/* PEFT puts a targeted embedding's own weight into the file ("NAME.base_layer.weight"): it has to be this
 * model's, but for rounding to bf16. */
static lm_status check_repeated(const lm_adapter *a, const lm_stored *s, const char *name, size_t module, lm_err *err)
{
    lm_str own = { 0 };
    lm_str_printf(&own, "%.*s.weight", (int)module, name);
    const lm_param *p = lm_param_find(&a->model->params, own.data);
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

static lm_status check_base(const lm_adapter *a, const lm_safetensors *file, lm_err *err)
{
    const char *mark = lm_safetensors_meta(file, base_key), *base = "another base";
    if (!mark || !a->params.k->computes || strtoull(mark, NULL, 16) == fingerprint(a)) return LM_OK;
    lm_json_opt_str(a->config, "base_model_name_or_path", NULL, &base, NULL);
    return lm_fail(err, LM_E_MISMATCH, "%s: trained on %s (fingerprint %s), this model is %s (fingerprint %016" PRIx64 ")",
                   file->path, base, mark, a->model->path ? a->model->path : "in memory", fingerprint(a));
}

static lm_status load(lm_adapter **out, lm_model *m, const char *folder, lm_err *err)
{
    lm_safetensors file = { 0 };
    char *config_path = lm_path_join(folder, "adapter_config.json"), *path = lm_path_join(folder, "adapter_model.safetensors");
    lm_json *config = lm_json_read(config_path, err);
    const lm_adapter_type *type = config ? type_of(config, err) : NULL;
    lm_status status = type ? begin(out, m, type, err) : err->code;
    if (*out) (*out)->config = config;
    else lm_json_free(config);
    if (status == LM_OK) status = type->read_config(*out, config, err);
    if (status == LM_OK) status = type->attach(*out, err);
    if (status != LM_OK && config) lm_context(err, "%s", config_path);
    if (status == LM_OK) status = lm_safetensors_open(&file, path, err);
    if (status == LM_OK) status = read_tensors(*out, &file, err);
    if (status == LM_OK) status = check_base(*out, &file, err);
    lm_safetensors_close(&file);
    free(config_path);
    free(path);
    return status;
}

lm_status lm_adapter_load(lm_adapter **out, lm_model *m, const char *folder, lm_err *err)
{
    lm_err local = { 0 };
    *out = NULL;
    return finish(out, load(out, m, folder, err ? err : &local));
}

void *lm_adapter_keep(lm_adapter *a, void *memory)
{
    a->kept = lm_realloc(a->kept, (size_t)(a->n_kept + 1) * sizeof *a->kept);
    return a->kept[a->n_kept++] = memory;
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

/* ---- merging ---- */

lm_status lm_adapter_merge(lm_adapter *a, lm_err *err)
{
    lm_params *base = &a->model->params;
    bool copies_only = a->n_saved == a->params.n;
    if (!a->type->merge && !copies_only)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s cannot be merged: it is not a change of weights; keep the adapter beside the model", a->type->name);
    lm_adapter_switch(a, false);
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_linear_site *s = a->links[i]->site;
        LM_TRY(lm_param_own(base, lm_param_find(base, s->w->name), err));
        if (s->bias) LM_TRY(lm_param_own(base, lm_param_find(base, s->bias->name), err));
        LM_TRY(a->type->merge(a->links[i], err));
    }
    for (int64_t i = 0; i < a->n_saved; i++) {
        lm_saved_module *s = &a->saved[i];
        LM_TRY(lm_param_own(base, s->base, err));
        base->k->copy(s->base->t.data, s->copy->t.data, (int64_t)lm_nbytes(&s->copy->t));
        s->original = s->base->t;
    }
    return LM_OK;
}
