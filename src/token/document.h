/* Pieces of tokenizer.json documents, for the readers of other formats and the trainers. */
#ifndef LM_TOKEN_DOCUMENT_H
#define LM_TOKEN_DOCUMENT_H

#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* One entry of a SentencePiece-style vocabulary; its id is its index. */
typedef enum lm_piece_type {         /* the numbers of SentencePiece and of GGUF */
    LM_PIECE_NORMAL = 1, LM_PIECE_UNKNOWN, LM_PIECE_CONTROL, LM_PIECE_USER, LM_PIECE_UNUSED, LM_PIECE_BYTE,
} lm_piece_type;

typedef struct lm_piece {
    lm_span text;
    float score;
    lm_piece_type type;
} lm_piece;

/* The byte that a text like "<0x0A>" names, or -1. */
int lm_piece_byte(lm_span text);

/* Pieces of the type of bytes name one each, and there are all 256 or none: LM_E_FORMAT else. */
lm_status lm_pieces_check_bytes(const lm_piece *pieces, int n, const char *path, lm_err *err);

/* All functions give a new document, or node, that the caller owns. */

/* A document with the fields that every one has; members are set to null. */
lm_json *lm_document_new(void);

lm_json *lm_document_text(lm_span text);                 /* a string; text is valid UTF-8 */
lm_json *lm_document_added(int64_t id, lm_span text, bool special, bool normalized);

/* {"type": "Sequence", members: [...]}: takes the list. */
lm_json *lm_document_sequence(const char *members, lm_json *list);

/* TemplateProcessing with bos before and eos after a text; NULL leaves that side empty. */
lm_json *lm_document_template(const char *bos, int64_t bos_id, const char *eos, int64_t eos_id);

/* That of BERT: cls A sep, and cls A sep B sep. */
lm_json *lm_document_template_pair(const char *cls, int64_t cls_id, const char *sep, int64_t sep_id);

/* {"type": "ByteLevel", ...}, as a pre-tokeniser, post-processor or decoder. */
lm_json *lm_document_byte_level(bool add_prefix_space, bool use_regex);

/* Split at a regular expression (isolated), then ByteLevel: what follows GPT-2 uses. */
lm_json *lm_document_byte_split(const char *expression);

/* A document of byte-level BPE.  Takes the three nodes. */
lm_json *lm_document_byte_bpe(lm_json *vocab, lm_json *merges, lm_json *pretokeniser);

/* The merges that a vocabulary with scores stands for: for each normal piece, every way to put it
 * together from two others, the best score first; among equals the longer left side first. */
lm_json *lm_document_merges(const lm_piece *pieces, int n);

/* What a SentencePiece-style file says; ids are -1 for none. */
typedef struct lm_sentencepiece {
    const lm_piece *pieces;
    int n, unk, bos, eos;
    bool byte_fallback;
    lm_span charsmap;                /* compiled character map; empty: none */
    bool prefix;                     /* a space in front of a text */
    bool squeeze;                    /* spaces at the ends vanish, runs of them are one */
    bool prefix_once;                /* not behind an added token */
    bool symbols;                    /* user pieces are found as SentencePiece does, not cut out of the text first */
    bool add_bos, add_eos;           /* around a text */
} lm_sentencepiece;

/* Whole documents of a BPE or a Unigram model.  Control and unknown pieces become special tokens, user
 * pieces added ones. */
lm_json *lm_document_score_bpe(const lm_sentencepiece *s);
lm_json *lm_document_unigram(const lm_sentencepiece *s);

/* Settings in the schema of tokenizer_config.json that name the special tokens. */
lm_json *lm_document_specials(const lm_sentencepiece *s, int pad);

#endif
