/* One pass, no look-back: each function reads one thing and leaves the cursor behind it.
 *
 * An integer that does not fit 64 bits (tokenizer_config.json says model_max_length:
 * 1000000000000000019884624838656) is a real number. */
#define _GNU_SOURCE
#include "base/json_reader.h"

#include <endian.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { MAX_DEPTH = 2048 };

void lm_json_reader_init(lm_json_reader *r, lm_span text, const char *name, lm_err *err)
{
    bool marked = text.len >= 3 && !memcmp(text.data, "\xEF\xBB\xBF", 3);
    const char *begin = text.len ? text.data : "";
    *r = (lm_json_reader){ .begin = begin + (marked ? 3 : 0), .end = begin + text.len, .name = name, .err = err };
    r->at = r->begin;
}

void lm_json_reader_inside(lm_json_reader *r, lm_span text, lm_span value, const char *name, lm_err *err)
{
    lm_json_reader_init(r, text, name, err);
    r->at = value.data;
    r->end = value.data + value.len;
}

void lm_json_reader_items(lm_json_reader *r, lm_span items, const char *name, lm_err *err)
{
    *r = (lm_json_reader){ .begin = items.data, .at = items.data, .end = items.data + items.len, .fresh = true, .name = name, .err = err };
}

/* ---- failure --------------------------------------------------------------------------- */

bool lm_json_wrong(lm_json_reader *r, const char *format, ...)
{
    if (r->status) return false;
    const char *place = r->at < r->end ? r->at + 1 : r->end, *line = r->begin;
    int lines = 1;
    for (const char *newline; (newline = memchr(line, '\n', (size_t)(r->at - line))); lines++) line = newline + 1;
    int column = 0;
    for (const char *p = line; p < place; p++) column += ((uint8_t)*p & 0xC0) != 0x80;

    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    what[lm_utf8_valid(what, strlen(what))] = '\0';
    lm_one_line(what);
    char number[32] = "";
    if (r->end > r->begin && memchr(r->begin, '\n', (size_t)(r->end - r->begin))) snprintf(number, sizeof number, "line %d, ", lines);
    r->status = lm_fail(r->err, LM_E_FORMAT, "%s: %scolumn %d: not JSON: %s", r->name, number, column, what);
    return false;
}

/* "expected ..., found ...": what stands at the cursor is shown as far as it is one readable character. */
static bool expected(lm_json_reader *r, const char *what)
{
    if (r->at == r->end) return lm_json_wrong(r, "expected %s, found the end", what);
    uint32_t rune;
    int length = lm_utf8_decode(r->at, (size_t)(r->end - r->at), &rune);
    if (!length || rune < 0x20) return lm_json_wrong(r, "expected %s, found byte 0x%02X", what, (unsigned)(uint8_t)*r->at);
    return lm_json_wrong(r, "expected %s, found '%.*s'", what, length, r->at);
}

/* ---- lists -------------------------------------------------------------------------------- */

static inline char skip_blanks(lm_json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
    return r->at < r->end ? *r->at : '\0';
}

char lm_json_peek(lm_json_reader *r) { return r->status ? '\0' : skip_blanks(r); }

bool lm_json_open(lm_json_reader *r, char bracket)
{
    if (r->status) return false;
    if (skip_blanks(r) != bracket) return expected(r, bracket == '{' ? "an object" : "an array");
    if (r->depth == MAX_DEPTH) return lm_json_wrong(r, "more than %d levels", MAX_DEPTH);
    r->at++;
    r->depth++;
    r->fresh = true;
    return true;
}

/* Over the comma in front of the next entry, or over the bracket behind the last one. */
static inline bool next_entry(lm_json_reader *r, char bracket)
{
    if (r->status) return false;
    char next = skip_blanks(r);
    if (r->at == r->end && !r->depth) return false;
    if (next == bracket && r->depth) {
        r->at++;
        r->depth--;
        return r->fresh = false;
    }
    if (!r->fresh && next != ',') return expected(r, bracket == '}' ? "',' or '}'" : "',' or ']'");
    if (!r->fresh) r->at++;
    r->fresh = false;
    return true;
}

bool lm_json_item(lm_json_reader *r) { return next_entry(r, ']'); }

bool lm_json_key(lm_json_reader *r, lm_str *buffer, lm_span *key)
{
    if (!next_entry(r, '}')) return false;
    if (skip_blanks(r) != '"') return expected(r, "a key");
    if (!lm_json_string(r, buffer, key)) return false;
    if (key->data == buffer->data && memchr(key->data, 0, key->len)) return lm_json_wrong(r, "a key with a zero byte");
    if (skip_blanks(r) != ':') return expected(r, "':'");
    r->at++;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------- */

#ifndef __SSE2__
static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;

/* The high bit of each byte of x that is 0; above the lowest one there may be more. */
static inline uint64_t zero_bytes(uint64_t x) { return (x - ones) & ~x & highs; }

/* The same for bytes that end a run: control characters, the quote and the backslash. */
static inline uint64_t ending_bytes(uint64_t x)
{
    return ((x - ones * 0x20) & ~x & highs) | zero_bytes(x ^ ones * '"') | zero_bytes(x ^ ones * '\\');
}

/* The high bits of the bytes, gathered. */
static inline unsigned gather(uint64_t x) { return (unsigned)((x >> 7) * 0x0102040810204080u >> 56); }
#endif

/* Sixteen bytes as one bit each: those that end a run, right up to the first of them, and those beyond ASCII. */
enum { LOOKED_AT = 16 };
typedef struct look {
    unsigned ending, high;
} look;

static inline look look_at(const char *p)
{
#ifdef __SSE2__
    __m128i x = _mm_loadu_si128((const __m128i *)p), control = _mm_set1_epi8(0x1F);
    __m128i ending = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    ending = _mm_or_si128(ending, _mm_cmpeq_epi8(_mm_max_epu8(x, control), control));
    return (look){ (unsigned)_mm_movemask_epi8(ending), (unsigned)_mm_movemask_epi8(x) };
#else
    look found = {0};
    for (int i = 0; i < LOOKED_AT; i += 8) {
        uint64_t x;
        memcpy(&x, p + i, sizeof x);
        x = le64toh(x);
        found.ending |= gather(ending_bytes(x)) << i;
        found.high |= gather(x & highs) << i;
    }
    return found;
#endif
}

static inline unsigned bits_below(int n) { return (1u << n) - 1; }

/* How many of the bytes stand for themselves. */
static inline int plain_of(look l) { return l.ending ? __builtin_ctz(l.ending) : LOOKED_AT; }

static inline bool ends_run(char c) { return (uint8_t)c < 0x20 || c == '"' || c == '\\'; }

size_t lm_json_plain(const char *text, size_t n)
{
    size_t i = 0;
    while (n - i >= LOOKED_AT) {
        look l = look_at(text + i);
        i += (size_t)plain_of(l);
        if (l.ending) return i;
    }
    while (i < n && !ends_run(text[i])) i++;
    return i;
}

/* Over the characters that stand for themselves, sixteen bytes at a time to where the run ends, then its UTF-8, if there
 * is any and it is to be looked at. */
static inline void plain_run(lm_json_reader *r, bool checked)
{
    const char *p = r->at;
    look l = {0};
    unsigned high = 0;
    while (!l.ending && r->end - p >= LOOKED_AT) {
        l = look_at(p);
        int n = plain_of(l);
        high |= l.high & bits_below(n);
        p += n;
    }
    for (; !l.ending && p < r->end && !ends_run(*p); p++) high |= (uint8_t)*p & 0x80;
    r->at = high && checked ? r->at + lm_utf8_valid(r->at, (size_t)(p - r->at)) : p;
}

/* Four hexadecimal digits; -1 where they are none. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4) return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* \uXXXX, or two of them for a character past U+FFFF; the cursor stands on the u. */
static bool escaped_rune(lm_json_reader *r, lm_str *out)
{
    int32_t rune = hex4(r->at + 1, r->end);
    if (rune < 0) return lm_json_wrong(r, "expected four hexadecimal digits behind \\u");
    size_t used = 5;
    if (rune >= 0xD800 && rune < 0xDC00 && r->end - r->at >= 11 && r->at[5] == '\\' && r->at[6] == 'u') {
        int32_t low = hex4(r->at + 7, r->end);
        if (low >= 0xDC00 && low < 0xE000) {
            rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
            used = 11;
        }
    }
    if (rune >= 0xD800 && rune < 0xE000) return lm_json_wrong(r, "half of a surrogate pair \\u%04X", (unsigned)rune);
    lm_str_put_rune(out, (uint32_t)rune);
    r->at += used;
    return true;
}

/* What a letter behind a backslash means; 0: more than that, or nothing. */
static const char meant[256] = { ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t' };

static bool escape(lm_json_reader *r, lm_str *out)
{
    r->at++;
    if (r->at == r->end) return expected(r, "an escape");
    if (*r->at == 'u') return escaped_rune(r, out);
    char c = meant[(uint8_t)*r->at];
    if (!c) return expected(r, "one of \"\\/bfnrtu behind \\");
    lm_str_putc(out, c);
    r->at++;
    return true;
}

/* Copies characters that stand for themselves, and escapes of one letter, sixteen bytes at a time and then one by one:
 * up to the quote or whatever needs a closer look.  Returns whether there were bytes with a high bit, for a look at
 * their UTF-8. */
static inline bool copy_run(lm_json_reader *r, lm_str *out)
{
    unsigned high = 0;
    while (r->end - r->at > LOOKED_AT) {
        if (out->cap - out->len <= LOOKED_AT) lm_str_reserve(out, out->len + out->len / 2 + 64);
        look l = look_at(r->at);
        int n = plain_of(l);
        memcpy(out->data + out->len, r->at, LOOKED_AT);
        high |= l.high & bits_below(n);
        out->len += (size_t)n;
        r->at += n;
        if (!l.ending) continue;
        char c = *r->at == '\\' ? meant[(uint8_t)r->at[1]] : 0;
        if (!c) return high;
        out->data[out->len++] = c;
        r->at += 2;
    }
    const char *rest = r->at;
    for (; r->at < r->end && !ends_run(*r->at); r->at++) high |= (uint8_t)*r->at & 0x80;
    if (r->at > rest) lm_str_append(out, rest, (size_t)(r->at - rest));
    return high;
}

/* A string with escapes; `start` is where it begins, the cursor stands on the first. */
static bool spelled_string(lm_json_reader *r, const char *start, lm_str *buffer, lm_span *out, bool checked)
{
    lm_str_clear(buffer);
    lm_str_append(buffer, start, (size_t)(r->at - start));
    const char *from = r->at;
    bool high = false;
    while (r->at < r->end && *r->at != '"') {
        if (*r->at != '\\') return expected(r, "valid UTF-8 without control characters");
        if (!escape(r, buffer)) return false;
        high |= copy_run(r, buffer);
    }
    if (r->at == r->end) return expected(r, "'\"'");
    size_t valid = high && checked ? lm_utf8_valid(from, (size_t)(r->at - from)) : (size_t)(r->at - from);
    r->at = from + valid;
    if (*r->at != '"') return expected(r, "valid UTF-8 without control characters");
    r->at++;
    buffer->data[buffer->len] = '\0';
    *out = lm_span_of(buffer->data, buffer->len);
    return true;
}

static inline bool read_string(lm_json_reader *r, lm_str *buffer, lm_span *out, bool checked)
{
    if (r->status) return false;
    if (skip_blanks(r) != '"') return expected(r, "a string");
    const char *start = ++r->at;
    plain_run(r, checked);
    if (r->at == r->end || *r->at != '"') return spelled_string(r, start, buffer, out, checked);
    *out = lm_span_of(start, (size_t)(r->at - start));
    r->at++;
    return true;
}

bool lm_json_string(lm_json_reader *r, lm_str *buffer, lm_span *out) { return read_string(r, buffer, out, true); }
bool lm_json_string_unchecked(lm_json_reader *r, lm_str *buffer, lm_span *out) { return read_string(r, buffer, out, false); }

/* ---- numbers ----------------------------------------------------------------------------------- */

static inline bool is_digit(const lm_json_reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static bool digits(lm_json_reader *r)
{
    if (!is_digit(r)) return expected(r, "a digit");
    while (is_digit(r)) r->at++;
    return true;
}

/* The text of a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?  *whole: without the last two. */
static bool number_text(lm_json_reader *r, lm_span *out, bool *whole)
{
    char first = skip_blanks(r);
    if (first != '-' && !is_digit(r)) return expected(r, "a number");
    const char *start = r->at;
    if (first == '-') r->at++;
    if (r->at < r->end && *r->at == '0') r->at++;
    else if (!digits(r)) return false;
    if (is_digit(r)) return lm_json_wrong(r, "a number that begins with 0");
    *whole = true;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        *whole = false;
        if (!digits(r)) return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        *whole = false;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (!digits(r)) return false;
    }
    *out = lm_span_of(start, (size_t)(r->at - start));
    return true;
}

/* Up to 18 digits always fit. */
static bool short_integer(lm_span text, int64_t *out)
{
    bool minus = *text.data == '-';
    if (text.len - minus > 18) return false;
    int64_t value = 0;
    for (size_t i = minus; i < text.len; i++) value = value * 10 + (text.data[i] - '0');
    *out = minus ? -value : value;
    return true;
}

/* What strtoll or strtod makes of a number's text; strtod wants the locale's decimal point. */
static bool fits_integer(lm_span text, int64_t *out)
{
    if (short_integer(text, out)) return true;
    char *copy = lm_strndup(text.data, text.len);
    errno = 0;
    *out = strtoll(copy, NULL, 10);
    free(copy);
    return errno != ERANGE;
}

static double real_of(lm_span text)
{
    char *copy = lm_strndup(text.data, text.len), *point = strchr(copy, '.');
    if (point) *point = *localeconv()->decimal_point;
    double value = strtod(copy, NULL);
    free(copy);
    return value;
}

/* Either kind of number: *integer says which of the two results counts. */
static bool any_number(lm_json_reader *r, bool *integer, int64_t *i, double *real)
{
    lm_span text;
    if (r->status || !number_text(r, &text, integer)) return false;
    *integer = *integer && fits_integer(text, i);
    if (*integer) return true;
    *real = real_of(text);
    return !isinf(*real) || lm_json_wrong(r, "a number past the largest double");
}

/* The common case: up to 18 digits and nothing else. */
static inline bool small_integer(lm_json_reader *r, int64_t *out)
{
    if (r->status || skip_blanks(r) < '1' || *r->at > '9') return false;
    const char *p = r->at, *limit = r->end - p > 18 ? p + 18 : r->end;
    int64_t value = 0;
    for (; p < limit && *p >= '0' && *p <= '9'; p++) value = value * 10 + (*p - '0');
    if (p == limit || *p == '.' || *p == 'e' || *p == 'E') return false;
    r->at = p;
    *out = value;
    return true;
}

bool lm_json_integer(lm_json_reader *r, int64_t *out)
{
    if (small_integer(r, out)) return true;
    bool integer;
    double real;
    if (!any_number(r, &integer, out, &real)) return false;
    return integer || lm_json_wrong(r, "expected a 64-bit integer, found %g", real);
}

bool lm_json_number(lm_json_reader *r, double *out)
{
    bool integer;
    int64_t i;
    if (!any_number(r, &integer, &i, out)) return false;
    if (integer) *out = (double)i;
    return true;
}

/* ---- any value ------------------------------------------------------------------------------------ */

static bool word(lm_json_reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n)) return expected(r, "a value");
    r->at += n;
    return true;
}

/* Whole lists by a count of what is open: no recursion. */
lm_span lm_json_skip(lm_json_reader *r)
{
    lm_str buffer = {0};
    lm_span text;
    bool whole;
    lm_json_peek(r);
    const char *start = r->at;
    int outside = r->depth;
    uint8_t *object = NULL;          /* for each open level: an object, not an array */
    do {
        if (r->depth > outside) {
            bool in_object = object[r->depth - outside - 1];
            if (!(in_object ? lm_json_key(r, &buffer, &text) : lm_json_item(r))) continue;
        }
        char first = lm_json_peek(r);
        if (first == '{' || first == '[') {
            if (!object) object = lm_malloc(MAX_DEPTH);
            if (lm_json_open(r, first)) object[r->depth - outside - 1] = first == '{';
        } else if (first == '"') {
            lm_json_string(r, &buffer, &text);
        } else if (first == '-' || (first >= '0' && first <= '9')) {
            number_text(r, &text, &whole);
        } else if (!r->status) {
            word(r, first == 't' ? "true" : first == 'f' ? "false" : "null");
        }
    } while (!r->status && r->depth > outside);
    free(object);
    lm_str_free(&buffer);
    return r->status ? (lm_span){ NULL, 0 } : lm_span_of(start, (size_t)(r->at - start));
}

/* ---- lists by their brackets ------------------------------------------------------------------------- */

/* Where a search for the closing bracket stands. */
typedef struct balance {
    int64_t depth;
    bool quoted, escaped;            /* inside a string; behind a backslash there */
} balance;

/* One bit for each of 64 bytes. */
typedef struct marks {
    uint64_t quote, backslash, open, close;
} marks;

#ifdef __SSE2__
enum { AT_ONCE = 16 };
typedef __m128i bytes;

static inline bytes load_bytes(const char *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline bytes lower(bytes x) { return _mm_or_si128(x, _mm_set1_epi8(0x20)); }
static inline uint64_t equal(bytes x, char c) { return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(c))); }
#else
enum { AT_ONCE = 8 };
typedef uint64_t bytes;

static inline bytes load_bytes(const char *p)
{
    bytes x;
    memcpy(&x, p, sizeof x);
    return le64toh(x);
}

static inline bytes lower(bytes x) { return x | ones * 0x20; }

/* Exactly the bytes that are c. */
static inline uint64_t equal(bytes x, char c)
{
    x ^= ones * (uint8_t)c;
    return gather(~(((x & ~highs) + ~highs) | x | ~highs));
}
#endif

static inline marks find_marks(const char *p)
{
    marks m = { 0 };
    for (int i = 0; i < 64; i += AT_ONCE) {
        bytes x = load_bytes(p + i), bracket = lower(x);     /* [ ] become { } */
        m.quote |= equal(x, '"') << i;
        m.backslash |= equal(x, '\\') << i;
        m.open |= equal(bracket, '{') << i;
        m.close |= equal(bracket, '}') << i;
    }
    return m;
}

/* Bit i becomes the parity of bits 0..i. */
static inline uint64_t parities(uint64_t x)
{
    for (int shift = 1; shift < 64; shift *= 2) x ^= x << shift;
    return x;
}

/* Over 64 bytes at once, or to behind the bracket that closes the list: gives how many.  0, and nothing
 * done, where an escape needs a closer look. */
static inline size_t balance_block(balance *b, const char *p)
{
    marks m = find_marks(p);
    if (m.backslash || b->escaped) return 0;
    uint64_t inside = parities(m.quote) ^ (b->quoted ? UINT64_MAX : 0);
    for (uint64_t brackets = (m.open | m.close) & ~inside; brackets; brackets &= brackets - 1) {
        if (m.open & brackets & -brackets) b->depth++;
        else if (--b->depth == 0) return (size_t)__builtin_ctzll(brackets) + 1;
    }
    b->quoted = inside >> 63;
    return 64;
}

static inline void balance_byte(balance *b, char c)
{
    if (b->escaped) b->escaped = false;
    else if (b->quoted) b->escaped = c == '\\', b->quoted = c != '"';
    else if (c == '"') b->quoted = true;
    else if (c == '{' || c == '[') b->depth++;
    else if (c == '}' || c == ']') b->depth--;
}

lm_span lm_json_balance(lm_json_reader *r)
{
    char first = lm_json_peek(r);
    if (first != '{' && first != '[') return lm_json_skip(r);
    balance b = { .depth = 1 };
    const char *p = r->at + 1;
    while (b.depth && p < r->end) {
        size_t passed = r->end - p >= 64 ? balance_block(&b, p) : 0;
        const char *end = r->end - p < 64 ? r->end : p + 64;
        p += passed;
        while (!passed && b.depth && p < end) balance_byte(&b, *p++);
    }
    if (b.depth) {
        lm_json_wrong(r, "a list that does not end");
        return (lm_span){ NULL, 0 };
    }
    lm_span text = lm_span_of(r->at, (size_t)(p - r->at));
    r->at = p;
    r->fresh = false;
    return text;
}

/* ---- documents --------------------------------------------------------------------------------------- */

static lm_json *take_object(lm_json_reader *r)
{
    lm_json *object = json_object();
    lm_str buffer = {0};
    lm_span key;
    lm_json_open(r, '{');
    while (lm_json_key(r, &buffer, &key)) lm_json_take_member(r, object, key);
    lm_str_free(&buffer);
    return object;
}

static lm_json *take_array(lm_json_reader *r)
{
    lm_json *array = json_array();
    lm_json_open(r, '[');
    while (lm_json_item(r)) {
        lm_json *item = lm_json_take(r);
        if (item) json_array_append_new(array, item);
    }
    return array;
}

static lm_json *take_string(lm_json_reader *r)
{
    lm_str buffer = {0};
    lm_span text = { "", 0 };
    lm_json_string(r, &buffer, &text);
    lm_json *string = json_stringn_nocheck(text.data, text.len);
    lm_str_free(&buffer);
    return string;
}

static lm_json *take_number(lm_json_reader *r)
{
    bool integer;
    int64_t i = 0;
    double real = 0;
    if (!any_number(r, &integer, &i, &real)) return NULL;
    return integer ? json_integer(i) : json_real(real);
}

lm_json *lm_json_take(lm_json_reader *r)
{
    lm_json *value = NULL;
    char first = lm_json_peek(r);
    if (r->status) return NULL;
    switch (first) {
    case '{': value = take_object(r); break;
    case '[': value = take_array(r); break;
    case '"': value = take_string(r); break;
    case 't': value = word(r, "true") ? json_true() : NULL; break;
    case 'f': value = word(r, "false") ? json_false() : NULL; break;
    case 'n': value = word(r, "null") ? json_null() : NULL; break;
    default: value = first == '-' || is_digit(r) ? take_number(r) : (expected(r, "a value"), NULL);
    }
    if (!r->status) return value;
    lm_json_free(value);
    return NULL;
}

bool lm_json_take_member(lm_json_reader *r, lm_json *object, lm_span key)
{
    if (r->status) return false;
    if (json_object_getn(object, key.data, key.len)) return lm_json_wrong(r, "duplicate key \"%.*s\"", (int)(key.len < 60 ? key.len : 60), key.data);
    lm_json *value = lm_json_take(r);
    return value && json_object_setn_new_nocheck(object, key.data, key.len, value) == 0;
}

lm_status lm_json_reader_end(lm_json_reader *r)
{
    if (!r->status && (skip_blanks(r), r->at < r->end)) expected(r, "the end");
    return r->status;
}
