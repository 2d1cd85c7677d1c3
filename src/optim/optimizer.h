/* Optimisers: what becomes of the weights once their gradients are there.
 *
 * A method is one file, optim/<name>.c; it says how many numbers it remembers per weight and how one
 * parameter is updated.  Memory, the norm of all gradients and the walk over the parameters are
 * common to all of them and live in optimizer.c. */
#ifndef LM_OPTIM_OPTIMIZER_H
#define LM_OPTIM_OPTIMIZER_H

#include "base/arena.h"
#include "base/option.h"
#include "nn/param.h"

enum { LM_OPTIM_STATES = 2 };

/* A parameter that trains, and what the optimiser remembers of it: as many f32 as the parameter has. */
typedef struct lm_optim_slot {
    lm_param *param;
    float *state[LM_OPTIM_STATES];
} lm_optim_slot;

/* One update.  step counts from 1; scale multiplies every gradient first (clipping). */
typedef struct lm_update {
    int64_t step;
    double lr, scale;
} lm_update;

typedef struct lm_optimizer {
    const char *name, *source, *help;
    const lm_option *options;                        /* over options_size bytes; NULL for none */
    size_t options_size;
    const char *states[LM_OPTIM_STATES];             /* names in a checkpoint; NULL: not used */
    void (*update)(const lm_kernels *k, const void *options, const lm_optim_slot *slot, const lm_update *u);
} lm_optimizer;

extern const lm_optimizer *const lm_optimizer_registry[];
const lm_optimizer *lm_optimizer_find(const char *name);                  /* NULL when there is none */

typedef struct lm_optim {
    const lm_optimizer *type;
    const void *options;                             /* the caller's */
    const lm_kernels *k;
    lm_optim_slot *slots;
    int64_t n, step;                                 /* step: updates made so far */
    lm_arena arena;                                  /* the states; counted only with the null backend */
} lm_optim;

/* Slots for every parameter of the sets that trains, states zero.  LM_E_USAGE when none trains. */
lm_status lm_optim_init(lm_optim *o, const lm_optimizer *type, const void *options, lm_params *const *sets,
                        int n_sets, const lm_kernels *k, lm_err *err);

/* The same with the states in a file in folder `paged` (NULL: in memory), which the system moves them to when
 * memory is short: the paged optimiser of Dettmers et al. 2023, "QLoRA", section 3. */
lm_status lm_optim_init_paged(lm_optim *o, const lm_optimizer *type, const void *options, lm_params *const *sets, int n_sets,
                              const char *paged, const lm_kernels *k, lm_err *err);
void lm_optim_free(lm_optim *o);                     /* takes {0} */

/* Euclidean norm of all gradients together; infinite or NaN when one of them is.  A gradient that is
 * still fresh counts as zero. */
double lm_optim_grad_norm(const lm_optim *o);

/* Updates every parameter that has got a gradient; o->step is one more afterwards. */
void lm_optim_update(lm_optim *o, double lr, double scale);

#endif
