/* LoRA (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.1).
 *
 *   y = W x + scale * B A dropout(x)      A [r, in], B [out, r],  scale = alpha / r
 *
 * rsLoRA (Kalajdzievski 2023) scales by alpha / sqrt(r).  B starts as zeros, so the adapted model
 * starts as the base.  A starts uniform in +-1/sqrt(in), as in PEFT (Kaiming with a = sqrt(5)).
 *
 * Left out, and refused when a file asks for it: DoRA, rank and alpha patterns, chosen layers,
 * trained biases, embeddings as targets. */
#include "nn/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct lora_options {
    int64_t r;
    double alpha, dropout;
    lm_strings target_modules, modules_to_save;
    bool rslora;
} lora_options;

enum { A, B };

static const lm_option options[] = {
    LM_OPTION(INT, lora_options, r, "lora-r", .fallback = "16", .help = "rank", .min = 1, .max = 65536),
    LM_OPTION(REAL, lora_options, alpha, "lora-alpha", .fallback = "32", .help = "the update is scaled by alpha / rank"),
    LM_OPTION(REAL, lora_options, dropout, "lora-dropout", .fallback = "0", .help = "dropout on the adapter's input", .max = 0.99),
    LM_OPTION(LIST, lora_options, target_modules, "target-modules", .fallback = "all-linear", .metavar = "NAME,..",
              .help = "linears by suffix (q_proj,v_proj), one regular expression, or all-linear"),
    LM_OPTION(LIST, lora_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole and saved with the adapter (lm_head)"),
    LM_OPTION(FLAG, lora_options, rslora, "use-rslora", .help = "scale by alpha / sqrt(rank)"),
    { 0 },
};

static void attach_site(lm_adapter *a, lm_linear_site *site)
{
    const lora_options *o = a->options;
    lm_link *l = lm_adapter_link(a, site);
    int64_t down[2] = { o->r, site->in }, up[2] = { site->out, o->r };
    l->scale = (float)(o->alpha / (o->rslora ? sqrt((double)o->r) : (double)o->r));
    l->param[A] = lm_param_declare(&a->params, LM_INIT_UNIFORM, 1 / sqrtf((float)site->in), 2, down, "%s.lora_A.weight", site->name);
    l->param[B] = lm_param_declare(&a->params, LM_INIT_ZERO, 0, 2, up, "%s.lora_B.weight", site->name);
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const lora_options *o = a->options;
    LM_TRY(lm_adapter_targets(a, &o->target_modules, attach_site, err));
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_linear_site *s = a->links[i]->site;
        if (o->r > s->in || o->r > s->out)
            return lm_fail(err, LM_E_USAGE, "rank %lld is larger than a side of %s, which is %lld by %lld",
                           (long long)o->r, s->name, (long long)s->out, (long long)s->in);
    }
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_tensor *output(const lm_forward *f, const lm_link *l, lm_tensor *x, lm_tensor *y)
{
    const lora_options *o = l->adapter->options;
    lm_tensor *h = lm_linear(f->t, lm_dropout(f->t, x, (float)o->dropout), &l->param[A]->t, NULL);
    return lm_linear_add_(f->t, y, h, &l->param[B]->t, l->scale, false);
}

/* W += scale * B A, or its transpose where W is stored [in, out]. */
static lm_status merge(const lm_link *l, lm_err *err)
{
    (void)err;
    const lora_options *o = l->adapter->options;
    const lm_linear_site *s = l->site;
    lm_gemm g = { .c = s->w->data, .ldc = s->w->dim[1], .m = s->w->dim[0], .n = s->w->dim[1], .k = o->r,
                  .alpha = l->scale, .beta = 1, .a = l->param[B]->t.data, .lda = o->r,
                  .b = l->param[A]->t.data, .ldb = s->in };
    if (s->transposed) {
        g.a = l->param[A]->t.data, g.lda = s->in, g.trans_a = true;
        g.b = l->param[B]->t.data, g.ldb = o->r, g.trans_b = true;
    }
    l->adapter->params.k->gemm(&g);
    return LM_OK;
}

/* ---- adapter_config.json ---- */

/* Keys of PEFT's that change what is computed and that this file does not implement: they must be off. */
static lm_status refuse_unsupported(const lm_json *config, lm_err *err)
{
    static const char *const keys[] = {
        "use_dora", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "layer_replication",
        "lora_bias", "trainable_token_indices", "target_parameters", "exclude_modules", "use_qalora", "alora_invocation_tokens",
        "use_bdlora", "arrow_config", "megatron_config", NULL };
    for (const char *const *key = keys; *key; key++) {
        const lm_json *v = lm_json_get(config, *key);
        bool off = !v || json_is_false(v) || (json_is_object(v) && !json_object_size(v)) || (json_is_array(v) && !json_array_size(v));
        if (!off) return lm_fail(err, LM_E_UNSUPPORTED, "%s is set, which this build's lora does not implement", *key);
    }
    const char *bias = "none";
    LM_TRY(lm_json_opt_str(config, "bias", NULL, &bias, err));
    return strcmp(bias, "none") ? lm_fail(err, LM_E_UNSUPPORTED, "bias: found \"%s\", only \"none\" is supported", bias) : LM_OK;
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    lora_options *o = a->options;
    *o = (lora_options){ .r = 8, .alpha = 8 };
    LM_TRY(refuse_unsupported(config, err));
    LM_TRY(lm_json_opt_int(config, "r", NULL, &o->r, err));
    LM_TRY(lm_json_opt_real(config, "lora_alpha", NULL, &o->alpha, err));
    LM_TRY(lm_json_opt_real(config, "lora_dropout", NULL, &o->dropout, err));
    LM_TRY(lm_json_opt_bool(config, "use_rslora", NULL, &o->rslora, err));
    if (o->r < 1 || o->r > 65536) return lm_fail(err, LM_E_FORMAT, "r: expected 1 to 65536, found %lld", (long long)o->r);
    LM_TRY(lm_adapter_strings(a, config, "target_modules", &o->target_modules, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

/* Targets are written as the suffixes of the sites in use, which means the same to PEFT whatever was typed. */
static json_t *target_suffixes(const lm_adapter *a)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < a->n_links; i++) json_array_append_new(list, json_string(a->links[i]->site->name));
    return list;
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const lora_options *o = a->options;
    bool named = o->target_modules.n && strpbrk(o->target_modules.items[0], "\\^$*+?()[]{}|") == NULL &&
                 strcmp(o->target_modules.items[0], "all-linear") != 0;
    json_object_set_new(config, "r", json_integer(o->r));
    json_object_set_new(config, "lora_alpha", json_real(o->alpha));
    json_object_set_new(config, "lora_dropout", json_real(o->dropout));
    json_object_set_new(config, "use_rslora", json_boolean(o->rslora));
    json_object_set_new(config, "bias", json_string("none"));
    json_object_set_new(config, "fan_in_fan_out", json_boolean(a->n_links && a->links[0]->site->transposed));
    json_object_set_new(config, "init_lora_weights", json_true());
    if (named) lm_adapter_put_strings(config, "target_modules", &o->target_modules);
    else json_object_set_new(config, "target_modules", target_suffixes(a));
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_lora = {
    .name = "lora", .peft_type = "LORA", .source = "Hu et al. 2021, section 4.1; Kalajdzievski 2023 (rsLoRA)",
    .options = options, .options_size = sizeof(lora_options),
    .attach = attach, .output = output, .merge = merge, .read_config = read_config, .write_config = write_config,
};
