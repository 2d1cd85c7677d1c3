#include "app/sampling.h"

#include "infer/generation.h"

lm_status lm_call_sampling(lm_call *call, lm_err *err)
{
    lm_sampling *sampling = lm_call_add(call, "Sampling", lm_sampling_options, sizeof *sampling);
    call->own = sampling;
    const char *model = lm_call_peek(call, "model");
    if (!model && call->argc > 0 && call->argv[0][0] != '-') model = call->argv[0];
    if (!model) return LM_OK;
    lm_generation g;
    LM_TRY(lm_generation_read(&g, model, err));
    const lm_option_set set[] = { { .options = lm_sampling_options, .values = sampling }, { 0 } };
    lm_status status = lm_options_json(set, g.sampling, "generation_config.json", err);
    lm_generation_free(&g);
    return status;
}
