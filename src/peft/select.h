/* What PEFT's configurations say of single modules: values by name, and chosen layers. */
#ifndef LM_PEFT_SELECT_H
#define LM_PEFT_SELECT_H

#include "nn/adapter.h"

/* The object `key` of the config that is being read ({"q_proj": 8}) as "q_proj=8" that live as long as
 * the adapter; nothing for a missing or empty one. */
lm_status lm_peft_pairs_read(lm_adapter *a, const lm_json *config, const char *key, lm_strings *out, lm_err *err);
void lm_peft_pairs_write(lm_json *config, const char *key, const lm_strings *pairs);

/* The value of the first pair whose name, an expression as PEFT has it, is the module's or the end of it
 * from a point on; *out stays when there is none. */
lm_status lm_peft_pairs_find(double *out, const lm_strings *pairs, const char *module, const char *what, lm_err *err);

/* Chosen layers ("layers_to_transform": a number or a list of them) in the same way. */
lm_status lm_peft_layers_read(lm_adapter *a, const lm_json *config, lm_strings *out, lm_err *err);
/* LM_E_USAGE for a layer that the model has not. */
lm_status lm_peft_layers_check(const lm_adapter *a, const lm_strings *layers, lm_err *err);

/* The first number between two points of a name, as in PEFT: "model.layers.3.mlp.up_proj" -> 3; -1: none. */
int64_t lm_peft_layer_of(const char *name);

/* Whether a module belongs to a chosen layer; with none chosen all do. */
bool lm_peft_layers_have(const lm_strings *layers, const char *module);

/* "target_modules" and "layers_to_transform".  What is no list of suffixes is written as the names of the
 * linears in use, which means the same to PEFT. */
void lm_peft_targets_write(const lm_adapter *a, lm_json *config, const lm_strings *targets, const lm_strings *layers);

#endif
