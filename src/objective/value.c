#include "objective/value.h"

#include "base/file.h"
#include "data/packed.h"
#include "io/folder.h"
#include "io/save.h"
#include "nn/adapter.h"
#include "nn/head.h"

#include <stdlib.h>

/* ---- another model ---------------------------------------------------------------------------- */

/* It sees the ids that the policy does. */
static lm_status need_tokenizer(const lm_task *task, const char *folder, lm_err *err)
{
    lm_tokenizer *own;
    LM_TRY(lm_tokenizer_load(&own, folder, err));
    bool same = lm_tokenizer_fingerprint(own) == lm_tokenizer_fingerprint(task->tokenizer);
    lm_tokenizer_free(own);
    return same ? LM_OK : lm_fail(err, LM_E_MISMATCH, "--value-model %s: has another tokenizer than %s; values are of the policy's own tokens", folder, task->model->path);
}

static lm_status need_fit(const lm_task *task, const lm_model *m, lm_err *err)
{
    int64_t ids = lm_tokenizer_vocab_size(task->tokenizer), context = lm_model_context(m, 0);
    if (m->score && (m->labels_tokens || m->labels.n != 1))
        return lm_fail(err, LM_E_USAGE, "--value-model %s: its head gives %d %s; expected one score, or a language model", m->path, m->labels.n,
                       m->labels_tokens ? "labels of tokens" : "labels");
    if (m->config.vocab_size < ids)
        return lm_fail(err, LM_E_MISMATCH, "--value-model %s: the tokenizer has %lld ids, the model only %lld", m->path, (long long)ids, (long long)m->config.vocab_size);
    if (context < task->context)
        return lm_fail(err, LM_E_USAGE, "--value-model %s: has positions for %lld tokens, the run for %lld; give --context %lld", m->path, (long long)context,
                       (long long)task->context, (long long)context);
    if (m->quant && !task->model->adapters)
        return lm_fail(err, LM_E_USAGE, "--value-model %s: its linears are in %s, which does not train; give --adapter METHOD", m->path, m->quant->name);
    return LM_OK;
}

/* A language model expects nothing at first. */
static lm_status give_head(lm_model *m, lm_err *err)
{
    if (m->score) return LM_OK;
    lm_strings one = lm_labels_default(1);
    lm_status status = lm_model_score_texts(m, &one, 0, err);
    lm_strings_free(&one);
    if (status == LM_OK && m->params.k->computes) m->params.k->zero(m->score->data, (int64_t)lm_nbytes(m->score));
    return status;
}

/* The head as the one that trains: the adapter's copy of it, if there is an adapter. */
static lm_param *head_of(const lm_companion *c)
{
    const lm_model *m = c->model;
    for (int64_t i = 0; c->adapter && i < c->adapter->n_saved; i++)
        if (&c->adapter->saved[i].base->t == m->score) return c->adapter->saved[i].copy;
    return lm_param_find(&m->params, m->score->name);
}

static lm_status open_model(lm_value *v, lm_task *task, lm_err *err)
{
    const lm_adapter *policy = task->model->adapters;
    lm_companion *c = &v->apart;
    char *adapter = lm_path_join(v->o.folder, "adapter_config.json");
    bool is_adapter = lm_file_exists(adapter);
    free(adapter);
    if (is_adapter) return lm_fail(err, LM_E_USAGE, "--value-model %s: is an adapter; malmoi merge makes a model of it and its base", v->o.folder);
    LM_TRY(lm_model_load(&c->model, v->o.folder, task->model->params.k, err));
    LM_TRY(need_fit(task, c->model, err));
    LM_TRY(need_tokenizer(task, v->o.folder, err));
    LM_TRY(give_head(c->model, err));
    if (policy) LM_TRY(lm_adapter_new(&c->adapter, c->model, policy->type, policy->options, task->seed + 1, err));
    lm_params *ps = &c->model->params;
    for (int64_t i = 0; i < ps->n && !policy; i++) ps->items[i]->trains = lm_model_uses(c->model, ps->items[i]);
    v->weight = head_of(c);
    v->weight->rate = (float)v->o.rate;
    v->weight->decays = false;
    return LM_OK;
}

/* ---- a second adapter ------------------------------------------------------------------------- */

static lm_status open_adapter(lm_value *v, const lm_task *task, lm_err *err)
{
    lm_adapter *policy = task->model->adapters;
    if (!policy)
        return lm_fail(err, LM_E_USAGE, "--value-apart: without --adapter a value model needs a trunk of its own: --value-model FOLDER names one, %s itself or a reward model",
                       task->model->path);
    if (policy->n_saved)
        return lm_fail(err, LM_E_UNSUPPORTED, "--value-apart: the adapter (%s) trains a copy of %s, and only one can be in its place; --value-model %s takes the base once more",
                       policy->type->name, policy->saved[0].copy->t.name, task->model->path);
    v->policy = policy;
    v->apart.model = policy->model;
    LM_TRY(lm_adapter_new(&v->apart.adapter, policy->model, policy->type, policy->options, task->seed + 1, err));
    lm_adapter_switch(v->apart.adapter, false);
    return LM_OK;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static void declare_head(lm_value *v, const lm_task *task, lm_params *trained)
{
    const int64_t shape[] = { 1, task->model->config.hidden_size };
    v->weight = lm_param_declare(trained, LM_INIT_ZERO, 0, 2, shape, "v_head.summary.weight");
    v->bias = lm_param_declare(trained, LM_INIT_ZERO, 0, 1, shape, "v_head.summary.bias");
    v->weight->trains = v->bias->trains = true;
    v->weight->decays = v->bias->decays = false;
    v->weight->rate = v->bias->rate = (float)v->o.rate;
}

lm_status lm_value_open(lm_value *v, lm_task *task, const lm_value_options *o, lm_params *trained, lm_err *err)
{
    *v = (lm_value){ .o = *o };
    if (o->detached && (o->apart || o->folder))
        return lm_fail(err, LM_E_USAGE, "--value-detached is for a head on the policy's trunk; a value model apart has no part in it");
    if (!o->folder) declare_head(v, task, trained);
    if (o->folder) LM_TRY(open_model(v, task, err));
    else if (o->apart) LM_TRY(open_adapter(v, task, err));
    task->companion = v->apart.model ? &v->apart : NULL;
    return LM_OK;
}

void lm_value_close(lm_value *v)
{
    lm_adapter_free(v->apart.adapter);
    if (v->o.folder) lm_model_free(v->apart.model);
    *v = (lm_value){0};
}

/* Hidden states as numbers that gradients do not pass. */
static lm_tensor *detach(lm_tape *t, const lm_tensor *x) { return t->err.code ? &t->dead : lm_input(t, x->data, x->dtype, x->ndim, x->dim); }

/* One adapter off, the other on. */
static void change_places(lm_adapter *off, lm_adapter *on)
{
    lm_adapter_switch(off, false);
    lm_adapter_switch(on, true);
}

static lm_tensor *hidden_apart(const lm_value *v, const lm_forward *f)
{
    lm_forward *g = lm_tape_meta(f->t, sizeof *g);               /* recomputation runs blocks again: it outlives this call */
    if (!g) return &f->t->dead;
    *g = *f;
    g->m = v->apart.model;
    if (v->policy) change_places(v->policy, v->apart.adapter);
    lm_tensor *hidden = lm_model_forward(g);
    if (v->policy) change_places(v->apart.adapter, v->policy);
    return hidden;
}

lm_tensor *lm_value_at(const lm_value *v, const lm_forward *f, lm_tensor *hidden, lm_tensor *index)
{
    lm_tensor *rows = lm_gather_rows(f->t, v->apart.model ? hidden_apart(v, f) : hidden, index);
    if (v->o.detached) rows = detach(f->t, rows);
    return lm_linear_with(f->t, rows, &v->weight->t, v->bias ? &v->bias->t : NULL, &(lm_linear_options){ .f32 = true });
}

static lm_status save_head(const lm_value *v, const char *out, lm_err *err)
{
    const lm_tensor *parts[] = { &v->weight->t, &v->bias->t };
    lm_save_entry entries[2];
    for (int i = 0; i < 2; i++)
        entries[i] = (lm_save_entry){ .name = parts[i]->name, .dtype = LM_F32, .ndim = parts[i]->ndim, .dim = parts[i]->dim, .data = parts[i]->data, .data_dtype = LM_F32 };
    char *path = lm_path_join(out, "value_head.safetensors");
    lm_status status = lm_save_file(&(lm_save){ .entries = entries, .n = 2 }, path, err);
    free(path);
    return status;
}

static lm_status save_apart(const lm_companion *c, const char *folder, lm_err *err)
{
    if (c->adapter) return lm_adapter_save(c->adapter, folder, err);
    LM_TRY(lm_model_save(c->model, folder, LM_F32, 0, err));
    return lm_folder_copy_sides(c->model->path, folder, err);
}

lm_status lm_value_save(const lm_value *v, const char *out, lm_err *err)
{
    char *folder = lm_path_join(out, "value");
    lm_status status = v->apart.model ? save_apart(&v->apart, folder, err) : LM_OK;
    free(folder);
    return status == LM_OK && v->bias ? save_head(v, out, err) : status;
}
