/* BitFit (Ben Zaken et al. 2022, "BitFit: Simple parameter-efficient fine-tuning for transformer-based
 * masked language-models", section 3): the biases train, everything else stays.
 *
 * The adapter is trained copies of the base's biases under their own names; it merges by putting them in
 * place.  PEFT has no such method: the folder is read by malmoi only. */
#include "nn/adapter.h"

#include <string.h>

typedef struct bitfit_options {
    lm_strings modules_to_save;
} bitfit_options;

static const lm_option options[] = {
    LM_OPTION(LIST, bitfit_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole as well (lm_head)"),
    { 0 },
};

static bool is_bias(const lm_param *p, const void *context)
{
    (void)context;
    size_t n = strlen(p->t.name);
    return n > 5 && !strcmp(p->t.name + n - 5, ".bias");
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const bitfit_options *o = a->options;
    if (!lm_adapter_copy_params(a, is_bias, NULL))
        return lm_fail(err, LM_E_USAGE, "bitfit trains biases, and this %s model has none: take ia3 or lora", a->model->config.model_type);
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    bitfit_options *o = a->options;
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const bitfit_options *o = a->options;
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_bitfit = {
    .name = "bitfit", .peft_type = "BITFIT", .source = "Ben Zaken et al. 2022, section 3",
    .options = options, .options_size = sizeof(bitfit_options),
    .attach = attach, .read_config = read_config, .write_config = write_config,
};
