/* What methods with virtual tokens share: their number, and the keys of adapter_config.json that PEFT
 * derives from the model. */
#ifndef LM_PEFT_PROMPT_LEARNING_H
#define LM_PEFT_PROMPT_LEARNING_H

#include "nn/adapter.h"

/* Gives the adapter n virtual tokens; LM_E_USAGE when the model's context has no room for them. */
lm_status lm_prompt_attach(lm_adapter *a, int64_t n, lm_err *err);

/* num_virtual_tokens, and that the other keys fit the model, whose vectors have token_dim numbers. */
lm_status lm_prompt_read(lm_adapter *a, const lm_json *config, int64_t token_dim, int64_t *n, lm_err *err);
void lm_prompt_write(const lm_adapter *a, lm_json *config, int64_t token_dim, int64_t heads);

/* ---- keys and values in every layer, columns of vectors [P, layers * 2 * kv_dim] ---- */

int64_t lm_prompt_kv_dim(const lm_adapter *a);
void lm_prompt_kv(const lm_forward *f, lm_adapter *a, int64_t layer, lm_tensor **k, lm_tensor **v);      /* the hook `kv` */

/* ---- vectors that a small network makes while they train ---- */

/* NAME.weight [out, in] and NAME.bias [out], initialised as torch.nn.Linear. */
void lm_prompt_linear(lm_adapter *a, int64_t in, int64_t out, const char *name);

/* The hook `kept` of such a method: its vectors as "prompt_embeddings". */
lm_status lm_prompt_keep(lm_adapter *a, lm_params *out, lm_err *err);

#endif
