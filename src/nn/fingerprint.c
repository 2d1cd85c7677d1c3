#include "nn/fingerprint.h"

#include "base/file.h"
#include "base/str.h"
#include "token/tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 4, RUN = 16 };

/* A weight that was quantised as it was read counts as what it was read from. */
static lm_tensor before_quantising(const lm_model *m, const lm_tensor *t)
{
    const lm_stored *s = t->quant && !m->quant_stored ? lm_model_stored(m, t->name) : NULL;
    if (!s) return *t;
    lm_tensor stored = lm_tensor_of((void *)(uintptr_t)s->data, (lm_dtype)s->dtype, s->ndim, s->dim);
    stored.name = t->name;
    return stored;
}

static uint64_t hash_run(const lm_kernels *k, const lm_tensor *t, int64_t begin, int64_t n, uint64_t hash)
{
    uint16_t run[RUN];
    float wide[RUN];
    if (t->quant) k->dequantise(wide, t->quant, t->data, begin, n);
    else k->convert(wide, LM_F32, (const uint8_t *)t->data + (size_t)begin * lm_dtype_size(t->dtype), t->dtype, n);
    for (int64_t i = 0; i < n; i++) run[i] = lm_f32_to_bf16(wide[i]);
    return lm_hash(run, (size_t)n * sizeof *run, hash);
}

static uint64_t hash_tensor(const lm_model *m, const lm_tensor *t, uint64_t hash)
{
    lm_tensor base = before_quantising(m, t);
    int64_t n = lm_numel(&base), step = n / RUNS < RUN ? RUN : n / RUNS;
    hash = lm_hash(base.name, strlen(base.name), hash);
    hash = lm_hash(base.dim, sizeof *base.dim * base.ndim, hash);
    for (int64_t at = 0; at < n && m->params.k->computes; at += step) hash = hash_run(m->params.k, &base, at, n - at < RUN ? n - at : RUN, hash);
    if (base.data != t->data) lm_mapping_unload(base.data, lm_nbytes(&base));
    return hash;
}

static lm_status put_template(lm_str *out, const lm_model *m, lm_err *err)
{
    char *source = NULL;
    if (m->path) LM_TRY(lm_tokenizer_folder_template(&source, m->path, err));
    if (source) lm_str_printf(out, ", chat template %016" PRIx64, lm_hash(source, strlen(source), 0));
    else lm_str_puts(out, ", no chat template");
    free(source);
    return LM_OK;
}

/* A head that classifies is left out: an adapter brings its own. */
lm_status lm_fingerprint(const char **out, lm_model *m, lm_err *err)
{
    if (!m->fingerprint) {
        uint64_t hash = 0;
        lm_str text = { 0 };
        for (int64_t i = 0; i < m->params.n; i++) {
            const lm_tensor *t = &m->params.items[i]->t;
            if (t->data && t != m->score && t != m->score_bias) hash = hash_tensor(m, t, hash);
        }
        lm_str_printf(&text, "weights %016" PRIx64 ", %" PRId64 " ids", hash, m->config.vocab_size);
        lm_status status = put_template(&text, m, err);
        if (status != LM_OK) {
            lm_str_free(&text);
            return status;
        }
        m->fingerprint = lm_str_take(&text);
    }
    *out = m->fingerprint;
    return LM_OK;
}

void lm_fingerprint_forget(lm_model *m)
{
    free(m->fingerprint);
    m->fingerprint = NULL;
}
