/* Backends: which kernels a run computes with. */
#ifndef LM_BACKEND_BACKEND_H
#define LM_BACKEND_BACKEND_H

#include "tensor/kernel.h"

#include <stdbool.h>

/* Fills `k` for "auto" (the best that this machine runs), "avx512", "avx2", "ref" or "null".
 * LM_E_UNSUPPORTED when the machine lacks what the name asks for; LM_E_USAGE for another name. */
lm_status lm_backend(lm_kernels *k, const char *name, lm_err *err);

/* What the CPU offers, for `malmoi doctor` and for choosing. */
typedef struct lm_cpu {
    char model[64];
    bool avx2, avx512, avx512_bf16, avx512_vnni, amx_bf16, amx_int8;
    int cores;
} lm_cpu;
lm_cpu lm_cpu_detect(void);

/* "oneDNN 2.6.3", or "none". */
const char *lm_onednn_version(void);

#endif
