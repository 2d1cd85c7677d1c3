/* A data set that was made into tokens and blocks ahead of training, in one file.
 *
 *   mark[16]  hash  head  tokens  pieces  first  documents  paths  notes       each part at a multiple of 8 bytes
 *
 * Tokens, pieces and blocks are those of dataset.h and pack.h as they lie in memory; they are mapped, so that a run over
 * more tokens than memory pages them in, and the block at a position is known at once.  The hash (XXH3) goes over all
 * that follows it: a file that was cut short or damaged is refused, and so is one whose parts do not fit together.  Numbers
 * are little-endian. */
#ifndef LM_DATA_PACKED_H
#define LM_DATA_PACKED_H

#include "base/file.h"
#include "data/pack.h"

/* What else a run must agree with. */
typedef struct lm_packed_about {
    char objective[32];                  /* its name */
    uint64_t tokenizer;                  /* lm_tokenizer_fingerprint */
    int64_t context, vocab;              /* of the blocks; above all ids */
    int64_t n_malformed;                 /* rows that were passed over */
} lm_packed_about;

typedef struct lm_packed {
    lm_packed_about about;
    lm_dataset data;                     /* tokens and blocks borrow from the mapping: */
    lm_blocks blocks;                    /* they are not freed by themselves */
    lm_mapping mapping;
} lm_packed;

/* Which ids stand for which texts: two tokenizers with the same fingerprint give the same meaning to a token. */
uint64_t lm_tokenizer_fingerprint(const lm_tokenizer *tk);

/* *bytes: of the file.  Writes as every file is written: whole or not at all. */
lm_status lm_packed_write(const char *path, const lm_dataset *data, const lm_blocks *blocks, const lm_packed_about *about, int64_t *bytes, lm_err *err);

bool lm_packed_is(const char *path);     /* whether the file begins as one */
lm_status lm_packed_open(lm_packed *p, const char *path, lm_err *err);
void lm_packed_close(lm_packed *p);      /* takes {0} */

#endif
