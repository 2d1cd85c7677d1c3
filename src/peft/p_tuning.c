/* P-tuning (Liu et al. 2021, "GPT understands, too", section 3.2): embeddings in front of every text that
 * a small network makes while they train, so that neighbours learn together.
 *
 *   p = W_3 relu(W_2 relu(W_1 E + b_1) + b_2) + b_3        E [P, C], W_1 [H, C], W_2 [H, H], W_3 [C, H]
 *
 * Files keep the vectors only, as PEFT's do.  They start random, so the adapted model does not start as
 * the base.  Not a change of weights: it cannot be merged.
 *
 * Left out: the BiLSTM form of the network; a file of either form is read, since both hold vectors. */
#include "peft/prompt_learning.h"

typedef struct p_tuning_options {
    int64_t n, encoder_hidden_size;
} p_tuning_options;

static const lm_option options[] = {
    LM_OPTION(INT, p_tuning_options, n, "num-virtual-tokens", .fallback = "20", .min = 1, .max = 65536, .help = "learned tokens in front of every text"),
    LM_OPTION(INT, p_tuning_options, encoder_hidden_size, "encoder-hidden-size", .fallback = "0", .min = 0, .max = 1 << 20,
              .help = "width of the network that makes them (0: that of the model)"),
    { 0 },
};

enum { E, W1, B1, W2, B2, W3, B3 };

static lm_status attach(lm_adapter *a, lm_err *err)
{
    p_tuning_options *o = a->options;
    int64_t C = a->model->config.hidden_size, H = o->encoder_hidden_size ? o->encoder_hidden_size : C;
    o->encoder_hidden_size = H;
    lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 2, (int64_t[]){ o->n, C }, a->config ? "prompt_embeddings" : "embedding.weight");
    if (!a->config) {
        lm_prompt_linear(a, C, H, "mlp_head.0");
        lm_prompt_linear(a, H, H, "mlp_head.2");
        lm_prompt_linear(a, H, C, "mlp_head.4");
    }
    return lm_prompt_attach(a, o->n, err);
}

static lm_tensor *vectors(lm_tape *t, lm_adapter *a)
{
    lm_param *const *p = a->params.items;
    const lm_linear_options relu = { .act = LM_ACT_RELU };
    if (a->config) return &p[E]->t;
    lm_tensor *h = lm_linear_with(t, lm_adapter_rows(t, &p[E]->t), &p[W1]->t, &p[B1]->t, &relu);
    return lm_linear(t, lm_linear_with(t, h, &p[W2]->t, &p[B2]->t, &relu), &p[W3]->t, &p[B3]->t);
}

static lm_tensor *embed(const lm_forward *f, lm_adapter *a, lm_tensor *x)
{
    return lm_put_vectors(f, a, x, f->vectors[a->slot]);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    p_tuning_options *o = a->options;
    LM_TRY(lm_json_opt_int(config, "encoder_hidden_size", NULL, &o->encoder_hidden_size, err));
    return lm_prompt_read(a, config, a->model->config.hidden_size, &o->n, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const p_tuning_options *o = a->options;
    lm_prompt_write(a, config, a->model->config.hidden_size, a->model->config.n_heads);
    json_object_set_new(config, "encoder_reparameterization_type", json_string("MLP"));
    json_object_set_new(config, "encoder_hidden_size", json_integer(o->encoder_hidden_size));
}

const lm_adapter_type lm_adapter_type_p_tuning = {
    .name = "p_tuning", .peft_type = "P_TUNING", .source = "Liu et al. 2021, section 3.2", .bare = true,
    .options = options, .options_size = sizeof(p_tuning_options),
    .attach = attach, .vectors = vectors, .embed = embed, .kept = lm_prompt_keep, .read_config = read_config, .write_config = write_config,
};
