/* An n-gram language model of characters or of words, by interpolated modified Kneser-Ney smoothing:
 *
 *   p(w | h) = max(c(hw) - D(c(hw)), 0) / c(h*) + g(h) p(w | h')       h' is h without its first token
 *
 * c counts occurrences for the longest n-grams and those that begin a document, and for the others how many different
 * tokens stand before them; D(1), D(2) and D(3 and more) follow from how many n-grams have counts 1 to 4; g(h) is what
 * the others left of 1, with that of n-grams which were too rare to be kept.  The empty context interpolates with
 * 1 / (tokens + 1), so that the probabilities of all tokens and of one unknown one sum to 1 in every context.
 *
 * Source: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling", sections 2.7 and 4.1.
 *
 * A token is a character, or what stands between white space; runs of white space are one space.  A document begins
 * and ends with a token of its own.  N-grams are known by 64-bit hashes: two of ten million are the same with a
 * probability of 1 in 400,000, and then share an entry. */
#ifndef LM_DATA_NGRAM_MODEL_H
#define LM_DATA_NGRAM_MODEL_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum { LM_NGRAM_MOST = 8 };

typedef struct lm_ngram_options {
    int64_t order;                       /* 1 .. LM_NGRAM_MOST */
    int64_t least;                       /* n-grams of three and more are kept from that count on */
    bool words;                          /* tokens are words */
} lm_ngram_options;

/* ---- training ---- */

typedef struct lm_ngram_trainer lm_ngram_trainer;
lm_ngram_trainer *lm_ngram_trainer_new(const lm_ngram_options *options);
void lm_ngram_trainer_free(lm_ngram_trainer *t);         /* takes NULL */

/* Keeps the tokens of a document, eight bytes for each.  false: there are 2^31 already. */
bool lm_ngram_trainer_add(lm_ngram_trainer *t, lm_span text);

typedef struct lm_ngram_model lm_ngram_model;
lm_ngram_model *lm_ngram_train(lm_ngram_trainer *t);

/* ---- a model ---- */

/* A safetensors file; `extra` is an object of strings that joins its metadata. */
lm_status lm_ngram_save(const lm_ngram_model *m, const lm_json *extra, const char *path, lm_err *err);

/* Maps a file; LM_E_FORMAT or LM_E_MISMATCH where it is not one of these. */
lm_status lm_ngram_load(lm_ngram_model **out, const char *path, lm_err *err);
void lm_ngram_free(lm_ngram_model *m);                   /* takes NULL */

/* Natural logarithm of the probability of a text with its end; *tokens, with the end. */
double lm_ngram_score(const lm_ngram_model *m, lm_span text, int64_t *tokens);
double lm_ngram_perplexity(const lm_ngram_model *m, lm_span text);       /* exp(-score / tokens) */

/* p(token | context), tokens being lm_ngram_token's or the two below; `context` oldest first. */
double lm_ngram_probability(const lm_ngram_model *m, const uint64_t *context, int n, uint64_t token);
uint64_t lm_ngram_token(lm_span text);                   /* one character or word */
extern const uint64_t lm_ngram_begin, lm_ngram_end;

int64_t lm_ngram_count(const lm_ngram_model *m);         /* n-grams of all lengths */
int64_t lm_ngram_vocabulary(const lm_ngram_model *m);    /* different tokens, with the end */

#endif
