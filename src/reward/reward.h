/* Rewards: what an answer is worth, said by something that computes it.
 *
 * One file each, reward/<name>.c.  On the command line a reward is "NAME", "NAME:ARGUMENT" or either with a
 * weight before it, "0.5*NAME:ARGUMENT"; several are added, and each part is kept for the log. */
#ifndef LM_REWARD_REWARD_H
#define LM_REWARD_REWARD_H

#include "base/json.h"
#include "base/option.h"
#include "tensor/kernel.h"

/* An answer that is to be judged. */
typedef struct lm_attempt {
    const lm_json *row;                  /* of the data, an object: the prompt and whatever stands beside it; messages without answers at their end */
    const char *place;                   /* "file.jsonl:12", of the row */
    lm_span text;                        /* of the answer, UTF-8 */
    bool ended;                          /* it came to its own end */
    int64_t n_tokens;                    /* that it took to write it */
} lm_attempt;

/* What a reward may need to compute with. */
typedef struct lm_reward_means {
    const lm_kernels *k;
    double patience;                     /* seconds to wait for a program */
} lm_reward_means;

typedef struct lm_reward {
    const char *name, *help;
    const char *argument;                /* what stands behind the colon, for help; NULL: nothing may */
    bool needs_argument;
    lm_status (*open)(void **own, const char *argument, const lm_reward_means *means, lm_err *err);     /* argument NULL: none; hook NULL: nothing to open */
    void (*close)(void *own);
    /* Whether a row of the data has what is needed; on several threads at once.  NULL: every row has. */
    lm_status (*check)(const void *own, const lm_json *row, lm_err *err);
    lm_status (*score)(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err);
} lm_reward;

extern const lm_reward *const lm_reward_registry[];

typedef struct lm_reward_part {
    const lm_reward *type;
    double weight;
    char *label;                         /* as it was asked for, without the weight; unique */
    void *own;
} lm_reward_part;

typedef struct lm_rewards {
    lm_reward_part *parts;
    int n;
} lm_rewards;

/* LM_E_USAGE names what cannot be understood.  Closed by the caller also after a failure. */
lm_status lm_rewards_open(lm_rewards *r, const lm_strings *specs, const lm_reward_means *means, lm_err *err);
void lm_rewards_close(lm_rewards *r);    /* takes {0} */

lm_status lm_rewards_check(const lm_rewards *r, const lm_json *row, lm_err *err);

/* parts [n, r->n], each without its weight, and total [n].  LM_E_NUMERIC when one is not finite. */
lm_status lm_rewards_score(const lm_rewards *r, double *total, double *parts, const lm_attempt *attempts, int64_t n, lm_err *err);

#endif
