/* Whether bytes are UTF-8, thirty-two at a time.
 *
 * What a byte must be follows from the three before it (Unicode, table 3-7): behind a lead of two, three or four
 * bytes stand one, two or three that continue it, and nowhere else; the second of them has a narrower range behind
 * E0 (overlong), ED (surrogates), F0 (overlong) and F4 (above U+10FFFF); C0, C1 and F5..FF never occur.  So a block
 * is held against itself read one, two and three bytes earlier, without a branch.  Where the fault lies exactly,
 * and what a text ends with, is found character by character. */
#include "base/str.h"

#include <string.h>

enum { BLOCK = 32, LONGEST = 3 };                        /* bytes that a character looks back over */

typedef uint8_t block __attribute__((vector_size(BLOCK)));
typedef uint64_t words __attribute__((vector_size(BLOCK)));

#define INLINE __attribute__((always_inline)) static inline

/* Whether some byte of p[0 .. BLOCK) is not what the LONGEST before p and those of the block ask for. */
INLINE bool is_faulty(const uint8_t *p)
{
    block b, one, two, three;
    memcpy(&b, p, sizeof b);
    memcpy(&one, p - 1, sizeof one);
    memcpy(&two, p - 2, sizeof two);
    memcpy(&three, p - 3, sizeof three);
    block begins = (block)(one < 0xC0) & (block)(two < 0xE0) & (block)(three < 0xF0);        /* nothing asks to be continued */
    block under_a0 = (block)(b < 0xA0), under_90 = (block)(b < 0x90);
    block fault = ~(begins ^ (block)((b & 0xC0) == 0x80)) | (block)((b & 0xFE) == 0xC0) | ~(block)(b < 0xF5);
    fault |= ((block)(one == 0xE0) & under_a0) | ((block)(one == 0xED) & ~under_a0);
    fault |= ((block)(one == 0xF0) & under_90) | ((block)(one == 0xF4) & ~under_90);
    words w = (words)fault;
    return (w[0] | w[1] | w[2] | w[3]) != 0;
}

/* From `i` on, blocks without a fault; the last one may overlap.  n, or where a block with a fault begins. */
INLINE size_t pass_blocks(const uint8_t *p, size_t n, size_t i)
{
    while (n - i >= BLOCK && !is_faulty(p + i)) i += BLOCK;
    return n - i < BLOCK && !is_faulty(p + n - BLOCK) ? n : i;
}

static size_t pass_plain(const uint8_t *p, size_t n, size_t i) { return pass_blocks(p, n, i); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t pass_avx2(const uint8_t *p, size_t n, size_t i) { return pass_blocks(p, n, i); }
static size_t pass(const uint8_t *p, size_t n, size_t i) { return (__builtin_cpu_supports("avx2") ? pass_avx2 : pass_plain)(p, n, i); }
#else
static size_t pass(const uint8_t *p, size_t n, size_t i) { return pass_plain(p, n, i); }
#endif

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
    i = pass((const uint8_t *)p, n, i);
    do i--;                                              /* the last character may go on */
    while (((uint8_t)p[i] & 0xC0) == 0x80);
    return by_characters(p, n, i, n);
}
