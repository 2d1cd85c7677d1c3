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

/* Whether normal form C leaves a character alone in any company: it has no mapping, and stands in no order of marks
 * and joins nothing before it.  Some that it leaves alone as well are not known here. */
static inline bool lm_rune_is_settled(uint32_t r)
{
    if (r < 0x300 || (r >= 0xAC00 && r <= 0xF8FF) || (r >= 0x3100 && r <= 0x9FFF)) return true;
    if (r >= 0x2002 && r <= 0x2BFF) return (r < 0x20D0 || r > 0x20FF) && r != 0x2126 && r != 0x212A && r != 0x212B && r != 0x2329 && r != 0x232A && r != 0x2ADC;
    return (r >= 0x3000 && r <= 0x3029) || (r >= 0xFE30 && r <= 0xFFFD) || (r >= 0x1F000 && r <= 0x1FFFF);
}

/* Whether a text is composed for certain: all of it is settled. */
bool lm_surely_composed(lm_span text);

/* The text in that form: itself where there is nothing to do, else in *out, which is overwritten; `room` is for steps between. */
lm_span lm_normal_text(lm_str *out, lm_str *room, lm_span text, unsigned flags);

#endif
