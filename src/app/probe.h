/* What a model answers to a text: its logits at every token, to hold one model against another. */
#ifndef LM_APP_PROBE_H
#define LM_APP_PROBE_H

#include "app/open.h"

typedef struct lm_probe {
    int32_t *ids;
    int64_t n;
    lm_str what;                         /* "96 tokens of text", for messages */
} lm_probe;

/* The tokens: of `file`, or (NULL) of a passage in Korean and English, or where the folder has no tokenizer random
 * ones.  The caller frees it also after a failure. */
lm_status lm_probe_make(lm_probe *p, lm_opened *m, const char *file, lm_err *err);
void lm_probe_free(lm_probe *p);

/* Logits (or a classifier's scores) [n, *columns] in f32, computed in f32; the caller frees. */
lm_status lm_probe_run(float **out, int64_t *columns, const lm_probe *p, lm_opened *m, lm_err *err);

/* Largest |a - b| of n numbers, NaN when one is; *size: the largest |a|. */
double lm_probe_difference(const float *a, const float *b, int64_t n, double *size);

#endif
