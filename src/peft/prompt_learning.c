#include "peft/prompt_learning.h"

#include <math.h>

lm_status lm_prompt_attach(lm_adapter *a, int64_t n, lm_err *err)
{
    int64_t most = a->model->config.max_positions;
    a->n_virtual = n;
    if (n >= 1 && n < most) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%lld virtual tokens: expected at least 1 and fewer than the model's %lld positions", (long long)n, (long long)most);
}

/* A key that may be missing, but not contradict the model. */
static lm_status need(const lm_json *config, const char *key, int64_t expected, lm_err *err)
{
    int64_t found = expected;
    LM_TRY(lm_json_opt_int(config, key, NULL, &found, err));
    if (found == expected) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: found %lld, this model has %lld", key, (long long)found, (long long)expected);
}

lm_status lm_prompt_read(lm_adapter *a, const lm_json *config, int64_t token_dim, int64_t *n, lm_err *err)
{
    LM_TRY(lm_json_need_int(config, "num_virtual_tokens", NULL, n, err));
    LM_TRY(need(config, "token_dim", token_dim, err));
    LM_TRY(need(config, "num_layers", a->model->config.n_layers, err));
    return need(config, "num_transformer_submodules", 1, err);
}

void lm_prompt_write(const lm_adapter *a, lm_json *config, int64_t token_dim, int64_t heads)
{
    json_object_set_new(config, "num_virtual_tokens", json_integer(a->n_virtual));
    json_object_set_new(config, "token_dim", json_integer(token_dim));
    json_object_set_new(config, "num_transformer_submodules", json_integer(1));
    json_object_set_new(config, "num_attention_heads", json_integer(heads));
    json_object_set_new(config, "num_layers", json_integer(a->model->config.n_layers));
}

int64_t lm_prompt_kv_dim(const lm_adapter *a) { return a->model->config.n_kv_heads * a->model->config.head_dim; }

void lm_prompt_kv(const lm_forward *f, lm_adapter *a, int64_t layer, lm_tensor **k, lm_tensor **v)
{
    int64_t n = lm_prompt_kv_dim(a);
    *k = lm_put_vectors(f, a, *k, lm_columns(f->t, f->vectors[a->slot], 2 * layer * n, n));
    *v = lm_put_vectors(f, a, *v, lm_columns(f->t, f->vectors[a->slot], (2 * layer + 1) * n, n));
}

void lm_prompt_linear(lm_adapter *a, int64_t in, int64_t out, const char *name)
{
    float range = 1 / sqrtf((float)in);
    lm_param_declare(&a->params, LM_INIT_UNIFORM, range, 2, (int64_t[]){ out, in }, "%s.weight", name);
    lm_param_declare(&a->params, LM_INIT_UNIFORM, range, 1, &out, "%s.bias", name);
}

lm_status lm_prompt_keep(lm_adapter *a, lm_params *out, lm_err *err)
{
    lm_tape t;
    LM_TRY(lm_tape_init(&t, a->params.k, &(lm_tape_options){ .compute = LM_F32 }, err));
    const lm_tensor *vectors = a->type->vectors(&t, a);
    lm_status status = t.err.code ? lm_fail(err, t.err.code, "%s", t.err.message) : LM_OK;
    if (status == LM_OK) {
        lm_param *p = lm_param_declare(out, LM_INIT_ZERO, 0, 2, vectors->dim, "prompt_embeddings");
        status = lm_params_initialise(out, 0, err);
        if (status == LM_OK) out->k->copy(p->t.data, vectors->data, (int64_t)lm_nbytes(vectors));
    }
    lm_tape_free(&t);
    return status;
}
