/* A linear's weight changed by a product of two thin matrices: what LoRA, AdaLoRA and VeRA merge. */
#ifndef LM_PEFT_LOW_RANK_H
#define LM_PEFT_LOW_RANK_H

#include "nn/model.h"

/* W += scale * up [out, r] down [r, in], where rows of `down` are `ld` numbers apart; its transpose where W,
 * which is f32, is stored [in, out]. */
void lm_low_rank_add(const lm_kernels *k, const lm_linear_site *s, const float *up, const float *down, int64_t ld, int64_t r, float scale);

#endif
