/* Vectors as wide as the variant's registers, in GNU C's vector extensions, so that one text serves
 * AVX2 (8 lanes) and AVX-512 (16).  Loads and stores need the alignment of one element only.
 * The `_part` forms touch the first n < LANES elements; lanes past them read as 0. */
#ifndef LM_BACKEND_CPU_VEC_H
#define LM_BACKEND_CPU_VEC_H

#include "tensor/dtype.h"

#include <immintrin.h>
#include <string.h>

#define LM_LANES_avx2 8
#define LM_LANES_avx512 16
#define LM_LANES_OF_(variant) LM_LANES_##variant
#define LM_LANES_OF(variant) LM_LANES_OF_(variant)

enum { LANES = LM_LANES_OF(LM_VARIANT) };

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(LANES * 2)));

#define LM_INLINE static inline __attribute__((always_inline, unused))

LM_INLINE vf vec_set(float x) { return x - (vf){ 0 }; }          /* x - 0 is x for every x, -0 and NaN too */
LM_INLINE vf vec_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

/* ---- between storage types and f32 ------------------------------------------- */

/* gcc 12 makes four instructions of the general form where the machine has one. */
LM_INLINE vu vec_widen(vh x)
{
#if LM_LANES_OF(LM_VARIANT) == 8
    return (vu)_mm256_cvtepu16_epi32((__m128i)x);
#elif defined(__AVX512F__)
    return (vu)_mm512_cvtepu16_epi32((__m256i)x);
#else
    return __builtin_convertvector(x, vu);
#endif
}

LM_INLINE vf vec_from_bf16(vh x) { return (vf)(vec_widen(x) << 16); }

/* lm_f32_to_bf16, lane by lane. */
LM_INLINE vh vec_to_bf16(vf x)
{
    vu bits = (vu)x, nan = (vu)(x != x);
    vu rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return __builtin_convertvector((nan & (bits >> 16 | 0x40u)) | (~nan & rounded), vh);
}

/* The bits under f32's exponent field are the value times 2^-112, subnormals too; infinity and
 * NaN, whose exponent is all ones, get f32's. */
LM_INLINE vf vec_from_f16(vh x)
{
    vu bits = vec_widen(x), magnitude = (bits & 0x7FFFu) << 13;
    vu special = (vu)(magnitude >= 31u << 23) & 0x7F800000u;
    return (vf)((vu)((vf)magnitude * 0x1p112f) | special | (bits & 0x8000u) << 16);
}

/* ---- memory ------------------------------------------------------------------ */

LM_INLINE vf vec_load_f32(const float *x)
{
    vf y;
    memcpy(&y, x, sizeof y);
    return y;
}

LM_INLINE void vec_store_f32(float *y, vf x) { memcpy(y, &x, sizeof x); }

/* LANES elements from x[i], for a type that is known when inlined. */
LM_INLINE vf vec_load(const void *x, lm_dtype type, int64_t i)
{
    if (type == LM_F32) return vec_load_f32((const float *)x + i);
    vh half;
    memcpy(&half, (const uint16_t *)x + i, sizeof half);
    return type == LM_BF16 ? vec_from_bf16(half) : vec_from_f16(half);
}

LM_INLINE vf vec_load_part(const void *x, lm_dtype type, int64_t i, int64_t n)
{
    if (type == LM_F32) {
        vf y = { 0 };
        memcpy(&y, (const float *)x + i, (size_t)n * 4);
        return y;
    }
    vh half = { 0 };
    memcpy(&half, (const uint16_t *)x + i, (size_t)n * 2);
    return type == LM_BF16 ? vec_from_bf16(half) : vec_from_f16(half);
}

/* To f32 or bf16. */
LM_INLINE void vec_store(void *y, lm_dtype type, int64_t i, vf x)
{
    if (type == LM_F32) {
        vec_store_f32((float *)y + i, x);
        return;
    }
    vh half = vec_to_bf16(x);
    memcpy((uint16_t *)y + i, &half, sizeof half);
}

LM_INLINE void vec_store_part(void *y, lm_dtype type, int64_t i, vf x, int64_t n)
{
    if (type == LM_F32) {
        memcpy((float *)y + i, &x, (size_t)n * 4);
        return;
    }
    vh half = vec_to_bf16(x);
    memcpy((uint16_t *)y + i, &half, (size_t)n * 2);
}

#endif
