/* Reads the merges of a document into their table. */
#ifndef LM_TOKEN_MERGE_LIST_H
#define LM_TOKEN_MERGE_LIST_H

#include "token/bpe.h"
#include "token/pipeline.h"

/* Initialises *merges, also on failure; the caller frees it.  A merge's rank is its place in the list.  `prefix`
 * bytes (a continuing_subword_prefix) are cut from the right side of what two sides make.  LM_E_FORMAT for what
 * is no list of pairs of tokens, or names one, or makes one, that the vocabulary lacks. */
lm_status lm_merges_read(lm_merges *merges, const lm_vocab *vocab, size_t prefix, const lm_token_document *document, const char *name, lm_err *err);

#endif
