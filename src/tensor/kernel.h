/* The kernel table: every piece of arithmetic that a backend provides.
 *
 * The list below is the only one.  It gives the struct, the slots' names, the null backend and
 * the self-test that ties each backend to `ref`.  A table starts full of ref kernels (plain C,
 * f32 accumulation, made to be read); other backends overwrite the slots that they do better,
 * chosen at run time from what the machine has.
 *
 * Conventions
 *  - LM_SLOT has one entry, LM_SLOT_REAL one per activation type: k->norm_fwd[LM_BF16](&args).
 *  - `void *` data of a REAL slot has that type unless a comment says otherwise.  Statistics,
 *    losses, tables and gradients of parameters are f32; ids, positions and targets are i32.
 *  - Matrices are row-major; ld is the distance between rows in elements.
 *  - `acc`: add to the destination instead of overwriting it.
 *  - Sums over rows go over LM_BLOCKS fixed pieces in order, so no result depends on the number
 *    of threads.  (gemm alone may, unless .deterministic.) */
#ifndef LM_TENSOR_KERNEL_H
#define LM_TENSOR_KERNEL_H

#include "base/err.h"
#include "tensor/dtype.h"
#include "tensor/quant.h"

#include <stdbool.h>
#include <stdint.h>

enum { LM_BLOCKS = 32 };

typedef enum lm_act { LM_ACT_NONE, LM_ACT_RELU, LM_ACT_GELU, LM_ACT_GELU_TANH, LM_ACT_SILU, LM_ACT_TANH, LM_N_ACTS } lm_act;

/* c[m, n] = act(alpha * op(a)[m, k] op(b)[k, n] + beta * c + bias[n])
 * a, b, c each f32, bf16 or f16 (c f32 or bf16); products are taken in `compute` (f32 or bf16) and
 * summed in f32.  With beta == 0, c is not read.  `pre`, when set, receives what act is applied to
 * (type and ld of c).
 * With bq, b are codes of that block format, from the matrix's first element; bt is not read. */
typedef struct lm_gemm {
    void *c, *pre;
    const void *a, *b, *bias;
    const lm_quant *bq;
    int64_t m, n, k, lda, ldb, ldc;
    float alpha, beta;
    lm_dtype ct, at, bt, bias_t, compute;
    lm_act act;
    bool trans_a, trans_b, deterministic;
} lm_gemm;

/* y[i, :] = table[ids[i], :]; the table has type wt and `vocab` rows.  An id is in range. */
typedef struct lm_k_embedding {
    void *y;
    const void *table;
    const int32_t *ids;
    int64_t rows, cols, vocab, ld;     /* ld: of the table; 0: cols */
    lm_dtype wt;
    bool acc;                          /* y += */
} lm_k_embedding;

/* dtable[ids[i], :] += dy[i, :]  (f32 table) */
typedef struct lm_k_embedding_bwd {
    float *dtable;
    const void *dy;
    const int32_t *ids;
    int64_t rows, cols, vocab, ld;
} lm_k_embedding_bwd;

/* s = x + residual (residual NULL: s = x); y = (s - mean) * rstd * w + b
 * RMSNorm (Zhang & Sennrich 2019): mean = NULL, b = NULL, rstd = 1/sqrt(mean(s^2) + eps).
 * LayerNorm (Ba et al. 2016): mean and variance over the row.  `sum` (NULL, or where s is
 * stored) may be the same memory as residual.  w, b: type wt, [cols]; w and b may be NULL. */
typedef struct lm_k_norm {
    void *y, *sum;
    float *mean, *rstd;                /* [rows], saved for backward; mean NULL selects RMSNorm */
    const void *x, *residual, *w, *b;
    int64_t rows, cols;
    float eps;
    lm_dtype wt;
} lm_k_norm;

/* ds (acc: +=) the gradient through the norm; dw, db +=.  Each may be NULL: not wanted. */
typedef struct lm_k_norm_bwd {
    void *ds;
    float *dw, *db;
    const void *dy, *s, *w;
    const float *mean, *rstd;
    int64_t rows, cols;
    lm_dtype wt;
    bool acc;
} lm_k_norm_bwd;

/* cos, sin [rows, half] of positions[row] * inv_freq[j], times `scale` (YaRN's attention factor). */
typedef struct lm_k_rope_table {
    float *cos, *sin;
    const int32_t *positions;
    const float *inv_freq;
    int64_t rows, half;
    float scale;
} lm_k_rope_table;

/* Rotates, in place, dims (j, j + half) of each head of x [rows, heads, head_dim] by the table
 * (Su et al. 2021, section 3.4, in Hugging Face's half-split layout); dims past 2*half stay.
 * inverse: by minus the angle, which is backward. */
typedef struct lm_k_rope {
    void *x;
    const float *cos, *sin;
    int64_t rows, heads, head_dim, half, ld;
    bool inverse;
} lm_k_rope;

/* One run of queries and the keys that it may see: rows q0.. of q, rows k0.. of k and v.
 * Query i stands at position nk - nq + i of its sequence. */
typedef struct lm_segment {
    int64_t q0, nq, k0, nk;
} lm_segment;

/* o = softmax(scale * q k^T + mask) v per segment and head, without a matrix of all scores
 * (Dao et al. 2022).  q, o [rows, heads, head_dim]; k, v [.., kv_heads, head_dim]; each with its
 * own ld.  causal: position i sees j <= i; window > 0: and j > i - window.  lse [rows, heads]: log
 * of the softmax's denominator. */
typedef struct lm_k_attention {
    void *o;
    float *lse;
    const void *q, *k, *v;
    const lm_segment *segments;
    int64_t n_segments, rows, heads, kv_heads, head_dim, ldq, ldk, ldv, ldo, window;
    float scale;
    bool causal;
} lm_k_attention;

/* Overwrites dq, dk, dv; queries and keys are covered by the segments exactly once.
 * `delta` [rows, heads] is room for rowsum(do * o). */
typedef struct lm_k_attention_bwd {
    lm_k_attention f;                  /* o and lse as forward left them */
    void *dq, *dk, *dv;
    const void *dout;                  /* [rows, heads, head_dim], ld = lddo */
    float *delta;
    int64_t lddo, lddq, lddk, lddv;
} lm_k_attention_bwd;

/* y = act(gate) * up  (Shazeer 2020, "GLU variants improve transformer"); n numbers */
typedef struct lm_k_glu {
    void *y;
    const void *gate, *up;
    int64_t n;
    lm_act act;
} lm_k_glu;

/* dgate, dup: overwritten, or added to with acc; dup or dgate may be dy's memory. */
typedef struct lm_k_glu_bwd {
    void *dgate, *dup;
    const void *dy, *gate, *up;
    int64_t n;
    lm_act act;
    bool acc_gate, acc_up;
} lm_k_glu_bwd;

/* y = act(x); backward: dx (acc: +=) dy * act'(x) */
typedef struct lm_k_act {
    void *y;                           /* dx in backward */
    const void *x, *dy;                /* dy only in backward; dx may be dy's memory */
    int64_t n;
    lm_act act;
    bool acc;
} lm_k_act;

/* y (acc: +=) x * keep_i / (1 - p), keep_i by word i%4 of Philox block (seed, stream, i/4): kept when
 * lm_u32_unit(word) >= p.  Its own backward. */
typedef struct lm_k_dropout {
    void *y;
    const void *x;
    int64_t n;
    uint64_t seed, stream;
    float p;
    bool acc;
} lm_k_dropout;

/* Cross-entropy of f32 logits [rows, vocab] against targets (< 0: no target, no loss, no gradient):
 * nll[i] = logsumexp(logits[i]) - logits[i, target]; with grad, logits become
 * weight[i] * (softmax - onehot).  Where entropy is given it receives -sum softmax log softmax, and where
 * bonus is given, its gradient times bonus[i] is added. */
typedef struct lm_k_xent {
    float *logits, *nll;               /* nll[i] = 0 without a target */
    float *entropy;                    /* or NULL */
    const int32_t *targets;
    const float *weights;              /* NULL: all 1 */
    const float *bonus;                /* NULL: all 0 */
    int64_t rows, vocab, ld;
    bool grad;
} lm_k_xent;

/* AdamW (Loshchilov & Hutter 2019, algorithm 2): g <- scale * g;  w *= 1 - lr * decay;
 * m, v the moving averages;  w -= lr * (m / bias1) / (sqrt(v / bias2) + eps) */
typedef struct lm_k_adamw {
    float *w, *m, *v;
    const float *g;
    int64_t n;
    float lr, beta1, beta2, eps, decay, bias1, bias2, scale;
} lm_k_adamw;

#define LM_KERNELS(LM_SLOT, LM_SLOT_REAL)                                                                  \
    LM_SLOT(gemm, (const lm_gemm *g))                                                                      \
    LM_SLOT(convert, (void *y, lm_dtype yt, const void *x, lm_dtype xt, int64_t n))                        \
    /* y[j] = element i + j of quantised data */                                                           \
    LM_SLOT(dequantise, (float *y, const lm_quant *q, const void *codes, int64_t i, int64_t n))            \
    /* y and x may overlap */                                                                              \
    LM_SLOT(copy, (void *y, const void *x, int64_t bytes))                                                 \
    LM_SLOT(zero, (void *y, int64_t bytes))                                                                \
    LM_SLOT(rope_table, (const lm_k_rope_table *a))                                                        \
    LM_SLOT(xent, (const lm_k_xent *a))                                                                    \
    LM_SLOT(adamw, (const lm_k_adamw *a))                                                                  \
    /* *out = sum of x[i]^2, in double; *out = sum of x[i] * w[i] (w NULL: of x[i]) */                     \
    LM_SLOT(sum_squares, (double *out, const float *x, int64_t n))                                         \
    LM_SLOT(dot, (float *out, const float *x, const float *w, int64_t n))                                  \
    /* y[i] = 1 / sqrt(c[i] + sum_j a[i, j] b[j, i]); 0 where that is no norm of anything */                \
    LM_SLOT(inverse_norms, (float *y, const float *c, const float *a, const float *b, int64_t rows, int64_t n)) \
    /* One step of one LSTM sequence in f32 (ref/lstm.k.c): c, h and gates [4n] (i, f, g, o; functions applied       \
     * in place) from the pre-activations in gates and the c before (NULL: zeros); and back: da [4n] from dh, dc,    \
     * where dc becomes that of the c before. */                                                           \
    LM_SLOT(lstm_cell_fwd, (float *h, float *c, float *gates, const float *before, int64_t n))             \
    LM_SLOT(lstm_cell_bwd, (float *da, float *dc, const float *dh, const float *gates, const float *c,     \
                            const float *before, int64_t n))                                               \
    LM_SLOT_REAL(embedding_fwd, (const lm_k_embedding *a))                                                 \
    LM_SLOT_REAL(embedding_bwd, (const lm_k_embedding_bwd *a))                                             \
    LM_SLOT_REAL(norm_fwd, (const lm_k_norm *a))                                                           \
    LM_SLOT_REAL(norm_bwd, (const lm_k_norm_bwd *a))                                                       \
    LM_SLOT_REAL(rope, (const lm_k_rope *a))                                                               \
    LM_SLOT_REAL(attention_fwd, (const lm_k_attention *a))                                                 \
    LM_SLOT_REAL(attention_bwd, (const lm_k_attention_bwd *a))                                             \
    LM_SLOT_REAL(glu_fwd, (const lm_k_glu *a))                                                             \
    LM_SLOT_REAL(glu_bwd, (const lm_k_glu_bwd *a))                                                         \
    LM_SLOT_REAL(act_fwd, (const lm_k_act *a))                                                             \
    LM_SLOT_REAL(act_bwd, (const lm_k_act *a))                                                             \
    LM_SLOT_REAL(dropout, (const lm_k_dropout *a))                                                         \
    /* y = alpha * a + beta * b (b NULL: y = alpha * a); y may be a or b */                                \
    LM_SLOT_REAL(add, (void *y, const void *a, const void *b, float alpha, float beta, int64_t n))         \
    /* y (acc: +=) a * b */                                                                                \
    LM_SLOT_REAL(mul, (void *y, const void *a, const void *b, int64_t n, bool acc))                        \
    /* y[cols] f32 += sum of the rows of x [rows, cols] */                                                 \
    LM_SLOT_REAL(sum_rows, (float *y, const void *x, int64_t rows, int64_t cols, int64_t ld))              \
    /* y[i, c] (acc: +=) x[i, c] v[c]; y may be x */                                                       \
    LM_SLOT_REAL(scale_columns, (void *y, const void *x, const float *v, int64_t rows, int64_t cols, bool acc)) \
    /* y[c] f32 += sum_i a[i, c] b[i, c] */                                                                \
    LM_SLOT_REAL(dot_columns, (float *y, const void *a, const void *b, int64_t rows, int64_t cols))        \
    /* y[i] f32 += x[i]: a gradient in the activation type joins one of a parameter */                     \
    LM_SLOT_REAL(accumulate, (float *y, const void *x, int64_t n))                                         \
    /* y[index[i], :] = x[i, :], distance between rows ldy and ldx */                                      \
    LM_SLOT_REAL(scatter_rows, (void *y, const void *x, const int32_t *index, int64_t rows, int64_t cols,  \
                                int64_t ldy, int64_t ldx))

typedef struct lm_kernels lm_kernels;
struct lm_kernels {
    const char *name;                  /* "ref", "avx2", "avx512", "null" */
    bool computes;                     /* false: the null backend; data must not be touched */
    bool bf16_units;                   /* products in bf16 are faster than in f32 here */
#define LM_SLOT(slot, params)      void (*slot) params;
#define LM_SLOT_REAL(slot, params) void (*slot[LM_N_REALS]) params;
    LM_KERNELS(LM_SLOT, LM_SLOT_REAL)
#undef LM_SLOT
#undef LM_SLOT_REAL
};

#endif
