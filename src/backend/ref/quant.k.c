/* Quantised data as f32: y[j] = level(code[i + j]) * scale((i + j) / block), as tensor/quant.h says. */
#include "backend/real.h"

#if LM_REAL_ID == 0

static void dequantise(float *y, const lm_quant *q, const void *codes, int64_t i, int64_t n)
{
    for (int64_t j = 0; j < n; j++) y[j] = lm_quant_at(q, codes, i + j);
}

LM_INSTALL(quant) { k->dequantise = dequantise; }

#else
LM_INSTALL(quant) { (void)k; }
#endif
