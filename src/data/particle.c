#include "data/particle.h"

#include "token/unicode.h"

#include <string.h>

/* The last character of the text, and the text without it. */
static uint32_t take_last(lm_span *text)
{
    size_t at = text->len;
    uint32_t rune;
    while (at && ((unsigned char)text->data[--at] & 0xC0) == 0x80) {}
    lm_rune_at(text->data + at, text->len - at, &rune);
    text->len = at;
    return rune;
}

static bool is_open(uint32_t rune) { return rune == '(' || rune == 0xFF08; }
static bool is_close(uint32_t rune) { return rune == ')' || rune == 0xFF09; }

/* Without the bracket that the text ends in; the whole text where it does not, or where nothing stands before it. */
static lm_span before_bracket(lm_span text)
{
    lm_span rest = text;
    for (int depth = 0; rest.len;) {
        uint32_t rune = take_last(&rest);
        depth += is_close(rune) - is_open(rune);
        if (!depth) return is_open(rune) && rest.len ? rest : text;
    }
    return text;
}

static lm_final of_letter(uint32_t rune, uint32_t before)
{
    bool word = before >= 'a' && before <= 'z' ? true : rune >= 'a' && rune <= 'z';
    if (!word) return rune == 'L' || rune == 'R' ? LM_FINAL_L : rune == 'M' || rune == 'N' ? LM_FINAL_CONSONANT : LM_FINAL_VOWEL;
    if (rune == 'l') return LM_FINAL_L;
    return strchr("mnbkpt", (int)rune) || (rune == 'g' && before == 'n') || (rune == 'c' && before == 'i') ? LM_FINAL_CONSONANT : LM_FINAL_VOWEL;
}

lm_final lm_korean_final(lm_span text)
{
    static const lm_final figures[10] = { LM_FINAL_CONSONANT, LM_FINAL_L, LM_FINAL_VOWEL, LM_FINAL_CONSONANT, LM_FINAL_VOWEL,
                                          LM_FINAL_VOWEL, LM_FINAL_CONSONANT, LM_FINAL_L, LM_FINAL_L, LM_FINAL_VOWEL };
    for (text = before_bracket(text); text.len; text = before_bracket(text)) {
        uint32_t rune = take_last(&text), before = 0;
        if (!lm_rune_in(rune, LM_LETTERS | LM_NUMBERS)) continue;
        if (rune >= 0xAC00 && rune <= 0xD7A3) return (rune - 0xAC00) % 28 == 0 ? LM_FINAL_VOWEL : (rune - 0xAC00) % 28 == 8 ? LM_FINAL_L : LM_FINAL_CONSONANT;
        if (rune >= '0' && rune <= '9') return figures[rune - '0'];
        if (rune >= 0x3131 && rune <= 0x314E) return LM_FINAL_CONSONANT;
        if (rune >= 0x314F && rune <= 0x3163) return LM_FINAL_VOWEL;
        if (rune >= 128) return LM_FINAL_UNKNOWN;
        if (text.len) before = take_last(&text);
        return of_letter(rune, before);
    }
    return LM_FINAL_UNKNOWN;
}

void lm_korean_particle(lm_str *out, lm_span text, const char *with, const char *without)
{
    lm_final final = lm_korean_final(text);
    if (final == LM_FINAL_UNKNOWN) lm_str_printf(out, "%s(%s)", with, without);
    else if (final == LM_FINAL_L && lm_starts_with(with, "으로")) lm_str_puts(out, without);
    else lm_str_puts(out, final == LM_FINAL_VOWEL ? without : with);
}
