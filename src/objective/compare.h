/* Sequences of one row that are compared with each other: what the objectives of alignment share.
 *
 * The log-probability of a sequence is that of its learnt tokens,
 *
 *   log p(y | x) = sum_i log p(y_i | x, y_0 .. y_{i-1})
 *
 * and a method is a function of those of a row, of what a reference model gave them, of their lengths and
 * of the number that the row gave them (a rating).  It is written in plain C with its derivative.
 *
 * The reference is the model as it was: the same one with its adapter switched off, so that no second copy
 * is needed, or, where every weight trains, its folder mapped once more.  What it gave a sequence is
 * computed when the sequence is first seen, and kept. */
#ifndef LM_OBJECTIVE_COMPARE_H
#define LM_OBJECTIVE_COMPARE_H

#include "objective/answer.h"

/* The sequences of a row. */
typedef struct lm_compared {
    int64_t n;
    const double *logp, *ref;            /* [n]; ref: all 0 for a method without a reference */
    const int64_t *length;               /* [n] tokens learnt */
    const float *value;                  /* [n] */
    double kl;                           /* of the model from the reference, at least 0, for a method that needs it */
} lm_compared;

typedef struct lm_comparison {
    lm_status (*check)(const void *options, lm_err *err);        /* of options together; NULL: none */
    /* The loss of a row, and slope[i] += d loss / d logp[i], slope being zero. */
    double (*loss)(const void *options, const lm_compared *c, double *slope);
    /* How good the model finds sequence i, for the accuracy that a measurement prints. */
    double (*reward)(const void *options, const lm_compared *c, int64_t i);
    /* Whether c->kl is wanted: estimated on the prompts of a micro-batch with the answers of their neighbours
     * (compare_kl.c).  NULL: never. */
    bool (*needs_kl)(const void *options);
    /* With `scores`: how much learning the best answer's tokens weighs beside it.  NULL: never. */
    double (*lm_weight)(const void *options);
    bool refers;                         /* needs the reference */
    bool scores;                         /* logp[i] is what a head of scores gives the last token instead */
    bool alone;                          /* a row is one sequence: good (its value is above 0) or bad, by its reward */
} lm_comparison;

/* Such a method's options begin with this. */
typedef struct lm_compare_options {
    const char *template;
} lm_compare_options;

#define LM_OPTION_COMPARE(type) \
    LM_OPTION(STRING, type, shared.template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's")

/* The hooks of lm_objective; .method is the lm_comparison. */
lm_status lm_comparer_prepare(lm_task *task, lm_err *err);
void lm_comparer_release(lm_task *task);
lm_status lm_comparer_collect(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err);
lm_tensor *lm_comparer_loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m);
lm_tensor *lm_comparer_measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m);
lm_json *lm_comparer_measured(const lm_task *task);
lm_status lm_comparer_finish(const lm_task *task, const char *out, lm_err *err);

#define LM_COMPARER_HOOKS \
    .prepare = lm_comparer_prepare, .release = lm_comparer_release, .collect = lm_comparer_collect, .loss = lm_comparer_loss, \
    .measure = lm_comparer_measure, .measured = lm_comparer_measured, .finish = lm_comparer_finish

/* ---- rows: render of lm_objective ---- */

/* A preferred answer and a worse one:
 *   {"prompt": .., "chosen": .., "rejected": .., "margin": 0.5}
 * text, or messages (the prompt's, then the answers'); without a prompt it is what both begin with.  The
 * chosen one becomes sequence 0, whose value is the margin (0 where none is given).  Of a ranked row, as below, the
 * best and the worst. */
lm_status lm_compare_pair(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err);

/* An answer that is good or bad by itself, worth 1 or 0:
 *   {"prompt": .., "completion": .., "label": true}
 * or a pair, which counts as two such rows. */
lm_status lm_compare_labelled(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err);

/* Any number of answers with what they are worth:
 *   {"prompt": .., "completions": [..], "scores": [..]}
 * or, without scores, from best to worst; or a pair, worth 1 and 0.  The best becomes sequence 0; values are
 * the scores.  Equal scores are no preference; a row of nothing else is refused. */
lm_status lm_compare_ranked(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err);

/* The same for a model of several scores, each for one criterion, which it is named after:
 *   {"prompt": .., "completions": [..], "ratings": {"helpful": [..], "honest": [..]}}
 * A row is compared once by each criterion that rates it, and the lesson of its sequences is the criterion's number. */
lm_status lm_compare_rated(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err);

lm_answers *lm_comparer_answers(const lm_task *task);

/* ---- the answers of neighbours: compare_kl.c ---- */

/* The prompts of m with each other's answers, y_(i-1) to x_i and the last to the first, none longer than
 * `context`; the caller frees with lm_mismatched_free. */
typedef struct lm_mismatched {
    lm_microbatch m;
    int32_t *ids, *positions;
    lm_segment *segments;
} lm_mismatched;
void lm_mismatched_make(lm_mismatched *out, const lm_microbatch *m, int64_t context);
void lm_mismatched_free(lm_mismatched *mm);

/* ---- for methods ---- */

double lm_log_sigmoid(double x);         /* without overflow */
double lm_sigmoid(double x);

#endif
