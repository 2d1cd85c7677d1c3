/* A LoRA folder read without its model: the pairs of matrices, and by what their product is scaled.
 *
 * Refused, since their update is not scale * B A alone: DoRA, modules that are saved whole, other methods. */
#ifndef LM_PEFT_LORA_FOLDER_H
#define LM_PEFT_LORA_FOLDER_H

#include "io/safetensors.h"

typedef struct lm_lora_module {
    char *name;                          /* "model.layers.0.self_attn.q_proj" */
    bool embedding;                      /* the table's: A [r, ids], B [C, r] */
    const lm_stored *a, *b;              /* A [r, in], B [out, r] */
    int64_t in, out, r;
    double alpha, scale;                 /* alpha / r, or alpha / sqrt(r) */
} lm_lora_module;

typedef struct lm_lora_folder {
    char *path;
    lm_json *config;
    lm_safetensors file;
    lm_lora_module *modules;             /* in the order of their names */
    int64_t n;
    double alpha;                        /* lora_alpha; patterns may give modules another */
} lm_lora_folder;

/* Reads and checks the folder.  The caller closes *f also after a failure, having zeroed it. */
lm_status lm_lora_folder_open(lm_lora_folder *f, const char *path, lm_err *err);
void lm_lora_folder_close(lm_lora_folder *f);

const lm_lora_module *lm_lora_folder_find(const lm_lora_folder *f, const char *name);    /* NULL: not there */

/* A tensor in f32, which the caller frees. */
lm_status lm_lora_read(float **out, const lm_stored *s, lm_err *err);

#endif
