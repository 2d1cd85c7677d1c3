/* Rank responses: answers from any number of sources are ordered by their scores, and the best is learnt.
 *
 *   p_i = log p(y_i | x) / |y_i|
 *   loss = sum over s_i < s_j of max(0, p_i - p_j)  -  w p_best
 *
 * Source: Yuan et al. 2023, "RRHF: Rank Responses to Align Language Models with Human Feedback", equations 1 to
 * 4; the learnt answer counts by its mean, as in the authors' program. */
#include "objective/compare.h"

typedef struct settings {
    lm_compare_options shared;
    double sft;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, sft, "sft-weight", .fallback = "1", .max = 1e6, .help = "weight of learning the best answer"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static double reward(const void *set, const lm_compared *c, int64_t i)
{
    (void)set;
    return c->logp[i] / (double)c->length[i];
}

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    double sum = -o->sft * reward(o, c, 0);
    slope[0] -= o->sft / (double)c->length[0];
    for (int64_t j = 0; j < c->n; j++)                   /* better ones first */
        for (int64_t i = j + 1; i < c->n; i++) {
            double off = reward(o, c, i) - reward(o, c, j);
            if (c->value[i] == c->value[j] || off <= 0) continue;
            sum += off;
            slope[i] += 1 / (double)c->length[i];
            slope[j] -= 1 / (double)c->length[j];
        }
    return sum;
}

static const lm_comparison comparison = { .loss = loss, .reward = reward };

const lm_objective lm_objective_rrhf = {
    .name = "rrhf", .source = "Yuan et al. 2023, equations 1 to 4",
    .help = "order answers (\"completions\" with \"scores\", or a pair) by how likely they are, and learn the best",
    .method = &comparison, .options = options, .options_size = sizeof(settings),
    .render = lm_compare_ranked, LM_COMPARER_HOOKS,
};
