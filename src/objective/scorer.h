/* What a reward model thinks of rows: of answers by a head of scores, or of steps by one that labels tokens.
 *
 *   {"prompt": .., "completion": ..}       an answer, text or messages
 *   {"prompt": .., "completions": [..]}    several, or one solution in steps (objective/steps.h)
 *   {"messages": [..]}                     a chat that ends in an answer
 *   {"text": ..}, or plain text
 *
 * Rows become tokens as they did in training; they go through the model together (infer/classifier). */
#ifndef LM_OBJECTIVE_SCORER_H
#define LM_OBJECTIVE_SCORER_H

#include "objective/steps.h"

typedef struct lm_scorer lm_scorer;

typedef struct lm_scored {
    int64_t row, n;                          /* counted from 0; answers, or steps */
    int64_t labels;
    const float *scores;                     /* [n, labels] */
} lm_scored;

typedef struct lm_scorer_options {
    int64_t context, batch_tokens;           /* as in infer/classifier.h */
    bool truncate;
    lm_dtype compute;
    const char *template;                    /* for chats, or NULL */
    const char *completion, *text;           /* fields; NULL: completion or completions, and text */
    lm_step_fields fields;                   /* of steps; the prompt's is for answers as well */
    void (*scored)(void *to, const lm_scored *s);    /* called for row after row */
    void *to;
} lm_scorer_options;

/* LM_E_USAGE when the model has no such head.  Everything given outlives the scorer. */
lm_status lm_scorer_new(lm_scorer **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk, const lm_scorer_options *options, lm_err *err);
void lm_scorer_free(lm_scorer *s);           /* takes NULL */

lm_status lm_scorer_add(lm_scorer *s, const lm_row *row, lm_err *err);       /* the row may be freed afterwards */
lm_status lm_scorer_flush(lm_scorer *s, lm_err *err);

int64_t lm_scorer_truncated(const lm_scorer *s);     /* rows that were cut */

#endif
