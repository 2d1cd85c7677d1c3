#include "nn/quantised.h"

#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "io/bitsandbytes.h"
#include "io/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

lm_linear_site *lm_quantised_site(const lm_model *m, const lm_param *p)
{
    if (!m->quant || &p->t == m->head) return NULL;
    for (int64_t i = 0; i < m->n_sites; i++)
        if (m->sites[i]->w == &p->t) return lm_bnb_skips(m->config_json, m->sites[i]->name) ? NULL : m->sites[i];
    return NULL;
}

static lm_param *param_of(const lm_linear_site *site) { return (lm_param *)site->w; }     /* t is its first member */
_Static_assert(offsetof(lm_param, t) == 0, "a site's weight is the head of its parameter");

/* A site's weight is [out, in] from here on. */
static lm_status quantise(lm_model *m, lm_linear_site *site, void (*read)(float *, int64_t, int64_t, const void *), const void *context, lm_err *err)
{
    lm_param *p = param_of(site);
    lm_quant_source from = { .rows = site->out, .cols = site->in, .read = read, .context = context };
    LM_TRY(lm_quantise(&p->t, &p->quant, m->quant, &from, true, &m->params.arena, err));
    site->transposed = false;
    return LM_OK;
}

/* ---- from a file of floats ---- */

typedef struct stored {
    const lm_stored *s;
    int64_t rows, cols;
    bool transposed;
} stored;

static float number_at(const stored *f, int64_t i)
{
    float x;
    lm_convert(&x, LM_F32, (const uint8_t *)f->s->data + (size_t)i * lm_dtype_size((lm_dtype)f->s->dtype), (lm_dtype)f->s->dtype, 1);
    return x;
}

static void read_stored(float *out, int64_t begin, int64_t n, const void *context)
{
    const stored *f = context;
    lm_dtype type = (lm_dtype)f->s->dtype;
    if (!f->transposed) {
        lm_convert(out, LM_F32, (const uint8_t *)f->s->data + (size_t)begin * lm_dtype_size(type), type, n);
        return;
    }
    for (int64_t i = begin; i < begin + n; i++) out[i - begin] = number_at(f, i % f->cols * f->rows + i / f->cols);
}

static lm_status mixed(const lm_model *m, const lm_stored *s, lm_err *err)
{
    return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: dtype %s, but config.json has %s quantization_config", s->path, s->name, s->type,
                   m->quant_stored ? "a" : "no");
}

lm_status lm_quantised_bind(lm_model *m, lm_linear_site *site, const lm_stored *s, lm_err *err)
{
    lm_param *p = param_of(site);
    bool is_float = s->dtype == LM_F32 || s->dtype == LM_BF16 || s->dtype == LM_F16;
    if (is_float == m->quant_stored) return mixed(m, s, err);
    if (m->quant_stored) {
        LM_TRY(lm_bnb_read(&p->t, &p->quant, &m->weights, s, m->quant, site->out, site->in, &m->params.arena, err));
        site->transposed = false;
        return LM_OK;
    }
    LM_TRY(lm_stored_need_shape(s, p->t.ndim, p->t.dim, err));
    stored from = { .s = s, .rows = site->out, .cols = site->in, .transposed = site->transposed };
    LM_TRY(quantise(m, site, read_stored, &from, err));
    lm_mapping_unload(s->data, s->bytes);
    return LM_OK;
}

/* ---- from nothing ---- */

typedef struct fresh {
    const lm_param *p;
    uint64_t seed;
} fresh;

static void read_fresh(float *out, int64_t begin, int64_t n, const void *context)
{
    const fresh *f = context;
    lm_param_initial(out, f->p, f->seed, begin, n);
}

lm_status lm_quantised_initialise(lm_model *m, lm_linear_site *site, uint64_t seed, lm_err *err)
{
    const lm_param before = *param_of(site);
    fresh from = { .p = &before, .seed = seed };
    return quantise(m, site, read_fresh, &from, err);
}

/* ---- after a merge ---- */

static void read_floats(float *out, int64_t begin, int64_t n, const void *context)
{
    memcpy(out, (const float *)context + begin, (size_t)n * sizeof *out);
}

static double change(const float *before, const lm_tensor *t)
{
    double most = 0, size = 0;
    int64_t n = lm_numel(t);
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)before[i] - lm_quant_at(t->quant, t->data, i)));
        size = fmax(size, fabs((double)before[i]));
    }
    return size > 0 ? most / size : 0;
}

lm_status lm_quantised_again(lm_model *m, double *cost, int64_t *n, lm_err *err)
{
    *cost = 0;
    *n = 0;
    for (int64_t i = 0; i < m->n_sites; i++) {
        lm_linear_site *site = m->sites[i];
        if (site->w->quant || !lm_quantised_site(m, param_of(site))) continue;
        const float *merged = site->w->data;
        LM_TRY(quantise(m, site, read_floats, merged, err));
        *cost = fmax(*cost, change(merged, site->w));
        (*n)++;
    }
    return LM_OK;
}
