/* VeRA (Kopiczko et al. 2023, "VeRA: Vector-based random matrix adaptation", section 3.1): all linears
 * share one random pair of matrices, which never trains; each has two vectors of its own, which do.
 *
 *   y = W x + b * (B[:out] (d * (A[:, :in] dropout(x))))      A [r, widest in], B [widest out, r],  d [r], b [out]
 *
 * b starts as zeros, so the adapted model starts as the base; d as --d-initial; A and B uniform with
 * variance 2 / columns, as in PEFT (Kaiming).
 *
 * A and B are always written.  A file without them (save_projection false) counts on PyTorch's generator
 * to make them again, and is refused. */
#include "peft/low_rank.h"
#include "peft/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct vera_options {
    int64_t r, key;
    double dropout, d_initial;
    lm_strings target_modules, modules_to_save, layers;
} vera_options;

enum { D, B_VECTOR };                        /* of a link */
enum { A, B };                               /* the first two of a->params */

static const lm_option options[] = {
    LM_OPTION(INT, vera_options, r, "vera-r", .fallback = "256", .help = "rank of the shared matrices", .min = 1, .max = 65536),
    LM_OPTION(REAL, vera_options, dropout, "vera-dropout", .fallback = "0", .help = "dropout on the adapter's input", .max = 0.99),
    LM_OPTION(REAL, vera_options, d_initial, "d-initial", .fallback = "0.1", .help = "what the inner vector starts as"),
    LM_OPTION(LIST, vera_options, target_modules, "target-modules", .fallback = "all-linear", .metavar = "NAME,..",
              .help = "linears by suffix (q_proj,v_proj), one regular expression, or all-linear"),
    LM_OPTION(LIST, vera_options, layers, "layers-to-transform", .metavar = "N,..", .help = "layers that are adapted, counted from 0 (default: all)"),
    LM_OPTION(LIST, vera_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole and saved with the adapter (lm_head)"),
    { 0 },
};

static void attach_site(lm_adapter *a, lm_linear_site *site)
{
    const vera_options *o = a->options;
    if (lm_peft_layers_have(&o->layers, site->name)) lm_adapter_link(a, site);
}

static void declare_shared(lm_adapter *a, const char *name, int64_t rows, int64_t cols)
{
    lm_param *p = lm_param_declare(&a->params, LM_INIT_UNIFORM, sqrtf(6 / (float)cols), 2, (int64_t[]){ rows, cols }, "base_model.%s", name);
    p->frozen = true;
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const vera_options *o = a->options;
    int64_t in = 0, out = 0;
    LM_TRY(lm_peft_layers_check(a, &o->layers, err));
    LM_TRY(lm_adapter_targets(a, &o->target_modules, attach_site, err));
    if (!a->n_links) return lm_fail(err, LM_E_USAGE, "no target module stands in the layers to transform");
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_linear_site *s = a->links[i]->site;
        if (s->in > in) in = s->in;
        if (s->out > out) out = s->out;
    }
    declare_shared(a, "vera_A", o->r, in);
    declare_shared(a, "vera_B", out, o->r);
    for (int64_t i = 0; i < a->n_links; i++) {
        lm_link *l = a->links[i];
        const char *name = l->site->name;
        l->param[D] = lm_param_declare(&a->params, LM_INIT_ONE, 0, 1, &o->r, "%s.vera_lambda_d", name);
        l->param[B_VECTOR] = lm_param_declare(&a->params, LM_INIT_ZERO, 0, 1, &l->site->out, "%s.vera_lambda_b", name);
    }
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_status start(lm_adapter *a, uint64_t seed, lm_err *err)
{
    (void)seed, (void)err;
    const vera_options *o = a->options;
    for (int64_t i = 0; i < a->n_links; i++) {
        float *d = a->links[i]->param[D]->t.data;
        a->params.k->add[LM_F32](d, d, NULL, (float)o->d_initial, 0, o->r);
    }
    return LM_OK;
}

static lm_tensor *output(const lm_forward *f, const lm_link *l, lm_tensor *x, lm_tensor *y)
{
    const vera_options *o = l->adapter->options;
    lm_param *const *shared = l->adapter->params.items;
    lm_tensor *a = lm_columns(f->t, &shared[A]->t, 0, l->site->in);
    lm_tensor *b = lm_tensor_over(f->t, shared[B]->t.data, LM_F32, 2, (int64_t[]){ l->site->out, o->r });
    lm_tensor *h = lm_linear(f->t, lm_dropout(f->t, x, (float)o->dropout), a, NULL);
    h = lm_linear(f->t, lm_scale_columns(f->t, h, &l->param[D]->t), b, NULL);
    return lm_add_(f->t, y, lm_scale_columns(f->t, h, &l->param[B_VECTOR]->t));
}

/* W += b * B d * A */
static lm_status merge(const lm_link *l, bool undo, lm_err *err)
{
    (void)err;
    const lm_linear_site *s = l->site;
    const lm_kernels *k = l->adapter->params.k;
    const lm_tensor *a = &l->adapter->params.items[A]->t, *b = &l->adapter->params.items[B]->t;
    const float *v = l->param[B_VECTOR]->t.data;
    int64_t r = b->dim[1];
    float *up = lm_malloc((size_t)(s->out * r) * sizeof *up);            /* b * B * d [out, r] */
    k->scale_columns[LM_F32](up, b->data, l->param[D]->t.data, s->out, r, false);
    for (int64_t i = 0; i < s->out; i++) k->add[LM_F32](up + i * r, up + i * r, NULL, v[i], 0, r);
    lm_low_rank_add(k, s, up, a->data, a->dim[1], r, undo ? -1 : 1);
    free(up);
    return LM_OK;
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    vera_options *o = a->options;
    const char *bias = "none";
    bool saved = true;
    *o = (vera_options){ .r = 256, .d_initial = 0.1 };
    LM_TRY(lm_json_opt_bool(config, "save_projection", NULL, &saved, err));
    if (!saved)
        return lm_fail(err, LM_E_UNSUPPORTED, "save_projection is false: the file lacks vera_A and vera_B, which only PyTorch's generator "
                       "makes again; save it once more in PEFT with save_projection=True");
    LM_TRY(lm_json_opt_str(config, "bias", NULL, &bias, err));
    if (strcmp(bias, "none")) return lm_fail(err, LM_E_UNSUPPORTED, "bias: found \"%s\", only \"none\" is supported", bias);
    if (json_array_size(lm_json_get(config, "exclude_modules")))
        return lm_fail(err, LM_E_UNSUPPORTED, "exclude_modules is set, which this build's vera does not implement");
    LM_TRY(lm_json_opt_int(config, "r", NULL, &o->r, err));
    if (o->r < 1 || o->r > 65536) return lm_fail(err, LM_E_FORMAT, "r: expected 1 to 65536, found %lld", (long long)o->r);
    LM_TRY(lm_json_opt_int(config, "projection_prng_key", NULL, &o->key, err));
    LM_TRY(lm_json_opt_real(config, "vera_dropout", NULL, &o->dropout, err));
    LM_TRY(lm_json_opt_real(config, "d_initial", NULL, &o->d_initial, err));
    LM_TRY(lm_peft_layers_read(a, config, &o->layers, err));
    LM_TRY(lm_adapter_strings(a, config, "target_modules", &o->target_modules, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const vera_options *o = a->options;
    json_object_set_new(config, "r", json_integer(o->r));
    json_object_set_new(config, "projection_prng_key", json_integer(o->key));      /* PEFT wants one; the file's matrices win */
    json_object_set_new(config, "save_projection", json_true());
    json_object_set_new(config, "vera_dropout", json_real(o->dropout));
    json_object_set_new(config, "d_initial", json_real(o->d_initial));
    json_object_set_new(config, "bias", json_string("none"));
    json_object_set_new(config, "fan_in_fan_out", json_boolean(a->model->sites[0]->transposed));
    json_object_set_new(config, "init_weights", json_true());
    lm_peft_targets_write(a, config, &o->target_modules, &o->layers);
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_vera = {
    .name = "vera", .peft_type = "VERA", .source = "Kopiczko et al. 2023, section 3.1",
    .options = options, .options_size = sizeof(vera_options),
    .attach = attach, .start = start, .output = output, .merge = merge, .read_config = read_config, .write_config = write_config,
};
