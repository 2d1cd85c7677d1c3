/* Tensor: a typed, shaped view of memory that somebody else owns.
 *
 * Invariants
 *  1. data points into an arena, a mapped file or the caller's memory; a tensor never frees.
 *  2. stride counts elements; the last dimension of every tensor that an op sees has stride 1.
 *  3. A view (base != NULL) shares its base's data and, in backward, its base's gradient.
 *  4. grad, when set, has the tensor's shape; its `fresh` says that it holds nothing yet, so the
 *     first contribution writes and the later ones add. */
#ifndef LM_TENSOR_TENSOR_H
#define LM_TENSOR_TENSOR_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

enum { LM_MAX_DIM = 4 };

typedef struct lm_quant lm_quant;            /* block format of quantised data: tensor/quant.h */

typedef struct lm_tensor {
    lm_dtype dtype;
    uint8_t ndim;
    bool needs_grad;
    bool fresh;                              /* of a gradient: nothing has been written */
    int64_t dim[LM_MAX_DIM];                 /* outermost first, as in safetensors */
    int64_t stride[LM_MAX_DIM];              /* elements */
    void *data;                              /* device address */
    const lm_quant *quant;                   /* NULL, or the block format of data, whose dtype is then that of codes */
    struct lm_tensor *grad, *base;
    const char *name;                        /* Hugging Face name of a parameter, else NULL */
} lm_tensor;

/* A contiguous tensor over `data`.  dims beyond ndim are ignored. */
lm_tensor lm_tensor_of(void *data, lm_dtype dtype, int ndim, const int64_t *dim);

int64_t lm_numel(const lm_tensor *x);
size_t lm_nbytes(const lm_tensor *x);        /* of a contiguous tensor of this shape and type; with the scales of quantised data */
bool lm_is_contiguous(const lm_tensor *x);
bool lm_same_shape(const lm_tensor *a, const lm_tensor *b);

/* A parameter, or a view of one: its gradient is f32 and adds up over micro-batches. */
static inline bool lm_is_parameter(const lm_tensor *x) { return x->name || (x->base && x->base->name); }

/* An op sees [.., C] as rows of C numbers: the product of all but the last dimension, the last
 * one, and the distance between rows in elements. */
int64_t lm_rows(const lm_tensor *x);
int64_t lm_cols(const lm_tensor *x);
int64_t lm_row_stride(const lm_tensor *x);

/* "[4, 512, 768]" in a buffer of at least 96 bytes; returned.  Ends in ".." where it does not fit. */
char *lm_shape_text(char *buffer, int ndim, const int64_t *dim);

#endif
