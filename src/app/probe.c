#include "app/probe.h"

#include "base/file.h"
#include "base/rng.h"
#include "nn/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 128 };

static const char passage[] =
    "The old mill had stood still since spring, and nobody in the village could say who owned it now. "
    "\xEB\xB4\x84\xEB\xB6\x80\xED\x84\xB0 \xEB\xA9\x88\xEC\xB6\xB0 \xEC\x84\xA0 \xEB\xAC\xBC\xEB\xA0\x88\xEB\xB0\xA9\xEC\x95\x84 \xEA\xB3\x81\xEC\x97\x90\xEC\x84\x9C "
    "\xEC\x95\x84\xEC\x9D\xB4\xEB\x93\xA4\xEC\x9D\xB4 \xEC\xA2\x85\xEC\x9D\xB4\xEB\xB0\xB0\xEB\xA5\xBC \xEB\x9D\x84\xEC\x9B\xA0\xEB\x8B\xA4. "
    "On 3 May the river rose by 40 centimetres; two boats came loose, and one of them was never found.";

static void take_ids(lm_probe *p, const int32_t *ids, size_t n, const lm_opened *m)
{
    int64_t most = lm_model_context(m->model, 0) < MOST ? lm_model_context(m->model, 0) : MOST;
    p->n = (int64_t)n < most ? (int64_t)n : most;
    p->ids = lm_malloc((size_t)p->n * sizeof *p->ids);
    memcpy(p->ids, ids, (size_t)p->n * sizeof *p->ids);
}

static lm_status encode(lm_probe *p, const lm_opened *m, const char *text, size_t length, const char *name, lm_err *err)
{
    lm_ids ids = { 0 };
    lm_status status = lm_encode(m->tokenizer, &ids, text, length, LM_ENCODE_BOS, err);
    if (status == LM_OK && !ids.len) status = lm_fail(err, LM_E_USAGE, "%s: no token in it", name);
    if (status == LM_OK) take_ids(p, ids.data, ids.len, m);
    if (status == LM_OK) lm_str_printf(&p->what, "%lld tokens of %s", (long long)p->n, name);
    lm_ids_free(&ids);
    return status;
}

static void choose_random(lm_probe *p, const lm_opened *m)
{
    int32_t ids[MOST];
    lm_rng rng = { .seed = 1 };
    for (int i = 0; i < MOST; i++) ids[i] = (int32_t)lm_rng_below(&rng, (uint64_t)m->model->config.vocab_size);
    take_ids(p, ids, MOST, m);
    lm_str_printf(&p->what, "%lld random tokens", (long long)p->n);
}

lm_status lm_probe_make(lm_probe *p, lm_opened *m, const char *file, lm_err *err)
{
    *p = (lm_probe){ 0 };
    if (!file && lm_open_tokenizer(m, NULL) != LM_OK) {
        choose_random(p, m);
        return LM_OK;
    }
    if (!file) return encode(p, m, passage, sizeof passage - 1, "text", err);
    lm_str text = { 0 };
    lm_status status = lm_open_tokenizer(m, err);
    if (status == LM_OK) status = lm_file_read(&text, file, (size_t)1 << 30, err);
    if (status == LM_OK) status = encode(p, m, text.data ? text.data : "", text.len < 64 * MOST ? text.len : 64 * MOST, file, err);
    lm_str_free(&text);
    return status;
}

void lm_probe_free(lm_probe *p)
{
    free(p->ids);
    lm_str_free(&p->what);
    *p = (lm_probe){ 0 };
}

lm_status lm_probe_run(float **out, int64_t *columns, const lm_probe *p, lm_opened *m, lm_err *err)
{
    int32_t positions[MOST];
    for (int i = 0; i < p->n; i++) positions[i] = i;
    const lm_segment segment = { .nq = p->n, .nk = p->n };
    const lm_batch batch = { .n_tokens = p->n, .n_segments = 1, .ids = p->ids, .positions = positions, .segments = &segment };
    lm_tape t;
    LM_TRY(lm_tape_init(&t, &m->kernels, &(lm_tape_options){ .compute = LM_F32 }, err));
    lm_forward f = { .t = &t, .m = m->model, .batch = &batch };
    lm_tensor *hidden = lm_model_forward(&f);
    const lm_tensor *y = m->model->score ? lm_model_scores(&f, hidden) : lm_model_logits(&f, hidden, NULL);
    lm_status status = t.err.code ? lm_fail(err, t.err.code, "%s", t.err.message) : LM_OK;
    if (status == LM_OK) {
        *columns = lm_cols(y);
        *out = lm_malloc(lm_nbytes(y));
        memcpy(*out, y->data, lm_nbytes(y));
    }
    lm_tape_free(&t);
    return status;
}

double lm_probe_difference(const float *a, const float *b, int64_t n, double *size)
{
    double most = 0;
    *size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) most = d;                         /* also when d is NaN */
        *size = fmax(*size, fabs((double)a[i]));
    }
    return most;
}
