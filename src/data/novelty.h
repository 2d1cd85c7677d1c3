/* Which of many texts is the most like a new one, by ROUGE-L (data/rouge.h).
 *
 * LCS(X, Y) is at most the tokens that both have, counted as often as the one that has fewer, so that
 *
 *   F(X, Y) <= 2 sum_t min(x_t, y_t) / (|X| + |Y|)
 *
 * An index from tokens to texts gives that bound for all texts at once; they are looked at in its order, and only as long
 * as it is not below the best that was found.  What comes back is the exact maximum. */
#ifndef LM_DATA_NOVELTY_H
#define LM_DATA_NOVELTY_H

#include "data/rouge.h"

typedef struct lm_novelty lm_novelty;

typedef struct lm_likeness {
    int64_t text;                        /* the number of the text, the first of equals; -1: there is none that shares a token */
    double rouge_l;                      /* F */
} lm_likeness;

lm_novelty *lm_novelty_new(lm_rouge_unit unit);
void lm_novelty_free(lm_novelty *v);     /* takes NULL */

/* Adds a text; they are numbered 0, 1, .. in the order in which they come. */
int64_t lm_novelty_add(lm_novelty *v, lm_span text);

/* The text is found no more; its number is not given again. */
void lm_novelty_drop(lm_novelty *v, int64_t text);

/* The most like `text`, but for those whose numbers are in besides[0 .. n). */
lm_likeness lm_novelty_find(lm_novelty *v, lm_span text, const int64_t *besides, int64_t n);

/* How many texts were compared token by token so far, for tests and reports. */
int64_t lm_novelty_compared(const lm_novelty *v);

#endif
