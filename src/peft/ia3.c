/* (IA)3 (Liu et al. 2022, "Few-shot parameter-efficient fine-tuning is better and cheaper than
 * in-context learning", section 3.3): keys, values and feed-forward activations times learned vectors.
 *
 *   keys, values          y = l * (W x + b)        l [out, 1]
 *   feed-forward          y = W (l * x) + b        l [1, in]
 *
 * l starts as ones, so the adapted model starts as the base.  Merges into the weights exactly. */
#include "nn/adapter.h"

#include <stdlib.h>
#include <string.h>

typedef struct ia3_options {
    lm_strings target_modules, feedforward_modules, modules_to_save;
} ia3_options;

static const lm_option options[] = {
    LM_OPTION(LIST, ia3_options, target_modules, "target-modules", .metavar = "NAME,..",
              .help = "linears by suffix or one regular expression (default: keys, values and the end of the feed-forward part)"),
    LM_OPTION(LIST, ia3_options, feedforward_modules, "feedforward-modules", .metavar = "NAME,..",
              .help = "those of them whose input is scaled, by suffix"),
    LM_OPTION(LIST, ia3_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole and saved with the adapter (lm_head)"),
    { 0 },
};

/* What the paper scales, in each family's names (as PEFT has it). */
static void usual_targets(ia3_options *o, const lm_family *family)
{
    static char *llama[] = { "k_proj", "v_proj", "down_proj" }, *gpt2[] = { "c_attn", "mlp.c_proj" };
    bool is_gpt2 = !strcmp(family->name, "gpt2");
    o->target_modules = is_gpt2 ? (lm_strings){ gpt2, 2 } : (lm_strings){ llama, 3 };
    o->feedforward_modules = is_gpt2 ? (lm_strings){ gpt2 + 1, 1 } : (lm_strings){ llama + 2, 1 };
}

static void attach_site(lm_adapter *a, lm_linear_site *site)
{
    const ia3_options *o = a->options;
    bool feed_forward = lm_adapter_names(&o->feedforward_modules, site);
    int64_t shape[2] = { feed_forward ? 1 : site->out, feed_forward ? site->in : 1 };
    lm_adapter_link(a, site)->param[0] = lm_param_declare(&a->params, LM_INIT_ONE, 0, 2, shape, "%s.ia3_l", site->name);
}

static bool scales_input(const lm_link *l) { return l->param[0]->t.dim[0] == 1; }

static lm_status attach(lm_adapter *a, lm_err *err)
{
    ia3_options *o = a->options;
    if (!o->target_modules.n) usual_targets(o, a->model->family);
    LM_TRY(lm_adapter_targets(a, &o->target_modules, attach_site, err));
    for (int i = 0; i < o->feedforward_modules.n; i++) {
        bool used = false;
        for (int64_t j = 0; j < a->n_links && !used; j++)
            used = lm_adapter_names(&(lm_strings){ &o->feedforward_modules.items[i], 1 }, a->links[j]->site);
        if (!used) return lm_fail(err, LM_E_USAGE, "feedforward module \"%s\" is none of the target modules", o->feedforward_modules.items[i]);
    }
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_tensor *input(const lm_forward *f, const lm_link *l, lm_tensor *x)
{
    return scales_input(l) ? lm_scale_columns(f->t, x, &l->param[0]->t) : x;
}

static lm_tensor *output(const lm_forward *f, const lm_link *l, lm_tensor *x, lm_tensor *y)
{
    (void)x;
    return scales_input(l) ? y : lm_scale_columns(f->t, y, &l->param[0]->t);
}

/* l, or 1 / l; the caller frees.  NULL where a factor is 0: what it took away does not come back. */
static float *factors(const lm_link *l, bool undo)
{
    const float *v = l->param[0]->t.data;
    int64_t n = lm_numel(&l->param[0]->t);
    float *out = lm_malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        if (undo && v[i] == 0) {
            free(out);
            return NULL;
        }
        out[i] = undo ? 1 / v[i] : v[i];
    }
    return out;
}

/* The rows of W (its columns for an input) times l; W may be stored the other way round. */
static lm_status merge(const lm_link *l, bool undo, lm_err *err)
{
    const lm_linear_site *s = l->site;
    const lm_kernels *k = l->adapter->params.k;
    float *w = s->w->data, *v = factors(l, undo);
    int64_t rows = s->w->dim[0], cols = s->w->dim[1];
    if (!v) return lm_fail(err, LM_E_UNSUPPORTED, "%s: a factor is 0, and what it took away is gone; take the base itself", s->name);
    if (scales_input(l) != s->transposed) {
        k->scale_columns[LM_F32](w, w, v, rows, cols, false);
    } else {
        for (int64_t i = 0; i < rows; i++) k->add[LM_F32](w + i * cols, w + i * cols, NULL, v[i], 0, cols);
    }
    if (s->bias && !scales_input(l)) k->scale_columns[LM_F32](s->bias->data, s->bias->data, v, 1, s->out, false);
    free(v);
    return LM_OK;
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    ia3_options *o = a->options;
    if (json_array_size(lm_json_get(config, "exclude_modules")))
        return lm_fail(err, LM_E_UNSUPPORTED, "exclude_modules is set, which this build's ia3 does not implement");
    LM_TRY(lm_adapter_strings(a, config, "target_modules", &o->target_modules, err));
    LM_TRY(lm_adapter_strings(a, config, "feedforward_modules", &o->feedforward_modules, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const ia3_options *o = a->options;
    lm_adapter_put_strings(config, "target_modules", &o->target_modules);
    lm_adapter_put_strings(config, "feedforward_modules", &o->feedforward_modules);
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
    json_object_set_new(config, "fan_in_fan_out", json_boolean(a->n_links && a->links[0]->site->transposed));
    json_object_set_new(config, "init_ia3_weights", json_true());
}

const lm_adapter_type lm_adapter_type_ia3 = {
    .name = "ia3", .peft_type = "IA3", .source = "Liu et al. 2022, section 3.3",
    .options = options, .options_size = sizeof(ia3_options),
    .attach = attach, .input = input, .output = output, .merge = merge, .read_config = read_config, .write_config = write_config,
};
