/* What a classifier got right: how often each label was taken for each.
 *
 *   precision = tp / (tp + fp),  recall = tp / (tp + fn),  F1 = 2 tp / (2 tp + fp + fn)
 *
 * with 0 for 0 / 0.  Macro-F1 is the mean over the labels that stand among the truths or the guesses. */
#ifndef LM_DATA_CONFUSION_H
#define LM_DATA_CONFUSION_H

#include "base/json.h"
#include "base/option.h"

#include <stdint.h>

typedef struct lm_confusion {
    int64_t *count;                      /* [n, n]: truth, guess */
    int64_t n, total;
} lm_confusion;

void lm_confusion_init(lm_confusion *c, int64_t n);
void lm_confusion_free(lm_confusion *c);             /* takes {0} */
void lm_confusion_clear(lm_confusion *c);

/* Counts a text whose label is `truth` and whose scores are these [n]; returns its loss, -ln p(truth). */
double lm_confusion_add(lm_confusion *c, int64_t truth, const float *scores);

double lm_confusion_accuracy(const lm_confusion *c);
double lm_confusion_macro_f1(const lm_confusion *c);

/* {"negative": {"precision": .., "recall": .., "f1": .., "rows": ..}, ..}, and the counts as a list of rows. */
lm_json *lm_confusion_classes(const lm_confusion *c, const lm_strings *names);
lm_json *lm_confusion_matrix(const lm_confusion *c);

/* p [n] from scores [n]; returns the number of the largest.  Infinite and undefined scores give NaN. */
int64_t lm_softmax(double *p, const float *scores, int64_t n);

#endif
