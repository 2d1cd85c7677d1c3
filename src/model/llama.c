/* LLaMA and its kin (Touvron et al. 2023): pre-norm decoder with RMSNorm, rotary embedding,
 * grouped-query attention and SwiGLU.
 *
 *   h = rmsnorm(x);  x += o(attention(rope(q(h)), rope(k(h)), v(h)))
 *   h = rmsnorm(x);  x += down(silu(gate(h)) * up(h))
 *
 * Covers LLaMA 1, 2, 3.x, Mistral (sliding window) and Qwen2 (biases on q, k, v; window on the
 * upper layers).  Attention dropout of the config is not applied, in training either. */
#include "nn/attention.h"
#include "nn/head.h"
#include "nn/rope.h"

#include <string.h>

typedef struct layer {
    lm_tensor *input_norm, *post_norm;
    lm_linear_site *q, *k, *v, *o, *gate, *up, *down;
    int64_t window;
} layer;

enum { MAX_LAYERS = 512 };

typedef struct llama {
    lm_rope_config rope;
    double eps;
    lm_act act;
    bool qkv_bias, o_bias, mlp_bias;
    lm_tensor *norm;
    layer layers[MAX_LAYERS];
} llama;

/* ---- config.json ---- */

/* Which layers look back `window` tokens only: a list of types, or (Qwen2) those from max_window_layers on. */
static lm_status read_windows(lm_model *m, const lm_json *config, lm_err *err)
{
    llama *own = m->own;
    bool qwen2 = !strcmp(m->config.model_type, "qwen2"), use = !qwen2;
    int64_t window = 0, first = qwen2 ? m->config.n_layers : 0;
    LM_TRY(lm_json_opt_int(config, "sliding_window", NULL, &window, err));
    LM_TRY(lm_json_opt_bool(config, "use_sliding_window", NULL, &use, err));
    if (qwen2) LM_TRY(lm_json_opt_int(config, "max_window_layers", NULL, &first, err));
    const lm_json *types = lm_json_get(config, "layer_types");
    if (types && (int64_t)json_array_size(types) != m->config.n_layers)
        return lm_fail(err, LM_E_FORMAT, "layer_types: expected one for each of %lld layers", (long long)m->config.n_layers);
    if (window < 0) return lm_fail(err, LM_E_FORMAT, "sliding_window: expected a positive number, found %lld", (long long)window);
    for (int64_t i = 0; i < m->config.n_layers; i++) {
        const char *type = types ? json_string_value(json_array_get(types, (size_t)i)) : NULL;
        bool slides = type ? !strcmp(type, "sliding_attention") : use && i >= first;
        own->layers[i].window = slides ? window : 0;
    }
    return LM_OK;
}

static lm_status configure(lm_model *m, const lm_json *config, lm_err *err)
{
    llama *own = m->own;
    lm_config *c = &m->config;
    const char *act = "silu";
    double range = 0.02;
    own->eps = 1e-6;
    own->qkv_bias = !strcmp(c->model_type, "qwen2");
    c->max_positions = 2048;
    LM_TRY(lm_json_need_int(config, "vocab_size", NULL, &c->vocab_size, err));
    LM_TRY(lm_json_need_int(config, "hidden_size", NULL, &c->hidden_size, err));
    LM_TRY(lm_json_need_int(config, "intermediate_size", NULL, &c->intermediate_size, err));
    LM_TRY(lm_json_need_int(config, "num_hidden_layers", NULL, &c->n_layers, err));
    LM_TRY(lm_json_need_int(config, "num_attention_heads", NULL, &c->n_heads, err));
    c->n_kv_heads = c->n_heads;
    LM_TRY(lm_json_opt_int(config, "num_key_value_heads", NULL, &c->n_kv_heads, err));
    if (c->n_heads > 0) c->head_dim = c->hidden_size / c->n_heads;
    LM_TRY(lm_json_opt_int(config, "head_dim", NULL, &c->head_dim, err));
    LM_TRY(lm_json_opt_int(config, "max_position_embeddings", NULL, &c->max_positions, err));
    LM_TRY(lm_json_opt_bool(config, "tie_word_embeddings", NULL, &c->tie_embeddings, err));
    LM_TRY(lm_json_opt_real(config, "rms_norm_eps", NULL, &own->eps, err));
    LM_TRY(lm_json_opt_real(config, "initializer_range", NULL, &range, err));
    LM_TRY(lm_json_opt_str(config, "hidden_act", NULL, &act, err));
    bool bias = false;
    LM_TRY(lm_json_opt_bool(config, "attention_bias", NULL, &bias, err));
    LM_TRY(lm_json_opt_bool(config, "mlp_bias", NULL, &own->mlp_bias, err));
    own->qkv_bias |= bias;
    own->o_bias = bias;
    c->init_range = (float)range;
    if (c->n_layers < 1 || c->n_layers > MAX_LAYERS)
        return lm_fail(err, LM_E_FORMAT, "num_hidden_layers: expected 1 to %d, found %lld", MAX_LAYERS, (long long)c->n_layers);
    LM_TRY(lm_act_parse(&own->act, act, "hidden_act", err));
    LM_TRY(read_windows(m, config, err));
    return lm_rope_read(&own->rope, m, config, err);
}

/* ---- parameters ---- */

static lm_status declare(lm_model *m, lm_err *err)
{
    llama *own = m->own;
    const lm_config *c = &m->config;
    int64_t C = c->hidden_size, F = c->intermediate_size, Q = c->n_heads * c->head_dim, KV = c->n_kv_heads * c->head_dim;
    int64_t table[2] = { c->vocab_size, C };
    m->embedding = &lm_param_declare(&m->params, LM_INIT_NORMAL, c->init_range, 2, table, "model.embed_tokens.weight")->t;
    for (int64_t i = 0; i < c->n_layers; i++) {
        layer *l = &own->layers[i];
        int n = (int)i;
        l->input_norm = &lm_param_declare(&m->params, LM_INIT_ONE, 0, 1, &C, "model.layers.%d.input_layernorm.weight", n)->t;
        l->q = lm_declare_linear(m, C, Q, own->qkv_bias, false, "model.layers.%d.self_attn.q_proj", n);
        l->k = lm_declare_linear(m, C, KV, own->qkv_bias, false, "model.layers.%d.self_attn.k_proj", n);
        l->v = lm_declare_linear(m, C, KV, own->qkv_bias, false, "model.layers.%d.self_attn.v_proj", n);
        l->o = lm_declare_linear(m, Q, C, own->o_bias, false, "model.layers.%d.self_attn.o_proj", n);
        l->post_norm = &lm_param_declare(&m->params, LM_INIT_ONE, 0, 1, &C, "model.layers.%d.post_attention_layernorm.weight", n)->t;
        l->gate = lm_declare_linear(m, C, F, own->mlp_bias, false, "model.layers.%d.mlp.gate_proj", n);
        l->up = lm_declare_linear(m, C, F, own->mlp_bias, false, "model.layers.%d.mlp.up_proj", n);
        l->down = lm_declare_linear(m, F, C, own->mlp_bias, false, "model.layers.%d.mlp.down_proj", n);
    }
    own->norm = &lm_param_declare(&m->params, LM_INIT_ONE, 0, 1, &C, "model.norm.weight")->t;
    return lm_declare_head(m, err);
}

/* ---- forward ---- */

typedef struct block_call {
    const lm_forward *f;
    lm_tensor *angles;
    int64_t i;
} block_call;

static lm_tensor *self_attention(const block_call *b, const layer *l, lm_tensor *h)
{
    const lm_forward *f = b->f;
    const lm_config *c = &f->m->config;
    lm_tensor *q = lm_rope_(f->t, lm_apply_linear(f, l->q, h, LM_ACT_NONE), b->angles, c->n_heads);
    lm_tensor *k = lm_rope_(f->t, lm_apply_linear(f, l->k, h, LM_ACT_NONE), b->angles, c->n_kv_heads);
    lm_tensor *v = lm_apply_linear(f, l->v, h, LM_ACT_NONE);
    return lm_attend(f, q, k, v, &(lm_attend_options){ .layer = b->i, .window = l->window, .keys = l->k, .values = l->v, .out = l->o });
}

static lm_tensor *mlp(const lm_forward *f, const layer *l, lm_act act, lm_tensor *h)
{
    lm_tensor *gate = lm_apply_linear(f, l->gate, h, LM_ACT_NONE);
    lm_tensor *up = lm_apply_linear(f, l->up, h, LM_ACT_NONE);
    return lm_apply_linear(f, l->down, lm_glu(f->t, gate, up, act), LM_ACT_NONE);
}

static lm_tensor *block(lm_tape *t, void *context, lm_tensor *x)
{
    const block_call *b = context;
    const llama *own = b->f->m->own;
    const layer *l = &own->layers[b->i];
    float eps = (float)own->eps;
    lm_tensor *h = lm_rmsnorm(t, x, NULL, l->input_norm, eps, NULL);
    lm_tensor *a = lm_apply_branch(b->f, b->i, LM_SUBLAYER_ATTENTION, x, h, self_attention(b, l, h));
    h = lm_rmsnorm(t, x, a, l->post_norm, eps, &x);
    lm_tensor *y = lm_apply_branch(b->f, b->i, LM_SUBLAYER_FEED_FORWARD, x, h, mlp(b->f, l, own->act, h));
    return lm_add_(t, y, x);
}

static lm_tensor *forward(const lm_forward *f)
{
    const llama *own = f->m->own;
    int64_t n = f->m->config.n_layers;
    lm_tensor *angles = lm_rope_angles(f, &own->rope);
    lm_tensor *x = lm_apply_embedding(f);
    block_call *calls = lm_tape_meta(f->t, (size_t)n * sizeof *calls);
    for (int64_t i = 0; calls && i < n; i++) {
        calls[i] = (block_call){ f, angles, i };
        x = lm_checkpoint(f->t, block, &calls[i], x);
    }
    return lm_rmsnorm(f->t, x, NULL, own->norm, (float)own->eps, NULL);
}

/* Sizes by name; the vocabulary is the tokenizer's. */
static const char *const presets[] = {
    "tiny",  "{\"hidden_size\": 128, \"intermediate_size\": 352, \"num_hidden_layers\": 4, \"num_attention_heads\": 4,"
             " \"num_key_value_heads\": 2, \"max_position_embeddings\": 512, \"tie_word_embeddings\": true}",
    "15m",   "{\"hidden_size\": 288, \"intermediate_size\": 768, \"num_hidden_layers\": 6, \"num_attention_heads\": 6,"
             " \"num_key_value_heads\": 6, \"max_position_embeddings\": 1024, \"tie_word_embeddings\": true}",
    "110m",  "{\"hidden_size\": 768, \"intermediate_size\": 2048, \"num_hidden_layers\": 12, \"num_attention_heads\": 12,"
             " \"num_key_value_heads\": 12, \"max_position_embeddings\": 2048, \"tie_word_embeddings\": true}",
    "1.1b",  "{\"hidden_size\": 2048, \"intermediate_size\": 5632, \"num_hidden_layers\": 22, \"num_attention_heads\": 32,"
             " \"num_key_value_heads\": 4, \"max_position_embeddings\": 2048}",
    "7b",    "{\"hidden_size\": 4096, \"intermediate_size\": 11008, \"num_hidden_layers\": 32, \"num_attention_heads\": 32,"
             " \"num_key_value_heads\": 32, \"max_position_embeddings\": 4096}",
    NULL,
};

static const char *const model_types[] = { "llama", "mistral", "qwen2", NULL };

const lm_family lm_family_llama = {
    .name = "llama", .source = "Touvron et al. 2023, section 2.2; Jiang et al. 2023; Yang et al. 2024",
    .architecture = "LlamaForCausalLM", .prefix = "model.", .model_types = model_types, .presets = presets,
    .size = sizeof(llama), .configure = configure, .declare = declare, .forward = forward,
};
