/* Grapheme clusters: what a reader takes for one character (Unicode Standard Annex 29, Unicode 17.0). */
#ifndef LM_TOKEN_GRAPHEME_H
#define LM_TOKEN_GRAPHEME_H

#include "base/str.h"

#include <stdint.h>

typedef enum lm_grapheme_class {
    LM_GRAPHEME_OTHER, LM_GRAPHEME_CR, LM_GRAPHEME_LF, LM_GRAPHEME_CONTROL, LM_GRAPHEME_EXTEND, LM_GRAPHEME_LINKER, LM_GRAPHEME_ZWJ,
    LM_GRAPHEME_REGIONAL, LM_GRAPHEME_PREPEND, LM_GRAPHEME_SPACING, LM_GRAPHEME_L, LM_GRAPHEME_V, LM_GRAPHEME_T, LM_GRAPHEME_LV,
    LM_GRAPHEME_LVT, LM_GRAPHEME_PICTURE, LM_GRAPHEME_CONSONANT,
} lm_grapheme_class;

/* Ascending; Hangul syllables and other characters are not listed. */
typedef struct lm_grapheme_range {
    uint32_t first, last;
    lm_grapheme_class kind;
} lm_grapheme_range;
extern const lm_grapheme_range lm_grapheme_ranges[];
extern const int lm_grapheme_count;

/* Bytes of the first cluster of text; text.len > 0. */
size_t lm_grapheme_length(lm_span text);

#endif
