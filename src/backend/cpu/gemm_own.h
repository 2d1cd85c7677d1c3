/* The avx512 table's own product, for a file that stands in front of it. */
#ifndef LM_BACKEND_CPU_GEMM_OWN_H
#define LM_BACKEND_CPU_GEMM_OWN_H

#include "tensor/kernel.h"

/* Up to so many rows against a transposed b are multiplied without packing, in memory's time. */
enum { GEMM_FEW_ROWS = 8 };

/* The gemm slot of the table. */
void lm_avx512_gemm_product(const lm_gemm *g);

/* c = act(pre), the end of a product that somebody else has left in pre. */
void lm_avx512_gemm_activate(const lm_gemm *g);

#endif
