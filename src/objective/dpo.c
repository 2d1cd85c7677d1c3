/* Direct preference optimisation: of two answers the better one becomes likelier, measured from a reference.
 *
 *   r(y) = log p(y | x) - log p_ref(y | x)          delta = r(chosen) - r(rejected)
 *
 *   sigmoid       -log sigmoid(beta delta)
 *   sigmoid_norm  the same with each r divided by the answer's length
 *   hinge         max(0, 1 - beta delta)
 *   ipo           (delta - 1 / (2 beta))^2, each r divided by the answer's length
 *   robust        sigmoid, unbiased where a share e of the labels is wrong:
 *                 (-(1 - e) log sigmoid(beta delta) + e log sigmoid(-beta delta)) / (1 - 2 e)
 *   exo_pair      KL from sigmoid(beta delta) to the label, which is right with probability 1 - e
 *   nca_pair      -log s(beta r_c) - 1/2 log s(-beta r_c) - 1/2 log s(-beta r_r)
 *   bco_pair      -log s(beta r_c) - log s(-beta r_r)
 *   sppo_hard     (r_c - 1 / (2 beta))^2 + (r_r + 1 / (2 beta))^2
 *   apo_zero      1 - s(beta r_c) + s(beta r_r)
 *   apo_down      s(beta r_c) + 1 - s(beta (r_c - r_r))
 *
 * e is --label-smoothing; with it, sigmoid is the conservative form (1 - e) l(delta) + e l(-delta).
 *
 * Sources: Rafailov et al. 2023, equation 7 (sigmoid); Liu et al. 2024 (hinge: RSO, section 2.3); Azar et al.
 * 2024, equation 17 (ipo); Mitchell 2023 (label smoothing); Chowdhury et al. 2024, equation 12 (robust); Ji et al.
 * 2024, equation 16 (exo); Chen et al. 2024 (nca); Jung et al. 2024 (bco, without the shift); Wu et al. 2024 (sppo);
 * D'Oosterlinck et al. 2024, equations 7 and 8 (apo).  Lengths are divided by as in TRL. */
#include "objective/compare.h"

#include <math.h>

enum { SIGMOID, SIGMOID_NORM, HINGE, IPO, ROBUST, EXO_PAIR, NCA_PAIR, BCO_PAIR, SPPO_HARD, APO_ZERO, APO_DOWN };
static const char *const forms[] = { "sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "bco_pair",
                                     "sppo_hard", "apo_zero", "apo_down", NULL };

typedef struct settings {
    lm_compare_options shared;
    double beta, smoothing, sft;
    int form;
} settings;

static const lm_option options[] = {
    LM_OPTION(CHOICE, settings, form, "loss-type", .fallback = "sigmoid", .choices = forms, .help = "form of the loss"),
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "0.1", .min = 1e-6, .max = 1e6, .help = "how closely the model stays to the reference: larger is closer"),
    LM_OPTION(REAL, settings, smoothing, "label-smoothing", .fallback = "0", .max = 0.499, .help = "share of preferences that may be wrong"),
    LM_OPTION(REAL, settings, sft, "sft-weight", .fallback = "0", .max = 1e6, .help = "weight of learning the chosen answers beside it (RPO)"),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

/* A function of both r with its derivatives. */
typedef struct point {
    double value, chosen, rejected;
} point;

/* -w log sigmoid(b x), and what it adds to d / dx. */
static double cost(double w, double b, double x, double *dx)
{
    *dx -= w * b * lm_sigmoid(-b * x);
    return -w * lm_log_sigmoid(b * x);
}

static point of_difference(double value, double slope) { return (point){ value, slope, -slope }; }

static point sigmoid_loss(const settings *o, double delta)
{
    double slope = 0, e = o->smoothing, value = cost(1 - e, o->beta, delta, &slope) + cost(e, -o->beta, delta, &slope);
    return of_difference(value, slope);
}

static point robust(const settings *o, double delta)
{
    double slope = 0, e = o->smoothing, value = cost(1 - e, o->beta, delta, &slope) + cost(-e, -o->beta, delta, &slope);
    return of_difference(value / (1 - 2 * e), slope / (1 - 2 * e));
}

static point hinge(const settings *o, double delta)
{
    double short_of = 1 - o->beta * delta;
    return of_difference(short_of > 0 ? short_of : 0, short_of > 0 ? -o->beta : 0);
}

static point ipo(const settings *o, double delta)
{
    double off = delta - 1 / (2 * o->beta);
    return of_difference(off * off, 2 * off);
}

static point exo(const settings *o, double delta)
{
    double e = o->smoothing, q = lm_sigmoid(o->beta * delta), log_q = lm_log_sigmoid(o->beta * delta), log_not = lm_log_sigmoid(-o->beta * delta);
    double value = q * (log_q - log1p(-e)) + (1 - q) * (log_not - log(e));
    return of_difference(value, o->beta * q * (1 - q) * (log_q - log1p(-e) - log_not + log(e)));
}

static point nca(const settings *o, double c, double r)
{
    point p = {0};
    p.value = cost(1, o->beta, c, &p.chosen) + cost(0.5, -o->beta, c, &p.chosen) + cost(0.5, -o->beta, r, &p.rejected);
    return p;
}

static point bco(const settings *o, double c, double r)
{
    point p = {0};
    p.value = cost(1, o->beta, c, &p.chosen) + cost(1, -o->beta, r, &p.rejected);
    return p;
}

static point sppo(const settings *o, double c, double r)
{
    double a = c - 0.5 / o->beta, b = r + 0.5 / o->beta;
    return (point){ a * a + b * b, 2 * a, 2 * b };
}

static double sigmoid_slope(const settings *o, double x) { return o->beta * lm_sigmoid(o->beta * x) * lm_sigmoid(-o->beta * x); }

static point apo_zero(const settings *o, double c, double r)
{
    return (point){ lm_sigmoid(-o->beta * c) + lm_sigmoid(o->beta * r), -sigmoid_slope(o, c), sigmoid_slope(o, r) };
}

static point apo_down(const settings *o, double c, double r)
{
    double slope = sigmoid_slope(o, c - r);
    return (point){ lm_sigmoid(o->beta * c) + lm_sigmoid(-o->beta * (c - r)), sigmoid_slope(o, c) - slope, slope };
}

static point at(const settings *o, double c, double r)
{
    switch (o->form) {
    case HINGE: return hinge(o, c - r);
    case IPO: return ipo(o, c - r);
    case ROBUST: return robust(o, c - r);
    case EXO_PAIR: return exo(o, c - r);
    case NCA_PAIR: return nca(o, c, r);
    case BCO_PAIR: return bco(o, c, r);
    case SPPO_HARD: return sppo(o, c, r);
    case APO_ZERO: return apo_zero(o, c, r);
    case APO_DOWN: return apo_down(o, c, r);
    default: return sigmoid_loss(o, c - r);
    }
}

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    bool by_length = o->form == IPO || o->form == SIGMOID_NORM;
    double n[2] = { by_length ? (double)c->length[0] : 1, by_length ? (double)c->length[1] : 1 };
    point p = at(o, (c->logp[0] - c->ref[0]) / n[0], (c->logp[1] - c->ref[1]) / n[1]);
    slope[0] += p.chosen / n[0] - o->sft / (double)c->length[0];
    slope[1] += p.rejected / n[1];
    return p.value - o->sft * c->logp[0] / (double)c->length[0];
}

static double reward(const void *set, const lm_compared *c, int64_t i) { return ((const settings *)set)->beta * (c->logp[i] - c->ref[i]); }

static lm_status check(const void *set, lm_err *err)
{
    const settings *o = set;
    if (o->form != EXO_PAIR || o->smoothing > 0) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "--loss-type exo_pair needs --label-smoothing above 0, such as 0.001");
}

static const lm_comparison comparison = { .check = check, .loss = loss, .reward = reward, .refers = true };

const lm_objective lm_objective_dpo = {
    .name = "dpo", .source = "Rafailov et al. 2023, equation 7",
    .help = "prefer the better of two answers (\"chosen\", \"rejected\") to the worse, without a reward model",
    .method = &comparison, .options = options, .options_size = sizeof(settings),
    .render = lm_compare_pair, LM_COMPARER_HOOKS,
};
