/* Odds-ratio preference optimisation: supervised tuning on the better answer, and its odds above the worse one's.
 *
 *   p(y) = exp(log p(y | x) / |y|)      odds(y) = p(y) / (1 - p(y))
 *   loss = -log p(y_c | x) / |y_c| - beta log sigmoid(log odds(y_c) - log odds(y_r))
 *
 * Source: Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model", equations 4 to 7. */
#include "objective/compare.h"

#include <math.h>

typedef struct settings {
    lm_compare_options shared;
    double beta;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "0.1", .max = 1e6, .help = "weight of the odds ratio"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static double mean(const lm_compared *c, int64_t i) { return c->logp[i] / (double)c->length[i]; }

/* log odds of a mean log-probability m < 0, and its derivative 1 / (1 - p). */
static double log_odds(double m, double *slope)
{
    double not = -expm1(m);
    if (not < 1e-12) not = 1e-12;                        /* a certain answer: odds without end */
    *slope = 1 / not;
    return m - log(not);
}

static double reward(const void *set, const lm_compared *c, int64_t i) { return ((const settings *)set)->beta * mean(c, i); }

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    double dc, dr, ratio = log_odds(mean(c, 0), &dc) - log_odds(mean(c, 1), &dr), pull = o->beta * lm_sigmoid(-ratio);
    slope[0] -= (1 + pull * dc) / (double)c->length[0];
    slope[1] += pull * dr / (double)c->length[1];
    return -mean(c, 0) - o->beta * lm_log_sigmoid(ratio);
}

static const lm_comparison comparison = { .loss = loss, .reward = reward };

const lm_objective lm_objective_orpo = {
    .name = "orpo", .source = "Hong et al. 2024, equations 4 to 7",
    .help = "learn the better of two answers and its odds above the worse, without a reference",
    .method = &comparison, .options = options, .options_size = sizeof(settings),
    .render = lm_compare_pair, LM_COMPARER_HOOKS,
};
