/* Bottleneck adapters: a small network of its own in every layer.
 *
 *   y <- y + s (W_up act(W_down z + b_down) + b_up)      W_down [C / reduction, C]
 *
 * y is what a sublayer adds to the residual stream x, and z
 *
 *   houlsby    y, after attention and after the feed-forward part   (Houlsby et al. 2019, section 2.1)
 *   pfeiffer   x + y, after the feed-forward part                   (Pfeiffer et al. 2020, section 3)
 *   parallel   x, beside the feed-forward part                      (He et al. 2022, sections 3.2 and 4.6)
 *
 * W_down and W_up start small, or W_up at zero; the forms, their defaults and the files (adapter_config.json,
 * adapter.safetensors) are those of the library `adapters` (Poth et al. 2023).  Not a change of weights: it
 * cannot be merged.  Left out, and refused when a file asks for it: norms, gates and learnt scalings of the
 * adapter's own, hypercomplex layers, invertible adapters, another reduction for single layers. */
#include "nn/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HOULSBY, PFEIFFER, PARALLEL };
static const char *const forms[] = { "houlsby", "pfeiffer", "parallel", NULL };

enum { BERT, BY_HOULSBY, MAM, AS_THE_FORM };
static const char *const starts[] = { "bert", "houlsby", "mam_adapter", "auto", NULL };

typedef struct bottleneck_options {
    int form, start;
    double reduction, scaling, dropout;
    const char *act_name, *name;         /* name: of the adapter, a part of its tensors' names */
    lm_strings leave_out;
    lm_act act;
    bool on_attention, on_feed_forward;
    int64_t *first;                      /* [layers, 2]: where in a->params a place's begin, or -1 */
} bottleneck_options;

static const lm_option options[] = {
    LM_OPTION(CHOICE, bottleneck_options, form, "bottleneck", .fallback = "pfeiffer", .choices = forms, .help = "where it sits"),
    LM_OPTION(REAL, bottleneck_options, reduction, "reduction-factor", .fallback = "0", .max = 65536, .help = "the model's width over the network's (0: 16, parallel 2)"),
    LM_OPTION(STRING, bottleneck_options, act_name, "non-linearity", .metavar = "NAME", .help = "relu, swish, gelu, gelu_new or tanh (default: relu, houlsby swish)"),
    LM_OPTION(REAL, bottleneck_options, scaling, "bottleneck-scaling", .fallback = "0", .min = 0, .max = 1e6, .help = "what it adds is scaled by this (0: 1, parallel 4)"),
    LM_OPTION(REAL, bottleneck_options, dropout, "bottleneck-dropout", .fallback = "0", .max = 0.99, .help = "dropout on what it adds"),
    LM_OPTION(CHOICE, bottleneck_options, start, "bottleneck-init", .fallback = "auto", .choices = starts,
              .help = "bert: normal with 0.02; houlsby: with 0.01; mam_adapter: W_up at zero; auto: bert, parallel mam_adapter"),
    LM_OPTION(LIST, bottleneck_options, leave_out, "leave-out", .metavar = "LAYER,..", .help = "layers without one"),
    { 0 },
};

enum { DOWN, DOWN_BIAS, UP, UP_BIAS };

/* ---- where ---- */

/* "model.layers.3" of "model.layers.3.mlp.up_proj": the length of the layer's name; 0 for another layer. */
static int layer_name(const char *site, int64_t layer)
{
    for (const char *dot = strchr(site, '.'); dot; dot = strchr(dot + 1, '.')) {
        char *end;
        long long number = strtoll(dot + 1, &end, 10);
        if (end != dot + 1 && *end == '.') return number == layer ? (int)(end - site) : 0;
    }
    return 0;
}

static const char *site_of(const lm_model *m, int64_t layer, int *length)
{
    for (int64_t i = 0; i < m->n_sites; i++)
        if ((*length = layer_name(m->sites[i]->name, layer))) return m->sites[i]->name;
    LM_BUG("layer %lld has no linear", (long long)layer);
}

static bool is_left_out(const bottleneck_options *o, int64_t layer)
{
    for (int i = 0; i < o->leave_out.n; i++)
        if (strtoll(o->leave_out.items[i], NULL, 10) == layer) return true;
    return false;
}

static int start_of(const bottleneck_options *o)
{
    return o->start != AS_THE_FORM ? o->start : o->form == PARALLEL ? MAM : BERT;
}

/* "model.layers.3.output_adapters.adapters.malmoi"; the caller frees. */
static char *place_name(const lm_adapter *a, int64_t layer, lm_sublayer which)
{
    const bottleneck_options *o = a->options;
    lm_str name = { 0 };
    int length;
    const char *site = site_of(a->model, layer, &length);
    lm_str_printf(&name, "%.*s.%s_adapters.adapters.%s", length, site, which == LM_SUBLAYER_ATTENTION ? "attention" : "output", o->name);
    return lm_str_take(&name);
}

static void declare(lm_adapter *a, int64_t layer, lm_sublayer which)
{
    bottleneck_options *o = a->options;
    int64_t C = a->model->config.hidden_size, r = (int64_t)fmax(1, (double)C / o->reduction);
    int start = start_of(o);
    float range = start == MAM ? 1 / sqrtf((float)C) : start == BERT ? 0.02f : 0.01f;
    char *place = place_name(a, layer, which);
    o->first[2 * layer + which] = a->params.n;
    lm_param_declare(&a->params, start == MAM ? LM_INIT_UNIFORM : LM_INIT_NORMAL, range, 2, (int64_t[]){ r, C }, "%s.adapter_down.0.weight", place);
    lm_param_declare(&a->params, LM_INIT_ZERO, 0, 1, &r, "%s.adapter_down.0.bias", place);
    lm_param_declare(&a->params, start == MAM ? LM_INIT_ZERO : LM_INIT_NORMAL, range, 2, (int64_t[]){ C, r }, "%s.adapter_up.weight", place);
    lm_param_declare(&a->params, LM_INIT_ZERO, 0, 1, &C, "%s.adapter_up.bias", place);
    free(place);
}

static void take_defaults(bottleneck_options *o)
{
    static const struct { double reduction, scaling; const char *act; } of[] = {
        [HOULSBY] = { 16, 1, "swish" }, [PFEIFFER] = { 16, 1, "relu" }, [PARALLEL] = { 2, 4, "relu" } };
    if (o->reduction <= 0) o->reduction = of[o->form].reduction;
    if (o->scaling <= 0) o->scaling = of[o->form].scaling;
    if (!o->act_name) o->act_name = of[o->form].act;
    o->on_attention = o->form == HOULSBY;
    o->on_feed_forward = true;
    o->name = "malmoi";
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    bottleneck_options *o = a->options;
    int64_t layers = a->model->config.n_layers;
    if (!a->config) take_defaults(o);
    LM_TRY(lm_act_parse(&o->act, o->act_name, "non_linearity", err));
    if (o->reduction > (double)a->model->config.hidden_size)
        return lm_fail(err, LM_E_USAGE, "reduction factor %g: the model's width is %lld", o->reduction, (long long)a->model->config.hidden_size);
    for (int i = 0; i < o->leave_out.n; i++) {
        char *end;
        long long layer = strtoll(o->leave_out.items[i], &end, 10);
        if (*end || layer < 0 || layer >= layers)
            return lm_fail(err, LM_E_USAGE, "leave out: expected layers from 0 to %lld, found \"%s\"", (long long)layers - 1, o->leave_out.items[i]);
    }
    o->first = lm_adapter_keep(a, lm_malloc((size_t)(2 * layers) * sizeof *o->first));
    for (int64_t i = 0; i < layers; i++) {
        o->first[2 * i] = o->first[2 * i + 1] = -1;
        if (is_left_out(o, i)) continue;
        if (o->on_attention) declare(a, i, LM_SUBLAYER_ATTENTION);
        if (o->on_feed_forward) declare(a, i, LM_SUBLAYER_FEED_FORWARD);
    }
    return a->params.n ? LM_OK : lm_fail(err, LM_E_USAGE, "every layer is left out: nothing would train");
}

/* ---- forward ---- */

static lm_tensor *branch(const lm_forward *f, lm_adapter *a, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y)
{
    (void)h;
    const bottleneck_options *o = a->options;
    int64_t first = o->first[2 * layer + which];
    if (first < 0) return y;
    lm_param *const *own = a->params.items + first;
    lm_tensor *z = o->form == PARALLEL ? x : o->form == HOULSBY ? y : lm_add(f->t, x, y);
    lm_tensor *d = lm_linear_with(f->t, z, &own[DOWN]->t, &own[DOWN_BIAS]->t, &(lm_linear_options){ .act = o->act });
    lm_tensor *u = lm_linear(f->t, d, &own[UP]->t, &own[UP_BIAS]->t);
    if (o->scaling != 1) u = lm_scale(f->t, u, (float)o->scaling);
    u = lm_dropout(f->t, u, (float)o->dropout);
    return o->form == HOULSBY ? lm_add(f->t, y, u) : lm_add_(f->t, y, u);
}

/* ---- files of `adapters` ---- */

static bool recognise(const lm_json *config)
{
    const lm_json *own = lm_json_get(config, "config");
    return json_is_object(own) && lm_json_get(own, "reduction_factor");
}

/* Keys that change what is computed, and what they have to be here. */
static lm_status refuse_unsupported(const lm_json *own, lm_err *err)
{
    static const char *const off[] = { "ln_before", "ln_after", "use_gating", "phm_layer", "inv_adapter", "adapter_residual_before_ln", NULL };
    for (const char *const *key = off; *key; key++) {
        const lm_json *value = lm_json_get(own, *key);
        if (value && !json_is_false(value)) return lm_fail(err, LM_E_UNSUPPORTED, "config: %s is set, which this build's bottleneck does not implement", *key);
    }
    bool after = true, before = false;
    double depth = 0;
    const lm_json *residual = lm_json_get(own, "residual_before_ln");
    LM_TRY(lm_json_opt_bool(own, "original_ln_after", "config", &after, err));
    LM_TRY(lm_json_opt_bool(own, "original_ln_before", "config", &before, err));
    LM_TRY(lm_json_opt_real(own, "stochastic_depth", "config", &depth, err));
    if (!after || depth > 0 || (before && residual && !json_is_true(residual)))
        return lm_fail(err, LM_E_UNSUPPORTED, "config: original_ln_after, residual_before_ln and stochastic_depth: only the library's defaults are implemented");
    return LM_OK;
}

static lm_status read_number(const lm_json *own, const char *key, double *out, lm_err *err)
{
    const lm_json *value = lm_json_get(own, key);
    if (value && !json_is_number(value)) return lm_fail(err, LM_E_UNSUPPORTED, "config: %s: only one number for all is implemented", key);
    return lm_json_opt_real(own, key, "config", out, err);
}

static lm_status read_left_out(lm_adapter *a, const lm_json *own, lm_err *err)
{
    bottleneck_options *o = a->options;
    const lm_json *list = lm_json_get(own, "leave_out");
    size_t n = json_array_size(list);
    o->leave_out = (lm_strings){ lm_adapter_keep(a, lm_calloc(n + 1, sizeof(char *))), 0 };
    for (size_t i = 0; i < n; i++) {
        const lm_json *layer = json_array_get(list, i);
        lm_str text = { 0 };
        if (!json_is_integer(layer)) return lm_fail(err, LM_E_FORMAT, "config: leave_out: expected layers' numbers");
        lm_str_printf(&text, "%lld", (long long)json_integer_value(layer));
        o->leave_out.items[o->leave_out.n++] = lm_adapter_keep(a, lm_str_take(&text));
    }
    return LM_OK;
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    bottleneck_options *o = a->options;
    const lm_json *own = lm_json_get(config, "config");
    bool parallel = false, before = false;
    *o = (bottleneck_options){ .scaling = 1 };
    if (!json_is_object(own)) return lm_fail(err, LM_E_FORMAT, "config: expected an object");
    LM_TRY(refuse_unsupported(own, err));
    LM_TRY(lm_json_opt_bool(own, "mh_adapter", "config", &o->on_attention, err));
    LM_TRY(lm_json_opt_bool(own, "output_adapter", "config", &o->on_feed_forward, err));
    LM_TRY(lm_json_opt_bool(own, "is_parallel", "config", &parallel, err));
    LM_TRY(lm_json_opt_bool(own, "original_ln_before", "config", &before, err));
    LM_TRY(lm_json_need_str(own, "non_linearity", "config", &o->act_name, err));
    LM_TRY(lm_json_need_str(config, "name", NULL, &o->name, err));
    if (strlen(o->name) > 200) return lm_fail(err, LM_E_FORMAT, "name: longer than 200 bytes");
    LM_TRY(read_number(own, "reduction_factor", &o->reduction, err));
    LM_TRY(read_number(own, "scaling", &o->scaling, err));
    LM_TRY(read_number(own, "dropout", &o->dropout, err));
    if (!(o->reduction > 0 && o->dropout >= 0 && o->dropout < 1))
        return lm_fail(err, LM_E_FORMAT, "config: reduction_factor %g and dropout %g: expected above 0, and 0 to 1", o->reduction, o->dropout);
    o->form = parallel ? PARALLEL : before ? PFEIFFER : HOULSBY;
    return read_left_out(a, own, err);
}

static lm_json *own_config(const lm_adapter *a)
{
    const bottleneck_options *o = a->options;
    json_t *left_out = json_array();
    for (int i = 0; i < o->leave_out.n; i++) json_array_append_new(left_out, json_integer(strtoll(o->leave_out.items[i], NULL, 10)));
    return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:f, s:f, s:f, s:s, s:s, s:n, s:b, s:o}",
                     "mh_adapter", o->on_attention, "output_adapter", o->on_feed_forward, "is_parallel", o->form == PARALLEL,
                     "original_ln_before", o->form == PFEIFFER, "original_ln_after", 1, "ln_before", 0, "ln_after", 0,
                     "residual_before_ln", 1, "adapter_residual_before_ln", 0, "use_gating", 0,
                     "reduction_factor", o->reduction, "scaling", o->scaling, "dropout", o->dropout, "non_linearity", o->act_name,
                     "init_weights", starts[start_of(o)], "inv_adapter", "phm_layer", 0, "leave_out", left_out);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const lm_json *architecture = json_array_get(lm_json_get(a->model->config_json, "architectures"), 0);
    json_object_set_new(config, "config", own_config(a));
    json_object_set_new(config, "hidden_size", json_integer(a->model->config.hidden_size));
    json_object_set_new(config, "model_class", json_string(architecture ? json_string_value(architecture) : a->model->family->architecture));
    json_object_set_new(config, "model_name", a->model->path ? json_string(a->model->path) : json_string(""));
    json_object_set_new(config, "model_type", json_string(a->model->config.model_type));
    json_object_set_new(config, "name", json_string(((const bottleneck_options *)a->options)->name));
    json_object_set_new(config, "version", json_string("adapters.1.3.0"));      /* whose format it is */
}

const lm_adapter_type lm_adapter_type_bottleneck = {
    .name = "bottleneck", .peft_type = "BOTTLENECK", .source = "Houlsby et al. 2019; Pfeiffer et al. 2020; He et al. 2022",
    .file = "adapter.safetensors", .recognise = recognise,
    .options = options, .options_size = sizeof(bottleneck_options),
    .attach = attach, .branch = branch, .read_config = read_config, .write_config = write_config,
};
