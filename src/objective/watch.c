#include "objective/watch.h"

#include "base/log.h"

/* What is remembered, all f32. */
enum { ROUNDS, FIRST_REWARD, FIRST_SPREAD, FIRST_ENTROPY, FIRST_LENGTH, REWARD, ENTROPY, LENGTH, DISTANCE, WARNED_ENTROPY, WARNED_LENGTH, WARNED_DISTANCE, N };

static const float PACE = 0.1f;                      /* of the running means */

lm_param *lm_watch_declare(lm_params *state) { return lm_param_declare(state, LM_INIT_ZERO, 0, 1, (int64_t[]){ N }, "rounds.seen"); }

static void mean(float *x, double value, float pace) { *x += pace * ((float)value - *x); }

static void warn_once(float *warned, const char *what, double was, double is)
{
    if (*warned > 0) return;
    *warned = 1;
    lm_log(LM_LOG_WARN, "the reward rises while %s (%.3g, now %.3g): it may be gamed; look at OUT/rollouts.jsonl", what, was, is);
}

void lm_watch_look(lm_param *watch, const lm_summary *s, bool learns)
{
    float *x = watch->t.data;
    if (!learns) {
        bool far = s->kl_per_token > 0.1 && s->kl_per_token > 2 * (double)x[DISTANCE];
        if (x[ROUNDS] > 0 && far) warn_once(&x[WARNED_DISTANCE], "held-out prompts lead it further from the reference than those it learns", (double)x[DISTANCE], s->kl_per_token);
        return;
    }
    bool first = x[ROUNDS] == 0;
    if (first) x[FIRST_REWARD] = (float)s->reward, x[FIRST_SPREAD] = (float)s->spread, x[FIRST_ENTROPY] = (float)s->entropy, x[FIRST_LENGTH] = (float)s->length;
    x[ROUNDS]++;
    float pace = first ? 1 : PACE;
    mean(&x[REWARD], s->reward, pace), mean(&x[ENTROPY], s->entropy, pace), mean(&x[LENGTH], s->length, pace), mean(&x[DISTANCE], s->kl_per_token, pace);
    if (x[REWARD] <= x[FIRST_REWARD] + 0.1f * x[FIRST_SPREAD]) return;
    if (x[ENTROPY] < 0.25f * x[FIRST_ENTROPY]) warn_once(&x[WARNED_ENTROPY], "entropy collapses", (double)x[FIRST_ENTROPY], (double)x[ENTROPY]);
    if (x[LENGTH] > 2 * x[FIRST_LENGTH]) warn_once(&x[WARNED_LENGTH], "answers grow long", (double)x[FIRST_LENGTH], (double)x[LENGTH]);
}
