/* Tokenizers: text to ids and back, whatever file the vocabulary came in.
 *
 * Every kind of file becomes one pipeline, the one that tokenizer.json describes:
 *
 *     text -> added tokens cut out -> normalise -> pre-tokenise -> model -> post-process -> ids
 *
 * so what lm_tokenizer_save writes is what runs here, and the Hugging Face library gives the same
 * ids.  A file that asks for a step which is not implemented is refused by that step's name.
 *
 * A loaded tokenizer is read-only: any number of threads may encode and decode with it at once.
 * Text is UTF-8.  Where it is not, byte-level tokenizers keep the bytes; the others see U+FFFD as their
 * libraries do (lm_unicode_repair) and count the bytes in lm_ids.replaced. */
#ifndef LM_TOKEN_TOKENIZER_H
#define LM_TOKEN_TOKENIZER_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lm_tokenizer lm_tokenizer;

/* A growing array of token ids.  {0} is empty. */
typedef struct lm_ids {
    int32_t *data;
    size_t len, cap;
    size_t replaced;                 /* bytes of invalid UTF-8 that were read as U+FFFD */
} lm_ids;
void lm_ids_push(lm_ids *ids, int32_t id);
void lm_ids_append(lm_ids *ids, const int32_t *data, size_t n);
void lm_ids_reserve(lm_ids *ids, size_t cap);
void lm_ids_clear(lm_ids *ids);                          /* keeps the memory */
void lm_ids_free(lm_ids *ids);                           /* takes NULL */

/* Reads a tokenizer.  `path` is a model folder (tokenizer.json, else tokenizer.model, vocab.json
 * with merges.txt, vocab.txt, tokenizer.bin; with tokenizer_config.json and its kin for the
 * special tokens), or one such file, whose kind is told by its content.  The caller frees *out. */
lm_status lm_tokenizer_load(lm_tokenizer **out, const char *path, lm_err *err);
void lm_tokenizer_free(lm_tokenizer *tk);                /* takes NULL */

/* Writes tokenizer.json and tokenizer_config.json into an existing folder; what loads there gives
 * the same ids, here and in transformers.  A chat template that came with the tokenizer goes along. */
lm_status lm_tokenizer_save(const lm_tokenizer *tk, const char *folder, lm_err *err);

enum {
    LM_ENCODE_BOS = 1,               /* what the post-processor puts before a text, if anything */
    LM_ENCODE_EOS = 2,               /* what it puts after */
    LM_ENCODE_SPECIAL = 3,           /* both: "add_special_tokens" */
    LM_ENCODE_ALLOW_SPECIAL = 4,     /* special tokens written in the text are those tokens; without
                                        it they are plain text, so that a user cannot inject one */
};

/* Appends the ids of text[0..n) to *out.  LM_E_FORMAT when a pre-tokeniser's pattern exceeds its
 * match limit on this text. */
lm_status lm_encode(const lm_tokenizer *tk, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err);

/* The same work for many texts: keeps a cache of words between calls.  One per thread.  A text of more than
 * a mebibyte is given to all threads, outside of parallel loops. */
typedef struct lm_encoder lm_encoder;
lm_encoder *lm_encoder_new(const lm_tokenizer *tk);
void lm_encoder_free(lm_encoder *encoder);               /* takes NULL */
lm_status lm_encoder_run(lm_encoder *encoder, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err);

/* The same ids with all threads (lm_threads), for a long text.  Where it is not certain that the pipeline
 * divides texts, one thread does it. */
lm_status lm_encode_parallel(const lm_tokenizer *tk, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err);

/* The same for a text that comes in parts and may be larger than memory.  Each push appends the ids that are
 * certain, the last ones come from finish, after which another text may begin.  Holds about 8 MiB of text,
 * or all of it where it does not divide. */
typedef struct lm_text_encoder lm_text_encoder;
lm_text_encoder *lm_text_encoder_new(const lm_tokenizer *tk, unsigned flags);
void lm_text_encoder_free(lm_text_encoder *encoder);     /* takes NULL */
lm_status lm_text_encoder_push(lm_text_encoder *encoder, lm_ids *out, const char *text, size_t n, lm_err *err);
lm_status lm_text_encoder_finish(lm_text_encoder *encoder, lm_ids *out, lm_err *err);

/* A text whose parts have different rights and fates, as a chat has. */
typedef struct lm_parts {
    const uint8_t *foreign;          /* [n] not 0: this byte is no part of a special token; NULL: all may be */
    const size_t *cuts;              /* [n_cuts] offsets that no token lies across, ascending */
    size_t n_cuts;
    size_t *at;                      /* [n_cuts] becomes the index in *out of the first token behind each */
} lm_parts;

/* Appends the ids of text[0..n); special tokens are read where they are not foreign.  Between two of them
 * the tokens are those of the whole stretch where it divides at the cuts, else those of its parts. */
lm_status lm_encoder_run_parts(lm_encoder *encoder, lm_ids *out, const char *text, size_t n, const lm_parts *parts, lm_err *err);

enum { LM_DECODE_SKIP_SPECIAL = 1 };

/* Appends the text of ids[0..n) to *out.  LM_E_MISMATCH for an id outside the vocabulary. */
lm_status lm_decode(const lm_tokenizer *tk, lm_str *out, const int32_t *ids, size_t n, unsigned flags, lm_err *err);

/* Decodes a stream.  Text comes out as soon as it is certain: an incomplete UTF-8 character is held
 * back until its last byte.  What all pushes and the finish give, joined, is what lm_decode gives. */
typedef struct lm_decoder lm_decoder;
lm_decoder *lm_decoder_new(const lm_tokenizer *tk, unsigned flags);
void lm_decoder_free(lm_decoder *decoder);               /* takes NULL */
lm_status lm_decoder_push(lm_decoder *decoder, int32_t id, lm_str *out, lm_err *err);
void lm_decoder_finish(lm_decoder *decoder, lm_str *out);    /* what was held back; ready for a new stream */

/* One more than the largest id, added tokens and holes included. */
int lm_tokenizer_vocab_size(const lm_tokenizer *tk);

/* The id of a token as the vocabulary spells it, or -1. */
int32_t lm_token_id(const lm_tokenizer *tk, const char *text);

/* The token as the vocabulary spells it ("Ġthe"); {NULL, 0} for a hole and outside. */
lm_span lm_token_text(const lm_tokenizer *tk, int32_t id);
bool lm_token_is_special(const lm_tokenizer *tk, int32_t id);

/* -1 where the tokenizer has none. */
int32_t lm_bos_id(const lm_tokenizer *tk);
int32_t lm_eos_id(const lm_tokenizer *tk);
int32_t lm_unk_id(const lm_tokenizer *tk);
int32_t lm_pad_id(const lm_tokenizer *tk);

/* The chat template that came with the tokenizer (Jinja source), or NULL. */
const char *lm_tokenizer_chat_template(const lm_tokenizer *tk);

/* The chat template that a folder's tokenizer would have, without reading the vocabulary; the caller frees *out,
 * which is NULL where there is none. */
lm_status lm_tokenizer_folder_template(char **out, const char *folder, lm_err *err);

/* "BPE", "WordPiece", "Unigram", "WordLevel". */
const char *lm_tokenizer_model_name(const lm_tokenizer *tk);

#endif
