/* Characters of three bytes (Hangul, Han, kana) that byte-level BPE may take as one symbol from the start.
 *
 * A syllable of Hangul is three symbols and two merges, and those merges are most of the work of a Korean word.
 * They can be skipped where nothing is merged across an end of the character before they are done.  Let R be the
 * higher of their ranks.  The first merge across an end would have a part of the character as an operand: behind
 * the left end one or two bytes that begin a character, before the right end one or two that end it.  If all such
 * merges between the bytes that stand at the end rank above R, the character is whole before any of them; and if
 * every merge that has the whole character as an operand ranks above R too, beginning with it changes nothing
 * else in the order of merges. */
#ifndef LM_TOKEN_CHARACTERS_H
#define LM_TOKEN_CHARACTERS_H

#include "token/bpe.h"
#include "token/pipeline.h"

typedef struct lm_characters {
    uint32_t crossing[256][256];     /* lowest rank of a merge of a part, by the bytes before and behind the place; UINT32_MAX: none */
    struct {
        uint32_t rank;               /* R */
        int32_t token;               /* and 1; 0: not taken whole */
    } of[1 << 16];                   /* by the bits that are not the same in all such characters */
} lm_characters;

/* Takes a few milliseconds.  Every byte has a symbol. */
lm_characters *lm_characters_new(const lm_vocab *vocab, const lm_merges *merges, const int32_t byte_id[256]);

/* Whether three bytes may be such a character; which. */
static inline bool lm_is_three_bytes(const uint8_t *p) { return (p[0] & 0xF0) == 0xE0 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80; }
static inline unsigned lm_three_bytes(const uint8_t *p) { return (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u); }

/* The symbol of the character text[at .. at + 3) where it may be taken whole, or -1. */
static inline int32_t lm_character_at(const lm_characters *c, const uint8_t *text, size_t n, size_t at)
{
    if (n - at < 3 || !lm_is_three_bytes(text + at)) return -1;
    unsigned i = lm_three_bytes(text + at);
    uint32_t rank = c->of[i].rank;
    bool left = !at || rank < c->crossing[text[at - 1]][text[at]], right = at + 3 == n || rank < c->crossing[text[at + 2]][text[at + 3]];
    return left && right ? c->of[i].token - 1 : -1;
}

#endif
