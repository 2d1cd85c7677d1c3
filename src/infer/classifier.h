/* A classifier at work: texts in, scores of their labels out.  Texts go through the model together, end to
 * end, as many as `batch_tokens` holds. */
#ifndef LM_INFER_CLASSIFIER_H
#define LM_INFER_CLASSIFIER_H

#include "nn/model.h"
#include "token/tokenizer.h"

typedef struct lm_classifier lm_classifier;

typedef struct lm_classifier_options {
    int64_t context;                     /* tokens of a text at most; 0: the model's limit */
    int64_t batch_tokens;                /* that go through the model at once */
    bool truncate;                       /* cut longer texts off, and count them */
    lm_dtype compute;
    /* Called for text after text, counted from 0, with its scores [labels]. */
    void (*scored)(void *to, int64_t text, const float *scores);
    void *to;
} lm_classifier_options;

/* LM_E_USAGE when the model does not classify.  Everything given must outlive the classifier. */
lm_status lm_classifier_new(lm_classifier **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk,
                            const lm_classifier_options *options, lm_err *err);
void lm_classifier_free(lm_classifier *c);           /* takes NULL */

/* Queues a text; LM_E_FORMAT when it is longer than the context or has no token. */
lm_status lm_classifier_add(lm_classifier *c, lm_span text, lm_err *err);

/* Runs what still waits. */
lm_status lm_classifier_flush(lm_classifier *c, lm_err *err);

int64_t lm_classifier_truncated(const lm_classifier *c);

#endif
