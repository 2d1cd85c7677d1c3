#include "nn/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double two_pi = 6.283185307179586;

static const char *const names[] = { "default", "linear", "dynamic", "yarn", "llama3", NULL };

static lm_status read_type(lm_rope_config *r, const lm_json *o, const char *where, lm_err *err)
{
    const char *type = NULL;
    LM_TRY(lm_json_opt_str(o, "rope_type", where, &type, err));
    if (!type) LM_TRY(lm_json_opt_str(o, "type", where, &type, err));
    for (int i = 0; type && names[i]; i++)
        if (!strcmp(type, names[i])) {
            r->type = (lm_rope_type)i;
            return LM_OK;
        }
    return type ? lm_fail(err, LM_E_UNSUPPORTED, "%s: rope_type: found \"%s\", supported are default, linear, "
                          "dynamic, yarn and llama3", where, type) : LM_OK;
}

static lm_status read_numbers(lm_rope_config *r, const lm_json *o, const char *where, lm_err *err)
{
    LM_TRY(read_type(r, o, where, err));
    LM_TRY(lm_json_opt_real(o, "rope_theta", where, &r->theta, err));
    LM_TRY(lm_json_opt_real(o, "factor", where, &r->factor, err));
    LM_TRY(lm_json_opt_real(o, "low_freq_factor", where, &r->low_freq_factor, err));
    LM_TRY(lm_json_opt_real(o, "high_freq_factor", where, &r->high_freq_factor, err));
    LM_TRY(lm_json_opt_real(o, "beta_fast", where, &r->beta_fast, err));
    LM_TRY(lm_json_opt_real(o, "beta_slow", where, &r->beta_slow, err));
    LM_TRY(lm_json_opt_real(o, "attention_factor", where, &r->attention_factor, err));
    LM_TRY(lm_json_opt_real(o, "mscale", where, &r->mscale, err));
    LM_TRY(lm_json_opt_real(o, "mscale_all_dim", where, &r->mscale_all_dim, err));
    LM_TRY(lm_json_opt_bool(o, "truncate", where, &r->truncate, err));
    return lm_json_opt_int(o, "original_max_position_embeddings", where, &r->original, err);
}

static lm_status check(const lm_rope_config *r, lm_err *err)
{
    bool ok = r->theta > 1 && r->factor > 0 && r->dim >= 2 && r->dim % 2 == 0 && r->original > 0 && r->beta_fast > 0 &&
              r->beta_slow > 0 && r->attention_factor >= 0 && (r->type != LM_ROPE_DYNAMIC || r->dim > 2);
    if (r->type == LM_ROPE_LLAMA3) ok = ok && r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor;
    if (ok) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "rope parameters out of range: theta %g, factor %g, %lld channels, original context %lld",
                   r->theta, r->factor, (long long)r->dim, (long long)r->original);
}

lm_status lm_rope_read(lm_rope_config *r, lm_model *m, const lm_json *config, lm_err *err)
{
    double share = 1;
    *r = (lm_rope_config){ .theta = 10000, .factor = 1, .low_freq_factor = 1, .high_freq_factor = 4, .beta_fast = 32,
                           .beta_slow = 1, .truncate = true, .original = m->config.max_positions };
    LM_TRY(lm_json_opt_real(config, "rope_theta", NULL, &r->theta, err));
    LM_TRY(lm_json_opt_real(config, "partial_rotary_factor", NULL, &share, err));
    const char *const keys[] = { "rope_scaling", "rope_parameters" };
    for (int i = 0; i < 2; i++) {
        const lm_json *o = lm_json_get(config, keys[i]);
        if (o && !json_is_object(o)) return lm_fail(err, LM_E_FORMAT, "%s: expected an object", keys[i]);
        if (o) LM_TRY(read_numbers(r, o, keys[i], err));
        if (o) LM_TRY(lm_json_opt_real(o, "partial_rotary_factor", keys[i], &share, err));
    }
    if (!(share > 0 && share <= 1)) return lm_fail(err, LM_E_FORMAT, "partial_rotary_factor: expected 0 to 1, found %g", share);
    r->dim = (int64_t)((double)m->config.head_dim * share);
    if (r->type == LM_ROPE_DYNAMIC) {
        r->original = m->config.max_positions;     /* transformers scales from this one */
        if (r->factor > 1 && (double)m->config.max_positions * r->factor < INT32_MAX)
            m->config.max_positions = (int64_t)((double)m->config.max_positions * r->factor);
    }
    return check(r, err);
}

/* ---- frequencies; in float where the reference works in float ---- */

/* The dimension that turns `turns` times over the original context (Peng et al. 2023, equation 17). */
static double dimension_of(const lm_rope_config *r, double turns)
{
    return (double)r->dim * log((double)r->original / (turns * two_pi)) / (2 * log(r->theta));
}

static float yarn(const lm_rope_config *r, float *inv_freq)
{
    double low = dimension_of(r, r->beta_fast), high = dimension_of(r, r->beta_slow);
    if (r->truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, (double)r->dim - 1);
    if (low == high) high += 0.001;
    for (int64_t j = 0; j < r->dim / 2; j++) {
        float ramp = fminf(fmaxf(((float)j - (float)low) / (float)(high - low), 0), 1);
        inv_freq[j] = inv_freq[j] / (float)r->factor * ramp + inv_freq[j] * (1 - ramp);
    }
    if (r->attention_factor > 0) return (float)r->attention_factor;
    if (r->factor <= 1) return 1;
    if (r->mscale > 0 && r->mscale_all_dim > 0)
        return (float)((0.1 * r->mscale * log(r->factor) + 1) / (0.1 * r->mscale_all_dim * log(r->factor) + 1));
    return (float)(0.1 * log(r->factor) + 1);
}

static void llama3(const lm_rope_config *r, float *inv_freq)
{
    double longest = (double)r->original / r->low_freq_factor, shortest = (double)r->original / r->high_freq_factor;
    for (int64_t j = 0; j < r->dim / 2; j++) {
        double wavelength = two_pi / (double)inv_freq[j];
        if (wavelength < shortest) continue;
        float slow = inv_freq[j] / (float)r->factor;
        double smooth = ((double)r->original / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        inv_freq[j] = wavelength > longest ? slow : (float)((1 - smooth) * (double)slow + smooth * (double)inv_freq[j]);
    }
}

float lm_rope_frequencies(const lm_rope_config *r, int64_t length, float *inv_freq)
{
    double theta = r->theta;
    if (r->type == LM_ROPE_DYNAMIC && length > r->original)
        theta *= pow(r->factor * (double)length / (double)r->original - (r->factor - 1),
                     (double)r->dim / (double)(r->dim - 2));
    for (int64_t j = 0; j < r->dim / 2; j++) {
        inv_freq[j] = 1.0f / powf((float)theta, (float)(2 * j) / (float)r->dim);
        if (r->type == LM_ROPE_LINEAR) inv_freq[j] /= (float)r->factor;
    }
    if (r->type == LM_ROPE_YARN) return yarn(r, inv_freq);
    if (r->type == LM_ROPE_LLAMA3) llama3(r, inv_freq);
    return 1;
}

lm_tensor *lm_rope_angles(const lm_forward *f, const lm_rope_config *r)
{
    const lm_batch *b = f->batch;
    int64_t half = r->dim / 2, rows = b->n_tokens;
    lm_tensor *table = lm_tensor_new(f->t, LM_F32, 3, (int64_t[]){ 2, rows, half });
    float *inv_freq = lm_tape_meta(f->t, (size_t)half * sizeof *inv_freq);
    if (f->t->err.code) return &f->t->dead;
    float *cos = table->data, *sin = cos + rows * half;
    lm_k_rope_table a = { .inv_freq = inv_freq, .half = half };
    if (r->type != LM_ROPE_DYNAMIC) {
        a.scale = lm_rope_frequencies(r, 0, inv_freq);
        a.cos = cos, a.sin = sin, a.positions = b->positions, a.rows = rows;
        f->t->k->rope_table(&a);
        return table;
    }
    for (int64_t i = 0; i < b->n_segments; i++) {  /* each by its own length */
        const lm_segment *s = &b->segments[i];
        a.scale = lm_rope_frequencies(r, s->nk, inv_freq);
        a.cos = cos + s->q0 * half, a.sin = sin + s->q0 * half, a.positions = b->positions + s->q0, a.rows = s->nq;
        f->t->k->rope_table(&a);
    }
    return table;
}
