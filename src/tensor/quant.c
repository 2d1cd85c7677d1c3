#include "tensor/quant.h"

size_t lm_quant_bytes(const lm_quant *q, int64_t numel)
{
    size_t codes = lm_quant_code_bytes(q, numel), blocks = (size_t)lm_quant_blocks(q, numel);
    if (q->absmax) return codes + blocks * sizeof(float);
    size_t outer = (blocks + (size_t)q->outer_block - 1) / (size_t)q->outer_block;
    return codes + blocks + (outer + 256) * sizeof(float);
}
