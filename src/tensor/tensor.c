#include "tensor/tensor.h"

#include "base/err.h"
#include "tensor/quant.h"

#include <inttypes.h>
#include <stdio.h>

lm_tensor lm_tensor_of(void *data, lm_dtype dtype, int ndim, const int64_t *dim)
{
    LM_ASSERT(ndim >= 0 && ndim <= LM_MAX_DIM);
    lm_tensor x = { .dtype = dtype, .ndim = (uint8_t)ndim, .data = data };
    int64_t step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        x.dim[i] = dim[i];
        x.stride[i] = step;
        step *= dim[i];
    }
    return x;
}

int64_t lm_numel(const lm_tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->ndim; i++) n *= x->dim[i];
    return n;
}

size_t lm_nbytes(const lm_tensor *x)
{
    return x->quant ? lm_quant_bytes(x->quant, lm_numel(x)) : (size_t)lm_numel(x) * lm_dtype_size(x->dtype);
}

bool lm_is_contiguous(const lm_tensor *x)
{
    int64_t step = 1;
    for (int i = x->ndim - 1; i >= 0; i--) {
        if (x->dim[i] != 1 && x->stride[i] != step) return false;
        step *= x->dim[i];
    }
    return true;
}

bool lm_same_shape(const lm_tensor *a, const lm_tensor *b)
{
    if (a->ndim != b->ndim) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

int64_t lm_cols(const lm_tensor *x) { return x->ndim ? x->dim[x->ndim - 1] : 1; }

int64_t lm_rows(const lm_tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->ndim - 1; i++) n *= x->dim[i];
    return n;
}

int64_t lm_row_stride(const lm_tensor *x)
{
    if (x->ndim < 2) return lm_cols(x);
    for (int i = 0; i < x->ndim - 2; i++)                 /* the leading dimensions must collapse into rows */
        LM_ASSERT(x->dim[i] == 1 || x->stride[i] == x->stride[i + 1] * x->dim[i + 1]);
    return x->stride[x->ndim - 2];
}

char *lm_shape_text(char *buffer, int ndim, const int64_t *dim)
{
    enum { ROOM = 96, LONGEST = 24 };                     /* ", " and 20 digits, then "]" and the NUL */
    int n = snprintf(buffer, ROOM, "[");
    for (int i = 0; i < ndim; i++) {
        if (n > ROOM - LONGEST - 4) {                     /* what a hostile file may claim */
            n += snprintf(buffer + n, (size_t)(ROOM - n), ", ..");
            break;
        }
        n += snprintf(buffer + n, (size_t)(ROOM - n), "%s%" PRId64, i ? ", " : "", dim[i]);
    }
    snprintf(buffer + n, (size_t)(ROOM - n), "]");
    return buffer;
}
