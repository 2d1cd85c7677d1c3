/* generation_config.json: how the maker of a model means it to be sampled from.
 *
 * Read: temperature, top_k, top_p, min_p, repetition_penalty and eos_token_id (one or several).  Other
 * settings of transformers (beams, penalties of length) are left alone. */
#ifndef LM_INFER_GENERATION_H
#define LM_INFER_GENERATION_H

#include "infer/sampler.h"

enum { LM_GENERATION_EOS = 16 };

typedef struct lm_generation {
    int32_t eos[LM_GENERATION_EOS];
    int n_eos;
    lm_json *sampling;                   /* the settings that the file gives, under the options' names */
} lm_generation;

/* Reads the file in a model's folder; a folder without one gives an empty lm_generation. */
lm_status lm_generation_read(lm_generation *out, const char *folder, lm_err *err);
void lm_generation_free(lm_generation *g);

/* Writes bos, eos and pad ids (-1: none) as a fresh model's file. */
lm_status lm_generation_write(const char *folder, int64_t bos, int64_t eos, int64_t pad, lm_err *err);

#endif
