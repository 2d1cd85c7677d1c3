/* An adapter's head that classifies: a trained copy of the model's score.weight (and bias), as PEFT saves it for
 * the tasks SEQ_CLS and TOKEN_CLS.  PEFT's folder does not say what the labels are called; here the weights' metadata does. */
#include "nn/adapter.h"

#include "nn/head.h"

#include <stdlib.h>
#include <string.h>

/* Metadata of adapter_model.safetensors: a JSON list, and problem_type where the scores are no labels. */
static const char labels_key[] = "malmoi.labels", problem_key[] = "malmoi.problem_type";

static const char *const modules[] = { "score", "classifier", NULL };

bool lm_adapter_head_is(const char *module)
{
    for (const char *const *name = modules; *name; name++)
        if (!strcmp(module, *name)) return true;
    return false;
}

/* PEFT's name in a->params; methods with virtual tokens have the model directly under "base_model". */
static char *name_of(const lm_adapter *a, const char *name)
{
    lm_str text = { 0 };
    lm_str_printf(&text, "%s%s", a->type->bare ? "base_model." : "", name);
    return lm_str_take(&text);
}

bool lm_adapter_classifies(const lm_adapter *a)
{
    char *name = a->model->score ? name_of(a, a->model->score->name) : NULL;
    bool has = name && lm_param_find(&a->params, name);
    free(name);
    return has;
}

static void copy(lm_adapter *a, const lm_tensor *t)
{
    char *name = name_of(a, t->name);
    lm_adapter_copy_param(a, lm_param_find(&a->model->params, t->name), name);
    free(name);
}

void lm_adapter_head_attach(lm_adapter *a)
{
    copy(a, a->model->score);
    if (a->model->score_bias) copy(a, a->model->score_bias);
}

/* "weight" or "bias" of the head in a file, under one of its names; NULL: there is none. */
static const lm_stored *find(const lm_adapter *a, const lm_safetensors *file, const char *part)
{
    const lm_stored *found = NULL;
    const char *prefix = a->type->bare ? "base_model." : a->type->file ? "" : "base_model.model.";
    for (const char *const *module = modules; *module && !found; module++) {
        lm_str name = { 0 };
        lm_str_printf(&name, "%s%s.%s", prefix, *module, part);
        found = lm_safetensors_find(file, name.data);
        lm_str_free(&name);
    }
    return found;
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

typedef lm_status (*head_maker)(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err);

/* One with a bias labels tokens. */
static head_maker maker_of(const lm_adapter *a, const lm_safetensors *file)
{
    if (find(a, file, "bias")) return lm_model_label_tokens;
    return lm_safetensors_meta(file, problem_key) ? lm_model_score_texts : lm_model_classify;
}

static lm_status make_head(lm_model *m, const lm_strings *names, head_maker make, lm_err *err)
{
    if (!m->score) return make(m, names, 0, err);
    lm_model_name_labels(m, names);
    return LM_OK;
}

static lm_status read_labelled(lm_model *m, int64_t n, head_maker make, const char *text, const lm_safetensors *file, lm_err *err)
{
    lm_strings names = { lm_calloc((size_t)n, sizeof(char *)), (int)n };
    lm_json *list = lm_json_parse(text, strlen(text), file->path, err);
    lm_status status = list ? read_names(&names, list, file, err) : err->code;
    if (status == LM_OK) status = make_head(m, &names, make, err);
    lm_json_free(list);
    free(names.items);
    return status;
}

lm_status lm_adapter_head_read(lm_adapter *a, const lm_safetensors *file, bool *has, lm_err *err)
{
    lm_model *m = a->model;
    const lm_stored *s = find(a, file, "weight");
    head_maker make = maker_of(a, file);
    *has = s != NULL;
    if (!s) return LM_OK;
    int64_t n = s->ndim == 2 && s->dim[0] > 0 && s->dim[0] <= LM_MOST_LABELS ? s->dim[0] : 1;
    LM_TRY(lm_stored_need_shape(s, 2, (int64_t[]){ m->score ? m->labels.n : n, m->config.hidden_size }, err));
    const char *text = lm_safetensors_meta(file, labels_key);
    if (text) return read_labelled(m, n, make, text, file, err);
    if (m->score) return LM_OK;
    lm_strings names = lm_labels_default(n);
    lm_status status = make_head(m, &names, make, err);
    lm_strings_free(&names);
    return status;
}

/* As PEFT writes the list: for the names of the head in all families that it knows. */
void lm_adapter_head_write(const lm_adapter *a, lm_json *config, lm_json *metadata)
{
    json_t *names = json_array(), *saved = json_object_get(config, "modules_to_save");
    saved = json_is_array(saved) ? json_incref(saved) : json_array();
    json_array_append_new(saved, json_string("classifier"));
    json_array_append_new(saved, json_string("score"));
    json_object_set_new(config, "modules_to_save", saved);
    json_object_set_new(config, "task_type", json_string(a->model->labels_tokens ? "TOKEN_CLS" : "SEQ_CLS"));

    const char *problem = json_string_value(lm_json_get(a->model->config_json, "problem_type"));
    if (problem && !strcmp(problem, "regression")) json_object_set_new(metadata, problem_key, json_string(problem));
    lm_str text = { 0 };
    for (int i = 0; i < a->model->labels.n; i++) json_array_append_new(names, json_string(a->model->labels.items[i]));
    lm_json_text(&text, names, 0);
    json_object_set_new(metadata, labels_key, json_string(text.data));
    lm_str_free(&text);
    json_decref(names);
}
