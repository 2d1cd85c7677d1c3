/* What the methods `line` and `paragraph` share: pieces of documents by their hashes, each kept where it stands
 * first in the corpus and cut out elsewhere. */
#ifndef LM_DATA_DEDUP_PIECES_H
#define LM_DATA_DEDUP_PIECES_H

#include "data/dedup.h"

typedef struct lm_pieces_options {
    int64_t min_length;                  /* characters of a piece; shorter ones stay */
} lm_pieces_options;

/* The piece of a text that begins at `at`, with what separates it from the next. */
typedef lm_span (*lm_piece_split)(lm_span text, size_t at);

lm_status lm_pieces_open(lm_dedup_run *run, lm_err *err);
void lm_pieces_digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text, lm_piece_split split);
bool lm_pieces_fit(const lm_dedup_run *run, const lm_digest *digest);
lm_status lm_pieces_add(lm_dedup_run *run, const lm_digest *digest, lm_err *err);
lm_status lm_pieces_solve(lm_dedup_run *run, lm_err *err);
void lm_pieces_edit(lm_dedup_run *run, lm_str *out, lm_span text, lm_piece_split split);
void lm_pieces_describe(const lm_dedup_run *run, lm_json *report);
void lm_pieces_close(void *state);

#endif
