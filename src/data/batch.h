/* Batches: which blocks a training step sees, and their tokens in the form that a model takes.
 *
 * The order is a function of (seed, position): block `position` counts on through all epochs, so the
 * cursor of a run is one integer.
 *
 * Where sources have weights, an epoch has so many blocks of each that the shares of their rows are as asked for, and as many as
 * that allows with none twice.  A source goes on in the next epoch where it stopped in the one before, and gives none of its
 * blocks again before it has given all. */
#ifndef LM_DATA_BATCH_H
#define LM_DATA_BATCH_H

#include "data/pack.h"
#include "nn/model.h"

/* Sources of a data set: documents up to ends[i], and the share of all rows that is to be theirs. */
typedef struct lm_shares {
    char **names;
    int64_t *ends;
    double *rates;                       /* sum to 1 */
    int n;                               /* 0: nothing is weighted */
} lm_shares;
void lm_shares_free(lm_shares *shares);  /* takes {0} */

/* The blocks of a source in a part: blocks[first .. first + n), of which an epoch draws `count`. */
typedef struct lm_part_source {
    int64_t first, n, count;
} lm_part_source;

/* A part of the blocks of a data set, in file order. */
typedef struct lm_part {
    int64_t *blocks, n;                  /* n: in an epoch, of all blocks unless sources have weights */
    lm_part_source *sources;
    int n_sources;                       /* 0: nothing is weighted */
} lm_part;

/* All blocks, or (share > 0) about share * n of them, at least one, drawn by seed into `held` and the
 * others into `rest`.  LM_E_USAGE when nothing would be left to train on. */
lm_status lm_part_split(lm_part *rest, lm_part *held, const lm_blocks *b, double share, uint64_t seed, lm_err *err);
void lm_part_free(lm_part *part);        /* takes {0} */

/* Makes the epochs of a part, whose blocks do not go over the ends of sources, follow shares.  LM_E_USAGE where an epoch has no
 * block of a source. */
lm_status lm_part_weigh(lm_part *part, const lm_blocks *b, const lm_dataset *d, const lm_shares *shares, lm_err *err);

/* A micro-batch: as many blocks as a pass through the model takes at once. */
typedef struct lm_microbatch {
    lm_batch batch;
    int32_t *targets;                    /* [n_tokens] the id that follows, or a label; -1: nothing is learnt here */
    float *weights;                      /* [n_tokens] of each target in the step's loss */
    int64_t n_targets, n_blocks;
    const int64_t *blocks;
    const lm_dataset *data;
    int32_t *documents;                  /* [batch.n_segments] of data */
    int64_t *first;                      /* [n_blocks + 1] segments of block i: first[i] .. first[i + 1] */
    float share;                         /* of each block in the step's loss, where blocks count and not tokens */
} lm_microbatch;

typedef struct lm_batcher {
    const lm_dataset *data;
    const lm_blocks *blocks;
    const lm_part *part;
    uint64_t seed;
    bool shuffle;
    int64_t size;                        /* blocks in a micro-batch */
    lm_microbatch at;                    /* what lm_batcher_fill made last */
    int32_t *ids, *positions;
    lm_segment *segments;
    int64_t *members, cap_tokens, cap_segments;
} lm_batcher;

/* data, blocks and part outlive the batcher. */
void lm_batcher_init(lm_batcher *b, const lm_dataset *data, const lm_blocks *blocks, const lm_part *part,
                     int64_t size, bool shuffle, uint64_t seed);
void lm_batcher_free(lm_batcher *b);

/* The block at a position, and the tokens to learn in `n` blocks from it. */
int64_t lm_batcher_block(const lm_batcher *b, int64_t position);
int64_t lm_batcher_targets(const lm_batcher *b, int64_t position, int64_t n);

/* The n <= size blocks from `position` as a micro-batch that lives until the next call; every target
 * weighs `weight`, every block `share`. */
const lm_microbatch *lm_batcher_fill(lm_batcher *b, int64_t position, int64_t n, float weight, float share);

#endif
