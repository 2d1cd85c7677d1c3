/* LLaMA-Adapter (Zhang et al. 2023, "LLaMA-Adapter: Efficient fine-tuning of language models with
 * zero-init attention", sections 3.1 and 3.2): in the top layers every query also looks at K learned
 * prompts, through the layer's own projections, behind a gate.
 *
 *   y = o(attention(q, k, v)) + o(g * softmax(q k(P)^T / sqrt(D)) v(P))       P [K, C],  g a number
 *
 * g starts at zero, so the adapted model starts as the base; P starts standard normal.  Prompts have no
 * position.  As in PEFT, whose files these are, GPT-2 adds the second term without the projection o.  Not a
 * change of weights: it cannot be merged. */
#include "nn/adapter.h"

#include <math.h>
#include <string.h>

typedef struct llama_adapter_options {
    int64_t len, layers;
} llama_adapter_options;

static const lm_option options[] = {
    LM_OPTION(INT, llama_adapter_options, len, "adapter-len", .fallback = "10", .min = 1, .max = 65536, .help = "learned prompts in each layer"),
    LM_OPTION(INT, llama_adapter_options, layers, "adapter-layers", .fallback = "0", .min = 0, .max = 512,
              .help = "how many layers from the top have them (0: all but the two lowest, as in the paper's 30 of 32)"),
    { 0 },
};

enum { PROMPT, GATE, N_PARAMS };

static int64_t first_layer(const lm_adapter *a) { return a->model->config.n_layers - ((const llama_adapter_options *)a->options)->layers; }

/* "model.layers.3.self_attn" of the linear that makes the keys: the length of the module's name, or 0. */
static int module_of_keys(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcmp(dot, ".k_proj") || !strcmp(dot, ".c_attn")) ? (int)(dot - name) : 0;
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    llama_adapter_options *o = a->options;
    const lm_model *m = a->model;
    int64_t layer = 0, most = m->config.n_layers;
    if (!o->layers) o->layers = most > 4 ? most - 2 : most;
    if (o->layers > most) return lm_fail(err, LM_E_USAGE, "%lld adapter layers: the model has %lld", (long long)o->layers, (long long)most);
    for (int64_t i = 0; i < m->n_sites; i++) {
        int n = module_of_keys(m->sites[i]->name);
        if (!n || layer++ < first_layer(a)) continue;
        lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 3, (int64_t[]){ 1, o->len, m->config.hidden_size }, "%.*s.adaption_prompt", n, m->sites[i]->name);
        lm_param_declare(&a->params, LM_INIT_ZERO, 0, 1, (int64_t[]){ 1 }, "%.*s.adaption_gate", n, m->sites[i]->name);
    }
    return LM_OK;
}

/* x times the number in gate. */
static lm_tensor *gated(lm_tape *t, lm_tensor *x, lm_tensor *gate)
{
    return lm_reshape(t, lm_scale_columns(t, lm_reshape(t, x, lm_numel(x), 1), gate), lm_rows(x), lm_cols(x));
}

static lm_tensor *attend(const lm_forward *f, lm_adapter *a, const lm_attend_options *at, lm_tensor *q, lm_tensor *y)
{
    const lm_config *c = &f->m->config;
    int64_t i = at->layer - first_layer(a), kv = c->n_kv_heads * c->head_dim;
    if (i < 0) return y;
    lm_param *const *own = a->params.items + i * N_PARAMS;
    lm_tensor *p = lm_adapter_rows(f->t, &own[PROMPT]->t);
    lm_tensor *keys = lm_apply_linear(f, at->keys, p, LM_ACT_NONE);
    lm_tensor *values = gated(f->t, lm_apply_linear(f, at->values, p, LM_ACT_NONE), &own[GATE]->t);
    lm_tensor *k = lm_columns(f->t, keys, at->key_column, kv), *v = lm_columns(f->t, values, at->value_column, kv);

    lm_segment *all = lm_tape_meta(f->t, sizeof *all);
    if (!all) return y;
    *all = (lm_segment){ .nq = lm_rows(q), .nk = p->dim[0] };
    lm_tensor *more = lm_attention(f->t, q, k, v, &(lm_attention_options){
        .heads = c->n_heads, .kv_heads = c->n_kv_heads, .segments = all, .n_segments = 1, .scale = 1 / sqrtf((float)c->head_dim) });
    bool projects = at->values != at->keys;
    return lm_add_(f->t, y, projects ? lm_apply_linear(f, at->out, more, LM_ACT_NONE) : more);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    llama_adapter_options *o = a->options;
    LM_TRY(lm_json_need_int(config, "adapter_len", NULL, &o->len, err));
    LM_TRY(lm_json_need_int(config, "adapter_layers", NULL, &o->layers, err));
    if (o->len >= 1 && o->len <= 65536 && o->layers >= 1) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "adapter_len %lld and adapter_layers %lld: expected at least 1", (long long)o->len, (long long)o->layers);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const llama_adapter_options *o = a->options;
    json_object_set_new(config, "adapter_len", json_integer(o->len));
    json_object_set_new(config, "adapter_layers", json_integer(o->layers));
    json_object_set_new(config, "target_modules", json_string(strcmp(a->model->family->name, "gpt2") ? "self_attn" : "attn"));
}

const lm_adapter_type lm_adapter_type_llama_adapter = {
    .name = "llama_adapter", .peft_type = "ADAPTION_PROMPT", .source = "Zhang et al. 2023, sections 3.1 and 3.2",
    .options = options, .options_size = sizeof(llama_adapter_options),
    .attach = attach, .attend = attend, .read_config = read_config, .write_config = write_config,
};
