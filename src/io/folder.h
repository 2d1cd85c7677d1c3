/* Hugging Face folders: what a path holds, and the files that stand beside the weights. */
#ifndef LM_IO_FOLDER_H
#define LM_IO_FOLDER_H

#include "base/err.h"

typedef enum lm_kind {
    LM_KIND_UNKNOWN,
    LM_KIND_MODEL,             /* folder with config.json or model weights */
    LM_KIND_ADAPTER,           /* folder with adapter_config.json */
    LM_KIND_CHECKPOINT,        /* one step of a training run */
    LM_KIND_RUN,               /* folder of a training run, or of its checkpoints */
    LM_KIND_TOKENIZER,         /* folder with tokenizer files only */
    LM_KIND_SAFETENSORS, LM_KIND_GGUF, LM_KIND_LLAMA2C,
    LM_KIND_TEXT,              /* UTF-8 text, plain, gzip or zstd: training data */
} lm_kind;

/* Looks at names in a folder and at the first bytes of a file, never at a file's name.  LM_E_IO when
 * the path cannot be read. */
lm_status lm_kind_of_path(lm_kind *out, const char *path, lm_err *err);
const char *lm_kind_name(lm_kind kind);                /* "model folder", "safetensors file", ... */

/* Copies what belongs to a model beside config.json and weights: tokenizer, special tokens, chat
 * template, generation settings.  Each file is written atomically; one that is absent is passed over. */
lm_status lm_folder_copy_sides(const char *from, const char *to, lm_err *err);

/* Copies one file of a folder; one that is absent is passed over. */
lm_status lm_folder_copy(const char *from, const char *to, const char *name, lm_err *err);

#endif
