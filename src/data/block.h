/* A text 64 bytes at a time: what its bytes are, one bit for each, the lowest for the first.
 *
 * The text is UTF-8.  Most of a Korean text is ASCII and syllables of Hangul, of which these bits say all that is
 * asked; other characters are marked where they begin, to be looked at one by one. */
#ifndef LM_DATA_BLOCK_H
#define LM_DATA_BLOCK_H

#include "base/str.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LM_BLOCK = 64 };

typedef struct lm_block {
    uint64_t begins;                     /* first bytes of characters */
    uint64_t space, newline, letter;     /* of ASCII */
    uint64_t control;                    /* control characters of ASCII other than tab and line feed */
    uint64_t other;                      /* ASCII that is neither space nor letter */
    uint64_t syllable;                   /* first bytes of syllables, U+AC00..U+D77F: the last 36 are rare */
    uint64_t rare;                       /* first bytes of all other characters */
} lm_block;

static inline uint64_t lm_bits_below(size_t n) { return n < LM_BLOCK ? ((uint64_t)1 << n) - 1 : UINT64_MAX; }

/* How many bits are set, without an instruction that not all machines have. */
static inline int lm_bits_count(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (int)(((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* Reads p[0 .. LM_BLOCK], one byte more than it tells of.  What is not used of the result costs nothing. */
__attribute__((always_inline)) static inline lm_block lm_block_read(const char *p)
{
    lm_block b = {0};
#ifdef __SSE2__
#define SET(c) _mm_set1_epi8((char)(c))
#define IS(v, c) _mm_cmpeq_epi8(v, SET(c))
#define WITHIN(v, first, last) _mm_cmpeq_epi8(_mm_min_epu8(_mm_sub_epi8(v, SET(first)), SET((last) - (first))), _mm_sub_epi8(v, SET(first)))
#define BITS(v) ((uint64_t)(uint32_t)_mm_movemask_epi8(v) << i)
    for (int i = 0; i < LM_BLOCK; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(p + i)), next = _mm_loadu_si128((const __m128i *)(p + i + 1));
        __m128i begin = _mm_cmpgt_epi8(x, SET(0xBF)), space = _mm_or_si128(IS(x, ' '), WITHIN(x, '\t', '\r')), letter = WITHIN(_mm_or_si128(x, SET(0x20)), 'a', 'z');
        __m128i first = _mm_and_si128(IS(x, 0xEA), _mm_cmpgt_epi8(next, SET(0xAF))), last = _mm_and_si128(IS(x, 0xED), _mm_cmplt_epi8(next, SET(0x9E)));
        __m128i syllable = _mm_or_si128(_mm_or_si128(first, last), WITHIN(x, 0xEB, 0xEC)), plain = _mm_or_si128(space, letter);
        b.begins |= BITS(begin);
        b.space |= BITS(space);
        b.newline |= BITS(IS(x, '\n'));
        b.control |= BITS(_mm_or_si128(_mm_andnot_si128(WITHIN(x, '\t', '\n'), WITHIN(x, 0, 0x1F)), IS(x, 0x7F)));
        b.letter |= BITS(letter);
        b.other |= BITS(_mm_andnot_si128(plain, _mm_cmpgt_epi8(x, SET(-1))));
        b.syllable |= BITS(syllable);
        b.rare |= BITS(_mm_andnot_si128(syllable, _mm_and_si128(begin, _mm_cmplt_epi8(x, SET(0)))));
    }
#undef SET
#undef IS
#undef WITHIN
#undef BITS
#else
    for (int i = 0; i < LM_BLOCK; i++) {
        uint8_t c = (uint8_t)p[i], next = (uint8_t)p[i + 1];
        uint64_t bit = (uint64_t)1 << i;
        bool begin = (c & 0xC0) != 0x80, space = c == ' ' || (c >= '\t' && c <= '\r'), letter = (uint8_t)((c | 32) - 'a') < 26;
        bool syllable = c == 0xEB || c == 0xEC || (c == 0xEA && next >= 0xB0) || (c == 0xED && next < 0x9E);
        b.begins |= begin ? bit : 0;
        b.space |= space ? bit : 0;
        b.newline |= c == '\n' ? bit : 0;
        b.control |= (c < 0x20 && c != '\t' && c != '\n') || c == 0x7F ? bit : 0;
        b.letter |= letter ? bit : 0;
        b.other |= c < 0x80 && !space && !letter ? bit : 0;
        b.syllable |= syllable ? bit : 0;
        b.rare |= c >= 0xC0 && !syllable ? bit : 0;
    }
#endif
    return b;
}

/* The block of text that begins at `at`; there are no bits behind its end. */
__attribute__((always_inline)) static inline lm_block lm_block_at(lm_span text, size_t at)
{
    size_t left = text.len - at;
    if (left > LM_BLOCK) return lm_block_read(text.data + at);
    char copy[LM_BLOCK + 1] = {0};
    memcpy(copy, text.data + at, left);
    lm_block b = lm_block_read(copy);
    uint64_t within = lm_bits_below(left);
    b.begins &= within, b.other &= within, b.control &= within;
    return b;
}

#endif
