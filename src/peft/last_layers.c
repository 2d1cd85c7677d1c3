/* The last N layers (as in Howard & Ruder 2018, section 3.3, and as a baseline in most papers on
 * parameter-efficient tuning): the top of the model trains, everything below stays.
 *
 * The adapter is trained copies of the parameters of those layers, under their own names; it merges by
 * putting them in place.  PEFT has no such method: the folder is read by malmoi only. */
#include "peft/select.h"

typedef struct last_layers_options {
    int64_t n;
    lm_strings modules_to_save;
} last_layers_options;

static const lm_option options[] = {
    LM_OPTION(INT, last_layers_options, n, "last-layers", .fallback = "1", .min = 1, .max = 512, .help = "layers that train, from the top"),
    LM_OPTION(LIST, last_layers_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole as well (lm_head, norm)"),
    { 0 },
};

static bool is_on_top(const lm_param *p, const void *first) { return lm_peft_layer_of(p->t.name) >= *(const int64_t *)first; }

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const last_layers_options *o = a->options;
    int64_t layers = a->model->config.n_layers, first = layers - o->n;
    if (o->n < 1 || first < 0) return lm_fail(err, LM_E_USAGE, "the last %lld layers: the model has %lld", (long long)o->n, (long long)layers);
    lm_adapter_copy_params(a, is_on_top, &first);
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    last_layers_options *o = a->options;
    LM_TRY(lm_json_need_int(config, "last_layers", NULL, &o->n, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const last_layers_options *o = a->options;
    json_object_set_new(config, "last_layers", json_integer(o->n));
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_last_layers = {
    .name = "last_layers", .peft_type = "LAST_LAYERS", .source = "Howard & Ruder 2018, section 3.3",
    .options = options, .options_size = sizeof(last_layers_options),
    .attach = attach, .read_config = read_config, .write_config = write_config,
};
