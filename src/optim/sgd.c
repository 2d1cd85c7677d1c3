/* Stochastic gradient descent with momentum and decoupled weight decay.
 *
 *   m <- momentum m + g        w <- (1 - lr decay) w - lr m
 *
 * One number remembered per weight, half of AdamW's.  Decay acts on matrices only. */
#include "optim/optimizer.h"

typedef struct settings {
    double momentum, decay;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, momentum, "momentum", .fallback = "0.9", .max = 0.999999, .help = "share of the last direction that is kept"),
    LM_OPTION(REAL, settings, decay, "weight-decay", .fallback = "0", .max = 1,
              .help = "share of a matrix taken off per step, times the learning rate"),
    { 0 },
};

static void update(const lm_kernels *k, const void *opaque, const lm_optim_slot *slot, const lm_update *u)
{
    const settings *o = opaque;
    lm_param *p = slot->param;
    float *w = p->t.data, *m = slot->state[0];
    int64_t n = lm_numel(&p->t);
    double decay = p->decays ? o->decay : 0;
    k->add[LM_F32](m, m, p->grad.data, (float)o->momentum, (float)u->scale, n);
    k->add[LM_F32](w, w, m, (float)(1 - u->lr * decay), (float)-u->lr, n);
}

const lm_optimizer lm_optimizer_sgd = {
    .name = "sgd", .source = "Polyak 1964; Sutskever et al. 2013, \"On the importance of initialization and momentum in deep learning\"",
    .help = "gradient descent with momentum",
    .options = options, .options_size = sizeof(settings),
    .states = { "momentum" }, .update = update,
};
