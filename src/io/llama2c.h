/* The binary checkpoint of llama2.c, version 0, turned into a Hugging Face LLaMA folder.
 *
 * Seven i32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: the LM head has a
 * matrix of its own), seq_len; then f32 tensors, each for all layers at once:
 *
 *     token_embedding [V, C]   rms_att [L, C]
 *     wq [L, C, C]   wk, wv [L, kv, C]   wo [L, C, C]      kv = n_kv_heads * C / n_heads
 *     rms_ffn [L, C]   w1 [L, F, C]   w2 [L, C, F]   w3 [L, F, C]   rms_final [C]
 *     rotary tables, cos and sin, [seq_len, D / 2] each (recomputed, so skipped)   wcls [V, C]
 *
 * Left out: the later versions, whose header begins with "ak42"; the quantised ones. */
#ifndef LM_IO_LLAMA2C_H
#define LM_IO_LLAMA2C_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lm_llama2c_header {
    int64_t dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
    bool shared_head;
} lm_llama2c_header;

/* Reads the header and checks that the file is exactly as long as it implies. */
lm_status lm_llama2c_inspect(lm_llama2c_header *out, const char *path, lm_err *err);

/* Writes config.json, generation_config.json and model.safetensors (f32) into an existing folder.
 * The tokenizer is not in the file: the caller writes it. */
lm_status lm_llama2c_convert(const char *path, const char *folder, lm_err *err);

#endif
