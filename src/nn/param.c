#include "nn/param.h"

#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_BITS = 38 };                        /* reserved, not used: 256 GiB */

lm_status lm_params_init(lm_params *ps, const lm_kernels *k, lm_err *err)
{
    *ps = (lm_params){ .k = k, .by_name = lm_map_new(256) };
    return lm_arena_init(&ps->arena, "model", (size_t)1 << ADDRESS_BITS, k->computes ? LM_ARENA_REAL : LM_ARENA_COUNT, err);
}

void lm_params_free(lm_params *ps)
{
    for (int64_t i = 0; i < ps->n; i++) {
        free((char *)(uintptr_t)ps->items[i]->t.name);
        free(ps->items[i]);
    }
    free(ps->items);
    lm_map_free(ps->by_name);
    lm_arena_free(&ps->arena);
    *ps = (lm_params){ 0 };
}

lm_param *lm_param_declare(lm_params *ps, lm_init init, float range, int ndim, const int64_t *dim, const char *name, ...)
{
    char text[512];
    va_list args;
    va_start(args, name);
    int length = vsnprintf(text, sizeof text, name, args);
    va_end(args);
    LM_ASSERT(length > 0 && (size_t)length < sizeof text);

    lm_param *p = lm_calloc(1, sizeof *p);
    p->t = lm_tensor_of(NULL, LM_F32, ndim, dim);
    p->t.name = lm_strdup(text);
    p->init = init;
    p->range = range;
    p->decays = ndim > 1;
    p->rate = 1;
    if (!lm_map_put(ps->by_name, text, (size_t)length, ps->n)) LM_BUG("parameter %s is declared twice", text);
    ps->items = lm_realloc(ps->items, (size_t)(ps->n + 1) * sizeof *ps->items);
    ps->items[ps->n++] = p;
    return p;
}

lm_param *lm_param_find(const lm_params *ps, const char *name)
{
    int64_t i = lm_map_get(ps->by_name, name, strlen(name), -1);
    return i < 0 ? NULL : ps->items[i];
}

/* ---- initial values ---- */

typedef struct filling {
    float *data;
    const lm_param *p;
    uint64_t seed, stream;
} filling;

/* Numbers 4i .. 4i+3 come from Philox block i: nothing depends on how the work is cut. */
static void four_numbers(float value[4], const filling *f, int64_t i)
{
    uint32_t word[4];
    lm_philox(word, f->seed, f->stream, (uint64_t)i);
    for (int j = 0; j < 4; j++) value[j] = (2 * lm_u32_unit(word[j]) - 1) * f->p->range;
    if (f->p->init != LM_INIT_NORMAL) return;
    for (int j = 0; j < 4; j += 2) {               /* Box & Muller 1958 */
        double r = sqrt(-2 * log(1 - (double)lm_u32_unit(word[j])));
        double angle = 6.283185307179586 * (double)lm_u32_unit(word[j + 1]);
        value[j] = (float)(r * cos(angle)) * f->p->range;
        value[j + 1] = (float)(r * sin(angle)) * f->p->range;
    }
}

static void fill_random(int64_t begin, int64_t end, void *context)
{
    const filling *f = context;
    int64_t n = lm_numel(&f->p->t);
    for (int64_t i = begin; i < end; i++) {
        float value[4];
        four_numbers(value, f, i);
        for (int j = 0; j < 4 && 4 * i + j < n; j++) f->data[4 * i + j] = value[j];
    }
}

static filling filling_of(const lm_param *p, float *data, uint64_t seed)
{
    return (filling){ data, p, seed, lm_hash(p->t.name, strlen(p->t.name), 0) };
}

void lm_param_initial(float *out, const lm_param *p, uint64_t seed, int64_t begin, int64_t n)
{
    filling f = filling_of(p, NULL, seed);
    float value[4];
    for (int64_t i = begin; i < begin + n; i++) {
        if (i == begin || i % 4 == 0) four_numbers(value, &f, i / 4);
        out[i - begin] = value[i % 4];
    }
}

static void initialise(lm_param *p, uint64_t seed)
{
    filling f = filling_of(p, p->t.data, seed);
    int64_t n = lm_numel(&p->t);
    if (p->init == LM_INIT_NORMAL || p->init == LM_INIT_UNIFORM) lm_parallel((n + 3) / 4, 1 << 14, fill_random, &f);
    else for (int64_t i = 0; i < n; i++) f.data[i] = p->init == LM_INIT_ONE ? 1 : 0;
}

static lm_status out_of_room(const lm_params *ps, const lm_param *p, lm_err *err)
{
    return lm_fail(err, LM_E_NOMEM, "%s: no room in the model arena of %zu MiB", p->t.name, ps->arena.size >> 20);
}

lm_status lm_params_initialise(lm_params *ps, uint64_t seed, lm_err *err)
{
    for (int64_t i = 0; i < ps->n; i++) {
        lm_param *p = ps->items[i];
        if (p->t.data) continue;
        p->t.dtype = LM_F32;
        p->t.data = lm_arena_alloc(&ps->arena, lm_nbytes(&p->t));
        if (!p->t.data) return out_of_room(ps, p, err);
        if (ps->k->computes) initialise(p, seed);
    }
    return LM_OK;
}

/* ---- training ---- */

lm_status lm_param_own(lm_params *ps, lm_param *p, lm_err *err)
{
    const uint8_t *old = p->t.data, *base = ps->arena.base;
    if (p->t.dtype == LM_F32 && old >= base && old < base + ps->arena.size) return LM_OK;
    int64_t n = lm_numel(&p->t);
    size_t old_bytes = p->t.quant ? lm_quant_code_bytes(p->t.quant, n) : lm_nbytes(&p->t);
    void *data = lm_arena_alloc(&ps->arena, (size_t)n * sizeof(float));
    if (!data) return out_of_room(ps, p, err);
    if (p->t.quant) ps->k->dequantise(data, p->t.quant, old, 0, n);
    else ps->k->convert(data, LM_F32, old, p->t.dtype, n);
    lm_mapping_unload(old, old_bytes);
    p->t.quant = NULL;
    p->t.data = data;
    p->t.dtype = LM_F32;
    return LM_OK;
}

lm_status lm_params_prepare_training(lm_params *ps, lm_err *err)
{
    for (int64_t i = 0; i < ps->n; i++) {
        lm_param *p = ps->items[i];
        if (!p->trains || !p->t.data) continue;
        LM_TRY(lm_param_own(ps, p, err));
        p->grad = p->t;
        p->grad.data = lm_arena_alloc(&ps->arena, lm_nbytes(&p->t));
        if (!p->grad.data) return out_of_room(ps, p, err);
        p->t.needs_grad = true;
        p->t.grad = &p->grad;
    }
    lm_params_zero_grad(ps);
    return LM_OK;
}

void lm_params_zero_grad(lm_params *ps)
{
    for (int64_t i = 0; i < ps->n; i++) ps->items[i]->grad.fresh = true;
}

int64_t lm_params_count(const lm_params *ps, bool only_training)
{
    int64_t n = 0;
    for (int64_t i = 0; i < ps->n; i++)
        if (ps->items[i]->t.data && (ps->items[i]->trains || !only_training)) n += lm_numel(&ps->items[i]->t);
    return n;
}
