/* An adapter's head that classifies: a trained copy of the model's score.weight, as PEFT saves it for the
 * task SEQ_CLS.  PEFT's folder does not say what the labels are called; here the weights' metadata does. */
#include "nn/adapter.h"

#include "nn/head.h"

#include <stdlib.h>
#include <string.h>

static const char labels_key[] = "malmoi.labels";    /* metadata of adapter_model.safetensors: a JSON list */

/* PEFT's name in a->params; methods with virtual tokens have the model directly under "base_model". */
static const char *name_of(const lm_adapter *a) { return a->type->bare ? "base_model.score.weight" : "score.weight"; }

static const char *file_name_of(const lm_adapter *a) { return a->type->bare || a->type->file ? name_of(a) : "base_model.model.score.weight"; }

bool lm_adapter_classifies(const lm_adapter *a) { return lm_param_find(&a->params, name_of(a)) != NULL; }

bool lm_adapter_head_is(const char *module) { return !strcmp(module, "score") || !strcmp(module, "classifier"); }

void lm_adapter_head_attach(lm_adapter *a)
{
    lm_adapter_copy_param(a, lm_param_find(&a->model->params, a->model->score->name), name_of(a));
}

/* The list's own strings, for as long as it lives. */
static lm_status read_names(lm_strings *out, const lm_json *list, const lm_safetensors *file, lm_err *err)
{
    for (int i = 0; i < out->n; i++) out->items[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, (size_t)i));
    for (int i = 0; i < out->n; i++)
        if (!out->items[i] || json_array_size(list) != (size_t)out->n)
            return lm_fail(err, LM_E_FORMAT, "%s: metadata %s: expected a list of %d names", file->path, labels_key, out->n);
    return LM_OK;
}

static lm_status make_head(lm_model *m, const lm_strings *names, lm_err *err)
{
    if (!m->score) return lm_model_classify(m, names, 0, err);
    lm_model_name_labels(m, names);
    return LM_OK;
}

static lm_status read_labelled(lm_model *m, int64_t n, const char *text, const lm_safetensors *file, lm_err *err)
{
    lm_strings names = { lm_calloc((size_t)n, sizeof(char *)), (int)n };
    lm_json *list = lm_json_parse(text, strlen(text), file->path, err);
    lm_status status = list ? read_names(&names, list, file, err) : err->code;
    if (status == LM_OK) status = make_head(m, &names, err);
    lm_json_free(list);
    free(names.items);
    return status;
}

lm_status lm_adapter_head_read(lm_adapter *a, const lm_safetensors *file, bool *has, lm_err *err)
{
    lm_model *m = a->model;
    const lm_stored *s = lm_safetensors_find(file, file_name_of(a));
    *has = s != NULL;
    if (!s) return LM_OK;
    int64_t n = s->ndim == 2 && s->dim[0] > 0 && s->dim[0] <= LM_MOST_LABELS ? s->dim[0] : 1;
    LM_TRY(lm_stored_need_shape(s, 2, (int64_t[]){ m->score ? m->labels.n : n, m->config.hidden_size }, err));
    const char *text = lm_safetensors_meta(file, labels_key);
    if (text) return read_labelled(m, n, text, file, err);
    if (m->score) return LM_OK;
    lm_strings names = lm_labels_default(n);
    lm_status status = lm_model_classify(m, &names, 0, err);
    lm_labels_free(&names);
    return status;
}

/* As PEFT writes the list: for the names of the head in all families that it knows. */
void lm_adapter_head_write(const lm_adapter *a, lm_json *config, lm_json *metadata)
{
    json_t *names = json_array(), *modules = json_object_get(config, "modules_to_save");
    modules = json_is_array(modules) ? json_incref(modules) : json_array();
    json_array_append_new(modules, json_string("classifier"));
    json_array_append_new(modules, json_string("score"));
    json_object_set_new(config, "modules_to_save", modules);
    json_object_set_new(config, "task_type", json_string("SEQ_CLS"));

    lm_str text = { 0 };
    for (int i = 0; i < a->model->labels.n; i++) json_array_append_new(names, json_string(a->model->labels.items[i]));
    lm_json_text(&text, names, 0);
    json_object_set_new(metadata, labels_key, json_string(text.data));
    lm_str_free(&text);
    json_decref(names);
}
