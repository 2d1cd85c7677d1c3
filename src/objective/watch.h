/* Is the reward being gamed?  Beside a reward that rises, entropy, length and distance from the reference are
 * looked at, and each of them is warned of once in a run:
 *
 *   entropy   below a quarter of what it was in the first round
 *   length    more than twice what it was
 *   distance  on held-out prompts twice as far from the reference as on those that are learnt, and 0.1 nats a token
 *
 * All are running means over about ten rounds.  They stand in checkpoints, so that a resumed run warns of the
 * same. */
#ifndef LM_OBJECTIVE_WATCH_H
#define LM_OBJECTIVE_WATCH_H

#include "nn/param.h"

#include <stdbool.h>

/* Means of a round. */
typedef struct lm_summary {
    double reward, spread, length, ended;            /* spread: standard deviation of the rewards; ended: share */
    double kl, kl_per_token, drift, entropy;         /* of an answer; of a token, k3 and k1; see rollout.h */
} lm_summary;

/* What it remembers, declared among what a run remembers. */
lm_param *lm_watch_declare(lm_params *state);

/* learns: a round of the run, else one on held-out prompts. */
void lm_watch_look(lm_param *watch, const lm_summary *s, bool learns);

#endif
