/* GPT-2 (Radford et al. 2019): pre-norm decoder with LayerNorm, learned positions and GELU.
 *
 *   h = layernorm(x);  x += c_proj(attention(split(c_attn(h))))
 *   h = layernorm(x);  x += c_proj(gelu(c_fc(h)))
 *
 * Its linears are stored [in, out] (Conv1D).  The dropout rates of the config are not applied, in
 * training either; scale_attn_by_inverse_layer_idx and scale_attn_weights are honoured. */
#include "nn/attention.h"
#include "nn/head.h"

#include <math.h>
#include <stdio.h>

typedef struct layer {
    lm_tensor *norm1, *norm1_bias, *norm2, *norm2_bias;
    lm_linear_site *qkv, *proj, *fc, *out;
} layer;

enum { MAX_LAYERS = 512 };

typedef struct gpt2 {
    double eps;
    lm_act act;
    bool scale, inverse_layer;
    lm_tensor *positions, *norm, *norm_bias;
    layer layers[MAX_LAYERS];
} gpt2;

static lm_status configure(lm_model *m, const lm_json *config, lm_err *err)
{
    gpt2 *own = m->own;
    lm_config *c = &m->config;
    const char *act = "gelu_new";
    double range = 0.02;
    own->eps = 1e-5;
    own->scale = true;
    c->tie_embeddings = true;
    LM_TRY(lm_json_need_int(config, "vocab_size", NULL, &c->vocab_size, err));
    LM_TRY(lm_json_need_int(config, "n_embd", NULL, &c->hidden_size, err));
    LM_TRY(lm_json_need_int(config, "n_layer", NULL, &c->n_layers, err));
    LM_TRY(lm_json_need_int(config, "n_head", NULL, &c->n_heads, err));
    LM_TRY(lm_json_need_int(config, "n_positions", NULL, &c->max_positions, err));
    c->intermediate_size = c->hidden_size < INT32_MAX ? 4 * c->hidden_size : 0;
    LM_TRY(lm_json_opt_int(config, "n_inner", NULL, &c->intermediate_size, err));
    LM_TRY(lm_json_opt_bool(config, "tie_word_embeddings", NULL, &c->tie_embeddings, err));
    LM_TRY(lm_json_opt_real(config, "layer_norm_epsilon", NULL, &own->eps, err));
    LM_TRY(lm_json_opt_real(config, "initializer_range", NULL, &range, err));
    LM_TRY(lm_json_opt_bool(config, "scale_attn_weights", NULL, &own->scale, err));
    LM_TRY(lm_json_opt_bool(config, "scale_attn_by_inverse_layer_idx", NULL, &own->inverse_layer, err));
    LM_TRY(lm_json_opt_str(config, "activation_function", NULL, &act, err));
    c->init_range = (float)range;
    c->n_kv_heads = c->n_heads;
    if (c->n_layers < 1 || c->n_layers > MAX_LAYERS)
        return lm_fail(err, LM_E_FORMAT, "n_layer: expected 1 to %d, found %lld", MAX_LAYERS, (long long)c->n_layers);
    if (c->n_heads < 1 || c->hidden_size % c->n_heads)
        return lm_fail(err, LM_E_FORMAT, "n_embd %lld is not a multiple of n_head %lld", (long long)c->hidden_size, (long long)c->n_heads);
    c->head_dim = c->hidden_size / c->n_heads;
    return lm_act_parse(&own->act, act, "activation_function", err);
}

static lm_tensor *vector(lm_model *m, lm_init init, const char *where, const char *what)
{
    return &lm_param_declare(&m->params, init, 0, 1, &m->config.hidden_size, "%s.%s", where, what)->t;
}

static lm_status declare(lm_model *m, lm_err *err)
{
    gpt2 *own = m->own;
    const lm_config *c = &m->config;
    int64_t C = c->hidden_size, F = c->intermediate_size;
    float residual = c->init_range / sqrtf(2 * (float)c->n_layers);    /* Radford et al. 2019, section 2.3 */
    int64_t tokens[2] = { c->vocab_size, C }, places[2] = { c->max_positions, C };
    m->embedding = &lm_param_declare(&m->params, LM_INIT_NORMAL, c->init_range, 2, tokens, "transformer.wte.weight")->t;
    own->positions = &lm_param_declare(&m->params, LM_INIT_NORMAL, c->init_range, 2, places, "transformer.wpe.weight")->t;
    for (int64_t i = 0; i < c->n_layers; i++) {
        layer *l = &own->layers[i];
        char at[64];
        snprintf(at, sizeof at, "transformer.h.%d", (int)i);
        l->norm1 = vector(m, LM_INIT_ONE, at, "ln_1.weight");
        l->norm1_bias = vector(m, LM_INIT_ZERO, at, "ln_1.bias");
        l->qkv = lm_declare_linear(m, C, 3 * C, true, true, "%s.attn.c_attn", at);
        l->proj = lm_declare_linear(m, C, C, true, true, "%s.attn.c_proj", at);
        l->norm2 = vector(m, LM_INIT_ONE, at, "ln_2.weight");
        l->norm2_bias = vector(m, LM_INIT_ZERO, at, "ln_2.bias");
        l->fc = lm_declare_linear(m, C, F, true, true, "%s.mlp.c_fc", at);
        l->out = lm_declare_linear(m, F, C, true, true, "%s.mlp.c_proj", at);
        lm_param_find(&m->params, l->proj->w->name)->range = residual;
        lm_param_find(&m->params, l->out->w->name)->range = residual;
    }
    own->norm = vector(m, LM_INIT_ONE, "transformer", "ln_f.weight");
    own->norm_bias = vector(m, LM_INIT_ZERO, "transformer", "ln_f.bias");
    return lm_declare_head(m, err);
}

typedef struct block_call {
    const lm_forward *f;
    int64_t i;
} block_call;

static lm_tensor *self_attention(const block_call *b, const gpt2 *own, const layer *l, lm_tensor *h)
{
    const lm_forward *f = b->f;
    int64_t C = f->m->config.hidden_size;
    float scale = own->scale ? 1 / sqrtf((float)f->m->config.head_dim) : 1;
    if (own->inverse_layer) scale /= (float)(b->i + 1);
    lm_tensor *qkv = lm_apply_linear(f, l->qkv, h, LM_ACT_NONE);
    lm_tensor *q = lm_columns(f->t, qkv, 0, C), *k = lm_columns(f->t, qkv, C, C), *v = lm_columns(f->t, qkv, 2 * C, C);
    return lm_attend(f, q, k, v, &(lm_attend_options){ .layer = b->i, .scale = scale, .keys = l->qkv, .values = l->qkv,
                                                       .key_column = C, .value_column = 2 * C, .out = l->proj });
}

static lm_tensor *block(lm_tape *t, void *context, lm_tensor *x)
{
    const block_call *b = context;
    const gpt2 *own = b->f->m->own;
    const layer *l = &own->layers[b->i];
    float eps = (float)own->eps;
    lm_tensor *h = lm_layernorm(t, x, NULL, l->norm1, l->norm1_bias, eps, NULL);
    lm_tensor *a = lm_apply_branch(b->f, b->i, LM_SUBLAYER_ATTENTION, x, h, self_attention(b, own, l, h));
    h = lm_layernorm(t, x, a, l->norm2, l->norm2_bias, eps, &x);
    lm_tensor *y = lm_apply_linear(b->f, l->out, lm_apply_linear(b->f, l->fc, h, own->act), LM_ACT_NONE);
    return lm_add_(t, lm_apply_branch(b->f, b->i, LM_SUBLAYER_FEED_FORWARD, x, h, y), x);
}

static lm_tensor *forward(const lm_forward *f)
{
    const gpt2 *own = f->m->own;
    int64_t n = f->m->config.n_layers;
    lm_tensor *positions = lm_input(f->t, f->batch->positions, LM_I32, 1, &f->batch->n_tokens);
    lm_tensor *x = lm_add_(f->t, lm_apply_embedding(f), lm_embedding(f->t, own->positions, positions));
    block_call *calls = lm_tape_meta(f->t, (size_t)n * sizeof *calls);
    for (int64_t i = 0; calls && i < n; i++) {
        calls[i] = (block_call){ f, i };
        x = lm_checkpoint(f->t, block, &calls[i], x);
    }
    return lm_layernorm(f->t, x, NULL, own->norm, own->norm_bias, (float)own->eps, NULL);
}

static const char *const presets[] = {
    "tiny",  "{\"n_embd\": 128, \"n_layer\": 4, \"n_head\": 4, \"n_positions\": 512}",
    "124m",  "{\"n_embd\": 768, \"n_layer\": 12, \"n_head\": 12, \"n_positions\": 1024}",
    "355m",  "{\"n_embd\": 1024, \"n_layer\": 24, \"n_head\": 16, \"n_positions\": 1024}",
    "774m",  "{\"n_embd\": 1280, \"n_layer\": 36, \"n_head\": 20, \"n_positions\": 1024}",
    "1.5b",  "{\"n_embd\": 1600, \"n_layer\": 48, \"n_head\": 25, \"n_positions\": 1024}",
    NULL,
};

static const char *const model_types[] = { "gpt2", NULL };

const lm_family lm_family_gpt2 = {
    .name = "gpt2", .source = "Radford et al. 2019, section 2.3",
    .architecture = "GPT2LMHeadModel", .prefix = "transformer.", .token_head = "classifier", .model_types = model_types, .presets = presets,
    .size = sizeof(gpt2), .configure = configure, .declare = declare, .forward = forward,
};
