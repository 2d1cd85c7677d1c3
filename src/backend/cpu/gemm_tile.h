/* The innermost loop of every packed product: one GEMM_MR x GEMM_NR tile in registers.
 *
 * Per step of k it loads one row of b's panel (two vectors), broadcasts one column of a's panel,
 * and does 2 GEMM_MR fused multiply-adds: the form of Van Zee & van de Geijn, "BLIS: A Framework
 * for Rapidly Instantiating BLAS Functionality" (2015), section 4. */
#ifndef LM_BACKEND_CPU_GEMM_TILE_H
#define LM_BACKEND_CPU_GEMM_TILE_H

#include "backend/cpu/gemm.h"

typedef struct gemm_acc {
    vf row[GEMM_MR][2];
} gemm_acc;

/* acc must live in registers: hand it to inlined functions only, with constant indices. */
LM_INLINE void gemm_micro(gemm_acc *acc, const float *a, const float *b, int64_t k)
{
#pragma GCC unroll 14
    for (int i = 0; i < GEMM_MR; i++) acc->row[i][0] = acc->row[i][1] = (vf){ 0 };
    for (; k > 0; k--, a += GEMM_MR, b += GEMM_NR) {
        vf b0 = vec_load_f32(b), b1 = vec_load_f32(b + LANES);
#pragma GCC unroll 14
        for (int i = 0; i < GEMM_MR; i++) {
            vf x = vec_set(a[i]);
            acc->row[i][0] += x * b0;
            acc->row[i][1] += x * b1;
        }
    }
}

/* The tile as an array of GEMM_MR rows, for tiles that stand over the edge or have much to do at the end. */
LM_INLINE void gemm_spill(float *tile, const gemm_acc *acc)
{
#pragma GCC unroll 14
    for (int i = 0; i < GEMM_MR; i++) {
        vec_store_f32(tile + i * GEMM_NR, acc->row[i][0]);
        vec_store_f32(tile + i * GEMM_NR + LANES, acc->row[i][1]);
    }
}

#endif
