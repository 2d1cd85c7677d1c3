#include "peft/prompt_learning.h"

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
