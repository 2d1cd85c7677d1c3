#define _GNU_SOURCE
#include "base/str.h"
#include "base/err.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- memory ------------------------------------------------------------------ */

void *lm_malloc(size_t bytes)
{
    void *block = malloc(bytes ? bytes : 1);
    if (!block) LM_BUG("out of memory: %zu bytes", bytes);
    return block;
}

void *lm_calloc(size_t count, size_t bytes)
{
    void *block = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!block) LM_BUG("out of memory: %zu x %zu bytes", count, bytes);
    return block;
}

void *lm_realloc(void *block, size_t bytes)
{
    void *moved = realloc(block, bytes ? bytes : 1);
    if (!moved) LM_BUG("out of memory: %zu bytes", bytes);
    return moved;
}

char *lm_strdup(const char *text)
{
    return lm_strndup(text, strlen(text));
}

char *lm_strndup(const char *text, size_t n)
{
    size_t len = strnlen(text, n);
    char *copy = lm_malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* ---- growing strings --------------------------------------------------------- */

void lm_str_reserve(lm_str *s, size_t cap)
{
    if (s->data && cap <= s->cap) return;
    if (cap > SIZE_MAX / 2) LM_BUG("a string of %zu bytes", cap);
    size_t grown = s->cap + s->cap / 2;
    if (grown < cap) grown = cap;
    if (grown < 23) grown = 23;
    s->data = lm_realloc(s->data, grown + 1);
    s->data[s->len] = '\0';
    s->cap = grown;
}

void lm_str_append(lm_str *s, const void *bytes, size_t n)
{
    if (n > SIZE_MAX / 2 - s->len) LM_BUG("a string of %zu + %zu bytes", s->len, n);
    lm_str_reserve(s, s->len + n);
    if (n) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void lm_str_puts(lm_str *s, const char *text)
{
    lm_str_append(s, text, strlen(text));
}

void lm_str_putc(lm_str *s, char c)
{
    lm_str_append(s, &c, 1);
}

void lm_str_printf(lm_str *s, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    LM_ASSERT(n >= 0);
    lm_str_reserve(s, s->len + (size_t)n);
    vsnprintf(s->data + s->len, (size_t)n + 1, format, again);
    va_end(again);
    s->len += (size_t)n;
}

void lm_str_put_rune(lm_str *s, uint32_t rune)
{
    LM_ASSERT(rune <= 0x10FFFF);
    char bytes[4];
    size_t n = 0;
    if (rune < 0x80) {
        bytes[n++] = (char)rune;
    } else {
        if (rune < 0x800) {
            bytes[n++] = (char)(0xC0 | rune >> 6);
        } else {
            if (rune < 0x10000) {
                bytes[n++] = (char)(0xE0 | rune >> 12);
            } else {
                bytes[n++] = (char)(0xF0 | rune >> 18);
                bytes[n++] = (char)(0x80 | (rune >> 12 & 0x3F));
            }
            bytes[n++] = (char)(0x80 | (rune >> 6 & 0x3F));
        }
        bytes[n++] = (char)(0x80 | (rune & 0x3F));
    }
    lm_str_append(s, bytes, n);
}

void lm_str_clear(lm_str *s)
{
    s->len = 0;
    if (s->data) s->data[0] = '\0';
}

void lm_str_free(lm_str *s)
{
    if (!s) return;
    free(s->data);
    *s = (lm_str){0};
}

char *lm_str_take(lm_str *s)
{
    char *text = s->data ? s->data : lm_strdup("");
    *s = (lm_str){0};
    return text;
}

/* ---- spans and UTF-8 --------------------------------------------------------- */

bool lm_span_eq(lm_span a, const char *text)
{
    return strlen(text) == a.len && (a.len == 0 || memcmp(a.data, text, a.len) == 0);
}

int lm_utf8_decode(const char *p, size_t n, uint32_t *rune)
{
    /* Smallest code point that needs a form of 2, 3, 4 bytes: below it the form is overlong. */
    static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint8_t *b = (const uint8_t *)p;
    if (b[0] < 0x80) return *rune = b[0], 1;

    int len = b[0] >> 5 == 0x06 ? 2 : b[0] >> 4 == 0x0E ? 3 : b[0] >> 3 == 0x1E ? 4 : 0;
    if (len == 0 || (size_t)len > n) return 0;
    uint32_t r = b[0] & (0x7Fu >> len);
    for (int i = 1; i < len; i++) {
        if ((b[i] & 0xC0) != 0x80) return 0;
        r = r << 6 | (b[i] & 0x3F);
    }
    if (r < smallest[len] || r > 0x10FFFF || (r >= 0xD800 && r <= 0xDFFF)) return 0;
    *rune = r;
    return len;
}

/* A vowel or final consonant of decomposed Hangul joins the syllable before it. */
static bool joins_syllable(uint32_t rune)
{
    return (rune >= 0x1160 && rune <= 0x11FF) || (rune >= 0xD7B0 && rune <= 0xD7FF);
}

/* Bytes and columns of the character at p. */
static size_t next_column(const char *p, size_t n, size_t *columns)
{
    uint32_t rune;
    int len = lm_utf8_decode(p, n, &rune);
    *columns = 1;
    if (len == 0) return 1;
    int width = utf8proc_charwidth((utf8proc_int32_t)rune);
    *columns = width < 0 || joins_syllable(rune) ? 0 : (size_t)width;
    return (size_t)len;
}

size_t lm_text_width(const char *p, size_t n)
{
    size_t total = 0, width;
    for (size_t i = 0; i < n; i += next_column(p + i, n - i, &width), total += width) {}
    return total;
}

size_t lm_text_fit(const char *p, size_t n, size_t columns)
{
    size_t i = 0, used = 0;
    while (i < n) {
        size_t width, len = next_column(p + i, n - i, &width);
        if (used + width > columns) break;
        used += width;
        i += len;
    }
    return i;
}

void lm_one_line(char *text)
{
    for (uint8_t *p = (uint8_t *)text; *p; p++) {
        bool c1 = p[0] == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0;      /* U+0080 .. U+009F */
        if (c1) *p++ = '?';
        if (c1 || *p < 0x20 || *p == 0x7F) *p = '?';
    }
}

/* ---- words ------------------------------------------------------------------- */

static bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

lm_span lm_trim(lm_span text)
{
    while (text.len && is_white(text.data[0])) text.data++, text.len--;
    while (text.len && is_white(text.data[text.len - 1])) text.len--;
    return text;
}

bool lm_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool lm_ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

enum { WORD_MAX = 64 };   /* longer words are not names that somebody mistyped */

/* Edits (insert, delete, replace, swap of neighbours) between two words of at most WORD_MAX bytes. */
static int edit_distance(const char *a, int n, const char *b, int m)
{
    int row[3][WORD_MAX + 1];
    for (int j = 0; j <= m; j++) row[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = row[i % 3], *above = row[(i + 2) % 3], *above2 = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *lm_nearest(const char *word, const char *const *words)
{
    size_t len = strnlen(word, WORD_MAX + 1);
    if (len > WORD_MAX) return NULL;
    /* One slip in three letters; a wholly different word of one letter is no slip. */
    int limit = (int)(len + 2) / 3;
    if (limit >= (int)len) limit = (int)len - 1;

    const char *best = NULL;
    for (; *words; words++) {
        size_t other = strnlen(*words, WORD_MAX + 1);
        if (other > WORD_MAX) continue;
        int distance = edit_distance(word, (int)len, *words, (int)other);
        if (distance > limit) continue;
        best = *words;
        limit = distance - 1;                       /* the first of equals stays */
    }
    return best;
}
