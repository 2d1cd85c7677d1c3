#include "token/unicode.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Characters that every normal form leaves alone and that no following character composes with
 * except through a mark or a jamo, which fail this test themselves. */
static bool is_settled(uint32_t rune, lm_normal_form form)
{
    if (rune < 0x80) return true;
    if (form == LM_NFD || form == LM_NFKD) return rune >= 0x4E00 && rune <= 0x9FFF;
    if (rune >= 0xAC00 && rune <= 0xD7A3) return true;
    if (rune >= 0x4E00 && rune <= 0x9FFF) return true;
    return form == LM_NFC && rune >= 0xC0 && rune < 0x300;
}

static size_t settled_prefix(lm_span text, lm_normal_form form)
{
    size_t i = 0, last = 0;
    while (i < text.len) {
        uint32_t rune;
        int length = lm_rune_at(text.data + i, text.len - i, &rune);
        if (!is_settled(rune, form)) return last;   /* the character before it may compose with it */
        last = i;
        i += (size_t)length;
    }
    return text.len;
}

static void normalise_run(lm_str *out, lm_span text, lm_normal_form form)
{
    utf8proc_option_t options = UTF8PROC_STABLE | (form == LM_NFC || form == LM_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
    if (form == LM_NFKC || form == LM_NFKD) options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &result, options);
    if (n < 0) LM_BUG("utf8proc refuses repaired text: %s", utf8proc_errmsg(n));
    lm_str_append(out, result, (size_t)n);
    free(result);
}

/* Characters that the normal forms do not know stand between runs and nothing composes across them; so does
 * U+11A7, one below the first final consonant, which utf8proc takes for "no final" and drops. */
static bool stands_alone(uint32_t rune) { return lm_rune_is(rune, LM_RUNE_NEW) || rune == 0x11A7; }

void lm_unicode_normalise(lm_str *out, lm_span text, lm_normal_form form)
{
    size_t begin = settled_prefix(text, form);
    lm_str_append(out, text.data, begin);
    for (size_t i = begin; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (stands_alone(rune)) {
            if (i > begin) normalise_run(out, lm_span_of(text.data + begin, i - begin), form);
            lm_str_append(out, text.data + i, length);
            begin = i + length;
        }
        i += length;
    }
    if (begin < text.len) normalise_run(out, lm_span_of(text.data + begin, text.len - begin), form);
}

uint32_t lm_rune_lower(uint32_t rune)
{
    if (rune < 0x80) return rune >= 'A' && rune <= 'Z' ? rune | 0x20 : rune;
    if (rune == 0x130) return 'i';
    int low = 0, high = lm_unicode_lower_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (lm_unicode_lower_ranges[middle].last < rune) low = middle + 1;
        else high = middle;
    }
    if (low == lm_unicode_lower_count) return rune;
    const lm_lower_range *r = &lm_unicode_lower_ranges[low];
    return rune >= r->first && (rune - r->first) % r->step == 0 ? rune + (uint32_t)r->delta : rune;
}

void lm_unicode_lower(lm_str *out, lm_span text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        int length = lm_rune_at(text.data + i, text.len - i, &rune);
        lm_str_put_rune(out, lm_rune_lower(rune));
        if (rune == 0x130) lm_str_put_rune(out, 0x307);
        i += (size_t)length;
    }
}

size_t lm_unicode_repair(lm_str *out, lm_span text)
{
    size_t replaced = 0;
    while (text.len) {
        size_t valid = lm_utf8_valid(text.data, text.len);
        lm_str_append(out, text.data, valid);
        if (valid == text.len) break;
        lm_str_put_rune(out, LM_REPLACEMENT);
        replaced++;
        text = lm_span_of(text.data + valid + 1, text.len - valid - 1);
    }
    return replaced;
}
