/* What the filters that go by a model of `malmoi data learn` have in common: it, and which of its labels are wanted. */
#ifndef LM_DATA_FILTER_LEARNED_H
#define LM_DATA_FILTER_LEARNED_H

#include "data/filter.h"
#include "data/linear.h"

/* A filter's state. */
typedef struct lm_learned {
    lm_linear *model;
    bool *wanted;                        /* of each label; the last is that of documents without one */
} lm_learned;

/* The state for a model of this kind (lm_linear_load), of which nothing is wanted yet; freed also after a failure. */
lm_status lm_learned_open(lm_filter_use *use, const char *kind, const char *path, lm_err *err);
void lm_learned_close(void *state);

/* LM_E_USAGE names the option whose label the model does not know. */
lm_status lm_learned_want(lm_learned *s, const char *option, const char *label, lm_err *err);

const lm_strings *lm_learned_kinds(const lm_filter_use *use);

/* The probability of all labels that are wanted, to doc->values[0], and the most probable label to doc->kind; *p, the
 * probabilities, lies in the document's scratch. */
double lm_learned_share(const lm_learned *s, lm_doc *doc, const double **p);

#endif
