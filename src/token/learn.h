/* Learning merges: the loop that the trainers of BPE and WordPiece share, and what stands around it. */
#ifndef LM_TOKEN_LEARN_H
#define LM_TOKEN_LEARN_H

#include "token/document.h"
#include "token/pipeline.h"
#include "token/train.h"

/* Words as sequences of symbols, which shrink in place as pairs merge. */
typedef struct lm_corpus {
    int32_t *symbols;
    size_t n_symbols, cap;
    struct lm_corpus_word {
        size_t begin;
        uint32_t n;
        int64_t count;
    } *words;
    size_t n_words, cap_words;
} lm_corpus;

void lm_corpus_word(lm_corpus *corpus, int64_t count);   /* begins a word; of fewer than 2 symbols it is forgotten */
void lm_corpus_push(lm_corpus *corpus, int32_t symbol);  /* appends to the word begun last */
void lm_corpus_free(lm_corpus *corpus);

typedef struct lm_learned {
    int32_t (*pairs)[2];
    size_t n, cap;
} lm_learned;

/* Merges the most frequent pair (of equals the one with the smaller ids) until the vocabulary has
 * options->vocab_size tokens or no pair is frequent enough.  New tokens are appended to `vocab`:
 * the left text, then the right one without its first `prefix` bytes. */
void lm_learn_merges(lm_learned *learned, lm_vocab *vocab, lm_corpus *corpus, size_t prefix, const lm_vocab_options *options);

/* ---- what trainers share around the loop ---- */

/* Refuses settings that no training can follow; `sentencepiece`: its normaliser rules are known. */
lm_status lm_train_check(const lm_vocab_options *options, bool sentencepiece, lm_err *err);

/* The id that a special token will have: its place in options->specials, or -1. */
int lm_train_special(const lm_vocab_options *options, const char *text);

/* LM_E_USAGE unless `needed` tokens, `specials` of them special, fit into the vocabulary. */
lm_status lm_train_room(int64_t needed, int specials, const lm_vocab_options *options, lm_err *err);

/* The normaliser that the options name, or null. */
lm_json *lm_train_normaliser(const lm_vocab_options *options);

/* Adds the special tokens to the vocabulary (first) and to the document's added tokens. */
lm_status lm_train_specials(lm_json *document, lm_vocab *vocab, const lm_vocab_options *options, lm_err *err);

/* Writes "vocab" and, unless NULL, "merges" into a model's object. */
void lm_train_store(lm_json *model, const lm_vocab *vocab, const lm_learned *learned);

#endif
