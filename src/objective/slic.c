/* Sequence likelihood calibration: a better answer is to be likelier than a worse one by a margin.
 *
 *   rank     max(0, beta - log p(y_+) + log p(y_-))                   for the best and the worst answer (SLiC-HF)
 *   margin   max(0, beta (s_+ - s_-) - log p(y_+) + log p(y_-))       for every pair, by how far scores lie apart
 *   list     max(0, beta (place_- - place_+) - log p(y_+) + log p(y_-))    for every pair, by their places
 *
 *   loss = calibration - lambda log p(y_ref) / |y_ref|,  y_ref the best answer
 *
 * Forms over pairs are means over them.  With --by-length log p is divided by the answer's length.
 *
 * Sources: Zhao et al. 2023, "SLiC-HF: Sequence Likelihood Calibration with Human Feedback", equation 1; Zhao et
 * al. 2022, "Calibrating Sequence Likelihood Improves Conditional Language Generation", section 2.3 (margin, list)
 * and 2.4 (cross-entropy regulariser; KL is left out). */
#include "objective/compare.h"

enum { RANK, MARGIN, LIST };
static const char *const forms[] = { "rank", "margin", "list", NULL };

typedef struct settings {
    lm_compare_options shared;
    double beta, lambda;
    int form;
    bool by_length;
} settings;

static const lm_option options[] = {
    LM_OPTION(CHOICE, settings, form, "loss-type", .fallback = "rank", .choices = forms, .help = "what is compared"),
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "1", .max = 1e6, .help = "margin"),
    LM_OPTION(REAL, settings, lambda, "lambda", .fallback = "0.1", .max = 1e6, .help = "weight of learning the best answer"),
    LM_OPTION(FLAG, settings, by_length, "by-length", .help = "divide log-probabilities by lengths"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static double divisor(const settings *o, const lm_compared *c, int64_t i) { return o->by_length ? (double)c->length[i] : 1; }
static double reward(const void *set, const lm_compared *c, int64_t i) { return c->logp[i] / divisor(set, c, i); }

/* The hinge of one pair, weighed by w. */
static double pair(const settings *o, const lm_compared *c, double *slope, int64_t better, int64_t worse, double margin, double w)
{
    double short_of = margin - reward(o, c, better) + reward(o, c, worse);
    if (short_of <= 0) return 0;
    slope[better] -= w / divisor(o, c, better);
    slope[worse] += w / divisor(o, c, worse);
    return w * short_of;
}

static int64_t count_pairs(const lm_compared *c)
{
    int64_t pairs = 0;
    for (int64_t i = 0; i < c->n; i++)
        for (int64_t j = i + 1; j < c->n; j++) pairs += c->value[i] != c->value[j];
    return pairs;
}

static double calibrate(const settings *o, const lm_compared *c, double *slope)
{
    if (o->form == RANK) return pair(o, c, slope, 0, c->n - 1, o->beta, 1);
    double sum = 0, w = 1 / (double)count_pairs(c);
    for (int64_t i = 0; i < c->n; i++)                   /* better ones first */
        for (int64_t j = i + 1; j < c->n; j++) {
            double apart = o->form == MARGIN ? (double)c->value[i] - (double)c->value[j] : (double)(j - i);
            if (c->value[i] != c->value[j]) sum += pair(o, c, slope, i, j, o->beta * apart, w);
        }
    return sum;
}

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    slope[0] -= o->lambda / (double)c->length[0];
    return calibrate(o, c, slope) - o->lambda * c->logp[0] / (double)c->length[0];
}

static const lm_comparison comparison = { .loss = loss, .reward = reward };

const lm_objective lm_objective_slic = {
    .name = "slic", .source = "Zhao et al. 2023 (SLiC-HF), equation 1; Zhao et al. 2022, section 2.3",
    .help = "make better answers likelier than worse ones by a margin, and learn the best",
    .method = &comparison, .options = options, .options_size = sizeof(settings),
    .render = lm_compare_ranked, LM_COMPARER_HOOKS,
};
