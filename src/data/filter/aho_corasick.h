/* Many words found in one pass.  Aho and Corasick 1975, "Efficient string matching".
 *
 * Words are sequences of small integers; the automaton is a full table, one step a symbol. */
#ifndef LM_DATA_FILTER_AHO_CORASICK_H
#define LM_DATA_FILTER_AHO_CORASICK_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lm_aho {
    int32_t *next;                       /* [states][symbols] */
    int32_t *word, *shorter;             /* [states]: the word that ends here or -1; the next state on the way of suffixes that has one, or 0 */
    int32_t states, symbols, cap;
} lm_aho;

void lm_aho_init(lm_aho *a, int32_t symbols);            /* symbols 0 .. symbols - 1 */

/* LM_E_NOMEM for a table of more than 2 GiB.  A word that is there already keeps its number. */
lm_status lm_aho_add(lm_aho *a, const int32_t *symbols, size_t n, int32_t word, lm_err *err);

/* After the last word. */
void lm_aho_finish(lm_aho *a);
void lm_aho_free(lm_aho *a);

/* One step; a negative symbol belongs to no word. */
static inline int32_t lm_aho_step(const lm_aho *a, int32_t state, int32_t symbol)
{
    return symbol < 0 ? 0 : a->next[(size_t)state * (size_t)a->symbols + (size_t)symbol];
}

#endif
