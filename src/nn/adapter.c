#include "nn/adapter.h"

#include "nn/fingerprint.h"

#include <stdlib.h>
#include <string.h>

const lm_adapter_type *lm_adapter_type_find(const char *name)
{
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
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

void lm_adapter_copy_param(lm_adapter *a, lm_param *p, const char *name)
{
    a->saved = lm_realloc(a->saved, (size_t)(a->n_saved + 1) * sizeof *a->saved);
    lm_param *copy = lm_param_declare(&a->params, p->init, p->range, p->t.ndim, p->t.dim, "%s", name);
    copy->decays = p->decays;
    a->saved[a->n_saved++] = (lm_saved_module){ .base = p, .copy = copy, .original = p->t };
}

int64_t lm_adapter_copy_params(lm_adapter *a, bool (*wanted)(const lm_param *p, const void *context), const void *context)
{
    const lm_params *base = &a->model->params;
    int64_t before = a->n_saved;
    for (int64_t i = 0; i < base->n; i++) {
        lm_param *p = base->items[i];
        if (!p->t.data || lm_param_find(&a->params, p->t.name) || !wanted(p, context)) continue;
        lm_adapter_copy_param(a, p, p->t.name);
    }
    return a->n_saved - before;
}

/* By the end of its name as it is, as in PEFT: "norm" is every input_layernorm as well. */
static bool is_of_module(const lm_param *p, const void *suffix)
{
    char *module = lm_strdup(p->t.name), *dot = strrchr(module, '.');
    if (dot) *dot = '\0';
    bool is = lm_ends_with(module, suffix);
    free(module);
    return is;
}

lm_status lm_adapter_save_modules(lm_adapter *a, const lm_strings *modules, lm_err *err)
{
    for (int j = 0; j < modules->n; j++)
        if (!(a->model->score && lm_adapter_head_is(modules->items[j])) && !lm_adapter_copy_params(a, is_of_module, modules->items[j]))
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
}

/* ---- making one ---- */

/* Behind the others, in the first slot that is free; false when none is. */
static bool attach_last(lm_adapter *a, lm_model *m)
{
    lm_adapter **end = &m->adapters;
    uint64_t taken = 0;
    for (; *end; end = &(*end)->next) taken |= (uint64_t)1 << (*end)->slot;
    while (a->slot < LM_MAX_ADAPTERS && taken >> a->slot & 1) a->slot++;
    if (a->slot == LM_MAX_ADAPTERS) return false;
    *end = a;
    return true;
}

lm_status lm_adapter_begin(lm_adapter **out, lm_model *m, const lm_adapter_type *type, const char *name, lm_err *err)
{
    lm_adapter *a = lm_calloc(1, sizeof *a);
    *out = a;
    a->type = type;
    a->model = m;
    a->name = lm_strdup(name);
    a->options = lm_calloc(1, type->options_size);
    LM_TRY(lm_fingerprint(&a->base, m, err));
    if (!attach_last(a, m)) return lm_fail(err, LM_E_USAGE, "%s: the model has %d adapters already", name, LM_MAX_ADAPTERS);
    LM_TRY(lm_params_init(&a->params, m->params.k, err));
    return lm_params_init(&a->state, m->params.k, err);
}

static void detach(lm_adapter *a)
{
    lm_adapter **at = &a->model->adapters;
    while (*at && *at != a) at = &(*at)->next;
    if (!*at) return;
    lm_adapter_switch(a, false);
    *at = a->next;
}

void lm_adapter_free(lm_adapter *a)
{
    if (!a) return;
    detach(a);
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
    free(a->name);
    lm_params_free(&a->params);
    lm_params_free(&a->state);
    lm_json_free(a->config);
    free(a);
}

static const lm_param *base_of(const lm_adapter *a, int64_t i) { return a->saved[i].base; }

/* Two copies of one parameter cannot both be in its place. */
static lm_status refuse_second_copies(const lm_adapter *a, lm_err *err)
{
    for (const lm_adapter *b = a->model->adapters; b != a; b = b->next)
        for (int64_t i = 0; i < a->n_saved; i++)
            for (int64_t j = 0; j < b->n_saved; j++)
                if (base_of(a, i) == base_of(b, j))
                    return lm_fail(err, LM_E_UNSUPPORTED, "%s: replaces %s, as %s does: only one of them can be in memory; merge one first", a->name,
                                   base_of(a, i)->t.name, b->name);
    return LM_OK;
}

lm_status lm_adapter_finish(lm_adapter **out, lm_status status, lm_err *err)
{
    if (status == LM_OK) status = refuse_second_copies(*out, err);
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
    lm_status status = lm_adapter_begin(out, m, type, type->name, err);
    if (status == LM_OK) {
        memcpy((*out)->options, options, type->options_size);
        status = type->attach(*out, err);
    }
    if (status == LM_OK && m->score) lm_adapter_head_attach(*out);
    if (status == LM_OK) status = fill_saved(*out, err);
    if (status == LM_OK) status = lm_params_initialise(&(*out)->params, seed, err);
    if (status == LM_OK && type->start) status = type->start(*out, seed, err);
    return lm_adapter_finish(out, status, err);
}

void *lm_adapter_keep(lm_adapter *a, void *memory)
{
    a->kept = lm_realloc(a->kept, (size_t)(a->n_kept + 1) * sizeof *a->kept);
    return a->kept[a->n_kept++] = memory;
}

/* ---- merging ---- */

/* The changes of all links, to weights that become f32. */
static lm_status change_weights(lm_adapter *a, bool undo, lm_err *err)
{
    lm_params *base = &a->model->params;
    lm_fingerprint_forget(a->model);
    a->base = NULL;
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_linear_site *s = a->links[i]->site;
        LM_TRY(lm_param_own(base, lm_param_find(base, s->w->name), err));
        if (s->bias) LM_TRY(lm_param_own(base, lm_param_find(base, s->bias->name), err));
        LM_TRY(a->type->merge(a->links[i], undo, err));
    }
    return LM_OK;
}

lm_status lm_adapter_merge(lm_adapter *a, lm_err *err)
{
    lm_params *base = &a->model->params;
    bool copies_only = a->n_saved == a->params.n;
    if (!a->type->merge && !copies_only)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s cannot be merged: it is not a change of weights; keep the adapter beside the model", a->type->name);
    lm_adapter_switch(a, false);
    LM_TRY(change_weights(a, false, err));
    for (int64_t i = 0; i < a->n_saved; i++) {
        lm_saved_module *s = &a->saved[i];
        LM_TRY(lm_param_own(base, s->base, err));
        base->k->copy(s->base->t.data, s->copy->t.data, (int64_t)lm_nbytes(&s->copy->t));
        s->original = s->base->t;
    }
    return LM_OK;
}

lm_status lm_adapter_unmerge(lm_adapter *a, lm_err *err)
{
    if (a->n_saved)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s cannot be taken out: its merge replaced %s, and what stood there is gone; take the base itself", a->name,
                       a->saved[0].base->t.name);
    if (!a->type->merge) return lm_fail(err, LM_E_UNSUPPORTED, "%s is never merged, so it cannot be taken out", a->type->name);
    return change_weights(a, true, err);
}
