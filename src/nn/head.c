#include "nn/head.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char CLASSIFIES[] = "ForSequenceClassification", LABELS_TOKENS[] = "ForTokenClassification";

/* ---- labels ---- */

static void set_labels(lm_model *m, lm_strings names)
{
    lm_strings_free(&m->labels);
    m->labels = names;
}

static lm_strings copy_labels(const lm_strings *names)
{
    lm_strings copy = { lm_calloc((size_t)names->n + 1, sizeof(char *)), names->n };
    for (int i = 0; i < names->n; i++) copy.items[i] = lm_strdup(names->items[i]);
    return copy;
}

lm_strings lm_labels_default(int64_t n)
{
    lm_strings names = { lm_calloc((size_t)n + 1, sizeof(char *)), (int)n };
    for (int i = 0; i < names.n; i++) {
        lm_str name = { 0 };
        lm_str_printf(&name, "LABEL_%d", i);
        names.items[i] = lm_str_take(&name);
    }
    return names;
}

/* {"0": "negative", "1": "positive"}: every number below the count, once. */
static lm_status read_names(lm_strings *names, const lm_json *map, lm_err *err)
{
    for (int i = 0; i < names->n; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        const char *name = json_string_value(json_object_get(map, key));
        if (!name) return lm_fail(err, LM_E_FORMAT, "id2label: expected the name of label %d of %d", i, names->n);
        free(names->items[i]);
        names->items[i] = lm_strdup(name);
    }
    return LM_OK;
}

static lm_status read_labels(lm_model *m, lm_err *err)
{
    const lm_json *map = lm_json_get(m->config_json, "id2label");
    int64_t n = 2;
    if (map && !json_is_object(map)) return lm_fail(err, LM_E_FORMAT, "id2label: expected an object");
    if (map) n = (int64_t)json_object_size(map);
    else LM_TRY(lm_json_opt_int(m->config_json, "num_labels", NULL, &n, err));
    if (n < 1 || n > LM_MOST_LABELS) return lm_fail(err, LM_E_FORMAT, "labels: expected 1 to %d, found %lld", LM_MOST_LABELS, (long long)n);
    set_labels(m, lm_labels_default(n));
    return map ? read_names(&m->labels, map, err) : LM_OK;
}

/* ---- the head ---- */

static const char *architecture_of(const lm_model *m)
{
    const char *name = json_string_value(json_array_get(lm_json_get(m->config_json, "architectures"), 0));
    return name ? name : m->family->architecture;
}

static lm_status declare_score(lm_model *m, lm_err *err)
{
    int64_t shape[2] = { m->labels.n, m->config.hidden_size };
    const char *name = m->labels_tokens && m->family->token_head ? m->family->token_head : "score";
    bool bias = m->labels_tokens;
    if (bias) LM_TRY(lm_json_opt_bool(m->config_json, "token_classification_bias", NULL, &bias, err));
    m->score = &lm_param_declare(&m->params, LM_INIT_NORMAL, m->config.init_range, 2, shape, "%s.weight", name)->t;
    if (bias) m->score_bias = &lm_param_declare(&m->params, LM_INIT_ZERO, 0, 1, shape, "%s.bias", name)->t;
    return LM_OK;
}

lm_status lm_declare_head(lm_model *m, lm_err *err)
{
    m->labels_tokens = lm_ends_with(architecture_of(m), LABELS_TOKENS);
    if (m->labels_tokens || lm_ends_with(architecture_of(m), CLASSIFIES)) {
        LM_TRY(read_labels(m, err));
        return declare_score(m, err);
    }
    m->head = m->embedding;
    int64_t shape[2] = { m->config.vocab_size, m->config.hidden_size };
    if (!m->config.tie_embeddings)
        m->head = &lm_param_declare(&m->params, LM_INIT_NORMAL, m->config.init_range, 2, shape, "lm_head.weight")->t;
    return LM_OK;
}

/* "LlamaForCausalLM" -> "LlamaForSequenceClassification", "GPT2LMHeadModel" -> "GPT2For..". */
static void write_architecture(lm_model *m)
{
    const char *name = architecture_of(m), *end = strstr(name, "For");
    if (!end) end = strstr(name, "LMHead");
    lm_str text = { 0 };
    lm_str_printf(&text, "%.*s%s", (int)(end ? end - name : (ptrdiff_t)strlen(name)), name, m->labels_tokens ? LABELS_TOKENS : CLASSIFIES);
    json_object_set_new(m->config_json, "architectures", json_pack("[s]", text.data));
    lm_str_free(&text);
}

void lm_model_name_labels(lm_model *m, const lm_strings *names)
{
    LM_ASSERT(m->score && m->score->dim[0] == names->n);
    json_t *by_id = json_object(), *by_name = json_object();
    set_labels(m, copy_labels(names));
    for (int i = 0; i < names->n; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        json_object_set_new(by_id, id, json_string(names->items[i]));
        json_object_set_new(by_name, names->items[i], json_integer(i));
    }
    json_object_set_new(m->config_json, "id2label", by_id);
    json_object_set_new(m->config_json, "label2id", by_name);
}

/* transformers looks for the last token of a padded text by the id of padding. */
static void write_config(lm_model *m, const char *problem)
{
    write_architecture(m);
    if (problem) json_object_set_new(m->config_json, "problem_type", json_string(problem));
    if (m->config.pad_id < 0 && m->config.n_eos) {
        m->config.pad_id = m->config.eos_id[0];
        json_object_set_new(m->config_json, "pad_token_id", json_integer(m->config.pad_id));
    }
}

static lm_status fresh(lm_model *m, lm_tensor *t, uint64_t seed, lm_err *err)
{
    if (!t) return LM_OK;
    t->data = lm_arena_alloc(&m->params.arena, lm_nbytes(t));
    if (!t->data) return lm_fail(err, LM_E_NOMEM, "no room for tensor %s", t->name);
    const lm_param *p = lm_param_find(&m->params, t->name);
    if (!m->params.k->computes) return LM_OK;
    if (p->init == LM_INIT_ZERO) m->params.k->zero(t->data, (int64_t)lm_nbytes(t));
    else lm_param_initial(t->data, p, seed, 0, lm_numel(t));
    return LM_OK;
}

static lm_status make_head(lm_model *m, const char *problem, const lm_strings *names, uint64_t seed, lm_err *err)
{
    LM_ASSERT(!m->score && names->n > 0 && names->n <= LM_MOST_LABELS);
    set_labels(m, copy_labels(names));
    LM_TRY(declare_score(m, err));
    LM_TRY(fresh(m, m->score, seed, err));
    LM_TRY(fresh(m, m->score_bias, seed, err));
    lm_model_name_labels(m, names);
    write_config(m, problem);
    return LM_OK;
}

lm_status lm_model_classify(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err)
{
    return make_head(m, names->n > 1 ? "single_label_classification" : NULL, names, seed, err);
}

lm_status lm_model_score_texts(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err)
{
    return make_head(m, names->n > 1 ? "regression" : NULL, names, seed, err);
}

lm_status lm_model_label_tokens(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err)
{
    m->labels_tokens = true;
    return make_head(m, NULL, names, seed, err);
}

/* ---- which head there is ---- */

bool lm_model_uses(const lm_model *m, const lm_param *p) { return !m->score || &p->t != m->head || m->head == m->embedding; }

lm_status lm_model_need_lm_head(const lm_model *m, lm_err *err)
{
    if (m->head) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: classifies texts and has no LM head: train, eval and run it with classify",
                   m->path ? m->path : "the model");
}

lm_status lm_model_need_score(const lm_model *m, lm_err *err)
{
    const char *path = m->path ? m->path : "the model", *kind = NULL;
    if (!m->score) return lm_fail(err, LM_E_USAGE, "%s: a language model without a head that classifies; train classify makes one", path);
    lm_json_opt_str(m->config_json, "problem_type", NULL, &kind, NULL);
    if (kind && strcmp(kind, "single_label_classification"))
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: problem_type: found \"%s\", expected single_label_classification", path, kind);
    if (m->labels_tokens) return lm_fail(err, LM_E_USAGE, "%s: its head labels tokens, not texts", path);
    if (m->labels.n < 2) return lm_fail(err, LM_E_USAGE, "%s: its head gives one score (a reward or a regression), not labels", path);
    return LM_OK;
}

lm_status lm_model_need_reward(const lm_model *m, lm_err *err)
{
    const char *path = m->path ? m->path : "the model", *kind = NULL;
    if (!m->score || m->labels_tokens)
        return lm_fail(err, LM_E_USAGE, "%s: %s; train reward or train orm makes one with a score", path, m->score ? "its head labels tokens" : "has no head that scores texts");
    lm_json_opt_str(m->config_json, "problem_type", NULL, &kind, NULL);
    if (m->labels.n == 1 || (kind && !strcmp(kind, "regression"))) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: its head gives %d labels, not scores", path, m->labels.n);
}

lm_status lm_model_need_token_labels(const lm_model *m, lm_err *err)
{
    if (m->score && m->labels_tokens) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: %s; train prm makes one that labels steps", m->path ? m->path : "the model",
                   m->score ? "its head is for whole texts" : "has no head that labels tokens");
}

lm_tensor *lm_model_lm_head(const lm_forward *f)
{
    lm_err err = { 0 };
    if (lm_model_need_lm_head(f->m, &err) == LM_OK) return f->m->head;
    lm_tape_fail(f->t, "%s", err.message);
    return &f->t->dead;
}

lm_tensor *lm_model_scores(const lm_forward *f, lm_tensor *rows)
{
    return lm_linear_with(f->t, rows, f->m->score, f->m->score_bias, &(lm_linear_options){ .f32 = true });
}
