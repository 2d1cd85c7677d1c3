/* Best of n, also rejection sampling or RAFT: the model learns the best of its own answers as if it had been shown
 * it.
 *
 *   y* = argmax over the --group answers y to x of r(x, y)       loss = - 1/n sum log p(y*_t | x, y*_<t)
 *
 * Of answers that are equally good the first one counts.  A prompt whose answers are all worth the same teaches
 * nothing, and neither does one whose best is below --least; they are left out and counted ("kept" in the log).  Every round draws
 * from the model as it is by then, which makes the iterations of RAFT.
 *
 * Sources: Dong et al. 2023 (RAFT), algorithm 1; Stiennon et al. 2020, section 4.3 (best of n). */
#include "objective/rollout.h"


typedef struct settings {
    lm_rollout_options shared;
    double least;
} settings;

static const lm_option options[] = {
    LM_OPTION_ROLLOUT(settings, "4", "1"),
    LM_OPTION(REAL, settings, least, "least", .fallback = "-1e9", .min = -1e9, .max = 1e9, .help = "reward that the best answer must have to be learnt"),
    { 0 },
};

static lm_status check(const void *set, lm_err *err)
{
    const settings *o = set;
    if (o->shared.group >= 2) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "--group %lld: the best of several is chosen, expected 2 or more", (long long)o->shared.group);
}

/* The best answer of a prompt, or -1. */
static int64_t best(const lm_rollout *a, int64_t n, double least)
{
    int64_t at = 0;
    bool equal = true;
    for (int64_t i = 1; i < n; i++) {
        equal &= a[i].reward == a[0].reward;
        if (a[i].reward > a[at].reward) at = i;
    }
    return equal || a[at].reward < least ? -1 : at;
}

static void credit(const lm_task *task, lm_rollouts *r, lm_json *numbers)
{
    const settings *o = task->options;
    double sum = 0, kept = 0, prompts = (double)(r->n / r->group);
    for (int64_t begin = 0; begin < r->n; begin += r->group) {
        lm_rollout *a = r->items + begin;
        int64_t chosen = best(a, r->group, o->least);
        for (int64_t i = 0; i < r->group; i++) a[i].learnt = i == chosen;
        if (chosen >= 0) sum += a[chosen].reward, kept++;
    }
    json_object_set_new(numbers, "kept", json_real(kept / prompts));
    json_object_set_new(numbers, "reward_best", kept > 0 ? json_real(sum / kept) : json_null());
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return lm_next_token_loss(f, m);
}

static const lm_rollout_method method = { .check = check, .credit = credit };

const lm_objective lm_objective_best_of_n = {
    .name = "best_of_n", .source = "Dong et al. 2023 (RAFT), algorithm 1",
    .help = "from rewards: the best of several answers of the model itself is learnt (rejection sampling)",
    .method = &method, .options = options, .options_size = sizeof(settings), .loss = loss, LM_ROLLER_HOOKS, .finish = lm_roller_finish,
};
