/* What the files of the product share; functions of the variant that a file is compiled for.
 *
 * A packed a is a row of panels, each [k, GEMM_MR], a packed b of panels [k, GEMM_NR]: the order in
 * which the innermost loop reads them. */
#ifndef LM_BACKEND_CPU_GEMM_H
#define LM_BACKEND_CPU_GEMM_H

#include "backend/cpu/gemm_own.h"
#include "backend/cpu/vec.h"
#include "backend/real.h"

#include <stdbool.h>

/* The innermost loop computes GEMM_MR x GEMM_NR elements in registers: 12 accumulators of AVX2's
 * 16 registers, 28 of AVX-512's 32. */
enum { GEMM_MR = LANES == 16 ? 14 : 6, GEMM_NR = 2 * LANES };

/* The longest range of k that is packed at once. */
enum { GEMM_DEPTH = 384 };

#define gemm_pack_a LM_PASTE(LM_VARIANT, gemm_pack, a)
#define gemm_pack_b LM_PASTE(LM_VARIANT, gemm_pack, b)
#define gemm_product LM_PASTE(LM_VARIANT, gemm, product)
#define gemm_activate LM_PASTE(LM_VARIANT, gemm, activate)
#define gemm_one_row LM_PASTE(LM_VARIANT, gemm_one, row)
#define gemm_by_rows LM_PASTE(LM_VARIANT, gemm_by, rows)
#define gemm_by_strips LM_PASTE(LM_VARIANT, gemm_by, strips)
#define gemm_pack_b_quant LM_PASTE(LM_VARIANT, gemm_pack_b, quant)

/* Floats that a packed a[m, k] and b[k, n] take, rounded so that what follows stays aligned. */
static inline int64_t gemm_room_a(int64_t m, int64_t k)
{
    return ((m + GEMM_MR - 1) / GEMM_MR * GEMM_MR * k + LANES + 15) / 16 * 16;
}

static inline int64_t gemm_room_b(int64_t k, int64_t n)
{
    return (n + GEMM_NR - 1) / GEMM_NR * GEMM_NR * k;
}

/* Packs a[m, k] (trans: stored as [k, m]) of f32, bf16 or f16, distance between stored rows lda. */
void gemm_pack_a(float *packed, const void *a, lm_dtype type, int64_t lda, bool trans, int64_t m, int64_t k);

/* Packs b[k, n] (trans: stored as [n, k]). */
void gemm_pack_b(float *packed, const void *b, lm_dtype type, int64_t ldb, bool trans, int64_t k, int64_t n);

/* The same of columns [j, j + n) and rows [p, p + k) of the quantised b of g; k at most GEMM_DEPTH. */
void gemm_pack_b_quant(float *packed, const lm_gemm *g, int64_t p, int64_t k, int64_t j, int64_t n);

/* Products that read b where it lies:
 *   one_row     m = 1, b of any type stored as [n, k]
 *   by_rows     m <= GEMM_SOME_ROWS, n >= GEMM_GROUP, k > 0, b of any type stored as [n, k]; k in ranges of `depth`, as the
 *               packed product has them
 *   by_strips   m <= GEMM_FEW_ROWS, b stored as [k, n] and not quantised */
enum { GEMM_SOME_ROWS = 96, GEMM_GROUP = LANES == 16 ? 12 : 6 };
void gemm_one_row(const lm_gemm *g);
void gemm_by_rows(const lm_gemm *g, int64_t depth);
void gemm_by_strips(const lm_gemm *g);

#endif
