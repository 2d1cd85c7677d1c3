/* Unicode as tokenizers need it: general categories (Unicode 16.0) and a few properties from our own
 * table, so that ids do not depend on a system's libraries; normal forms by utf8proc. */
#ifndef LM_TOKEN_UNICODE_H
#define LM_TOKEN_UNICODE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* General categories, in the order of the table. */
typedef enum lm_category {
    LM_CN, LM_LU, LM_LL, LM_LT, LM_LM, LM_LO, LM_MN, LM_MC, LM_ME, LM_ND, LM_NL, LM_NO, LM_PC, LM_PD, LM_PS,
    LM_PE, LM_PI, LM_PF, LM_PO, LM_SM, LM_SC, LM_SK, LM_SO, LM_ZS, LM_ZL, LM_ZP, LM_CC, LM_CF, LM_CS, LM_CO,
} lm_category;

enum { LM_REPLACEMENT = 0xFFFD };

/* Properties as the Hugging Face library has them, each from the Unicode version that it uses there. */
enum {
    LM_RUNE_PUNCTUATION = 1,         /* Punctuation and Bert split here */
    LM_RUNE_NUMERIC = 2,             /* Digits */
    LM_RUNE_WORD = 4,                /* \w of Whitespace and of single_word */
    LM_RUNE_ACCENT = 8,              /* what Bert strips */
    LM_RUNE_MARK = 16,               /* what StripAccents strips */
    LM_RUNE_CONTROL = 32,            /* what Bert cleans away */
    LM_RUNE_NEW = 64,                /* younger than the normal forms (Unicode 9.0), which leave it alone */
};

typedef struct lm_rune_kind {
    uint8_t category, flags;
} lm_rune_kind;

extern const lm_rune_kind lm_unicode_kinds[];
extern const uint16_t lm_unicode_index[];
extern const char lm_unicode_blocks[][129];

/* Lower case: rune + delta for each step-th rune of first..last. */
typedef struct lm_lower_range {
    uint32_t first, last;
    uint8_t step;
    int32_t delta;
} lm_lower_range;
extern const lm_lower_range lm_unicode_lower_ranges[];
extern const int lm_unicode_lower_count;

/* The scripts that expressions ask for, by their names in lower case; the last entry has none. */
typedef struct lm_script_range {
    const char *script;
    uint32_t first, last;
} lm_script_range;
extern const lm_script_range lm_unicode_scripts[];

/* rune <= 0x10FFFF */
static inline lm_rune_kind lm_rune_kind_of(uint32_t rune)
{
    return lm_unicode_kinds[lm_unicode_blocks[lm_unicode_index[rune >> 7]][rune & 127] - '#'];
}

static inline bool lm_rune_is(uint32_t rune, unsigned flags) { return lm_rune_kind_of(rune).flags & flags; }

/* One bit for each category; a set of categories is a mask. */
#define LM_CATEGORY(c) (1u << (c))
#define LM_LETTERS (LM_CATEGORY(LM_LU) | LM_CATEGORY(LM_LL) | LM_CATEGORY(LM_LT) | LM_CATEGORY(LM_LM) | LM_CATEGORY(LM_LO))
#define LM_MARKS (LM_CATEGORY(LM_MN) | LM_CATEGORY(LM_MC) | LM_CATEGORY(LM_ME))
#define LM_NUMBERS (LM_CATEGORY(LM_ND) | LM_CATEGORY(LM_NL) | LM_CATEGORY(LM_NO))
#define LM_SEPARATORS (LM_CATEGORY(LM_ZS) | LM_CATEGORY(LM_ZL) | LM_CATEGORY(LM_ZP))

static inline bool lm_rune_in(uint32_t rune, unsigned categories) { return LM_CATEGORY(lm_rune_kind_of(rune).category) & categories; }

/* The property White_Space. */
static inline bool lm_rune_is_space(uint32_t rune)
{
    if (rune < 0x80) return rune == ' ' || (rune >= 9 && rune <= 13);
    return rune == 0x85 || lm_rune_in(rune, LM_SEPARATORS);
}

/* The character at p, or U+FFFD and length 1 where the bytes are not one.  Those of U+1000..U+D7FF, Hangul among
 * them, are decoded here: they need no more checks. */
static inline int lm_rune_at(const char *p, size_t n, uint32_t *rune)
{
    const uint8_t *b = (const uint8_t *)p;
    if (b[0] < 0x80) return *rune = b[0], 1;
    if (b[0] >= 0xE1 && b[0] <= 0xED && n >= 3 && (b[1] & 0xC0) == 0x80 && (b[2] & 0xC0) == 0x80 && (b[0] < 0xED || b[1] < 0xA0))
        return *rune = (uint32_t)(b[0] & 15) << 12 | (uint32_t)(b[1] & 63) << 6 | (b[2] & 63), 3;
    int length = lm_utf8_decode(p, n, rune);
    if (length) return length;
    *rune = LM_REPLACEMENT;
    return 1;
}

/* Whether a syllable of Hangul (U+AC00..U+D7A3, three bytes) stands at p. */
static inline bool lm_is_syllable(const char *p, size_t n)
{
    const uint8_t *b = (const uint8_t *)p;
    if (b[0] < 0xEA || b[0] > 0xED || n < 3 || (b[1] & 0xC0) != 0x80 || (b[2] & 0xC0) != 0x80) return false;
    uint32_t rune = (uint32_t)(b[0] & 15) << 12 | (uint32_t)(b[1] & 63) << 6 | (b[2] & 63);
    return rune - 0xAC00 <= 0xD7A3 - 0xAC00;
}

typedef enum lm_normal_form { LM_NFC, LM_NFD, LM_NFKC, LM_NFKD } lm_normal_form;

/* Appends the normal form of text, which is valid UTF-8. */
void lm_unicode_normalise(lm_str *out, lm_span text, lm_normal_form form);

/* The lower case of a character; U+0130 alone has two (it gives "i" here, U+0307 is to follow). */
uint32_t lm_rune_lower(uint32_t rune);

/* Appends the lower case of text, one character at a time. */
void lm_unicode_lower(lm_str *out, lm_span text);

/* Appends text with U+FFFD for what is not UTF-8, and returns how many bytes that was: one for each byte, as
 * SentencePiece reads, or one for the bytes that begin the same character, as Unicode recommends (chapter 3.9)
 * and most libraries decode. */
size_t lm_unicode_repair(lm_str *out, lm_span text, bool each_byte);

#endif
