/* AdamW: adaptive moments with decoupled weight decay.
 *
 *   m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
 *   w <- w - lr * ( (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + decay w )
 *
 * Decay acts on matrices only (param->decays), not on biases and norms, whose size is no measure
 * of complexity.  Moments are f32. */
#include "optim/optimizer.h"

#include <math.h>

typedef struct settings {
    double beta1, beta2, eps, decay;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, beta1, "beta1", .fallback = "0.9", .max = 0.999999, .help = "decay of the mean of gradients"),
    LM_OPTION(REAL, settings, beta2, "beta2", .fallback = "0.999", .max = 0.999999, .help = "decay of the mean of their squares"),
    LM_OPTION(REAL, settings, eps, "eps", .fallback = "1e-8", .max = 1, .help = "added to the root of that mean"),
    LM_OPTION(REAL, settings, decay, "weight-decay", .fallback = "0.01", .max = 1,
              .help = "share of a matrix taken off per step, times the learning rate"),
    { 0 },
};

static void update(const lm_kernels *k, const void *opaque, const lm_optim_slot *slot, const lm_update *u)
{
    const settings *o = opaque;
    lm_param *p = slot->param;
    k->adamw(&(lm_k_adamw){
        .w = p->t.data, .m = slot->state[0], .v = slot->state[1], .g = p->grad.data, .n = lm_numel(&p->t),
        .lr = (float)u->lr, .beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->eps,
        .decay = p->decays ? (float)o->decay : 0, .scale = (float)u->scale,
        .bias1 = (float)(1 - pow(o->beta1, (double)u->step)), .bias2 = (float)(1 - pow(o->beta2, (double)u->step)),
    });
}

const lm_optimizer lm_optimizer_adamw = {
    .name = "adamw", .source = "Loshchilov & Hutter 2019, \"Decoupled weight decay regularization\", algorithm 2",
    .help = "adaptive moments with decoupled weight decay",
    .options = options, .options_size = sizeof(settings),
    .states = { "exp_avg", "exp_avg_sq" }, .update = update,
};
