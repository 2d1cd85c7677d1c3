/* The ops that model code is written in.  One file each; this is the index.
 *
 * Shapes: N rows (tokens of all sequences, end to end), C channels.  Every function returns a
 * tensor that lives until lm_tape_reset.  A name that ends in an underscore works in place: its
 * input's memory becomes the output's, and the input must not be used afterwards. */
#ifndef LM_OPS_OPS_H
#define LM_OPS_OPS_H

#include "tensor/tape.h"

/* y[N, C] = table[ids[N], :] */
lm_tensor *lm_embedding(lm_tape *t, lm_tensor *table, lm_tensor *ids);

/* y[.., n] = act(x[.., k] w[n, k]^T + bias[n]) */
lm_tensor *lm_linear(lm_tape *t, lm_tensor *x, lm_tensor *w, lm_tensor *bias);

typedef struct lm_linear_options {
    lm_act act;
    bool transposed;               /* w is [k, n], as GPT-2 stores it */
    float alpha;                   /* 0 means 1: scales the product */
    bool f32;                      /* y in f32 whatever the activation type */
} lm_linear_options;
lm_tensor *lm_linear_with(lm_tape *t, lm_tensor *x, lm_tensor *w, lm_tensor *bias, const lm_linear_options *options);

/* y += alpha * x w^T, in place of y */
lm_tensor *lm_linear_add_(lm_tape *t, lm_tensor *y, lm_tensor *x, lm_tensor *w, float alpha, bool transposed);

/* s = x + residual; norm(s) * w + b.  residual may be NULL (s = x).  With one, s replaces it in
 * place (residual must not be used afterwards) and *sum receives s. */
lm_tensor *lm_rmsnorm(lm_tape *t, lm_tensor *x, lm_tensor *residual, lm_tensor *w, float eps, lm_tensor **sum);
lm_tensor *lm_layernorm(lm_tape *t, lm_tensor *x, lm_tensor *residual, lm_tensor *w, lm_tensor *b, float eps,
                        lm_tensor **sum);

/* Rotates the heads of x [N, heads * D] by a table of angles [2, N, half] f32 (cosines, sines). */
lm_tensor *lm_rope_(lm_tape *t, lm_tensor *x, lm_tensor *table, int64_t heads);

typedef struct lm_attention_options {
    int64_t heads, kv_heads, window;
    const lm_segment *segments;    /* host memory that outlives the step */
    int64_t n_segments;
    float scale;
    bool causal;
} lm_attention_options;
/* q [N, heads * D], k, v [M, kv_heads * D] -> [N, heads * D] */
lm_tensor *lm_attention(lm_tape *t, lm_tensor *q, lm_tensor *k, lm_tensor *v, const lm_attention_options *options);

typedef struct lm_lstm_options {
    const lm_segment *segments;    /* q0 and nq say which rows are a sequence; host memory that outlives the step */
    int64_t n_segments;
    bool reverse;                  /* from the last row of a sequence to its first; lm_bilstm goes both ways */
} lm_lstm_options;
/* LSTM: gates [N, 4H] from below (x W_ih^T + b; input, forget, cell, output as torch has them), w [4H, H] a
 * parameter -> h [N, H]; and both directions -> [N, 2H]. */
lm_tensor *lm_lstm(lm_tape *t, lm_tensor *gates, lm_tensor *w, const lm_lstm_options *options);
lm_tensor *lm_bilstm(lm_tape *t, lm_tensor *gates, lm_tensor *w, lm_tensor *back_gates, lm_tensor *back_w,
                     const lm_lstm_options *options);       /* reverse is not read */

lm_tensor *lm_glu(lm_tape *t, lm_tensor *gate, lm_tensor *up, lm_act act);       /* act(gate) * up */
lm_tensor *lm_activation(lm_tape *t, lm_tensor *x, lm_act act);
lm_tensor *lm_dropout(lm_tape *t, lm_tensor *x, float p);                         /* x itself unless training */
lm_tensor *lm_add(lm_tape *t, lm_tensor *a, lm_tensor *b);
lm_tensor *lm_add_(lm_tape *t, lm_tensor *y, lm_tensor *x);                       /* y += x */
lm_tensor *lm_mul(lm_tape *t, lm_tensor *a, lm_tensor *b);
lm_tensor *lm_scale(lm_tape *t, lm_tensor *x, float alpha);
lm_tensor *lm_gather_rows(lm_tape *t, lm_tensor *x, lm_tensor *index);            /* y[i, :] = x[index[i], :] */
lm_tensor *lm_replace_rows(lm_tape *t, lm_tensor *x, lm_tensor *table, const int32_t *which);    /* y[i, :] = which[i] < 0 ? x[i, :] : table[which[i], :] */
lm_tensor *lm_scale_columns(lm_tape *t, lm_tensor *x, lm_tensor *v);              /* y[i, c] = x[i, c] v[c]; v [C] a parameter */
/* y[i, c] = centre[c] + (x[i, c] - centre[c]) v[c]; centre [C] takes no gradient */
lm_tensor *lm_scale_columns_about(lm_tape *t, lm_tensor *x, lm_tensor *v, const lm_tensor *centre);
lm_tensor *lm_columns(lm_tape *t, lm_tensor *x, int64_t begin, int64_t n);        /* a view; see below */
lm_tensor *lm_reshape(lm_tape *t, lm_tensor *x, int64_t rows, int64_t cols);      /* a view; x is contiguous */
lm_tensor *lm_orthogonality(lm_tape *t, lm_tensor *p, bool columns);               /* |p p^T - I|_F, or |p^T p - I|_F; p a parameter */

/* lm_columns is x[:, begin : begin + n] without a copy.  Views of one tensor must not overlap, and a
 * tensor that has views is not used itself. */

/* A term scale * h up^T of low rank that is added to logits: h [N, r], up [V, r]. */
typedef struct lm_low_rank {
    lm_tensor *h, *up;
    float scale;
} lm_low_rank;
enum { LM_MAX_TERMS = 2 };

typedef struct lm_cross_entropy_options {
    const float *weights;          /* [N] host, or NULL for 1 / (number of targets) */
    float *nll;                    /* [N] host, receives each row's loss, unweighted; may be NULL */
    int64_t chunk;                 /* rows of logits in memory at once; 0: up to 96 MiB of them */
    bool transposed;
    lm_tensor **entropy;           /* lm_nll: receives -sum p log p of each row [N], 0 where there is no target; NULL: not wanted */
    const lm_low_rank *terms;      /* added to the logits; read before the call returns */
    int n_terms;                   /* at most LM_MAX_TERMS */
} lm_cross_entropy_options;
/* Weighted cross-entropy of x [N, C] w[V, C]^T (and what `terms` add) against targets [N] (host i32; < 0: none), a scalar.
 * Logits exist chunk by chunk only, and their gradient is taken at once, so the result must enter
 * the loss with factor 1: as the root of lm_backward, or through lm_add. */
lm_tensor *lm_cross_entropy(lm_tape *t, lm_tensor *x, lm_tensor *w, const int32_t *targets,
                            const lm_cross_entropy_options *options);

/* What each target costs, y[i] = -log softmax(logits_i)[targets[i]], 0 where there is none: [N] in f32, which may
 * enter any loss.  Of the options, weights and nll do not count. */
lm_tensor *lm_nll(lm_tape *t, lm_tensor *x, lm_tensor *w, const int32_t *targets, const lm_cross_entropy_options *options);

/* f's value as a scalar; f adds the derivatives to slope [n], which is zero, on the host.  x [n] in f32;
 * `context` outlives the step. */
typedef double (*lm_by_hand_fn)(const void *context, const float *x, float *slope, int64_t n);
lm_tensor *lm_by_hand(lm_tape *t, lm_tensor *x, lm_by_hand_fn f, const void *context);

/* A block of a model as a function of its input. */
typedef lm_tensor *(*lm_block)(lm_tape *t, void *context, lm_tensor *x);
/* Runs block(x); x must not be used afterwards.  Without gradients, or where nothing of the block trains, the
 * result takes x's place and all else is dropped.  With tape->checkpointing, only x is kept and the block runs again in backward (Chen et al. 2016, "Training deep nets with
 * sublinear memory cost").  context must outlive the step. */
lm_tensor *lm_checkpoint(lm_tape *t, lm_block block, void *context, lm_tensor *x);

#endif
