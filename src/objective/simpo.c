/* Simple preference optimisation: the better answer's mean log-probability exceeds the worse one's by a margin;
 * no reference model.
 *
 *   loss = -log sigmoid(beta (log p(y_c | x) / |y_c| - log p(y_r | x) / |y_r|) - gamma)
 *
 * Source: Meng et al. 2024, "SimPO: Simple Preference Optimization with a Reference-Free Reward", equation 6. */
#include "objective/compare.h"

typedef struct settings {
    lm_compare_options shared;
    double beta, gamma, smoothing;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "2", .min = 1e-6, .max = 1e6, .help = "scale of the reward"),
    LM_OPTION(REAL, settings, gamma, "gamma", .fallback = "1", .max = 1e6, .help = "margin that the better answer is to have"),
    LM_OPTION(REAL, settings, smoothing, "label-smoothing", .fallback = "0", .max = 0.499, .help = "share of preferences that may be wrong"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static double reward(const void *set, const lm_compared *c, int64_t i) { return ((const settings *)set)->beta * c->logp[i] / (double)c->length[i]; }

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    double x = reward(o, c, 0) - reward(o, c, 1) - o->gamma, e = o->smoothing;
    double dx = e * lm_sigmoid(x) - (1 - e) * lm_sigmoid(-x);
    slope[0] += o->beta * dx / (double)c->length[0];
    slope[1] -= o->beta * dx / (double)c->length[1];
    return -(1 - e) * lm_log_sigmoid(x) - e * lm_log_sigmoid(-x);
}

static const lm_comparison comparison = { .loss = loss, .reward = reward };

const lm_objective lm_objective_simpo = {
    .name = "simpo", .source = "Meng et al. 2024, equation 6",
    .help = "prefer the better of two answers by mean log-probability, without a reference",
    .method = &comparison, .options = options, .options_size = sizeof(settings),
    .render = lm_compare_pair, LM_COMPARER_HOOKS,
};
