/* Kernels written once for every activation type.
 *
 * A file NAME.k.c includes this, writes its kernels as static functions over `real` (load and
 * store convert), and ends in
 *
 *     LM_INSTALL(NAME) { k->act_fwd[LM_REAL_ID] = act_fwd; ... }
 *
 * The build compiles it once per activation type (-DLM_REAL=f32|bf16) and instruction set
 * (-DLM_VARIANT=ref|avx2|avx512), and tools/registry collects the installers.  Slots that do not
 * depend on the activation type are written under `#if LM_REAL_ID == 0`. */
#ifndef LM_BACKEND_REAL_H
#define LM_BACKEND_REAL_H

#include "tensor/kernel.h"

#define LM_PASTE_(a, b, c) lm_##a##_##b##_##c
#define LM_PASTE(a, b, c) LM_PASTE_(a, b, c)
#define LM_CAT_(a, b) a##b
#define LM_CAT(a, b) LM_CAT_(a, b)
#define LM_REAL_IS_f32 0
#define LM_REAL_IS_bf16 1
#define LM_REAL_ID LM_CAT(LM_REAL_IS_, LM_REAL)      /* LM_F32 or LM_BF16, usable in #if */

#if LM_REAL_ID == 0
typedef float real;
static inline float load(real x) { return x; }
static inline real store(float x) { return x; }
#else
typedef uint16_t real;
static inline float load(real x) { return lm_bf16_to_f32(x); }
static inline real store(float x) { return lm_f32_to_bf16(x); }
#endif

#define LM_INSTALL(file)                                        \
    void LM_PASTE(LM_VARIANT, file, LM_REAL)(lm_kernels *k);    \
    void LM_PASTE(LM_VARIANT, file, LM_REAL)(lm_kernels *k)

#endif
