/* The characters of a corpus, and which of them a vocabulary takes in. */
#ifndef LM_TOKEN_LETTERS_H
#define LM_TOKEN_LETTERS_H

#include "token/pipeline.h"
#include "token/train.h"
#include "token/words.h"

typedef struct lm_letter {
    uint32_t rune;
    int64_t count;                   /* in the corpus; INT64_MAX for one that was asked for */
} lm_letter;

/* The most frequent first, of equals the smaller code point.  U+0000 is never one. */
typedef struct lm_letters {
    lm_letter *items;
    int n;
    int64_t total;                   /* characters of the corpus, those outside `items` included */
    int32_t *place;                  /* [0x110000] index in items, or -1; NULL until lm_letters_index */
} lm_letters;

/* All characters of the words, and those of options->initial_alphabet. */
void lm_letters_count(lm_letters *letters, const lm_words *words, const lm_vocab_options *options);

/* Keeps the `most` most frequent (0: all). */
void lm_letters_limit(lm_letters *letters, int64_t most);

/* Keeps the fewest most frequent that make up a share of `coverage` of the text, and those asked for. */
void lm_letters_cover(lm_letters *letters, double coverage);

void lm_letters_index(lm_letters *letters);
void lm_letters_free(lm_letters *letters);

/* Appends the UTF-8 of a letter to a vocabulary as the next token, unless it is there; gives its id. */
int32_t lm_letters_add(lm_vocab *vocab, const char *prefix, uint32_t rune);

#endif
