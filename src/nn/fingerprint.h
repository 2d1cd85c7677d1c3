/* Which model it is: a line of text that two models share only when they are the same base for an adapter.
 *
 *   weights 5f2a..., 32000 ids, chat template 91c0...
 *
 * The first hash goes over names, shapes and a sample of the weights: four runs of 16 numbers of each tensor,
 * so that few pages of a mapped file are touched.  They are rounded to bf16, so that the same model saved in
 * another type counts as the same, as does one that was quantised while it was read. */
#ifndef LM_NN_FINGERPRINT_H
#define LM_NN_FINGERPRINT_H

#include "nn/model.h"

/* The model's line, made once and kept in m: call it before anything changes the weights.  On a backend that does
 * not compute the weights are left out.  LM_E_IO or LM_E_FORMAT for files of a chat template that cannot be read. */
lm_status lm_fingerprint(const char **out, lm_model *m, lm_err *err);

/* For whoever has changed the weights. */
void lm_fingerprint_forget(lm_model *m);

#endif
