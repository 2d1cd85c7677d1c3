/* A model whose linears are held in a block format (QLoRA; Dettmers et al. 2023, section 3).
 *
 * The weight of every linear site but the LM head, and but those that llm_int8_skip_modules names, is quantised, as
 * transformers' BitsAndBytesConfig does it;
 * embeddings, norms and biases are not.  A quantised weight is [out, in] whatever the family's files have
 * (GPT-2's are [in, out]), as in bitsandbytes' checkpoints.  It never trains. */
#ifndef LM_NN_QUANTISED_H
#define LM_NN_QUANTISED_H

#include "nn/model.h"

/* The site whose weight p is, if that is to be quantised; else NULL. */
lm_linear_site *lm_quantised_site(const lm_model *m, const lm_param *p);

/* Gives the site's weight its data in m->quant: read from a quantised checkpoint, or made of stored floats,
 * one matrix after the other, on all cores. */
lm_status lm_quantised_bind(lm_model *m, lm_linear_site *site, const lm_stored *s, lm_err *err);

/* Quantises what a fresh model's site starts with, without making the floats of a whole matrix. */
lm_status lm_quantised_initialise(lm_model *m, lm_linear_site *site, uint64_t seed, lm_err *err);

/* Quantises again what a merge has left as floats.  *cost: the largest |change| of a weight over its
 * matrix' largest |weight|; *n: matrices. */
lm_status lm_quantised_again(lm_model *m, double *cost, int64_t *n, lm_err *err);

#endif
