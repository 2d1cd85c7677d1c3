/* How near the answer's length is to a target, or whether it keeps to a limit; in tokens, n of them:
 *
 *   length:N      max(0, 1 - |n - N| / N)
 *   length:<N     1 up to N, then max(0, 2 - n / N) */
#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>

typedef struct target {
    double tokens;
    bool limit;
} target;

static lm_status open_target(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    (void)means;
    bool limit = argument[0] == '<';
    char *end;
    double tokens = strtod(argument + limit, &end);
    if (*end || !(tokens >= 1 && tokens <= 1e9)) return lm_fail(err, LM_E_USAGE, "expected a number of tokens from 1 on, or <NUMBER");
    target *t = *own = lm_malloc(sizeof *t);
    *t = (target){ .tokens = tokens, .limit = limit };
    return LM_OK;
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    (void)err;
    const target *t = own;
    for (int64_t i = 0; i < n; i++) {
        double tokens = (double)attempts[i].n_tokens, over = tokens - t->tokens;
        out[i] = fmax(0, 1 - (t->limit ? fmax(0, over) : fabs(over)) / t->tokens);
    }
    return LM_OK;
}

const lm_reward lm_reward_length = {
    .name = "length", .help = "how near the answer is to N tokens, or (<N) whether it is no longer", .argument = "N", .needs_argument = true,
    .open = open_target, .close = free, .score = score,
};
