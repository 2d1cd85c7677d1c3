/* Prefix tuning (Li & Liang 2021, "Prefix-tuning: Optimizing continuous prompts for generation",
 * section 4): in every layer P learned keys and values stand in front of every text's own.
 *
 *   K_i = [prefix[:, 2i]; k_i(x)],   V_i = [prefix[:, 2i + 1]; v_i(x)]      prefix [P, layers * 2 * kv_dim]
 *
 * With --prefix-projection the prefix is made by a small network while it trains (section 4.3), which
 * steadies it; files keep the vectors only:
 *
 *   prefix = W_2 tanh(W_1 E + b_1) + b_2                     E [P, kv_dim], W_1 [H, kv_dim], W_2 [.., H]
 *
 * The vectors start random, as in PEFT, so the adapted model does not start as the base.  Not a change of
 * weights: it cannot be merged. */
#include "peft/prompt_learning.h"

typedef struct prefix_options {
    int64_t n, encoder_hidden_size;
    bool projection;
} prefix_options;

static const lm_option options[] = {
    LM_OPTION(INT, prefix_options, n, "num-virtual-tokens", .fallback = "20", .min = 1, .max = 65536, .help = "learned keys and values in every layer"),
    LM_OPTION(FLAG, prefix_options, projection, "prefix-projection", .help = "train them through a small network"),
    LM_OPTION(INT, prefix_options, encoder_hidden_size, "encoder-hidden-size", .fallback = "0", .min = 0, .max = 1 << 20,
              .help = "width of that network (0: that of the keys)"),
    { 0 },
};

enum { TABLE };                              /* without projection: the vectors themselves */
enum { E, W1, B1, W2, B2 };                  /* with it */

/* A file has the vectors only, whatever made them. */
static bool projects(const lm_adapter *a) { return ((const prefix_options *)a->options)->projection && !a->config; }

static lm_status attach(lm_adapter *a, lm_err *err)
{
    prefix_options *o = a->options;
    int64_t in = lm_prompt_kv_dim(a), out = 2 * a->model->config.n_layers * in;
    if (!o->encoder_hidden_size) o->encoder_hidden_size = in;
    lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 2, (int64_t[]){ o->n, projects(a) ? in : out },
                     projects(a) ? "embedding.weight" : "prompt_embeddings");
    if (projects(a)) {
        lm_prompt_linear(a, in, o->encoder_hidden_size, "transform.0");
        lm_prompt_linear(a, o->encoder_hidden_size, out, "transform.2");
    }
    return lm_prompt_attach(a, o->n, err);
}

static lm_tensor *vectors(lm_tape *t, lm_adapter *a)
{
    lm_param *const *p = a->params.items;
    if (!projects(a)) return &p[TABLE]->t;
    lm_tensor *h = lm_linear_with(t, lm_adapter_rows(t, &p[E]->t), &p[W1]->t, &p[B1]->t, &(lm_linear_options){ .act = LM_ACT_TANH });
    return lm_linear(t, h, &p[W2]->t, &p[B2]->t);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    prefix_options *o = a->options;
    LM_TRY(lm_json_opt_bool(config, "prefix_projection", NULL, &o->projection, err));
    LM_TRY(lm_json_opt_int(config, "encoder_hidden_size", NULL, &o->encoder_hidden_size, err));
    return lm_prompt_read(a, config, lm_prompt_kv_dim(a), &o->n, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const prefix_options *o = a->options;
    lm_prompt_write(a, config, lm_prompt_kv_dim(a), a->model->config.n_kv_heads);
    json_object_set_new(config, "prefix_projection", json_boolean(o->projection));
    json_object_set_new(config, "encoder_hidden_size", json_integer(o->encoder_hidden_size));
}

const lm_adapter_type lm_adapter_type_prefix = {
    .name = "prefix", .peft_type = "PREFIX_TUNING", .source = "Li & Liang 2021, section 4", .bare = true,
    .options = options, .options_size = sizeof(prefix_options),
    .attach = attach, .vectors = vectors, .kv = lm_prompt_kv, .kept = lm_prompt_keep, .read_config = read_config, .write_config = write_config,
};
