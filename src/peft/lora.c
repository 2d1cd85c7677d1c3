/* LoRA (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.1).
 *
 *   y = W x + scale * B A dropout(x)      A [r, in], B [out, r],  scale = alpha / r
 *
 * rsLoRA (Kalajdzievski 2023) scales by alpha / sqrt(r).  B starts as zeros, so the adapted model
 * starts as the base.  A starts uniform in +-1/sqrt(in), as in PEFT (Kaiming with a = sqrt(5)).
 * The embedding can be a target as a linear of one-hot rows, without dropout: A [r, vocabulary] starts as
 * zeros, B [C, r] normal.  Patterns give single modules a rank or an alpha of their own.  LoRA+ (Hayou et
 * al. 2024, "LoRA+: Efficient low rank adaptation of large models", section 4) learns B faster than A by a
 * ratio.  DoRA: dora.h.
 *
 * The LM head can be a target; where it is the embedding as well, only the head changes, and cannot be merged.
 *
 * Left out, and refused when a file asks for it: DoRA of the embedding and the head, trained biases, and what came later than these (keys in refuse_unsupported). */
#include "peft/dora.h"
#include "peft/low_rank.h"
#include "peft/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct lora_options {
    int64_t r;
    double alpha, dropout, plus_ratio;
    lm_strings target_modules, modules_to_save, rank_pattern, alpha_pattern, layers;
    bool rslora, dora;
} lora_options;

enum { A = LM_DORA_A, B = LM_DORA_B };

static const lm_option options[] = {
    LM_OPTION(INT, lora_options, r, "lora-r", .fallback = "16", .help = "rank", .min = 1, .max = 65536),
    LM_OPTION(REAL, lora_options, alpha, "lora-alpha", .fallback = "32", .help = "the update is scaled by alpha / rank"),
    LM_OPTION(REAL, lora_options, dropout, "lora-dropout", .fallback = "0", .help = "dropout on the adapter's input", .max = 0.99),
    LM_OPTION(LIST, lora_options, target_modules, "target-modules", .fallback = "all-linear", .metavar = "NAME,..",
              .help = "linears by suffix (q_proj,v_proj), one regular expression, or all-linear"),
    LM_OPTION(LIST, lora_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole and saved with the adapter (lm_head)"),
    LM_OPTION(FLAG, lora_options, rslora, "use-rslora", .help = "scale by alpha / sqrt(rank)"),
    LM_OPTION(FLAG, lora_options, dora, "use-dora", .help = "train the lengths of the weight's rows as well (DoRA)"),
    LM_OPTION(LIST, lora_options, rank_pattern, "rank-pattern", .metavar = "NAME=RANK,..", .help = "another rank for modules by name or expression"),
    LM_OPTION(LIST, lora_options, alpha_pattern, "alpha-pattern", .metavar = "NAME=ALPHA,..", .help = "another alpha in the same way"),
    LM_OPTION(LIST, lora_options, layers, "layers-to-transform", .metavar = "N,..", .help = "layers that are adapted, counted from 0 (default: all)"),
    LM_OPTION(REAL, lora_options, plus_ratio, "lora-plus-ratio", .fallback = "1", .min = 1e-3, .max = 1e6,
              .help = "learning rate of B times this (LoRA+: about 16)"),
    { 0 },
};

static bool can_head(const lm_adapter *a) { return !((const lora_options *)a->options)->dora; }
static bool is_table(const lm_link *l) { return l->site == l->adapter->model->table; }
static int64_t rank_of(const lm_link *l) { return l->param[A]->t.dim[0]; }

static void attach_site(lm_adapter *a, lm_linear_site *site)
{
    const lora_options *o = a->options;
    if (lm_peft_layers_have(&o->layers, site->name)) lm_adapter_link(a, site);
}

static lm_status check_rank(const lora_options *o, const lm_link *l, double r, lm_err *err)
{
    const lm_linear_site *s = l->site;
    if (r != (double)(int64_t)r) return lm_fail(err, LM_E_USAGE, "rank of %s: expected a whole number, found %g", s->name, r);
    if (r > (double)s->in || r > (double)s->out)
        return lm_fail(err, LM_E_USAGE, "rank %lld is larger than a side of %s, which is %lld by %lld",
                       (long long)r, s->name, (long long)s->out, (long long)s->in);
    if (is_table(l) && o->dora) return lm_fail(err, LM_E_UNSUPPORTED, "use_dora: %s is an embedding, which DoRA is not implemented for", s->name);
    if (is_table(l) && r * (double)s->in > INT32_MAX)
        return lm_fail(err, LM_E_UNSUPPORTED, "rank %lld of %s: expected at most %lld", (long long)r, s->name, INT32_MAX / (long long)s->in);
    return LM_OK;
}

static lm_status declare(lm_link *l, lm_err *err)
{
    const lm_linear_site *s = l->site;
    lm_adapter *a = l->adapter;
    const lora_options *o = a->options;
    double rank = (double)o->r, alpha = o->alpha;
    LM_TRY(lm_peft_pairs_find(&rank, &o->rank_pattern, s->name, "rank pattern", err));
    LM_TRY(lm_peft_pairs_find(&alpha, &o->alpha_pattern, s->name, "alpha pattern", err));
    LM_TRY(check_rank(o, l, rank, err));
    int64_t r = (int64_t)rank, down[2] = { r, s->in }, up[2] = { s->out, r };
    bool table = is_table(l);
    l->scale = (float)(alpha / (o->rslora ? sqrt(rank) : rank));
    l->param[A] = lm_param_declare(&a->params, table ? LM_INIT_ZERO : LM_INIT_UNIFORM, 1 / sqrtf((float)s->in), 2, down,
                                   table ? "%s.lora_embedding_A" : "%s.lora_A.weight", s->name);
    l->param[B] = lm_param_declare(&a->params, table ? LM_INIT_NORMAL : LM_INIT_ZERO, 1, 2, up,
                                   table ? "%s.lora_embedding_B" : "%s.lora_B.weight", s->name);
    l->param[B]->rate = (float)o->plus_ratio;
    return o->dora ? lm_dora_attach(l, err) : LM_OK;
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const lora_options *o = a->options;
    LM_TRY(lm_peft_layers_check(a, &o->layers, err));
    LM_TRY(lm_adapter_targets(a, &o->target_modules, attach_site, err));
    if (!a->n_links) return lm_fail(err, LM_E_USAGE, "no target module stands in the layers to transform");
    for (int64_t i = 0; i < a->n_links; i++) LM_TRY(declare(a->links[i], err));
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_status start(lm_adapter *a, uint64_t seed, lm_err *err)
{
    (void)seed, (void)err;
    for (int64_t i = 0; i < a->n_links && ((const lora_options *)a->options)->dora; i++) lm_dora_start(a->links[i]);
    return LM_OK;
}

static lm_tensor *output(const lm_forward *f, const lm_link *l, lm_tensor *x, lm_tensor *y)
{
    const lora_options *o = l->adapter->options;
    lm_tensor *h = lm_linear(f->t, lm_dropout(f->t, x, (float)o->dropout), &l->param[A]->t, NULL);
    y = lm_linear_add_(f->t, y, h, &l->param[B]->t, l->scale, false);
    return o->dora ? lm_dora_output(f, l, y) : y;
}

static lm_low_rank narrow(const lm_forward *f, const lm_link *l, lm_tensor *x)
{
    const lora_options *o = l->adapter->options;
    lm_tensor *h = lm_linear(f->t, lm_dropout(f->t, x, (float)o->dropout), &l->param[A]->t, NULL);
    return (lm_low_rank){ h, &l->param[B]->t, l->scale };
}

/* x + scale * B A[:, ids]: columns of A are gathered number by number, from A as a table of one column. */
static lm_tensor *embed_link(const lm_forward *f, const lm_link *l, lm_tensor *x)
{
    int64_t n = f->batch->n_tokens, r = rank_of(l), many = n * r;
    int32_t *ids = lm_tape_meta(f->t, (size_t)many * sizeof *ids);
    if (f->t->err.code) return &f->t->dead;
    for (int64_t i = 0; i < many; i++) ids[i] = (int32_t)(i % r * l->site->in + f->batch->ids[i / r]);
    lm_tensor *column = lm_reshape(f->t, &l->param[A]->t, r * l->site->in, 1);
    lm_tensor *h = lm_embedding(f->t, column, lm_input(f->t, ids, LM_I32, 1, &many));
    return lm_linear_add_(f->t, x, lm_reshape(f->t, h, n, r), &l->param[B]->t, l->scale, false);
}

static lm_tensor *embed(const lm_forward *f, lm_adapter *a, lm_tensor *x)
{
    for (const lm_link *l = a->model->table->links; l; l = l->next)
        if (l->adapter == a) x = embed_link(f, l, x);
    return x;
}

static lm_status merge(const lm_link *l, bool undo, lm_err *err)
{
    const lm_model *m = l->adapter->model;
    if (m->head == m->embedding && (is_table(l) || l->site == m->output))
        return lm_fail(err, LM_E_UNSUPPORTED, "%s is the %s as well, which the adapter does not change: it cannot be merged; "
                       "keep the adapter beside the model", l->site->name, is_table(l) ? "head" : "embedding");
    if (undo && ((const lora_options *)l->adapter->options)->dora)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: DoRA has given the rows other lengths, and the base's are gone; take the base itself", l->site->name);
    float *gain = ((const lora_options *)l->adapter->options)->dora ? lm_dora_gains(l) : NULL;
    lm_low_rank_add(l->adapter->params.k, l->site, l->param[B]->t.data, l->param[A]->t.data, l->site->in, rank_of(l), undo ? -l->scale : l->scale);
    if (gain) lm_dora_merge(l, gain);
    free(gain);
    return LM_OK;
}

/* ---- adapter_config.json ---- */

/* Keys of PEFT's that change what is computed and that this file does not implement: they must be off. */
static lm_status refuse_unsupported(const lm_json *config, lm_err *err)
{
    static const char *const keys[] = {
        "layer_replication", "lora_bias", "trainable_token_indices", "target_parameters", "exclude_modules", "use_qalora", "alora_invocation_tokens",
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
    *o = (lora_options){ .r = 8, .alpha = 8, .plus_ratio = 1 };
    LM_TRY(refuse_unsupported(config, err));
    LM_TRY(lm_json_opt_int(config, "r", NULL, &o->r, err));
    LM_TRY(lm_json_opt_real(config, "lora_alpha", NULL, &o->alpha, err));
    LM_TRY(lm_json_opt_real(config, "lora_dropout", NULL, &o->dropout, err));
    LM_TRY(lm_json_opt_bool(config, "use_rslora", NULL, &o->rslora, err));
    LM_TRY(lm_json_opt_bool(config, "use_dora", NULL, &o->dora, err));
    if (o->r < 1 || o->r > 65536) return lm_fail(err, LM_E_FORMAT, "r: expected 1 to 65536, found %lld", (long long)o->r);
    LM_TRY(lm_peft_pairs_read(a, config, "rank_pattern", &o->rank_pattern, err));
    LM_TRY(lm_peft_pairs_read(a, config, "alpha_pattern", &o->alpha_pattern, err));
    LM_TRY(lm_peft_layers_read(a, config, &o->layers, err));
    LM_TRY(lm_adapter_strings(a, config, "target_modules", &o->target_modules, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const lora_options *o = a->options;
    json_object_set_new(config, "r", json_integer(o->r));
    json_object_set_new(config, "lora_alpha", json_real(o->alpha));
    json_object_set_new(config, "lora_dropout", json_real(o->dropout));
    json_object_set_new(config, "use_rslora", json_boolean(o->rslora));
    json_object_set_new(config, "bias", json_string("none"));
    json_object_set_new(config, "use_dora", json_boolean(o->dora));
    lm_peft_pairs_write(config, "rank_pattern", &o->rank_pattern);
    lm_peft_pairs_write(config, "alpha_pattern", &o->alpha_pattern);
    json_object_set_new(config, "fan_in_fan_out", json_boolean(a->model->sites[0]->transposed));
    json_object_set_new(config, "init_lora_weights", json_true());
    lm_peft_targets_write(a, config, &o->target_modules, &o->layers);
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_lora = {
    .name = "lora", .peft_type = "LORA", .source = "Hu et al. 2021, section 4.1; Kalajdzievski 2023 (rsLoRA); Hayou et al. 2024 (LoRA+); Liu et al. 2024 (DoRA)",
    .embeds = true, .heads = can_head,
    .options = options, .options_size = sizeof(lora_options),
    .attach = attach, .start = start, .output = output, .narrow = narrow, .embed = embed, .merge = merge, .read_config = read_config, .write_config = write_config,
};
