/* Kahneman-Tversky optimisation: an answer is good or bad by itself, no pair is needed.
 *
 *   r = log p(y | x) - log p_ref(y | x)        z = KL of the model from the reference, in general
 *
 *   kto                 w_d (1 - sigmoid(beta (r - z)))   for a good answer
 *                       w_u (1 - sigmoid(beta (z - r)))   for a bad one
 *   apo_zero_unpaired   the same with z = 0
 *
 * z is estimated on answers of a micro-batch's neighbours (compare_kl.c); nothing flows back through it.  With
 * fewer good answers than bad ones (or the reverse), w_d n_d / (w_u n_u) should lie between 1 and 4/3.
 *
 * Sources: Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", equations 7 to 9;
 * D'Oosterlinck et al. 2024 (apo_zero). */
#include "objective/compare.h"

#include "nn/head.h"
#include "train/options.h"

enum { KTO, APO_ZERO_UNPAIRED };
static const char *const forms[] = { "kto", "apo_zero_unpaired", NULL };

typedef struct settings {
    lm_compare_options shared;
    double beta, desirable, undesirable;
    int form;
} settings;

static const lm_option options[] = {
    LM_OPTION(CHOICE, settings, form, "loss-type", .fallback = "kto", .choices = forms, .help = "form of the loss"),
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "0.1", .min = 1e-6, .max = 1e6, .help = "how closely the model stays to the reference: larger is closer"),
    LM_OPTION(REAL, settings, desirable, "desirable-weight", .fallback = "1", .max = 1e6, .help = "weight of good answers"),
    LM_OPTION(REAL, settings, undesirable, "undesirable-weight", .fallback = "1", .max = 1e6, .help = "weight of bad answers"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static bool needs_kl(const void *set) { return ((const settings *)set)->form == KTO; }

static double reward(const void *set, const lm_compared *c, int64_t i)
{
    return ((const settings *)set)->beta * (c->logp[i] - c->ref[i] - c->kl);
}

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    bool good = c->value[0] > 0;
    double x = reward(o, c, 0), w = good ? o->desirable : o->undesirable, sign = good ? 1 : -1;
    slope[0] -= sign * w * o->beta * lm_sigmoid(x) * lm_sigmoid(-x);
    return w * lm_sigmoid(-sign * x);
}

static const lm_comparison comparison = { .loss = loss, .reward = reward, .needs_kl = needs_kl, .refers = true, .alone = true };

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    if (needs_kl(task->options) && o->batch_size < 2)
        return lm_fail(err, LM_E_USAGE, "--batch-size %lld: kto compares the rows of a pass and needs 2 or more", (long long)o->batch_size);
    return lm_model_need_lm_head(model, err);
}

const lm_objective lm_objective_kto = {
    .name = "kto", .source = "Ethayarajh et al. 2024, equations 7 to 9",
    .help = "learn from answers that are good or bad by themselves (\"prompt\", \"completion\", \"label\")",
    .method = &comparison, .options = options, .options_size = sizeof(settings), .head = head,
    .render = lm_compare_labelled, LM_COMPARER_HOOKS,
};
