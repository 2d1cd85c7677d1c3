/* Asking a model: questions that are texts with places, and answers in which marks say what was decided.
 *
 * Who answers is the caller's business: an lm_asker takes several questions at once and may answer them in any order. */
#ifndef LM_DATA_ASKING_H
#define LM_DATA_ASKING_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

/* A question, and what came of it. */
typedef struct lm_asking {
    const char *system;                  /* or NULL */
    const char *text;
    double temperature;
    int64_t max_tokens;                  /* of the answer */
    uint64_t number;                     /* of the draw, so that who is asked again does not say the same again */
    lm_str answer;                       /* UTF-8 without zero bytes; begins empty */
    bool cut;                            /* it had reached its length, and was not finished */
    lm_err err;                          /* why there is none: LM_E_MISMATCH or LM_E_FORMAT for this question, LM_E_IO where
                                          * nobody answers, LM_E_INTERRUPT where somebody asked to stop */
} lm_asking;

typedef struct lm_asker {
    /* Answers all questions, or says in theirs why not; returns when the last is settled.  `settled` is called with each
     * as soon as it is, by one thread at a time. */
    void (*ask)(void *self, lm_asking *questions, int n, void (*settled)(void *context, lm_asking *q), void *context);
    void *self;
} lm_asker;

/* ---- questions ---- */

typedef struct lm_filling {
    const char *place;                   /* "{prompt}" */
    lm_span text;
} lm_filling;

/* The text with its places filled, appended; what stands in a filling is never taken for a place. */
void lm_asking_fill(lm_str *out, const char *text, const lm_filling *fillings, int n);

/* ---- answers ---- */

/* Which of n marks stands last in an answer, or -1.  A mark of NULL is none. */
int lm_asking_mark(lm_span answer, const char *const *marks, int n);

/* Parts of an answer that begin with a mark at the head of a line, be it set off by Markdown: "**Input:** a list".
 * "{number}" in a mark stands for digits. */
typedef struct lm_asking_part {
    int mark;                            /* which */
    lm_span text;                        /* what follows it, up to the next mark; trimmed */
} lm_asking_part;

/* Up to `most` parts in their order, and how many they are; what stands before the first belongs to none. */
int lm_asking_parts(lm_asking_part *out, int most, lm_span answer, const char *const *marks, int n);

/* A number from 1 to 10: the last one in double brackets, [[7]], or an answer that is nothing but a number; 0 where it
 * is neither. */
int lm_asking_score(lm_span answer);

#endif
