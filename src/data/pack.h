/* Packing: which tokens stand together in a row of a training batch.
 *
 * A document of n tokens gives n - 1 lessons: token j, seen after those before it, predicts token
 * j + 1.  A *piece* is a run of lessons of one document; a *block* is one piece or more, together at
 * most `context` lessons long, and is what --batch-size counts.  Pieces of a block do not see each
 * other and nothing is ever padded.  Sequences of one row, which an objective compares, are a block by themselves, in
 * which each may be as long as the context, whether packing is asked for or not.
 *
 * Documents longer than the context are split, truncated or refused.  Packing puts pieces together by
 * best fit in the order of decreasing length, so that whole blocks stay whole and short pieces fill the
 * gaps (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", section 3); or in their order, a new block
 * beginning where a piece does not fit into the one before. */
#ifndef LM_DATA_PACK_H
#define LM_DATA_PACK_H

#include "data/dataset.h"

typedef enum lm_longer { LM_LONGER_SPLIT, LM_LONGER_TRUNCATE, LM_LONGER_REFUSE } lm_longer;

typedef struct lm_pack_options {
    int64_t context;                     /* lessons in a block at most */
    lm_longer longer;
    bool pack;                           /* several pieces to a block */
    bool in_order;                       /* pieces stay in the order of the data */
    const int64_t *ends;                 /* [n_ends] documents behind which no block goes on: those of different sources ... */
    int n_ends;                          /* ... of which the last ends the data; 0: there is one */
} lm_pack_options;

typedef struct lm_piece {
    int64_t begin;                       /* token of the data set that is seen first */
    int32_t document, n;                 /* n lessons: tokens begin .. begin + n are used */
} lm_piece;

typedef struct lm_blocks {
    lm_piece *pieces;                    /* those of block b: first[b] .. first[b + 1] */
    int64_t *first;                      /* [n + 1] */
    int64_t n, n_pieces;
    int64_t n_lessons, n_supervised;     /* of all blocks */
    int64_t n_truncated, lost;           /* documents that were cut, and tokens cut off */
} lm_blocks;

/* LM_E_FORMAT names the row that is too long (LM_LONGER_REFUSE) or that teaches nothing. */
lm_status lm_blocks_make(lm_blocks *b, const lm_dataset *d, const lm_pack_options *options, lm_err *err);
void lm_blocks_free(lm_blocks *b);       /* takes {0} */

/* Lessons of a block, and those of them that are supervised. */
int64_t lm_block_length(const lm_blocks *b, int64_t block);
int64_t lm_block_supervised(const lm_blocks *b, const lm_dataset *d, int64_t block);

#endif
