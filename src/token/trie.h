/* A set of byte strings as a double array (Aoe 1989): from state s the byte c leads to base[s] + c, if
 * check there says s.  One look-up for each byte, whatever the number of strings. */
#ifndef LM_TOKEN_TRIE_H
#define LM_TOKEN_TRIE_H

#include "base/str.h"

#include <stdint.h>

typedef struct lm_trie_node {
    int32_t base, check, value;      /* value: of the string that ends here, or -1 */
} lm_trie_node;

typedef struct lm_trie {
    lm_trie_node *nodes;
    int32_t n;
} lm_trie;

/* Keys may stand in any order; of equal ones the first counts, empty ones are left out.  Values >= 0. */
void lm_trie_build(lm_trie *trie, const lm_span *keys, const int32_t *values, int32_t n);
void lm_trie_free(lm_trie *trie);

enum { LM_TRIE_ROOT = 0 };

/* The state behind `state` and a byte, or -1. */
static inline int32_t lm_trie_step(const lm_trie *trie, int32_t state, uint8_t byte)
{
    int32_t next = trie->nodes[state].base + byte;
    return next < trie->n && trie->nodes[next].check == state ? next : -1;
}

#endif
