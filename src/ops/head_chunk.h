/* What the ops over a language-model head share: its logits, a chunk of rows at a time, and the way back
 * from their gradients.  A whole [N, V] matrix of logits never exists.
 *
 *   logits = x w^T + sum_j scale_j h_j up_j^T
 *
 * A node's inputs are x [N, C], w [V, C] ([C, V] when transposed), then h_j and up_j of each term. */
#ifndef LM_OPS_HEAD_CHUNK_H
#define LM_OPS_HEAD_CHUNK_H

#include "ops/ops.h"

typedef struct lm_head_chunk {
    bool transposed;
    int n_terms;
    float scale[LM_MAX_TERMS];
    int64_t rows, vocab;
    int64_t most;                      /* rows of a chunk */
} lm_head_chunk;

/* Where gradients of the inputs go; data NULL where none is wanted.  Between chunks they add up. */
typedef struct lm_head_sinks {
    struct {
        void *data;
        bool acc;
    } in[LM_MAX_IN];
    bool any;
} lm_head_sinks;

/* Puts the inputs of a node together and says how many; fills *h but for its sizes. */
int lm_head_inputs(lm_head_chunk *h, lm_tensor **in, lm_tensor *x, lm_tensor *w, const lm_cross_entropy_options *options);

/* Checks the shapes and chooses `most`: `asked`, or 0 for as many rows as 96 MiB of logits hold, all
 * chunks about the same. */
lm_status lm_head_infer(lm_head_chunk *h, lm_tape *t, const lm_node *n, int64_t asked);

lm_head_sinks lm_head_sinks_of(lm_tape *t, const lm_node *n);

/* Scratch for the logits of a chunk. */
float *lm_head_room(const lm_head_chunk *h, lm_tape *t);

/* logits[m, V] of rows [i, i + m). */
void lm_head_logits(const lm_head_chunk *h, lm_tape *t, const lm_node *n, float *logits, int64_t i, int64_t m);

/* What their gradients [m, V] are to the inputs. */
void lm_head_back(const lm_head_chunk *h, lm_tape *t, const lm_node *n, lm_head_sinks *to, const float *dlogits, int64_t i, int64_t m);

#endif
