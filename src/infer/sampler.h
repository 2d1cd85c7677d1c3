/* Sampling: from the logits of one position to the next token.
 *
 * The filters act in the order in which transformers applies them, each on what the one before left:
 *
 *   repetition penalty   z_i <- z_i / r if z_i > 0, else z_i * r, for every i that has been seen
 *                        (Keskar et al. 2019, "CTRL", section 4.1)
 *   temperature          z <- z / t
 *   top-k                keep z_i >= the k-th largest (ties with it stay)
 *   top-p                keep the fewest most probable tokens whose mass reaches p
 *                        (Holtzman et al. 2020, "The curious case of neural text degeneration")
 *   min-p                keep p_i >= min_p * max p (Nguyen et al. 2024, "Turning up the heat")
 *
 * The draw is a pure function of (seed, stream, position), so a sequence gets the same tokens alone
 * and inside any batch. */
#ifndef LM_INFER_SAMPLER_H
#define LM_INFER_SAMPLER_H

#include "base/err.h"
#include "base/option.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lm_sampling {
    bool greedy;                         /* the most probable token after the penalty; of equals the first */
    double temperature;                  /* > 0; 0 means greedy */
    int64_t top_k;                       /* 0: off */
    double top_p, min_p;                 /* 1 and 0: off */
    double repetition_penalty;           /* 1: off */
    int64_t seed;
} lm_sampling;

/* The table of these settings for every command that samples. */
extern const lm_option lm_sampling_options[];

typedef struct lm_candidate {
    float logit;
    int32_t id;
} lm_candidate;

/* Room to work in.  One per thread. */
typedef struct lm_sampler {
    int64_t vocab;
    float *logits;                       /* [vocab] a copy, for the penalty */
    lm_candidate *heap;                  /* [vocab] */
    double *mass;                        /* [vocab] of the kept candidates their probabilities */
    bool *seen;                          /* [vocab] all false between calls */
} lm_sampler;

void lm_sampler_init(lm_sampler *s, int64_t vocab);
void lm_sampler_free(lm_sampler *s);     /* takes a zeroed one */

/* What a draw gave: the token and its log-probability under the model itself (no filter, no
 * temperature), which is what alignment methods need. */
typedef struct lm_draw {
    int32_t id;
    float logprob;
} lm_draw;

/* Draws a token for logits [vocab]; `context` [n_context] are the tokens so far, all within the
 * vocabulary.  LM_E_NUMERIC when a logit is NaN or none is finite. */
lm_status lm_sample(lm_sampler *s, lm_draw *out, const float *logits, const lm_sampling *how, const int32_t *context,
                    int64_t n_context, uint64_t stream, uint64_t position, lm_err *err);

/* The distribution that lm_sample draws from without greedy: fills s->heap[0..n) in order of falling
 * probability (of equals the smaller id first) and s->mass[0..n), which sums to 1; returns n. */
int64_t lm_sample_distribution(lm_sampler *s, const float *logits, const lm_sampling *how, const int32_t *context,
                               int64_t n_context);

#endif
