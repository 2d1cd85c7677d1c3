/* Texts made equal that differ in nothing that matters: what comparing documents and matching words begin with. */
#ifndef LM_DATA_NORMAL_H
#define LM_DATA_NORMAL_H

#include "base/str.h"

enum {
    LM_NORMAL_NFC = 1,                   /* canonical composition */
    LM_NORMAL_CASE = 2,                  /* lower case */
    LM_NORMAL_SPACE = 4,                 /* runs of white space become one space, none at the ends */
    LM_NORMAL_PUNCTUATION = 8,           /* punctuation and symbols are left out; implies SPACE */
};

/* Whether a text is composed for certain: it has no character that normal form C might change, by a look at
 * the first bytes of characters only. */
bool lm_surely_composed(lm_span text);

/* The text in that form: itself where there is nothing to do, else in *out, which is overwritten; `room` is for steps between. */
lm_span lm_normal_text(lm_str *out, lm_str *room, lm_span text, unsigned flags);

#endif
