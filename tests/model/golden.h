/* A golden case at work: the two sequences of expect.safetensors laid end to end through a model. */
#ifndef LM_TESTS_MODEL_GOLDEN_H
#define LM_TESTS_MODEL_GOLDEN_H

#include "backend/backend.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "nn/adapter.h"

#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_MAX = 64 };

typedef struct golden {
    lm_safetensors expect;
    lm_kernels k;
    lm_model *m;
    lm_tape t;
    lm_err err;
    int32_t ids[GOLDEN_MAX], positions[GOLDEN_MAX], targets[GOLDEN_MAX];
    lm_segment segments[2];
    lm_batch batch;
    lm_forward f;
} golden;

static inline const lm_stored *golden_find(const golden *g, const char *name)
{
    const lm_stored *s = lm_safetensors_find(&g->expect, name);
    if (!s) fail_msg("expect: %s is missing", name);
    return s;
}

static inline void golden_open(golden *g, const char *model, const char *expect, const char *backend)
{
    memset(g, 0, sizeof *g);
    if (lm_backend(&g->k, backend, &g->err) != LM_OK || lm_model_load(&g->m, model, &g->k, &g->err) != LM_OK ||
        lm_safetensors_open(&g->expect, expect, &g->err) != LM_OK ||
        lm_tape_init(&g->t, &g->k, &(lm_tape_options){ .compute = LM_F32, .bytes = (size_t)1 << 30 }, &g->err) != LM_OK)
        fail_msg("%s", g->err.message);
    int64_t at = 0;
    for (int s = 0; s < 2; s++) {
        const lm_stored *ids = golden_find(g, s ? "ids.1" : "ids.0");
        assert_true(at + ids->numel <= GOLDEN_MAX);
        assert_int_equal(lm_stored_copy(ids, g->ids + at, LM_I32, &g->err), LM_OK);
        for (int64_t i = 0; i < ids->numel; i++) {
            g->positions[at + i] = (int32_t)i;
            g->targets[at + i] = i + 1 < ids->numel ? g->ids[at + i + 1] : -1;
        }
        g->segments[s] = (lm_segment){ at, ids->numel, at, ids->numel };
        at += ids->numel;
    }
    g->batch = (lm_batch){ .n_tokens = at, .n_segments = 2, .ids = g->ids, .positions = g->positions, .segments = g->segments };
    g->f = (lm_forward){ .t = &g->t, .m = g->m, .batch = &g->batch };
}

static inline void golden_close(golden *g)
{
    lm_tape_free(&g->t);
    lm_model_free(g->m);
    lm_safetensors_close(&g->expect);
}

/* Largest |a - b| over the expected tensor, and the largest |expected|. */
static inline double golden_difference(const golden *g, const char *name, const float *found, double *scale)
{
    const lm_stored *s = golden_find(g, name);
    float *want = malloc((size_t)s->numel * sizeof *want);
    assert_int_equal(lm_stored_copy(s, want, LM_F32, NULL), LM_OK);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < s->numel; i++) {
        double d = fabs((double)want[i] - (double)found[i]);
        worst = d > worst || isnan(d) ? d : worst;
        largest = fmax(largest, fabs((double)want[i]));
    }
    free(want);
    if (scale) *scale = largest;
    return worst;
}

/* The bound: logits within 1e-4 of transformers' in f32. */
static inline void golden_check_logits(golden *g, const char *where)
{
    g->t.recording = false;
    lm_tensor *logits = lm_model_logits(&g->f, lm_model_forward(&g->f), NULL);
    if (g->t.err.code) fail_msg("%s: %s", where, g->t.err.message);
    for (int s = 0; s < 2; s++) {
        const float *rows = (const float *)logits->data + g->segments[s].q0 * g->m->config.vocab_size;
        double d = golden_difference(g, s ? "logits.1" : "logits.0", rows, NULL);
        if (!(d < 1e-4)) fail_msg("%s: logits.%d differ by %g", where, s, d);
    }
    lm_tape_reset(&g->t);
}

/* Forward and backward of the mean loss over both sequences; returns the loss. */
static inline float golden_gradients(golden *g)
{
    g->t.recording = true;
    lm_tensor *h = lm_model_forward(&g->f);
    lm_tensor *loss = lm_model_loss(&g->f, h, g->targets, &(lm_cross_entropy_options){ .chunk = 5 });
    float value = lm_scalar(&g->t, loss);
    if (lm_backward(&g->t, loss) != LM_OK) fail_msg("%s", g->t.err.message);
    lm_tape_reset(&g->t);
    return value;
}

/* Every parameter of ps has the expected gradient, within 1e-3 of the tensor's largest entry. */
static inline void golden_check_gradients(golden *g, const lm_params *ps, const char *prefix, const char *where)
{
    for (int64_t i = 0; i < ps->n; i++) {
        const lm_param *p = ps->items[i];
        char name[600];
        double scale;
        if (p->frozen) continue;
        snprintf(name, sizeof name, "grad.%s%s", prefix, p->t.name);
        double d = golden_difference(g, name, p->grad.data, &scale);
        if (!(d <= 1e-3 * scale + 1e-7)) fail_msg("%s: %s differs by %g of %g", where, name, d, scale);
    }
}

/* Ten steps of AdamW as tools/golden runs them: lr 1e-2, betas 0.9 and 0.999, eps 1e-8, decay 0.01 on everything. */
static inline void golden_check_steps(golden *g, lm_params *ps, const char *where)
{
    const lm_stored *s = golden_find(g, "losses");
    float want[16];
    assert_int_equal(lm_stored_copy(s, want, LM_F32, NULL), LM_OK);
    float **state = calloc((size_t)ps->n, sizeof *state);
    for (int64_t i = 0; i < ps->n; i++) state[i] = calloc((size_t)lm_numel(&ps->items[i]->t) * 2, sizeof(float));
    for (int step = 0; step < (int)s->numel; step++) {
        lm_params_zero_grad(ps);
        float loss = golden_gradients(g);
        if (!(fabsf(loss - want[step]) < 1e-3f)) fail_msg("%s: step %d: loss %g, expected %g", where, step, loss, want[step]);
        for (int64_t i = 0; i < ps->n; i++) {
            lm_param *p = ps->items[i];
            int64_t n = lm_numel(&p->t);
            if (!p->frozen) g->k.adamw(&(lm_k_adamw){ .w = p->t.data, .m = state[i], .v = state[i] + n, .g = p->grad.data, .n = n,
                                      .lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.01f,
                                      .bias1 = 1 - powf(0.9f, (float)step + 1), .bias2 = 1 - powf(0.999f, (float)step + 1), .scale = 1 });
        }
    }
    for (int64_t i = 0; i < ps->n; i++) free(state[i]);
    free(state);
}

#endif
