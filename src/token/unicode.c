#include "token/unicode.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Characters that every normal form leaves alone and that no following character composes with
 * except through a mark or a jamo, which fail this test themselves. */
static bool is_settled(uint32_t rune, lm_normal_form form)
{
    if (rune < 0x80) return true;
    if (form == LM_NFD || form == LM_NFKD) return rune >= 0x4E00 && rune <= 0x9FFF;
    if ((rune >= 0xAC00 && rune <= 0xD7A3) || (rune >= 0x4E00 && rune <= 0x9FFF)) return true;
    if (form == LM_NFKC) return false;
    if (rune < 0x3000) return (rune >= 0xA0 && rune < 0x300) || (rune >= 0x2010 && rune <= 0x205E) || (rune >= 0x2460 && rune <= 0x27BF);
    return (rune >= 0x3001 && rune <= 0x3029) || (rune >= 0x3041 && rune <= 0x3096) || (rune >= 0x30A1 && rune <= 0x30FA) || (rune >= 0x3100 && rune <= 0x4DFF);
}

static bool is_syllable(uint32_t rune) { return rune >= 0xAC00 && rune <= 0xD7A3; }

/* Over ASCII and syllables of Hangul, sixteen bytes at a time, to the front of a character; composing leaves them alone. */
static size_t skip_common(lm_span text, size_t at)
{
#ifdef __SSE2__
#define EACH(c) _mm_set1_epi8((char)(c))
#define IS(x, c) _mm_cmpeq_epi8(x, EACH(c))
    unsigned others = 0;
    size_t from = at;
    for (; text.len - at > 16 && !others; at += others ? (size_t)__builtin_ctz(others) : 16) {
        const char *p = text.data + at;
        __m128i x = _mm_loadu_si128((const __m128i *)p), next = _mm_loadu_si128((const __m128i *)(p + 1));
        __m128i front = _mm_and_si128(_mm_cmpgt_epi8(x, EACH(0xBF)), _mm_cmpgt_epi8(_mm_setzero_si128(), x));
        __m128i first = _mm_and_si128(IS(x, 0xEA), _mm_cmpgt_epi8(next, EACH(0xAF))), last = _mm_and_si128(IS(x, 0xED), _mm_cmpgt_epi8(EACH(0x9E), next));
        __m128i syllable = _mm_or_si128(_mm_or_si128(first, last), _mm_or_si128(IS(x, 0xEB), IS(x, 0xEC)));
        others = (unsigned)_mm_movemask_epi8(_mm_andnot_si128(syllable, front));
    }
#undef EACH
#undef IS
    while (at > from && ((unsigned char)text.data[at] & 0xC0) == 0x80) at--;
#else
    (void)text;
#endif
    return at;
}

static size_t front_before(lm_span text, size_t at)
{
    do at--;
    while (((unsigned char)text.data[at] & 0xC0) == 0x80);
    return at;
}

/* The end of the settled characters from `at` on; the front of the last of them in *last.  ASCII and, where it is
 * composed, most of Hangul are known by their first byte. */
static size_t settled_run(lm_span text, size_t at, lm_normal_form form, size_t *last)
{
    bool composes = form == LM_NFC || form == LM_NFKC;
    while (at < text.len) {
        unsigned char first = (unsigned char)text.data[at];
        if (first < 0x80 || (composes && (first == 0xEB || first == 0xEC) && text.len - at >= 3)) {
            size_t end = composes ? skip_common(text, at) : at;
            if (end == at) end += first < 0x80 ? 1 : 3;
            *last = front_before(text, end);
            at = end;
            continue;
        }
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        if (!is_settled(rune, form)) break;
        *last = at;
        at += length;
    }
    return at;
}

/* The end of the others; syllables of Hangul are taken apart by themselves. */
static size_t other_run(lm_span text, size_t at, lm_normal_form form)
{
    while (at < text.len) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        if (is_settled(rune, form) || is_syllable(rune)) break;
        at += length;
    }
    return at;
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

static void normalise_known(lm_str *out, lm_span text, lm_normal_form form)
{
    size_t begin = 0;
    for (size_t i = 0; i < text.len;) {
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

static char *put_jamo(char *p, uint32_t rune)
{
    p[0] = (char)0xE1, p[1] = (char)(0x80 | (rune >> 6 & 63)), p[2] = (char)(0x80 | (rune & 63));
    return p + 3;
}

/* Decomposed syllables of Hangul (Unicode 3.12): nothing is put in another order across them. */
static size_t put_syllables(lm_str *out, lm_span text, size_t at)
{
    enum { VOWELS = 21, TAILS = 28, LONGEST = 9 };
    for (char jamo[LONGEST]; at < text.len && lm_is_syllable(text.data + at, text.len - at);) {
        uint32_t rune;
        at += (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        uint32_t index = rune - 0xAC00, tail = index % TAILS;
        char *end = put_jamo(jamo, 0x1100 + index / (VOWELS * TAILS));
        end = put_jamo(end, 0x1161 + index / TAILS % VOWELS);
        if (tail) end = put_jamo(end, 0x11A7 + tail);
        lm_str_append(out, jamo, (size_t)(end - jamo));
    }
    return at;
}

/* Settled characters are copied.  Where others follow, the last settled one goes with them, since it may compose
 * with a mark; where settled ones follow again, nothing composes or moves across their front. */
void lm_unicode_normalise(lm_str *out, lm_span text, lm_normal_form form)
{
    bool apart = form == LM_NFD || form == LM_NFKD;
    for (size_t at = 0; at < text.len;) {
        if (apart) at = put_syllables(out, text, at);
        size_t last = at, end = settled_run(text, at, form, &last);
        if (end == text.len) last = end;
        lm_str_append(out, text.data + at, last - at);
        at = other_run(text, end, form);
        if (last < at) normalise_known(out, lm_span_of(text.data + last, at - last), form);
    }
}

uint32_t lm_rune_lower(uint32_t rune)
{
    if (rune < 0x80) return rune >= 'A' && rune <= 'Z' ? rune | 0x20 : rune;
    if (rune == 0x130) return 'i';
    if ((rune >= 0x1100 && rune <= 0x11FF) || (rune >= 0xAC00 && rune <= 0xD7A3)) return rune;   /* Hangul, which is asked most */
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
    size_t begin = 0;                /* of what is the same and not copied yet */
    for (size_t i = 0, length; i < text.len; i += length) {
        uint32_t rune;
        length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        uint32_t lower = lm_rune_lower(rune);
        if (lower == rune && rune != LM_REPLACEMENT) continue;
        lm_str_append(out, text.data + begin, i - begin);
        lm_str_put_rune(out, lower);
        if (rune == 0x130) lm_str_put_rune(out, 0x307);
        begin = i + length;
    }
    lm_str_append(out, text.data + begin, text.len - begin);
}

/* How many of the bytes at p, which are no character, begin one together; a byte that begins none is one. */
static size_t broken_length(const char *p, size_t n)
{
    unsigned char lead = (unsigned char)p[0], second = n > 1 ? (unsigned char)p[1] : 0;
    size_t whole = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 1, i = 1;
    bool begins = second >= (lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80) && second <= (lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF);
    while (begins && i < whole && i < n && ((unsigned char)p[i] & 0xC0) == 0x80) i++;
    return i;
}

size_t lm_unicode_repair(lm_str *out, lm_span text, bool each_byte)
{
    size_t replaced = 0;
    while (text.len) {
        size_t valid = lm_utf8_valid(text.data, text.len);
        lm_str_append(out, text.data, valid);
        if (valid == text.len) break;
        size_t broken = each_byte ? 1 : broken_length(text.data + valid, text.len - valid);
        lm_str_put_rune(out, LM_REPLACEMENT);
        replaced += broken;
        text = lm_span_of(text.data + valid + broken, text.len - valid - broken);
    }
    return replaced;
}
