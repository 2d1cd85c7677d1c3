/* The avx512 table's own product, for a file that stands in front of it. */
#ifndef LM_BACKEND_CPU_GEMM_OWN_H
#define LM_BACKEND_CPU_GEMM_OWN_H

#include "tensor/kernel.h"

/* Rows up to which reading b takes longer than multiplying, so that its numbers are best taken as they are stored. */
enum { GEMM_FEW_ROWS = 8 };

/* The gemm slot of the table. */
void lm_avx512_gemm_product(const lm_gemm *g);

/* c = act(pre), the end of a product that somebody else has left in pre. */
void lm_avx512_gemm_activate(const lm_gemm *g);

#endif
