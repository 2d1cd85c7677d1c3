/* Writers of tokenizers in other formats than tokenizer.json (lm_tokenizer_save).
 *
 * A writer writes only what its format can say: it looks at the pipeline step by step and refuses, naming
 * the first thing that would be lost. */
#ifndef LM_TOKEN_WRITER_H
#define LM_TOKEN_WRITER_H

#include "token/document.h"
#include "token/pipeline.h"

typedef struct lm_token_writer {
    const char *name, *summary;
    const char *file;                /* how the names of its files end */
    bool folder;                     /* it writes several files, into a folder */
    bool partial;                    /* a reader has to be told the rest (the note says it): added tokens, BOS and EOS */
    /* Writes to `path`.  Appends to *note what a reader has to be told besides. LM_E_UNSUPPORTED when
     * something would be lost. */
    lm_status (*write)(const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err);
} lm_token_writer;
extern const lm_token_writer *const lm_token_writer_registry[];

/* Writes, loads what was written, and compares vocabularies and the ids of a built-in text and of every token's
 * text: LM_E_MISMATCH where they differ. */
lm_status lm_tokenizer_write(const lm_token_writer *writer, const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err);

/* ---- what writers share ------------------------------------------------------------------------------- */

/* The members of the document's "normalizer", "pre_tokenizer" or "decoder", a Sequence or a single step as a
 * flat array that the caller frees. */
lm_json *lm_document_steps(const lm_tokenizer *tk, const char *key);

bool lm_step_is(const lm_json *step, const char *type);
bool lm_step_flag(const lm_json *step, const char *key, bool missing);

/* The expression by which a byte-level tokenizer cuts its texts, with nothing else before the model; NULL
 * when it does something else. */
const char *lm_byte_level_expression(const lm_tokenizer *tk);

/* The merges as [["left", "right"], ...]; NULL for a model without. */
lm_json *lm_tokenizer_merges(const lm_tokenizer *tk);

/* The added token with this id, or NULL. */
const lm_added_token *lm_added_of(const lm_tokenizer *tk, int32_t id);

/* A tokenizer as SentencePiece has it; {0} is empty. */
typedef struct lm_sentence_model {
    lm_piece *pieces;                /* their texts are the tokenizer's */
    int n;
    bool bpe, byte_fallback;
    bool prefix, squeeze;            /* a mark in front of a text; spaces at the ends vanish, runs of them are one */
    bool composes;                   /* NFC stands beside the character map */
    lm_str charsmap;                 /* compiled character map; empty: none */
} lm_sentence_model;
/* LM_E_UNSUPPORTED names what SentencePiece has no counterpart of.  To be freed on failure too. */
lm_status lm_sentence_model_make(lm_sentence_model *model, const lm_tokenizer *tk, lm_err *err);
void lm_sentence_model_free(lm_sentence_model *model);

/* Of tiktoken's ranks: the two parts of token `rank` under the lower ranks, cut at *cut; false when they do
 * not come to two. */
bool lm_ranks_take_apart(const lm_vocab *tokens, int32_t rank, size_t *cut);

#endif
