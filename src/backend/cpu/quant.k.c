/* Quantised data read as f32. */
#include "backend/cpu/quant.h"
#include "backend/real.h"

#if LM_REAL_ID == 0

static void dequantise(float *y, const lm_quant *q, const void *codes, int64_t i, int64_t n) { quant_run(y, q, codes, i, n); }

LM_INSTALL(quant) { k->dequantise = dequantise; }

#else
LM_INSTALL(quant) { (void)k; }
#endif
