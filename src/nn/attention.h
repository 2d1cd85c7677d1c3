/* The attention of a decoder block: cache, adapters, the product, and the projection of what it gives. */
#ifndef LM_NN_ATTENTION_H
#define LM_NN_ATTENTION_H

#include "nn/model.h"

typedef struct lm_attend_options {
    int64_t layer, window;               /* window 0: everything before */
    float scale;                         /* 0: 1 / sqrt(head_dim) */
    const lm_linear_site *keys, *values; /* where k and v come from: columns of these linears' outputs, */
    int64_t key_column, value_column;    /* from these on */
    const lm_linear_site *out;           /* the projection */
} lm_attend_options;

/* q [N, heads * D], k, v [N, kv_heads * D], already rotated -> [N, C].  With a cache, k and v are stored in
 * the batch's rows first and attention runs over the cache. */
lm_tensor *lm_attend(const lm_forward *f, lm_tensor *q, lm_tensor *k, lm_tensor *v, const lm_attend_options *options);

#endif
