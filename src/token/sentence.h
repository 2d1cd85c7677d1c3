/* What the trainers of SentencePiece's kinds (its BPE and its Unigram) share: how text is normalised and
 * cut into words, the pieces that stand before the learned ones, and the document around a model.
 *
 * A text becomes "▁" and its words, spaces as "▁" (U+2581).  A token never goes across the front of a
 * word; unless asked otherwise neither across two scripts, nor from letters to digits and signs.
 *
 * Scripts are told by the blocks of their letters (kana and Han are one, as in SentencePiece); what is no
 * letter or mark is of the script "common". */
#ifndef LM_TOKEN_SENTENCE_H
#define LM_TOKEN_SENTENCE_H

#include "token/document.h"
#include "token/letters.h"

/* The longest token, in characters. */
int lm_sentence_longest(const lm_vocab_options *options);

/* lm_token_trainer.pipeline of both. */
lm_status lm_sentence_bpe_pipeline(lm_json **document, const lm_vocab_options *options, lm_err *err);
lm_status lm_sentence_unigram_pipeline(lm_json **document, const lm_vocab_options *options, lm_err *err);

/* lm_token_trainer.cut of both. */
void lm_sentence_cut(struct lm_words *words, lm_span piece, const lm_vocab_options *options);

/* A growing list of pieces; their texts are its own. */
typedef struct lm_pieces_made {
    lm_piece *items;
    int n, cap;
} lm_pieces_made;

/* The special tokens and, with byte fallback, those of the 256 bytes. */
void lm_sentence_begin(lm_pieces_made *made, const lm_vocab_options *options);
int lm_sentence_reserved(const lm_vocab_options *options);                   /* how many those are */
bool lm_sentence_is_reserved(const lm_vocab_options *options, lm_span text); /* whether text spells one of them */

void lm_sentence_put(lm_pieces_made *made, lm_span text, float score);
void lm_sentence_free(lm_pieces_made *made);

/* Makes `document` that of the pieces. */
void lm_sentence_finish(lm_json *document, const lm_pieces_made *made, const lm_vocab_options *options, bool unigram);

#endif
