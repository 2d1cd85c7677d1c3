/* P-tuning v2 (Liu et al. 2022, "P-tuning v2: Prompt tuning can be comparable to fine-tuning universally across
 * scales and tasks", section 3): deep prompts, P learned keys and values in front of every text in every layer,
 * trained as they are, and for tasks of understanding a head that trains with them (train classify).
 *
 *   K_i = [prompt[:, 2i]; k_i(x)],   V_i = [prompt[:, 2i + 1]; v_i(x)]      prompt [P, layers * 2 * kv_dim]
 *
 * It is prefix tuning without the network in front, and its folder is PEFT's PREFIX_TUNING; such a folder for the
 * task SEQ_CLS is read as this method.  The vectors start random, so the adapted model does not start as the base.
 * Not a change of weights: it cannot be merged. */
#include "peft/prompt_learning.h"

#include <string.h>

typedef struct p_tuning_v2_options {
    int64_t n;
} p_tuning_v2_options;

static const lm_option options[] = {
    LM_OPTION(INT, p_tuning_v2_options, n, "num-virtual-tokens", .fallback = "20", .min = 1, .max = 65536, .help = "learned keys and values in every layer"),
    { 0 },
};

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const p_tuning_v2_options *o = a->options;
    int64_t shape[2] = { o->n, 2 * a->model->config.n_layers * lm_prompt_kv_dim(a) };
    lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 2, shape, "prompt_embeddings");
    return lm_prompt_attach(a, o->n, err);
}

static lm_tensor *vectors(lm_tape *t, lm_adapter *a)
{
    (void)t;
    return &a->params.items[0]->t;
}

static bool recognise(const lm_json *config)
{
    const char *type = json_string_value(lm_json_get(config, "peft_type")), *task = json_string_value(lm_json_get(config, "task_type"));
    return type && task && !strcmp(type, "PREFIX_TUNING") && !strcmp(task, "SEQ_CLS") && !json_is_true(lm_json_get(config, "prefix_projection"));
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    p_tuning_v2_options *o = a->options;
    return lm_prompt_read(a, config, lm_prompt_kv_dim(a), &o->n, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    lm_prompt_write(a, config, lm_prompt_kv_dim(a), a->model->config.n_kv_heads);
    json_object_set_new(config, "prefix_projection", json_false());
    json_object_set_new(config, "encoder_hidden_size", json_integer(lm_prompt_kv_dim(a)));
}

const lm_adapter_type lm_adapter_type_p_tuning_v2 = {
    .name = "p_tuning_v2", .peft_type = "PREFIX_TUNING", .source = "Liu et al. 2022, section 3", .bare = true, .recognise = recognise,
    .options = options, .options_size = sizeof(p_tuning_v2_options),
    .attach = attach, .vectors = vectors, .kv = lm_prompt_kv, .read_config = read_config, .write_config = write_config,
};
