#include "optim/schedule.h"

#include <math.h>
#include <stddef.h>

const char *const lm_schedule_names[] = { "constant", "linear", "cosine", "wsd", NULL };

/* What is left of the peak, 1 .. 0, when `done` of `all` steps lie behind. */
static double remaining(const lm_schedule *s, int64_t done, int64_t all)
{
    int64_t stable = all - s->decay;
    double p = (double)done / (double)all;
    switch (s->kind) {
    case LM_SCHEDULE_LINEAR: return 1 - p;
    case LM_SCHEDULE_COSINE: return 0.5 * (1 + cos(3.14159265358979323846 * p));
    case LM_SCHEDULE_WSD:    return done <= stable ? 1 : 1 - (double)(done - stable) / (double)s->decay;
    default:                 return 1;
    }
}

double lm_schedule_at(const lm_schedule *s, int64_t step)
{
    if (step <= s->warmup) return s->peak * (double)step / (double)s->warmup;
    return s->floor + (s->peak - s->floor) * remaining(s, step - s->warmup - 1, s->steps - s->warmup);
}
