/* The best approximation of a matrix by one of low rank (Eckart & Young 1936), as two thin factors.
 *
 * Block iteration towards the leading singular vectors (Halko, Martinsson & Tropp 2011, "Finding structure with
 * randomness", section 4.5), which goes on until the singular values stand still; the small problem at its end
 * is solved by Jacobi rotations.  Products are in f32 or wider, everything else in double. */
#ifndef LM_PEFT_TRUNCATED_SVD_H
#define LM_PEFT_TRUNCATED_SVD_H

#include "tensor/kernel.h"

/* x [rows, cols] ~ up [rows, rank] down [rank, cols]: up = U S, down = V^T, largest values first.  Columns past
 * the rank of x are zeros.  The result does not depend on chance: the iteration begins from fixed numbers. */
void lm_truncated_svd(const lm_kernels *k, float *up, float *down, const float *x, int64_t rows, int64_t cols, int64_t rank);

#endif
