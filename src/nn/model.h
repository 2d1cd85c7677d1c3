/* A language model: a family's algebra over declared parameters.
 *
 * A batch is sequences laid end to end; nothing is ever padded.  A forward pass gives the final
 * hidden states [N, C]; objectives and the sampler put the LM head on them. */
#ifndef LM_NN_MODEL_H
#define LM_NN_MODEL_H

#include "base/json.h"
#include "base/option.h"
#include "io/safetensors.h"
#include "nn/param.h"
#include "ops/ops.h"
#include "quant/quant.h"

typedef struct lm_model lm_model;
typedef struct lm_adapter lm_adapter;
typedef struct lm_link lm_link;
typedef struct lm_part lm_part;

/* Sizes that every decoder family has; what only one family needs is in its own struct. */
typedef struct lm_config {
    char model_type[32];                 /* config.json's: "llama", "mistral", "gpt2", ... */
    int64_t vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, intermediate_size;
    int64_t max_positions;
    int64_t bos_id, eos_id[8], pad_id;   /* -1: none */
    int n_eos;
    bool tie_embeddings;
    float init_range;
} lm_config;

/* A weight matrix that is applied to activations, and where an adapter may be attached. */
typedef struct lm_linear_site {
    const char *name;                    /* "model.layers.0.self_attn.q_proj" */
    lm_tensor *w, *bias;                 /* [out, in], or [in, out] when transposed; bias may be NULL */
    int64_t in, out;
    bool transposed;
    lm_link *links;                      /* attached adapters, first to last */
} lm_linear_site;

/* Keys and values of past tokens, per layer [rows, kv_heads * head_dim] in the activation type.
 * Rows are given out by whoever owns the cache (infer/session). */
typedef struct lm_kv {
    lm_tensor *k, *v;                    /* [n_layers] */
    int64_t n_layers, rows;
    lm_arena arena;
} lm_kv;
lm_status lm_kv_init(lm_kv *kv, const lm_model *model, int64_t rows, lm_dtype dtype, lm_arena_kind kind, lm_err *err);
void lm_kv_free(lm_kv *kv);
/* Moves rows [from, from + n) to `to` in every layer. */
void lm_kv_move(lm_kv *kv, const lm_kernels *k, int64_t to, int64_t from, int64_t n);

typedef struct lm_batch {
    int64_t n_tokens, n_segments;
    const int32_t *ids, *positions;      /* [n_tokens]; positions count from 0 in each sequence */
    const lm_segment *segments;          /* without a cache k0 = q0 and nk = nq */
    const int32_t *cache_rows;           /* [n_tokens] rows of the cache that receive k, v; NULL without a cache */
    const uint64_t *off;                 /* [n_segments] adapters that do not act on it, bits by slot; NULL: all that are on act */
    const int32_t *const *virtual_rows;  /* by slot, [n_tokens]: which virtual token of the adapter stands here, or -1 (see virtual.c) */
} lm_batch;

/* What model code is handed. */
typedef struct lm_forward {
    lm_tape *t;
    lm_model *m;
    const lm_batch *batch;
    lm_kv *kv;                           /* NULL when training */
    lm_tensor **vectors;                 /* by slot: what the adapters' hooks `vectors` made for this pass */
    uint64_t active;                     /* adapters that act on every row, bits by slot ... */
    const lm_part *parts;                /* ... or, when rows differ, the rows of each set of them: nn/active.h */
    int64_t n_parts;
} lm_forward;

/* A model family: model/<name>.c. */
typedef struct lm_family {
    const char *name, *source;
    const char *architecture;                                /* of a fresh config.json: "LlamaForCausalLM" */
    const char *const *model_types;                          /* config.json's spellings, NULL-terminated */
    const char *prefix;                                      /* of the trunk in names: "model." */
    const char *token_head;                                  /* of a head that labels tokens; NULL: "score" */
    const char *const *presets;                              /* pairs: name, config.json text; NULL-terminated */
    size_t size;                                             /* of the family's own struct, m->own */
    lm_status (*configure)(lm_model *m, const lm_json *config, lm_err *err);   /* fills m->config and m->own */
    lm_status (*declare)(lm_model *m, lm_err *err);          /* names every tensor once */
    lm_tensor *(*forward)(const lm_forward *f);              /* final hidden states [N, C], normalised */
} lm_family;

extern const lm_family *const lm_family_registry[];

struct lm_model {
    const lm_family *family;
    lm_config config;
    lm_json *config_json;                /* as read or made; saved unchanged */
    char *path;                          /* where it was loaded from, or NULL */
    char *fingerprint;                   /* see nn/fingerprint.h; NULL until asked for */
    void *own;
    lm_params params;
    lm_tensor *embedding, *head;         /* head is the embedding when tied; [V, C]; NULL: no LM head (nn/head.h) */
    lm_tensor *score;                    /* head that classifies [labels, C], or NULL */
    lm_tensor *score_bias;               /* [labels]; NULL: none */
    bool labels_tokens;                  /* its head is for each token, not for a text's last */
    lm_strings labels;                   /* what its scores stand for */
    lm_linear_site **sites;              /* every linear, for adapters */
    lm_linear_site *table;               /* the embedding as a linear of one-hot rows; not one of sites */
    lm_linear_site *output;              /* the LM head, "lm_head" also where it is the embedding; not one of sites; NULL: none */
    int64_t n_sites;
    lm_weights weights;                  /* the mapped files that parameters may point into */
    lm_adapter *adapters;                /* attached ones, first to last, linked by `next` */
    const lm_quant_type *quant;          /* format of the linears' weights, or NULL: see nn/quantised.h */
    bool quant_stored;                   /* the folder has them in that format */
};

/* Reads a Hugging Face folder.  Weights stay mapped in the file's type.  `k` must outlive the model.
 * With the null backend only shapes are read. */
lm_status lm_model_load(lm_model **out, const char *path, const lm_kernels *k, lm_err *err);

/* The same with the linears' weights in a format of src/quant ("nf4", ..), quantised as they are read, or
 * every matrix as "bf16"; NULL: as the folder has them.  A folder that is quantised already is refused
 * another format. */
lm_status lm_model_load_in(lm_model **out, const char *path, const char *format, const lm_kernels *k, lm_err *err);

/* The tensor of the folder's files that parameter `name` is read from; NULL: none. */
const lm_stored *lm_model_stored(const lm_model *m, const char *name);

/* A fresh model from a config.json object (taken), initialised from seed. */
lm_status lm_model_new(lm_model **out, lm_json *config, uint64_t seed, const lm_kernels *k, lm_err *err);

/* The same with the linears' weights in a block format (NULL: f32) from the start. */
lm_status lm_model_new_in(lm_model **out, lm_json *config, uint64_t seed, const lm_quant_type *quant, const lm_kernels *k, lm_err *err);

/* Writes config.json and model.safetensors (sharded above max_shard bytes; 0: 5 GB) into a folder,
 * matrices in `dtype`; quantised ones as bitsandbytes has them.  Tokenizer files are the caller's. */
lm_status lm_model_save(const lm_model *m, const char *folder, lm_dtype dtype, int64_t max_shard, lm_err *err);
void lm_model_free(lm_model *m);

/* Virtual tokens that the adapters put in front of a sequence (a cache holds them as well), and how many tokens of
 * its own it can then have, where those of `off` do not act. */
int64_t lm_model_virtual(const lm_model *m, uint64_t off);
int64_t lm_model_context(const lm_model *m, uint64_t off);

/* Hidden states of a batch, with the attached adapters; checks ids and positions against the model.  f
 * and what it points to must outlive the step (recomputation runs blocks again). */
lm_tensor *lm_model_forward(const lm_forward *f);

/* Logits [n, V] in f32 of the rows `index` [n] (i32; NULL: all) of hidden states. */
lm_tensor *lm_model_logits(const lm_forward *f, lm_tensor *hidden, lm_tensor *index);

/* Cross-entropy of the logits of all rows against targets: see lm_cross_entropy. */
lm_tensor *lm_model_loss(const lm_forward *f, lm_tensor *hidden, const int32_t *targets, const lm_cross_entropy_options *options);

/* -log p of targets [n] at the rows `index` [n] (i32) of hidden states, [n] in f32, and the entropy there (NULL: not
 * wanted): see lm_nll. */
lm_tensor *lm_model_costs(const lm_forward *f, lm_tensor *hidden, lm_tensor *index, const int32_t *targets, lm_tensor **entropy);

/* ---- for families ---- */

/* Hugging Face's name of an activation; `key` is the config's, for the message. */
lm_status lm_act_parse(lm_act *out, const char *name, const char *key, lm_err *err);
lm_linear_site *lm_declare_linear(lm_model *m, int64_t in, int64_t out, bool bias, bool transposed,
                                  const char *name, ...) __attribute__((format(printf, 6, 7)));
/* The site's product with whatever adapters are attached. */
lm_tensor *lm_apply_linear(const lm_forward *f, const lm_linear_site *site, lm_tensor *x, lm_act act);
/* Token embedding rows with the adapters' embed hooks. */
lm_tensor *lm_apply_embedding(const lm_forward *f);
/* What a sublayer adds to the residual stream x (which must stay usable), after the adapters. */
typedef enum lm_sublayer { LM_SUBLAYER_ATTENTION, LM_SUBLAYER_FEED_FORWARD } lm_sublayer;
lm_tensor *lm_apply_branch(const lm_forward *f, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y);

#endif
