/* Strings: a growing byte buffer, and UTF-8.
 *
 * A small allocation that the system refuses ends the program (LM_BUG): only
 * large memory (arenas, mappings) reports LM_E_NOMEM. */
#ifndef LM_BASE_STR_H
#define LM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* malloc, realloc, strndup that do not return NULL; freed with free(). */
void *lm_malloc(size_t bytes);
void *lm_calloc(size_t count, size_t bytes);
void *lm_realloc(void *block, size_t bytes);
char *lm_strdup(const char *text);
char *lm_strndup(const char *text, size_t n);

/* A byte string that grows.  {0} is empty; data is NUL-terminated whenever it is not NULL. */
typedef struct lm_str {
    char *data;
    size_t len, cap;
} lm_str;

void lm_str_append(lm_str *s, const void *bytes, size_t n);
void lm_str_puts(lm_str *s, const char *text);
void lm_str_putc(lm_str *s, char c);
void lm_str_printf(lm_str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lm_str_put_rune(lm_str *s, uint32_t rune);          /* as UTF-8; rune <= 0x10FFFF */
void lm_str_reserve(lm_str *s, size_t cap);              /* room for cap bytes and the NUL */
void lm_str_clear(lm_str *s);                            /* keeps the memory */
void lm_str_free(lm_str *s);                             /* takes NULL */
char *lm_str_take(lm_str *s);                            /* the text, for the caller to free; s is empty after */

/* A borrowed run of bytes, not NUL-terminated. */
typedef struct lm_span {
    const char *data;
    size_t len;
} lm_span;

static inline lm_span lm_span_of(const char *data, size_t len) { return (lm_span){ data, len }; }
bool lm_span_eq(lm_span a, const char *text);

/* Length in bytes (1..4) of the valid UTF-8 character at p and its code point, or 0 when the
 * bytes are not one (overlong forms, surrogates and > U+10FFFF are not).  n > 0. */
int lm_utf8_decode(const char *p, size_t n, uint32_t *rune);

/* Offset of the first byte that is not valid UTF-8, or n. */
size_t lm_utf8_valid(const char *p, size_t n);

/* Columns that n bytes of text take on a terminal: 2 for a Hangul or Chinese character, 0 for a
 * combining or control one; a byte that is not UTF-8 counts 1.  lm_text_fit: the bytes of the
 * longest beginning of whole characters that takes at most `columns`. */
size_t lm_text_width(const char *p, size_t n);
size_t lm_text_fit(const char *p, size_t n, size_t columns);

/* Control characters (C0, DEL and C1) become "?": text from a hostile file shall neither begin a line
 * nor steer a terminal. */
void lm_one_line(char *text);

lm_span lm_trim(lm_span text);                           /* without the white characters of ASCII at both ends */
bool lm_starts_with(const char *text, const char *prefix);
bool lm_ends_with(const char *text, const char *suffix);

/* The entry of `words` (NULL-terminated) nearest to `word` by edit distance, for "did you mean". */
const char *lm_nearest(const char *word, const char *const *words);

#endif
