#include "optim/optimizer.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const lm_optimizer *lm_optimizer_find(const char *name)
{
    for (const lm_optimizer *const *o = lm_optimizer_registry; *o; o++)
        if (!strcmp((*o)->name, name)) return *o;
    return NULL;
}

static int states(const lm_optimizer *type)
{
    int n = 0;
    while (n < LM_OPTIM_STATES && type->states[n]) n++;
    return n;
}

static size_t padded(const lm_param *p) { return (lm_nbytes(&p->t) + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN; }

static lm_status open_arena(lm_optim *o, size_t bytes, const char *paged, lm_err *err)
{
    if (paged && o->k->computes) return lm_arena_init_file(&o->arena, "optimizer", bytes, paged, err);
    return lm_arena_init(&o->arena, "optimizer", bytes, o->k->computes ? LM_ARENA_REAL : LM_ARENA_COUNT, err);
}

lm_status lm_optim_init(lm_optim *o, const lm_optimizer *type, const void *options, lm_params *const *sets,
                        int n_sets, const lm_kernels *k, lm_err *err)
{
    return lm_optim_init_paged(o, type, options, sets, n_sets, NULL, k, err);
}

lm_status lm_optim_init_paged(lm_optim *o, const lm_optimizer *type, const void *options, lm_params *const *sets, int n_sets,
                              const char *paged, const lm_kernels *k, lm_err *err)
{
    *o = (lm_optim){ .type = type, .options = options, .k = k };
    size_t bytes = 0;
    for (int s = 0; s < n_sets; s++)
        for (int64_t i = 0; i < sets[s]->n; i++) {
            lm_param *p = sets[s]->items[i];
            if (!p->trains) continue;
            LM_ASSERT(p->t.dtype == LM_F32);
            o->slots = lm_realloc(o->slots, (size_t)(o->n + 1) * sizeof *o->slots);
            o->slots[o->n++] = (lm_optim_slot){ .param = p };
            bytes += padded(p) * (size_t)states(type);
        }
    if (!o->n) return lm_fail(err, LM_E_USAGE, "nothing trains: the model has no trainable parameter");
    lm_status status = open_arena(o, bytes, paged, err);
    if (status != LM_OK) {
        lm_optim_free(o);
        return status;
    }
    for (int64_t i = 0; i < o->n; i++)
        for (int s = 0; s < states(type); s++) {
            size_t size = lm_nbytes(&o->slots[i].param->t);
            o->slots[i].state[s] = lm_arena_alloc(&o->arena, size);
            k->zero(o->slots[i].state[s], (int64_t)size);
        }
    return LM_OK;
}

void lm_optim_free(lm_optim *o)
{
    free(o->slots);
    lm_arena_free(&o->arena);
    *o = (lm_optim){0};
}

double lm_optim_grad_norm(const lm_optim *o)
{
    double sum = 0;
    for (int64_t i = 0; i < o->n; i++) {
        double squares = 0;
        const lm_tensor *grad = &o->slots[i].param->grad;
        if (grad->fresh) continue;
        o->k->sum_squares(&squares, grad->data, lm_numel(grad));
        sum += squares;
    }
    return sqrt(sum);
}

void lm_optim_update(lm_optim *o, double lr, double scale)
{
    lm_update u = { .step = ++o->step, .scale = scale };
    for (int64_t i = 0; i < o->n; i++) {
        const lm_param *p = o->slots[i].param;
        u.lr = lr * (double)p->rate;
        if (!p->grad.fresh) o->type->update(o->k, o->options, &o->slots[i], &u);
    }
}
