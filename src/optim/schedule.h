/* Learning rates over a run.
 *
 * Every schedule climbs in a straight line over the first `warmup` steps (step W stands at the peak),
 * then follows its own curve of p in [0, 1), the share of the remaining steps that lies behind.  No
 * step is made at the rate of p = 1, which may be zero. */
#ifndef LM_OPTIM_SCHEDULE_H
#define LM_OPTIM_SCHEDULE_H

#include <stdint.h>

typedef enum lm_schedule_kind {
    LM_SCHEDULE_CONSTANT,
    LM_SCHEDULE_LINEAR,
    LM_SCHEDULE_COSINE,          /* Loshchilov & Hutter 2017, "SGDR", equation 5, one period */
    LM_SCHEDULE_WSD,             /* warm-up, stable, decay: Hu et al. 2024, "MiniCPM", section 4 */
} lm_schedule_kind;

extern const char *const lm_schedule_names[];        /* "constant", "linear", "cosine", "wsd", NULL */

typedef struct lm_schedule {
    lm_schedule_kind kind;
    double peak, floor;          /* learning rates; the constant one ignores floor */
    int64_t steps, warmup;       /* 0 <= warmup <= steps */
    int64_t decay;               /* wsd: length of the last part, in which the rate falls in a straight line */
} lm_schedule;

/* The learning rate of step 1 .. steps. */
double lm_schedule_at(const lm_schedule *s, int64_t step);

#endif
