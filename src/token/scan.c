/* Scanners for the published pre-tokeniser expressions.
 *
 * Each takes the alternatives of its expression in order and returns where the first that matches
 * ends.  An expression is recognised only as the exact string; the tests hold every scanner to PCRE2's
 * matches on random text. */
#include "token/pattern.h"
#include "token/unicode.h"

#include <string.h>

const char lm_gpt2_expression[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- character classes ----------------------------------------------------------------- */

typedef enum char_class { OTHER, LETTER, NUMBER, SPACE } char_class;

static inline char_class ascii_class(uint8_t byte)
{
    if ((uint8_t)((byte | 0x20) - 'a') < 26) return LETTER;
    if ((uint8_t)(byte - '0') < 10) return NUMBER;
    return byte == ' ' || (uint8_t)(byte - 9) < 5 ? SPACE : OTHER;
}

/* The class of the character at p and its length; invalid bytes are OTHER, one at a time. */
static inline char_class class_at(lm_span text, size_t at, size_t *length)
{
    uint8_t byte = (uint8_t)text.data[at];
    if (byte < 0x80) return *length = 1, ascii_class(byte);
    uint32_t rune;
    *length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
    if (lm_rune_in(rune, LM_LETTERS)) return LETTER;
    if (lm_rune_in(rune, LM_NUMBERS)) return NUMBER;
    return lm_rune_is_space(rune) ? SPACE : OTHER;
}

static size_t run_of(lm_span text, size_t at, char_class class)
{
    size_t length;
    while (at < text.len && class_at(text, at, &length) == class) at += length;
    return at;
}

/* \s+(?!\S)|\s+ : a run of white space, less its last character where something follows. */
static size_t space_run(lm_span text, size_t at)
{
    size_t length, last = at, end = at;
    while (end < text.len && class_at(text, end, &length) == SPACE) last = end, end += length;
    return end < text.len && last > at ? last : end;
}

/* 's|'t|'re|'ve|'m|'ll|'d after an apostrophe; the length of all, or 0. */
static size_t contraction(lm_span text, size_t at)
{
    if (text.data[at] != '\'' || at + 1 >= text.len) return 0;
    char a = text.data[at + 1], b = at + 2 < text.len ? text.data[at + 2] : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* ---- GPT-2 ------------------------------------------------------------------------------- */

static size_t scan_gpt2(lm_span text, size_t at)
{
    size_t length = contraction(text, at), begin = at;
    if (length) return at + length;
    if (text.data[at] == ' ' && at + 1 < text.len) begin++;
    char_class class = class_at(text, begin, &length);
    return class == SPACE ? space_run(text, at) : run_of(text, begin + length, class);
}

/* ---- which ---------------------------------------------------------------------------------- */

lm_scanner lm_scanner_for(const char *expression)
{
    static const struct {
        const char *expression;
        lm_scanner scan;
    } known[] = {
        { lm_gpt2_expression, scan_gpt2 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].expression, expression)) return known[i].scan;
    return NULL;
}
