/* Sets of characters, one bit for each of the 0x110000. */
#ifndef LM_TOKEN_RUNES_H
#define LM_TOKEN_RUNES_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { LM_RUNES = 0x110000 };

typedef struct lm_runes {
    uint64_t *bits;                  /* [LM_RUNES / 64] */
} lm_runes;

lm_runes lm_runes_new(void);                             /* empty */
void lm_runes_free(lm_runes *set);

void lm_runes_add(lm_runes *set, uint32_t first, uint32_t last);
void lm_runes_add_set(lm_runes *set, const lm_runes *other);
void lm_runes_keep(lm_runes *set, const lm_runes *other);        /* the intersection */
void lm_runes_invert(lm_runes *set);                             /* surrogates stay out */

/* Adds the characters of some general categories (a mask of LM_CATEGORY). */
void lm_runes_add_categories(lm_runes *set, unsigned categories);

/* Adds what a property is called in expressions: a general category ("L", "Lu", "Letter"), a script
 * ("Han"), "Any", in any case, spaces and underscores aside.  False for another name. */
bool lm_runes_add_named(lm_runes *set, lm_span name);

/* Appends the members as a class of PCRE2, without its brackets: the longest runs first, since PCRE2
 * tries them in order. */
void lm_runes_print(const lm_runes *set, lm_str *out);

#endif
