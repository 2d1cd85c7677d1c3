/* Answers of the model itself, judged: what the objectives that learn from them share.
 *
 * A round asks N prompts G times each.  What the policy gives token t of an answer is
 *
 *   p(y_t | x, y_<t) = softmax(z / temperature)
 *
 * and `old` and `ref` are its logarithm before the round's first update and that of the reference.  Both come from
 * the code that trains, not from the session that wrote the answer: sums of another order would make a ratio
 * p / p_old that is not 1 before anything was learnt (some 1e-2 a token in bf16).
 *
 * A prompt is a row's "prompt" (text or messages) or, of a conversation, "messages" without the answers at its end; the row
 * itself is kept for the rewards.  The KL to the reference is estimated over sampled tokens: `kl` of an answer sums
 * log p - log p_ref (Schulman 2020, "Approximating KL divergence", k1), `kl_per_token` is the mean of k3.  Entropy is
 * that of the policy at each token, exactly. */
#ifndef LM_OBJECTIVE_ROLLOUT_H
#define LM_OBJECTIVE_ROLLOUT_H

#include "infer/session.h"
#include "objective/learnt.h"
#include "reward/reward.h"
#include "train/objective.h"

/* Such a method's options begin with this. */
typedef struct lm_rollout_options {
    const char *template;
    lm_strings rewards, stop;
    int64_t prompts, group, passes, max_new_tokens, at_once, top_k, shown;
    double temperature, top_p, min_p, patience, max_kl, stop_kl;
    bool show_ids;
} lm_rollout_options;

#define LM_OPTION_ROLLOUT(type, how_many, how_often) \
    LM_OPTION(LIST, type, shared.rewards, "reward", .required = true, .metavar = "KIND,..", .help = "what an answer is worth: exact, numeric, regex:R, json, length:N, model:FOLDER, program:COMMAND; WEIGHT*KIND; several add up"), \
    LM_OPTION(INT, type, shared.prompts, "prompts", .fallback = "8", .min = 1, .max = 1 << 20, .help = "prompts of a round, which is a step of the run"), \
    LM_OPTION(INT, type, shared.group, "group", .fallback = how_many, .min = 1, .max = 1 << 16, .help = "answers to each prompt"), \
    LM_OPTION(INT, type, shared.passes, "epochs-per-round", .fallback = how_often, .min = 1, .max = 1000, .help = "passes over a round's answers, --batch-size times --accumulate of them an update"), \
    LM_OPTION(INT, type, shared.max_new_tokens, "max-new-tokens", .fallback = "64", .min = 1, .max = 1 << 24, .help = "tokens of an answer at most"), \
    LM_OPTION(LIST, type, shared.stop, "stop", .metavar = "TEXT,..", .help = "an answer ends in front of any of these"), \
    LM_OPTION(REAL, type, shared.temperature, "temperature", .fallback = "1", .min = 0.01, .max = 100, .help = "of the policy: divides its logits"), \
    LM_OPTION(INT, type, shared.top_k, "top-k", .fallback = "0", .max = 1 << 30, .help = "draw among the K most probable tokens (0: all)"), \
    LM_OPTION(REAL, type, shared.top_p, "top-p", .fallback = "1", .max = 1, .help = "draw among the fewest tokens whose probability reaches P (1: all)"), \
    LM_OPTION(REAL, type, shared.min_p, "min-p", .fallback = "0", .max = 1, .help = "leave out tokens less probable than this part of the most probable (0: none)"), \
    LM_OPTION(INT, type, shared.at_once, "rollout-batch", .fallback = "32", .min = 1, .max = 1 << 16, .help = "answers written at the same time"), \
    LM_OPTION(REAL, type, shared.patience, "reward-timeout", .fallback = "10", .min = 0.01, .max = 1e6, .help = "seconds a reward program may take for an answer"), \
    LM_OPTION(REAL, type, shared.max_kl, "max-kl", .fallback = "5", .max = 1e9, .help = "stop where the policy is further from the reference, in nats a token (0: never)"), \
    LM_OPTION(REAL, type, shared.stop_kl, "stop-kl", .fallback = "0", .max = 1e9, .help = "end a round early where an update finds the policy further from the one that answered, in nats a token (0: never)"), \
    LM_OPTION(INT, type, shared.shown, "log-rollouts", .fallback = "8", .max = 1e9, .help = "answers of each round that go into OUT/rollouts.jsonl"), \
    LM_OPTION(FLAG, type, shared.show_ids, "log-ids", .help = "with their token ids"), \
    LM_OPTION(STRING, type, shared.template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's")

/* An answer. */
typedef struct lm_rollout {
    int64_t prompt;                      /* 0 .. of the round */
    int64_t row;                         /* document of the prompts */
    lm_ids ids;                          /* prompt and answer */
    int64_t n_prompt, n, most;           /* tokens of both, and of the answer at most */
    lm_str text;                         /* of the answer, UTF-8 */
    lm_finish finish;
    double reward;
    double advantage;                    /* of the whole answer, for the table */
    bool learnt;                         /* whether the objective learns from it: true until `credit` says otherwise */
    int64_t first;                       /* where its tokens begin in the arrays of the round */
} lm_rollout;

/* Whether it came to its own end. */
static inline bool lm_rollout_ended(const lm_rollout *a) { return a->finish == LM_FINISH_EOS || a->finish == LM_FINISH_STOP; }

/* All of a round, prompt after prompt; item i is document i of the round's answers. */
typedef struct lm_rollouts {
    lm_rollout *items;
    int64_t n, group, n_tokens, prompts;
    lm_json **rows;                      /* [prompts] as the rewards see them */
    char **places;                       /* [prompts] "file.jsonl:12" */
    double *parts;                       /* [n, rewards] */
    float *old, *ref;                    /* [n_tokens] */
    float *advantage;                    /* [n_tokens] by the objective */
    float *value, *target;               /* [n_tokens] what a value head says and should say; NULL without one */
    struct {
        double entropy;                  /* summed over the round's tokens */
        double clipped, tokens;          /* of the updates */
        double drift;                    /* sum of k3 from the policy before the round */
        double tokens_before, drift_before;      /* the last update */
    } seen;
} lm_rollouts;

struct lm_lessons;
struct lm_writing;

/* What a method adds. */
typedef struct lm_rollout_method {
    lm_status (*check)(const void *options, lm_err *err);                    /* of options together; NULL: none */
    lm_status (*declare)(lm_task *task, lm_params *trained, lm_params *state, lm_err *err);      /* what trains or is remembered beside the model; NULL: nothing */
    lm_tensor *(*value)(const lm_forward *f, const struct lm_lessons *l, lm_tensor *hidden);     /* [tokens] what a value head says; NULL: there is none */
    /* Writes the answers of a round that is learnt from; NULL: they are drawn one by one. */
    lm_status (*write)(const lm_task *task, lm_rollouts *r, const struct lm_writing *w, lm_err *err);
    /* Says what tokens are worth, or which answers are learnt; adds to the numbers of the log. */
    void (*credit)(const lm_task *task, lm_rollouts *r, lm_json *numbers);
} lm_rollout_method;

/* The hooks of lm_objective; .method is the lm_rollout_method. */
lm_status lm_roller_prepare(lm_task *task, lm_err *err);
void lm_roller_release(lm_task *task);
lm_status lm_roller_render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err);
lm_status lm_roller_collect(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err);
lm_status lm_roller_finish(const lm_task *task, const char *out, lm_err *err);
extern const lm_rounds lm_roller_rounds;

#define LM_ROLLER_HOOKS \
    .prepare = lm_roller_prepare, .release = lm_roller_release, .render = lm_roller_render, .collect = lm_roller_collect, \
    .rounds = &lm_roller_rounds

/* ---- for methods ---- */

/* A place for what a method keeps beside it all, which it frees itself. */
void **lm_roller_own(const lm_task *task);

/* What rewards say of n answers of the round: see lm_rewards_score. */
lm_status lm_rollouts_judge(const lm_rewards *rewards, const lm_rollouts *r, const lm_rollout *items, int64_t n, double *total, double *parts, lm_err *err);

/* The learnt tokens of a micro-batch of the round's answers; on the tape.  NULL after a failure. */
typedef struct lm_lessons {
    const lm_task *task;
    const lm_microbatch *m;
    const lm_learnt *tokens;
    lm_rollouts *r;
} lm_lessons;
lm_lessons *lm_lessons_of(const lm_task *task, lm_tape *t, const lm_microbatch *m);

/* The answer of sequence s. */
lm_rollout *lm_lesson_rollout(const lm_lessons *l, int64_t s);

/* -log p of each of these tokens [n] under the policy, from the hidden states, and its entropy there (NULL: not
 * wanted). */
lm_tensor *lm_lesson_costs(const lm_forward *f, const lm_lessons *l, lm_tensor *hidden, lm_tensor **entropy);

#endif
