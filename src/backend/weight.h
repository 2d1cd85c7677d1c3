/* One element of a weight whose type is known only at run time: f32, bf16 or f16. */
#ifndef LM_BACKEND_WEIGHT_H
#define LM_BACKEND_WEIGHT_H

#include "tensor/dtype.h"

static inline float lm_weight_at(const void *weight, lm_dtype type, int64_t i)
{
    if (type == LM_F32) return ((const float *)weight)[i];
    if (type == LM_BF16) return lm_bf16_to_f32(((const uint16_t *)weight)[i]);
    return lm_f16_to_f32(((const uint16_t *)weight)[i]);
}

#endif
