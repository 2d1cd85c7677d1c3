/* Group relative policy optimisation: answers to one prompt are each other's baseline.
 *
 *   A_i     = (r_i - mean r) / (std r + 1e-4)          over the group; --scale-rewards says which std, or none
 *   rho_t   = p(y_t) / p_old(y_t)                      or, for the sequence, exp(mean_t log rho_t)
 *   l_t     = -min(rho_t A, clip(rho_t, 1 - eps, 1 + eps_high) A) + beta KL_t
 *   KL_t    = k3: p_ref / p - log(p_ref / p) - 1       k2: 1/2 (log p - log p_ref)^2       k1: log p - log p_ref
 *
 * and the loss is, over the answers i of an update with n_i tokens,
 *
 *   grpo     mean_i (1 / n_i) sum_t l_t
 *   dapo     sum_i sum_t l_t / sum_i n_i
 *   bnpo     the same within a pass through the model, and the mean over passes
 *   dr_grpo  mean_i sum_t l_t / max_new_tokens
 *
 * Sources: Shao et al. 2024 (DeepSeekMath), equations 3 and 4; Yu et al. 2025 (DAPO), sections 3.1 and 3.3 (clip-higher,
 * token level; --mask-truncated is 3.4 without its penalty); Liu et al. 2025 (Dr. GRPO), section 3.1; Zheng et al. 2025
 * (GSPO), equation 7.  The std is the unbiased one and forms are named as in TRL.  Left out: DAPO's resampling of groups
 * whose rewards are all equal; they teach nothing (A = 0). */
#include "objective/rollout.h"

#include <math.h>

static const char *const forms[] = { "grpo", "dapo", "bnpo", "dr_grpo", NULL };
enum { GRPO, DAPO, BNPO, DR_GRPO };
static const char *const scales[] = { "group", "batch", "none", NULL };
enum { BY_GROUP, BY_BATCH, BY_NONE };
static const char *const estimators[] = { "k1", "k2", "k3", NULL };
enum { K1, K2, K3 };
static const char *const levels[] = { "token", "sequence", NULL };
enum { TOKEN, SEQUENCE };

typedef struct settings {
    lm_rollout_options shared;
    double epsilon, epsilon_high, beta;
    int form, scale, estimator, level;
    bool mask_truncated;
} settings;

static const lm_option options[] = {
    LM_OPTION_ROLLOUT(settings, "8", "1"),
    LM_OPTION(CHOICE, settings, form, "loss-type", .fallback = "grpo", .choices = forms, .help = "what a token weighs"),
    LM_OPTION(REAL, settings, epsilon, "epsilon", .fallback = "0.2", .max = 1, .help = "how far below 1 a ratio counts"),
    LM_OPTION(REAL, settings, epsilon_high, "epsilon-high", .fallback = "0", .max = 1e6, .help = "how far above 1; 0: as far as below"),
    LM_OPTION(CHOICE, settings, level, "ratio", .fallback = "token", .choices = levels, .help = "of each token, or of the whole sequence (GSPO)"),
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "0.04", .max = 1e6, .help = "weight of the KL to the reference"),
    LM_OPTION(CHOICE, settings, estimator, "kl", .fallback = "k3", .choices = estimators, .help = "how that KL is estimated"),
    LM_OPTION(CHOICE, settings, scale, "scale-rewards", .fallback = "group", .choices = scales, .help = "whose standard deviation divides the rewards"),
    LM_OPTION(FLAG, settings, mask_truncated, "mask-truncated", .help = "learn nothing from answers that were cut off"),
    { 0 },
};

static lm_status check(const void *set, lm_err *err)
{
    const settings *o = set;
    if (o->shared.group >= 2) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "--group %lld: answers are compared with each other, expected 2 or more", (long long)o->shared.group);
}

/* ---- advantages ---- */

/* From the first one on, so that equal rewards have exactly their value as mean, and no advantage. */
static double mean_of(const lm_rollout *a, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i].reward - a[0].reward;
    return a[0].reward + sum / (double)n;
}

static double deviation(const lm_rollout *a, int64_t n)
{
    double mean = mean_of(a, n), sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (a[i].reward - mean) * (a[i].reward - mean);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

static void credit(const lm_task *task, lm_rollouts *r, lm_json *numbers)
{
    const settings *o = task->options;
    double batch = deviation(r->items, r->n);
    int64_t idle = 0;
    for (int64_t i = 0; i < r->n && o->mask_truncated; i++) r->items[i].learnt = lm_rollout_ended(&r->items[i]);
    for (int64_t begin = 0; begin < r->n; begin += r->group) {
        lm_rollout *a = r->items + begin;
        double mean = mean_of(a, r->group), own = deviation(a, r->group);
        double scale = o->scale == BY_GROUP ? own + 1e-4 : o->scale == BY_BATCH ? batch + 1e-4 : 1;
        idle += own == 0;
        for (int64_t i = 0; i < r->group; i++) {
            a[i].advantage = (a[i].reward - mean) / scale;
            for (int64_t t = a[i].first; t < a[i].first + a[i].n; t++) r->advantage[t] = (float)a[i].advantage;
        }
    }
    json_object_set_new(numbers, "equal_groups", json_real((double)(idle * r->group) / (double)r->n));
}

/* ---- the loss ---- */

/* beta KL of one token, and its derivative by log p. */
static double distance(const settings *o, double logp, double ref, double *slope)
{
    double apart = ref - logp;
    switch (o->estimator) {
    case K1: *slope += o->beta; return -o->beta * apart;
    case K2: *slope -= o->beta * apart; return o->beta * apart * apart / 2;
    default: *slope += o->beta * (1 - exp(apart)); return o->beta * (exp(apart) - apart - 1);
    }
}

/* What a token of sequence s weighs. */
static double weight_of(const settings *o, const lm_lessons *l, int64_t s)
{
    const lm_microbatch *m = l->m;
    int64_t first = l->tokens->begin[s];
    switch (o->form) {
    case GRPO: return (double)m->share / (double)(l->tokens->begin[s + 1] - first);
    case DAPO: return (double)m->weights[l->tokens->rows[first]];
    case BNPO: return (double)m->share * (double)m->n_blocks / (double)m->n_targets;
    default: return (double)m->share / (double)o->shared.max_new_tokens;
    }
}

/* The tokens of one sequence: x, their -log p, and slope, the loss's derivatives by it. */
static double sequence_loss(const settings *o, const lm_lessons *l, int64_t s, const float *x, float *slope, int64_t n)
{
    lm_rollouts *r = l->r;
    int64_t first = lm_lesson_rollout(l, s)->first;
    double weight = weight_of(o, l, s), high = 1 + (o->epsilon_high > 0 ? o->epsilon_high : o->epsilon), low = 1 - o->epsilon;
    double sum = 0, moved = 0, through = 0;          /* through: d loss / d mean log rho, of the sequence's ratio */
    for (int64_t t = 0; t < n; t++) moved += (-(double)x[t] - (double)r->old[first + t]) / (double)n;
    for (int64_t t = 0; t < n; t++) {
        double logp = -(double)x[t], own = logp - (double)r->old[first + t], advantage = (double)r->advantage[first + t], d = 0;
        double ratio = exp(o->level == SEQUENCE ? moved : own), held = fmin(fmax(ratio, low), high);
        bool clipped = held * advantage < ratio * advantage;
        double pull = clipped ? 0 : -ratio * advantage;
        sum += -(clipped ? held : ratio) * advantage + distance(o, logp, (double)r->ref[first + t], &d);
        if (o->level == SEQUENCE) through += pull;
        else d += pull;
        slope[t] -= (float)(weight * d);
        r->seen.clipped += clipped;
        r->seen.drift += exp(-own) + own - 1;
    }
    for (int64_t t = 0; t < n; t++) slope[t] -= (float)(weight * through / (double)n);
    r->seen.tokens += (double)n;
    return weight * sum;
}

static double group_loss(const void *context, const float *x, float *slope, int64_t n)
{
    const lm_lessons *l = context;
    double sum = 0;
    (void)n;
    for (int64_t s = 0; s < l->tokens->sequences; s++) {
        int64_t begin = l->tokens->begin[s];
        sum += sequence_loss(l->task->options, l, s, x + begin, slope + begin, l->tokens->begin[s + 1] - begin);
    }
    return sum;
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    const lm_lessons *l = lm_lessons_of(task, f->t, m);
    return l ? lm_by_hand(f->t, lm_lesson_costs(f, l, lm_model_forward(f), NULL), group_loss, l) : &f->t->dead;
}

static const lm_rollout_method method = { .check = check, .credit = credit };

const lm_objective lm_objective_grpo = {
    .name = "grpo", .source = "Shao et al. 2024 (DeepSeekMath), equation 3; Yu et al. 2025 (DAPO)",
    .help = "from rewards: answers of the model itself, each measured against the others to its prompt",
    .method = &method, .options = options, .options_size = sizeof(settings), .loss = loss, LM_ROLLER_HOOKS, .finish = lm_roller_finish,
};
