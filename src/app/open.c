#include "app/open.h"

#include "base/file.h"
#include "infer/session.h"

#include <stdlib.h>
#include <string.h>

const char *const lm_dtype_choices[] = { "auto", "f32", "bf16", NULL };

lm_status lm_open(lm_opened *o, const lm_call *call, const char *model, const lm_strings *adapters, lm_dtype_choice dtype, lm_err *err)
{
    LM_TRY(lm_call_kernels(call, &o->kernels, err));
    LM_TRY(lm_model_load_in(&o->model, model, o->load_in, &o->kernels, err));
    if (adapters) LM_TRY(lm_adapters_open(&o->adapters, o->model, adapters, o->foreign, err));
    lm_dtype automatic = lm_compute_auto(o->model, &o->kernels);
    o->compute = dtype == LM_DTYPE_AUTO ? automatic : dtype == LM_DTYPE_F32 ? LM_F32 : LM_BF16;
    return LM_OK;
}

lm_status lm_open_tokenizer(lm_opened *o, lm_err *err)
{
    LM_TRY(lm_tokenizer_load(&o->tokenizer, o->model->path, err));
    int64_t ids = lm_tokenizer_vocab_size(o->tokenizer), rows = o->model->config.vocab_size;
    if (ids <= rows) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: the tokenizer has %lld ids, the model's vocabulary %lld", o->model->path,
                   (long long)ids, (long long)rows);
}

void lm_close(lm_opened *o)
{
    lm_adapters_close(&o->adapters);
    lm_model_free(o->model);
    lm_tokenizer_free(o->tokenizer);
    *o = (lm_opened){ 0 };
}
