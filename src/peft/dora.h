/* DoRA (Liu et al. 2024, "DoRA: Weight-decomposed low-rank adaptation", section 4): a linear's direction is
 * tuned by LoRA, and the length of each of its rows is a parameter of its own.
 *
 *   y = g * (W x + s B A x) + b,   g_i = m_i / |W_i + s B_i A|        m [out]
 *
 * The norm counts as a constant in backward (section 4.3).  The sum of matrices is never formed:
 *
 *   |W_i + s B_i A|^2 = |W_i|^2 + B_i . (2 s A W_i^T + s^2 A A^T B_i^T)
 *
 * with |W_i|^2 taken once.  m starts as |W_i|, so the adapted model starts as the base.  W may be of any
 * type, also quantised.  Dropout, unlike in PEFT, acts on the way through A only. */
#ifndef LM_PEFT_DORA_H
#define LM_PEFT_DORA_H

#include "nn/adapter.h"

enum { LM_DORA_A, LM_DORA_B, LM_DORA_MAGNITUDE };            /* a link's parameters */

/* Declares the magnitudes and takes |W_i|^2 (link->own). */
lm_status lm_dora_attach(lm_link *l, lm_err *err);
void lm_dora_start(const lm_link *l);

/* From z = W x + s B A x + b. */
lm_tensor *lm_dora_output(const lm_forward *f, const lm_link *l, lm_tensor *z);

/* Rows of the site's weight, which is W + s B A already, times g.  `gain` is lm_dora_gains's of before. */
void lm_dora_merge(const lm_link *l, const float *gain);
float *lm_dora_gains(const lm_link *l);                      /* [out]; the caller frees */

#endif
