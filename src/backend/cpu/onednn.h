/* Products by oneDNN, where its matrix units' kernels are the best there are. */
#ifndef LM_BACKEND_CPU_ONEDNN_H
#define LM_BACKEND_CPU_ONEDNN_H

#include "backend/backend.h"

/* Computes g and returns true, or returns false and has written nothing: for a product whose form,
 * types or `compute` this oneDNN has no kernel for on this machine, for an empty one, and in a build
 * without oneDNN.  Uses every thread of lm_threads(), and may divide k among them. */
bool lm_onednn_gemm(const lm_gemm *g);

/* Puts oneDNN in front of the avx512 table's own product, by the rule that stands in onednn.c. */
void lm_onednn_install(lm_kernels *k, const lm_cpu *cpu);

#endif
