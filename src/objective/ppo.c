/* Proximal policy optimisation: every token is judged by what came after it, measured against what a value head
 * expected.
 *
 *   r_t      = -beta (log p_old - log p_ref)(t), and at the last token + the reward of the answer
 *   delta_t  = r_t + gamma V_{t+1} - V_t                            V behind the last token is 0
 *   A_t      = delta_t + gamma lambda A_{t+1}                        R_t = A_t + V_t, what V should have said
 *   policy   = mean_t -min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t)           rho_t = p / p_old
 *   value    = mean_t 1/2 max((V - R_t)^2, (V_old + clip(V - V_old, -eps_v, eps_v) - R_t)^2)
 *   loss     = policy + c_v value - c_e mean_t H_t                   over the tokens of an update
 *
 * V is a linear head on last hidden states, where token t is predicted: those of the policy, where it trains beside the
 * adapter or the weights (with --value-detached its gradient stops there), or those of a value model apart
 * (objective/value.h): with --value-apart the policy's base under an adapter of its own, with --value-model another model.
 * Advantages are whitened over the round (--whiten-advantages), and with --whiten-rewards so are the rewards of tokens,
 * whose mean stays where it was.  With --kl-target beta follows it: beta <- beta (1 + 0.1 clip(KL / target - 1, -0.2, 0.2)), once
 * a round; it stands in checkpoints.
 *
 * Sources: Schulman et al. 2017, equations 7, 9, 11 and 12; Schulman et al. 2016 (GAE), equation 16; Ziegler et al. 2019,
 * section 2.2 (KL in the reward, adaptive beta); Ouyang et al. 2022, appendix C.4; the clipped value and whitening as
 * in OpenAI's and TRL's programs (Huang et al. 2024, "The N+ implementation details of RLHF with PPO").  Left out:
 * pretraining gradients (PPO-ptx). */
#include "objective/rollout.h"
#include "objective/value.h"

#include "nn/param.h"

#include <math.h>
#include <stdlib.h>

static const char *const estimators[] = { "k1", "k3", NULL };
enum { K1, K3 };

typedef struct settings {
    lm_rollout_options shared;
    lm_value_options value;
    double gamma, lambda, epsilon, value_epsilon, value_weight, beta, kl_target, entropy, missing_eos;
    int estimator;
    bool whiten_rewards, whiten_advantages;
} settings;

static const lm_option options[] = {
    LM_OPTION_ROLLOUT(settings, "1", "4"),
    LM_OPTION(REAL, settings, gamma, "gamma", .fallback = "1", .max = 1, .help = "what a later reward is worth"),
    LM_OPTION(REAL, settings, lambda, "lambda", .fallback = "0.95", .max = 1, .help = "of GAE: 1 takes what came after, 0 what the value head expected"),
    LM_OPTION(REAL, settings, epsilon, "epsilon", .fallback = "0.2", .max = 1, .help = "how far from 1 a ratio counts"),
    LM_OPTION(REAL, settings, value_epsilon, "value-epsilon", .fallback = "0.2", .max = 1e9, .help = "how far a value may move in a round; 0: any"),
    LM_OPTION(REAL, settings, value_weight, "value-weight", .fallback = "0.1", .max = 1e6, .help = "weight of the value head's loss"),
    LM_OPTION(REAL, settings, value.rate, "value-rate", .fallback = "10", .max = 1e6, .help = "its learning rate, times --lr"),
    LM_OPTION(FLAG, settings, value.detached, "value-detached", .help = "the value head's gradient does not reach the policy's trunk"),
    LM_OPTION(FLAG, settings, value.apart, "value-apart", .help = "the value head stands on the base with an adapter of its own"),
    LM_OPTION(STRING, settings, value.folder, "value-model", .metavar = "FOLDER", .help = "the value head stands on another model, such as the reward model"),
    LM_OPTION(REAL, settings, beta, "beta", .fallback = "0.05", .max = 1e6, .help = "weight of the KL to the reference in the reward"),
    LM_OPTION(CHOICE, settings, estimator, "kl", .fallback = "k1", .choices = estimators, .help = "how that KL is estimated by token"),
    LM_OPTION(REAL, settings, kl_target, "kl-target", .fallback = "0", .max = 1e9, .help = "nats an answer that beta is moved to keep to; 0: beta is fixed"),
    LM_OPTION(REAL, settings, entropy, "entropy-bonus", .fallback = "0", .max = 1e6, .help = "weight of the policy's entropy"),
    LM_OPTION(REAL, settings, missing_eos, "missing-eos-penalty", .fallback = "0", .max = 1e9, .help = "taken from the reward of an answer that was cut off"),
    LM_OPTION(FLAG, settings, whiten_rewards, "whiten-rewards", .help = "rewards of tokens of variance 1 around the mean that they have"),
    LM_OPTION(FLAG, settings, whiten_advantages, "whiten-advantages", .fallback = "true", .help = "advantages of mean 0 and variance 1"),
    { 0 },
};

/* ---- what is learnt and remembered beside the model ---- */

static const char BETA[] = "ppo.beta";

static lm_value *value_of(const lm_task *task) { return *lm_roller_own(task); }

static lm_status declare(lm_task *task, lm_params *trained, lm_params *state, lm_err *err)
{
    const settings *o = task->options;
    lm_value *v = *lm_roller_own(task) = lm_calloc(1, sizeof *v);
    lm_param_declare(state, LM_INIT_ONE, 0, 1, (int64_t[]){ 1 }, "%s", BETA);       /* times --beta */
    return lm_value_open(v, task, &o->value, trained, err);
}

static void release(lm_task *task)
{
    lm_value *v = task->own ? value_of(task) : NULL;
    if (v) lm_value_close(v);
    free(v);
    lm_roller_release(task);
}

static lm_tensor *value(const lm_forward *f, const lm_lessons *l, lm_tensor *hidden)
{
    return lm_value_at(value_of(l->task), f, hidden, lm_learnt_index(f->t, l->tokens));
}

static lm_status finish(const lm_task *task, const char *out, lm_err *err)
{
    LM_TRY(lm_value_save(value_of(task), out, err));
    return lm_roller_finish(task, out, err);
}

/* ---- what tokens are worth ---- */

/* r_t of one answer, into x [n]; returns its KL. */
static double rewards_of(double *x, const settings *o, double beta, const lm_rollouts *r, const lm_rollout *a)
{
    double kl = 0;
    for (int64_t t = 0; t < a->n; t++) {
        double apart = (double)r->ref[a->first + t] - (double)r->old[a->first + t];
        double estimate = o->estimator == K1 ? -apart : exp(apart) - apart - 1;
        x[t] = -beta * estimate;
        kl += estimate;
    }
    x[a->n - 1] += a->reward - (lm_rollout_ended(a) ? 0 : o->missing_eos);
    return kl;
}

typedef struct moments {
    double mean, deviation;
} moments;

static moments moments_of(const double *x, int64_t n)
{
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)(n > 1 ? n - 1 : 1);
    return (moments){ mean, sqrt(square + 1e-8) };
}

/* From the last token back; reward becomes advantage. */
static void advantages_of(double *x, float *target, const float *v, const settings *o, int64_t n)
{
    double later = 0;
    for (int64_t t = n - 1; t >= 0; t--) {
        double next = t + 1 < n ? (double)v[t + 1] : 0;
        x[t] = later = x[t] + o->gamma * next - (double)v[t] + o->gamma * o->lambda * later;
        target[t] = (float)(x[t] + (double)v[t]);
    }
}

static void follow(float *beta, double kl, double target)
{
    double off = fmin(fmax(kl / target - 1, -0.2), 0.2);
    *beta *= (float)(1 + 0.1 * off);
}

static void credit(const lm_task *task, lm_rollouts *r, lm_json *numbers)
{
    const settings *o = task->options;
    float *factor = lm_param_find(task->state, BETA)->t.data;
    double *x = lm_malloc((size_t)r->n_tokens * sizeof *x), kl = 0, surprise = 0, beta = o->beta * (double)*factor;
    for (int64_t i = 0; i < r->n; i++) kl += rewards_of(x + r->items[i].first, o, beta, r, &r->items[i]) / (double)r->n;
    const moments given = o->whiten_rewards ? moments_of(x, r->n_tokens) : (moments){ 0, 1 };
    for (int64_t t = 0; t < r->n_tokens; t++) x[t] = (x[t] - given.mean) / given.deviation + given.mean;
    for (int64_t i = 0; i < r->n; i++) {
        int64_t first = r->items[i].first;
        advantages_of(x + first, r->target + first, r->value + first, o, r->items[i].n);
        r->items[i].advantage = x[first];
    }
    for (int64_t t = 0; t < r->n_tokens; t++) surprise += x[t] * x[t] / (double)r->n_tokens;
    const moments m = o->whiten_advantages ? moments_of(x, r->n_tokens) : (moments){ 0, 1 };
    for (int64_t t = 0; t < r->n_tokens; t++) r->advantage[t] = (float)((x[t] - m.mean) / m.deviation);
    free(x);
    if (o->kl_target > 0) follow(factor, kl, o->kl_target);
    json_object_set_new(numbers, "beta", json_real(beta));
    json_object_set_new(numbers, "value_error", json_real(sqrt(surprise)));
}

/* ---- the loss: each term a function of numbers by token ---- */

static double policy_loss(const void *context, const float *x, float *slope, int64_t n)
{
    const lm_lessons *l = context;
    const settings *o = l->task->options;
    lm_rollouts *r = l->r;
    double sum = 0;
    for (int64_t s = 0, i = 0; s < l->tokens->sequences; s++) {
        int64_t at = lm_lesson_rollout(l, s)->first;
        for (; i < l->tokens->begin[s + 1]; i++, at++) {
            double moved = -(double)x[i] - (double)r->old[at], ratio = exp(moved), advantage = (double)r->advantage[at];
            double held = fmin(fmax(ratio, 1 - o->epsilon), 1 + o->epsilon), weight = (double)l->m->weights[l->tokens->rows[i]];
            bool clipped = held * advantage < ratio * advantage;
            sum -= weight * (clipped ? held : ratio) * advantage;
            slope[i] += clipped ? 0 : (float)(weight * ratio * advantage);
            r->seen.clipped += clipped;
            r->seen.drift += exp(-moved) + moved - 1;
        }
    }
    r->seen.tokens += (double)n;
    return sum;
}

static double value_loss(const void *context, const float *v, float *slope, int64_t n)
{
    const lm_lessons *l = context;
    const settings *o = l->task->options;
    double sum = 0, most = o->value_epsilon > 0 ? o->value_epsilon : INFINITY;
    (void)n;
    for (int64_t s = 0, i = 0; s < l->tokens->sequences; s++) {
        int64_t at = lm_lesson_rollout(l, s)->first;
        for (; i < l->tokens->begin[s + 1]; i++, at++) {
            double old = (double)l->r->value[at], target = (double)l->r->target[at], moved = (double)v[i] - old;
            double off = (double)v[i] - target, held = old + fmin(fmax(moved, -most), most) - target;
            double weight = o->value_weight * (double)l->m->weights[l->tokens->rows[i]];
            bool plain = off * off >= held * held;
            sum += weight / 2 * (plain ? off * off : held * held);
            slope[i] += (float)(weight * (plain ? off : fabs(moved) < most ? held : 0));
        }
    }
    return sum;
}

static double entropy_loss(const void *context, const float *h, float *slope, int64_t n)
{
    const lm_lessons *l = context;
    const settings *o = l->task->options;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double weight = o->entropy * (double)l->m->weights[l->tokens->rows[i]];
        sum -= weight * (double)h[i];
        slope[i] -= (float)weight;
    }
    return sum;
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    const settings *o = task->options;
    const lm_lessons *l = lm_lessons_of(task, f->t, m);
    if (!l) return &f->t->dead;
    lm_tensor *hidden = lm_model_forward(f), *entropy, *costs = lm_lesson_costs(f, l, hidden, o->entropy > 0 ? &entropy : NULL);
    lm_tensor *sum = lm_add(f->t, lm_by_hand(f->t, costs, policy_loss, l), lm_by_hand(f->t, value(f, l, hidden), value_loss, l));
    return o->entropy > 0 ? lm_add(f->t, sum, lm_by_hand(f->t, entropy, entropy_loss, l)) : sum;
}

static const lm_rollout_method method = { .declare = declare, .value = value, .credit = credit };

const lm_objective lm_objective_ppo = {
    .name = "ppo", .source = "Schulman et al. 2017, equation 9; Ziegler et al. 2019, section 2.2",
    .help = "from rewards: answers of the model itself, every token measured against a value head, near to the reference",
    .method = &method, .options = options, .options_size = sizeof(settings), .loss = loss,
    .prepare = lm_roller_prepare, .release = release, .render = lm_roller_render, .collect = lm_roller_collect,
    .rounds = &lm_roller_rounds, .finish = finish,
};
