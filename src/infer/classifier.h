/* A head at work: texts in, scores out, of labels or of whatever the head is for.  Texts go through the model
 * together, end to end, as many as `batch_tokens` holds. */
#ifndef LM_INFER_CLASSIFIER_H
#define LM_INFER_CLASSIFIER_H

#include "nn/model.h"
#include "token/tokenizer.h"

typedef struct lm_classifier lm_classifier;

typedef struct lm_classifier_options {
    int64_t context;                     /* tokens of a text at most; 0: the model's limit */
    int64_t batch_tokens;                /* that go through the model at once */
    bool truncate;                       /* cut longer texts off, and count them */
    bool any_head;                       /* not only one that gives a text's label */
    lm_dtype compute;
    /* Called for text after text, counted from 0, with its scores [n_rows, labels]; a plain text has one row. */
    void (*scored)(void *to, int64_t text, const float *scores, int64_t n_rows);
    void *to;
} lm_classifier_options;

/* LM_E_USAGE when the model does not classify, or with any_head when it has no head but an LM head.  Everything given must outlive the classifier. */
lm_status lm_classifier_new(lm_classifier **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk,
                            const lm_classifier_options *options, lm_err *err);
void lm_classifier_free(lm_classifier *c);           /* takes NULL */

/* Queues a text; LM_E_FORMAT when it is longer than the context or has no token. */
lm_status lm_classifier_add(lm_classifier *c, lm_span text, lm_err *err);

/* Queues tokens, of which those at `rows` (ascending) are scored; LM_E_FORMAT when there are more than the context. */
lm_status lm_classifier_add_ids(lm_classifier *c, const int32_t *ids, int64_t n, const int64_t *rows, int64_t n_rows, lm_err *err);

/* Tokens of a text at most. */
int64_t lm_classifier_context(const lm_classifier *c);

/* Runs what still waits. */
lm_status lm_classifier_flush(lm_classifier *c, lm_err *err);

int64_t lm_classifier_truncated(const lm_classifier *c);

#endif
