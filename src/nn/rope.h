/* Rotary position embedding as configured: base, and the ways to stretch it over longer contexts.
 *
 *   default   inv_freq[j] = theta^(-2j / dim)                          Su et al. 2021
 *   linear    inv_freq / factor                                        Chen et al. 2023, position interpolation
 *   dynamic   theta grows with the length of the sequence              "NTK-aware" scaling, as transformers has it
 *   yarn      interpolates slow dimensions only, scales attention      Peng et al. 2023, section 3.2-3.4
 *   llama3    interpolates by wavelength, smooth in between            LLaMA 3.1
 *
 * Read from config.json in both spellings: rope_theta with rope_scaling, and rope_parameters. */
#ifndef LM_NN_ROPE_H
#define LM_NN_ROPE_H

#include "nn/model.h"

typedef enum lm_rope_type { LM_ROPE_DEFAULT, LM_ROPE_LINEAR, LM_ROPE_DYNAMIC, LM_ROPE_YARN, LM_ROPE_LLAMA3 } lm_rope_type;

typedef struct lm_rope_config {
    lm_rope_type type;
    int64_t dim;                       /* rotated channels of a head, even */
    double theta, factor;
    double low_freq_factor, high_freq_factor;                          /* llama3 */
    double beta_fast, beta_slow, attention_factor;                     /* yarn; attention_factor 0: from factor */
    double mscale, mscale_all_dim;
    bool truncate;
    int64_t original;                  /* context the model was trained with */
} lm_rope_config;

/* head_dim and max_positions come from m->config; a dynamic rope stretches m->config.max_positions. */
lm_status lm_rope_read(lm_rope_config *r, lm_model *m, const lm_json *config, lm_err *err);

/* dim / 2 frequencies for a sequence of `length` tokens; returns what cos and sin are scaled by. */
float lm_rope_frequencies(const lm_rope_config *r, int64_t length, float *inv_freq);

/* The batch's angles [2, N, dim / 2] for lm_rope_; a sequence's do not depend on its neighbours. */
lm_tensor *lm_rope_angles(const lm_forward *f, const lm_rope_config *r);

#endif
