/* Quantised data: codes of four or eight bits, and scales that blocks of them share.
 *
 *   value[i] = level(code[i]) * scale(i / block)
 *
 *   bits 4   level is one of sixteen numbers in [-1, 1]; element 2j is the high half of byte j.
 *   bits 8   level is the code itself, a signed number; `unit` is 1 / 127.
 *
 * A scale is `unit` times an f32, or (double quantisation; Dettmers et al. 2023, "QLoRA", section 3)
 * itself a code of eight bits:
 *
 *   scale(b) = map[scale_code[b]] * outer[b / outer_block] + offset
 *
 * Elements are counted through the whole matrix, row after row, so a block may stand over the end of
 * a row.  What makes such data is in quant/; what kernels need in order to read it is here. */
#ifndef LM_TENSOR_QUANT_H
#define LM_TENSOR_QUANT_H

#include "tensor/tensor.h"

#include <stddef.h>

struct lm_quant_type;

struct lm_quant {
    const struct lm_quant_type *type;        /* quant/quant.h */
    int bits;                                /* 4 or 8 */
    int64_t block;                           /* elements that share a scale */
    float level[16];                         /* of 4-bit codes */
    float unit;
    const float *absmax;                     /* [blocks], or NULL: double quantisation */
    const uint8_t *scale_code;               /* [blocks] */
    const float *outer, *map;                /* [blocks / outer_block, rounded up], [256] */
    int64_t outer_block;
    float offset;
};

static inline int64_t lm_quant_blocks(const lm_quant *q, int64_t numel) { return (numel + q->block - 1) / q->block; }

/* Bytes of the codes of `numel` elements. */
static inline size_t lm_quant_code_bytes(const lm_quant *q, int64_t numel)
{
    return q->bits == 4 ? ((size_t)numel + 1) / 2 : (size_t)numel;
}

/* Bytes of codes and scales together. */
size_t lm_quant_bytes(const lm_quant *q, int64_t numel);

static inline float lm_quant_scale(const lm_quant *q, int64_t block)
{
    if (q->absmax) return q->unit * q->absmax[block];
    return q->map[q->scale_code[block]] * q->outer[block / q->outer_block] + q->offset;
}

static inline float lm_quant_level(const lm_quant *q, const void *codes, int64_t i)
{
    if (q->bits == 8) return ((const int8_t *)codes)[i];
    return q->level[((const uint8_t *)codes)[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

/* Element i. */
static inline float lm_quant_at(const lm_quant *q, const void *codes, int64_t i)
{
    return lm_quant_level(q, codes, i) * lm_quant_scale(q, i / q->block);
}

#endif
