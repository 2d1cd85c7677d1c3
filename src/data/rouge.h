/* ROUGE-L: how much of one text stands in another in the same order.
 *
 *   LCS(X, Y)   length of the longest common subsequence of tokens
 *   R = LCS / |Y|,  P = LCS / |X|,  F = 2 R P / (R + P) = 2 LCS / (|X| + |Y|)        candidate X, reference Y
 *
 * Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1, with beta = 1 as everybody
 * reports it.  The LCS is found 64 tokens at a time: Hyyro 2004, "Bit-parallel LCS-length computation revisited", section 2.
 *
 * Tokens are runs of letters and digits in lower case, composed; all else parts them.  Korean joins particles and endings
 * to its words, so that two requests that say the same share few of them; so do languages that are written without spaces.
 * Hence a unit in which a syllable of Hangul, a Chinese character and a Kana are tokens by themselves.
 * Left out: stemming, ROUGE-N, ROUGE-W, and the union over sentences (ROUGE-Lsum). */
#ifndef LM_DATA_ROUGE_H
#define LM_DATA_ROUGE_H

#include "base/map.h"
#include "base/str.h"

typedef enum lm_rouge_unit {
    LM_ROUGE_MIXED,                      /* words; of Hangul, Chinese and Kana every character */
    LM_ROUGE_WORD,
    LM_ROUGE_CHAR,                       /* every letter and digit */
} lm_rouge_unit;
extern const char *const lm_rouge_units[];               /* "mixed", "word", "char", NULL */

/* Tokens of a text by their number in a vocabulary; -1 is one that it does not have.  {0} is empty. */
typedef struct lm_rouge_text {
    int32_t *ids;
    int64_t n, cap;
} lm_rouge_text;
void lm_rouge_text_free(lm_rouge_text *t);

/* The tokens of a text in place of what `out` held.  With `grow` the vocabulary takes up those that are new to it. */
void lm_rouge_tokens(lm_rouge_text *out, lm_map *vocabulary, lm_span text, lm_rouge_unit unit, bool grow);

/* One text made ready to be held against many.  {0} before the first lm_lcs_begin; begun again for text after text. */
typedef struct lm_lcs {
    int64_t n, words;                    /* tokens, and 64-bit words that hold a bit for each */
    int32_t *keys;                       /* [slots] hashed: tokens of the text, -1 for none */
    uint64_t *masks;                     /* [slots, words] where each of them stands */
    uint64_t *row;                       /* [words] */
    int64_t slots, room;
} lm_lcs;
void lm_lcs_begin(lm_lcs *lcs, const int32_t *ids, int64_t n);       /* ids >= -1; -1 agrees with nothing */
int64_t lm_lcs_length(lm_lcs *lcs, const int32_t *ids, int64_t n);
void lm_lcs_free(lm_lcs *lcs);

typedef struct lm_rouge {
    double precision, recall, f;
} lm_rouge;

/* From the length of the LCS and of both texts; all 0 where one is empty. */
lm_rouge lm_rouge_l(int64_t lcs, int64_t candidate, int64_t reference);

#endif
