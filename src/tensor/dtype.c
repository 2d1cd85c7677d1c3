#include "tensor/dtype.h"

#include <strings.h>

static const struct { const char *name, *torch; size_t size; } types[LM_N_DTYPES] = {
    [LM_F32]  = { "F32", "float32", 4 },  [LM_BF16] = { "BF16", "bfloat16", 2 },
    [LM_F16]  = { "F16", "float16", 2 },  [LM_I8]   = { "I8", "int8", 1 },
    [LM_I32]  = { "I32", "int32", 4 },    [LM_U8]   = { "U8", "uint8", 1 },
    [LM_I64]  = { "I64", "int64", 8 },
};

size_t lm_dtype_size(lm_dtype dtype) { return types[dtype].size; }
const char *lm_dtype_name(lm_dtype dtype) { return types[dtype].name; }
const char *lm_dtype_torch(lm_dtype dtype) { return types[dtype].torch; }

int lm_dtype_parse(const char *name)
{
    if (!strncmp(name, "torch.", 6)) name += 6;
    for (int i = 0; i < LM_N_DTYPES; i++)
        if (!strcasecmp(name, types[i].name) || !strcasecmp(name, types[i].torch)) return i;
    return -1;
}

float lm_f16_to_f32(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16, exponent = x >> 10 & 31u, mantissa = x & 0x3FFu, bits;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | mantissa << 13;
    } else if (exponent) {
        bits = sign | (exponent + 112u) << 23 | mantissa << 13;
    } else {                                              /* zero or subnormal: mantissa * 2^-24, exact */
        float y = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &y, sizeof bits);
        bits |= sign;
    }
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

uint16_t lm_f32_to_f16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);           /* NaN */
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);          /* rounds to infinity */
    if (magnitude < 0x38800000u) {                        /* subnormal: adding 0.5 rounds to multiples of 2^-24 */
        float m;
        memcpy(&m, &magnitude, sizeof m);
        m += 0.5f;
        memcpy(&bits, &m, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000u));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13);
}
