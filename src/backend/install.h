/* The parts that a kernel table is put together from; each overwrites the slots that it has. */
#ifndef LM_BACKEND_INSTALL_H
#define LM_BACKEND_INSTALL_H

#include "backend/backend.h"

/* Collected from LM_INSTALL of every *.k.c by tools/registry. */
void lm_install_ref(lm_kernels *k);
void lm_install_avx2(lm_kernels *k);
void lm_install_avx512(lm_kernels *k);

/* Kernels that do nothing: the same program runs, and its allocations are counted. */
void lm_install_null(lm_kernels *k);

#endif
