/* Parameters: what a model or an adapter declares once, by Hugging Face name, and what then
 * drives loading, saving, initialising, counting and training. */
#ifndef LM_NN_PARAM_H
#define LM_NN_PARAM_H

#include "base/arena.h"
#include "base/map.h"
#include "base/rng.h"
#include "tensor/kernel.h"
#include "tensor/tensor.h"

typedef enum lm_init { LM_INIT_NORMAL, LM_INIT_ZERO, LM_INIT_ONE, LM_INIT_UNIFORM } lm_init;

typedef struct lm_param {
    lm_tensor t;               /* t.name is the name; t.data NULL until loaded or initialised */
    lm_init init;
    float range;               /* standard deviation (NORMAL) or half-width (UNIFORM) */
    bool trains;               /* set by the trainer or adapter; needs f32 data in the arena */
    bool optional;             /* may be missing from a file; then has no data */
    bool decays;               /* weight decay applies: matrices yes, biases and norms no */
    bool frozen;               /* an adapter's own that never trains */
    float rate;                /* times the learning rate: 1 */
    lm_tensor grad;
    lm_quant quant;            /* what t.quant points to, when t is quantised */
} lm_param;

typedef struct lm_params {
    lm_param **items;          /* stable addresses: model code keeps lm_tensor pointers */
    int64_t n;
    lm_map *by_name;
    lm_arena arena;            /* data that is not mapped from a file, and gradients */
    const lm_kernels *k;
} lm_params;

lm_status lm_params_init(lm_params *ps, const lm_kernels *k, lm_err *err);
void lm_params_free(lm_params *ps);

/* Declares a parameter; the name is formatted and copied.  Declaring a name twice is a bug. */
lm_param *lm_param_declare(lm_params *ps, lm_init init, float range, int ndim, const int64_t *dim,
                           const char *name, ...) __attribute__((format(printf, 6, 7)));
lm_param *lm_param_find(const lm_params *ps, const char *name);         /* NULL when not there */

/* Gives every parameter without data f32 memory and its initial values; the same for a (seed, name)
 * whatever the order. */
lm_status lm_params_initialise(lm_params *ps, uint64_t seed, lm_err *err);

/* Initial values [begin, begin + n) of a random parameter: those that lm_params_initialise would give it. */
void lm_param_initial(float *out, const lm_param *p, uint64_t seed, int64_t begin, int64_t n);

/* Gives one parameter f32 data in the arena in place of what may be mapped, narrower or quantised. */
lm_status lm_param_own(lm_params *ps, lm_param *p, lm_err *err);

/* Gives every parameter that `trains` f32 data in the arena (converted if it was mapped) and an f32
 * gradient, which holds nothing (grad.fresh). */
lm_status lm_params_prepare_training(lm_params *ps, lm_err *err);

/* Forgets the gradients.  One that no backward writes to before the next step stays fresh, and its
 * memory undefined: an optimiser skips it. */
void lm_params_zero_grad(lm_params *ps);

int64_t lm_params_count(const lm_params *ps, bool only_training);       /* numbers, not tensors */

#endif
