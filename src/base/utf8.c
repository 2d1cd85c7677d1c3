/* Whether bytes are UTF-8, sixteen at a time.
 *
 * What a byte must be follows from the three before it (Unicode, table 3-7): behind a lead of two, three or four
 * bytes stand one, two or three that continue it, and nowhere else; the second of them has a narrower range behind
 * E0 (overlong), ED (surrogates), F0 (overlong) and F4 (above U+10FFFF); C0, C1 and F5..FF never occur.  So a block
 * is held against itself read one, two and three bytes earlier, without a branch.  Where the fault lies exactly,
 * and what a text ends with, is found character by character. */
#include "base/str.h"

#include <string.h>

enum { BLOCK = 16, LONGEST = 3 };                        /* bytes that a character looks back over */

typedef uint8_t block __attribute__((vector_size(BLOCK)));
typedef uint64_t halves __attribute__((vector_size(BLOCK)));

static inline block load(const uint8_t *p)
{
    block b;
    memcpy(&b, p, sizeof b);
    return b;
}

static inline bool any(block b)
{
    halves h = (halves)b;
    return (h[0] | h[1]) != 0;
}

/* Whether some byte of p[0 .. BLOCK) is not what the LONGEST before p and those of the block ask for. */
static inline bool is_faulty(const uint8_t *p)
{
    block b = load(p), one = load(p - 1), two = load(p - 2), three = load(p - 3);
    block continued = (block)(one >= 0xC0) | (block)(two >= 0xE0) | (block)(three >= 0xF0);
    block fault = continued ^ (block)((b & 0xC0) == 0x80);
    fault |= (block)((b & 0xFE) == 0xC0) | (block)(b >= 0xF5);
    fault |= (block)((one == 0xE0) & (b < 0xA0)) | (block)((one == 0xED) & (b >= 0xA0));
    fault |= (block)((one == 0xF0) & (b < 0x90)) | (block)((one == 0xF4) & (b >= 0x90));
    return any(fault);
}

static size_t by_characters(const char *p, size_t n, size_t from, size_t until)
{
    size_t i = from;
    for (uint32_t rune; i < until;) {
        size_t length = (size_t)lm_utf8_decode(p + i, n - i, &rune);
        if (!length) break;
        i += length;
    }
    return i;
}

size_t lm_utf8_valid(const char *p, size_t n)
{
    if (n < LONGEST + BLOCK) return by_characters(p, n, 0, n);
    size_t i = by_characters(p, n, 0, LONGEST);
    if (i < LONGEST) return i;
    while (n - i >= BLOCK && !is_faulty((const uint8_t *)p + i)) i += BLOCK;
    do i--;                                              /* the last character may go on */
    while (((uint8_t)p[i] & 0xC0) == 0x80);
    return by_characters(p, n, i, n);
}
