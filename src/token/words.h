/* Words and how often they occur: a hash table that only grows. */
#ifndef LM_TOKEN_WORDS_H
#define LM_TOKEN_WORDS_H

#include "base/str.h"

#include <stdint.h>

typedef struct lm_word {
    const char *data;                /* NULL: a free slot */
    uint32_t len, hash;
    int64_t count;
} lm_word;

/* {0} is empty.  A word is shorter than 4 GiB; longer ones are cut by the callers. */
typedef struct lm_words {
    lm_word *slots;
    size_t mask, n;
    char **blocks;                   /* memory of the texts */
    size_t n_blocks, block_used, block_size;
    int64_t total;                   /* sum of the counts */
} lm_words;

void lm_words_add(lm_words *words, lm_span word, int64_t count);
void lm_words_merge(lm_words *into, lm_words *from);     /* empties `from` */
/* Drops the rarest words, all that occur as often as one that goes, so that at most `most` stay; gives how
 * many went.  What stays depends on nothing but the counts. */
size_t lm_words_prune(lm_words *words, size_t most);
void lm_words_free(lm_words *words);

/* The words sorted by their bytes; the caller frees the array, the texts stay the table's. */
lm_word *lm_words_sorted(const lm_words *words);

#endif
