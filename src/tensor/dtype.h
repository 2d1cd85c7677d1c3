/* Element types.  The first two are "real": activations and kernels exist in both. */
#ifndef LM_TENSOR_DTYPE_H
#define LM_TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum lm_dtype { LM_F32, LM_BF16, LM_F16, LM_I8, LM_I32, LM_U8, LM_I64, LM_N_DTYPES } lm_dtype;
enum { LM_N_REALS = 2 };

size_t lm_dtype_size(lm_dtype dtype);                     /* bytes of one element */
const char *lm_dtype_name(lm_dtype dtype);                /* safetensors' spelling: "F32", "BF16", ... */
const char *lm_dtype_torch(lm_dtype dtype);               /* config.json's spelling: "float32", ... */
int lm_dtype_parse(const char *name);                     /* either spelling, any case; -1 for another */

static inline float lm_bf16_to_f32(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* Rounds to nearest, ties to even; a NaN stays one.  No branch, so that loops over it vectorise. */
static inline uint16_t lm_f32_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    uint32_t nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

float lm_f16_to_f32(uint16_t x);
uint16_t lm_f32_to_f16(float x);

#endif
