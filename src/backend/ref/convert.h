/* The conversion of every type to every other, for backends that are faster at some of them only. */
#ifndef LM_BACKEND_REF_CONVERT_H
#define LM_BACKEND_REF_CONVERT_H

#include "tensor/dtype.h"

void lm_convert_ref(void *y, lm_dtype yt, const void *x, lm_dtype xt, int64_t n);

#endif
