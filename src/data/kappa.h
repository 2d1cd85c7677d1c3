/* How far labellers agree beyond chance.
 *
 *   kappa = (p_o - p_e) / (1 - p_e)
 *
 * Cohen: p_o the share of items that two labellers label alike, p_e the sum over labels of the product of how often each
 * gives it.  Fleiss: p_o the mean over items of the share of pairs of labels that agree, p_e the sum of squares of how
 * often each label is given; every item has the same number of labels, by whomever.
 *
 * Sources: Cohen 1960; Fleiss 1971, "Measuring nominal scale agreement among many raters". */
#ifndef LM_DATA_KAPPA_H
#define LM_DATA_KAPPA_H

#include <stdint.h>

/* Labels are 0 .. k - 1.  NaN without items, and where chance alone would agree always. */
double lm_cohen_kappa(const int32_t *a, const int32_t *b, int64_t n, int32_t k);

/* labels [n, raters], raters > 1. */
double lm_fleiss_kappa(const int32_t *labels, int64_t n, int64_t raters, int32_t k);

#endif
