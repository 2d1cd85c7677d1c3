/* Training a tokenizer: text in, a tokenizer out.
 *
 * Text is fed in sequences, which no token spans (the Hugging Face library feeds lines with their
 * ends, and so does lm_vocab_trainer_feed_file).  A first pass counts the words that the pre-tokeniser makes,
 * on all threads; the method then works on the counts.  The result does not depend on how many
 * threads there are. */
#ifndef LM_TOKEN_TRAIN_H
#define LM_TOKEN_TRAIN_H

#include "base/err.h"
#include "base/json.h"
#include "base/option.h"
#include "token/tokenizer.h"

typedef struct lm_vocab_options {
    int64_t vocab_size;
    int64_t min_frequency;           /* of a pair that is merged, or of a substring that is a first guess */
    int64_t max_token_length;        /* in characters; 0: any, for SentencePiece's kinds 16 */
    int64_t limit_alphabet;          /* the most frequent characters that are kept; 0: all */
    double character_coverage;       /* the share of the text whose characters are kept (SentencePiece's kinds) */
    lm_strings specials;             /* special tokens; they take the first ids */
    lm_strings initial_alphabet;     /* texts whose characters are kept whether they occur or not */
    const char *pattern;             /* bpe: the pre-tokeniser's expression, or its name (pattern.h); NULL: GPT-2's */
    const char *normalizer;          /* "none", "nfc", "nfd", "nfkc", "nfkd", for SentencePiece's kinds "nmt_nfkc";
                                        NULL: that for these, for the others none */
    bool no_initial_alphabet;        /* bpe: only bytes that occur, instead of all 256 */
    bool add_prefix_space;           /* bpe */
    bool lowercase;                  /* wordpiece: lower case, and accents (Hangul too) taken apart, as BERT has it */
    bool no_byte_fallback;           /* SentencePiece's kinds: what is not covered is <unk>, not bytes */
    bool split_digits;               /* SentencePiece's kinds: each digit is a token */
    bool no_split_scripts;           /* SentencePiece's kinds: tokens may mix scripts, and letters with signs */
    bool keep_spaces;                /* SentencePiece's kinds: spaces are not squeezed */

/* Called now and then from one thread; NULL: quiet.  `of` is 0 while the total is not known. */
    void (*progress)(void *context, const char *stage, int64_t done, int64_t of);
    void *context;
} lm_vocab_options;

/* The defaults: 32000 tokens, minimum frequency 2, all 256 bytes. */
lm_vocab_options lm_vocab_defaults(void);

typedef struct lm_vocab_trainer lm_vocab_trainer;
struct lm_words;

/* One method of training. */
typedef struct lm_token_trainer {
    const char *name;                /* "bpe" */
    const char *summary;
    const char *const *specials;     /* special tokens that are usual, NULL-terminated */
    bool lines;                      /* sequences are lines, and their ends are no part of them */
    /* The document whose normaliser and pre-tokeniser cut the text into words. */
    lm_status (*pipeline)(lm_json **document, const lm_vocab_options *options, lm_err *err);
    /* Counts the words of what the pipeline hands on; NULL: each piece is one. */
    void (*cut)(struct lm_words *words, lm_span piece, const lm_vocab_options *options);
    /* Completes the document from the counted words. */
    lm_status (*learn)(lm_json *document, struct lm_words *words, const lm_vocab_options *options, lm_err *err);
} lm_token_trainer;
extern const lm_token_trainer *const lm_token_trainer_registry[];

const lm_token_trainer *lm_token_trainer_find(const char *name);      /* or NULL */

/* The options are kept by pointer; they must live until lm_vocab_trainer_finish. */
lm_status lm_vocab_trainer_new(lm_vocab_trainer **out, const lm_token_trainer *method, const lm_vocab_options *options, lm_err *err);
void lm_vocab_trainer_free(lm_vocab_trainer *trainer);               /* takes NULL */

/* Counts the words of one sequence. */
lm_status lm_vocab_trainer_feed(lm_vocab_trainer *trainer, const char *text, size_t n, lm_err *err);

/* Counts the words of a file (plain, gzip, zstd) on all threads.  Each line with its end is a sequence; with
 * `field`, lines are JSON objects and the text in that field is one. */
lm_status lm_vocab_trainer_feed_file(lm_vocab_trainer *trainer, const char *path, const char *field, lm_err *err);

/* Learns the vocabulary.  The caller frees *out. */
lm_status lm_vocab_trainer_finish(lm_vocab_trainer *trainer, lm_tokenizer **out, lm_err *err);

#endif
