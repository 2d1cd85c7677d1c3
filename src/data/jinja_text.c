/* Text with marks, and Python's methods on it.  A character that is made from others bears their marks. */
#define _GNU_SOURCE
#include "data/jinja_value.h"
#include "token/unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- building ------------------------------------------------------------------------ */

static void reserve(lm_jbuild *b, size_t n)
{
    if (b->n + n <= b->cap) return;
    size_t cap = 2 * b->cap > b->n + n ? 2 * b->cap : b->n + n;
    char *bytes = lm_jalloc(b->c, cap);
    uint8_t *marks = lm_jalloc(b->c, cap);
    if (b->n) memcpy(bytes, b->bytes, b->n), memcpy(marks, b->marks, b->n);
    b->bytes = bytes, b->marks = marks, b->cap = cap;
}

static char *grow(lm_jbuild *b, size_t n)
{
    reserve(b, n);
    lm_jcharge(b->c, n / 64);
    b->n += n;
    return b->bytes + b->n - n;
}

void lm_jput(lm_jbuild *b, const char *bytes, size_t n, const uint8_t *marks)
{
    if (!n) return;
    memcpy(grow(b, n), bytes, n);
    if (marks) memcpy(b->marks + b->n - n, marks, n), b->marked = true;
    else memset(b->marks + b->n - n, 0, n);
}

void lm_jput_same(lm_jbuild *b, const char *bytes, size_t n, uint8_t mark)
{
    if (!n) return;
    memcpy(grow(b, n), bytes, n);
    memset(b->marks + b->n - n, mark, n);
    b->marked |= mark != 0;
}

void lm_jputs(lm_jbuild *b, const char *text) { lm_jput_same(b, text, strlen(text), 0); }

void lm_jput_rune(lm_jbuild *b, uint32_t rune, uint8_t mark)
{
    utf8proc_uint8_t bytes[4];
    lm_jput_same(b, (const char *)bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)rune, bytes), mark);
}

lm_jv lm_jbuilt(lm_jbuild *b)
{
    return (lm_jv){ .kind = LM_J_TEXT, .bytes = b->n ? b->bytes : "", .n = b->n, .marks = b->marked ? b->marks : NULL };
}

lm_jv lm_jpart(lm_jv text, size_t from, size_t to)
{
    return (lm_jv){ .kind = LM_J_TEXT, .bytes = text.bytes + from, .n = to - from, .marks = text.marks ? text.marks + from : NULL };
}

lm_jv lm_jjoin(lm_jcontext *c, lm_jv a, lm_jv b)
{
    lm_jbuild out = { .c = c };
    reserve(&out, a.n + b.n);
    lm_jput(&out, a.bytes, a.n, a.marks);
    lm_jput(&out, b.bytes, b.n, b.marks);
    return lm_jbuilt(&out);
}

static uint8_t mark_at(lm_jv text, size_t at) { return text.marks ? text.marks[at] : 0; }

/* ---- str and repr ----------------------------------------------------------------------- */

/* Fewest digits that read back; exponents below -4 and from 16 on, at least two digits of them. */
void lm_jput_real(lm_jbuild *b, double x)
{
    if (!isfinite(x)) {
        lm_jputs(b, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    char text[40];
    int digits = 1;
    do snprintf(text, sizeof text, "%.*e", digits - 1, x);
    while (strtod(text, NULL) != x && ++digits <= 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        lm_jputs(b, text);
        return;
    }
    snprintf(text, sizeof text, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 1, x);
    lm_jputs(b, text);
}

/* What Python's repr shows as it is. */
static bool is_printable(uint32_t rune)
{
    const unsigned hidden = LM_CATEGORY(LM_CN) | LM_CATEGORY(LM_CC) | LM_CATEGORY(LM_CF) | LM_CATEGORY(LM_CS)
                            | LM_CATEGORY(LM_CO) | LM_SEPARATORS;
    return rune == ' ' || !lm_rune_in(rune, hidden);
}

static void put_quoted(lm_jbuild *b, lm_jv text)
{
    bool single = memchr(text.bytes, '\'', text.n), both = single && memchr(text.bytes, '"', text.n);
    char quote = single && !both ? '"' : '\'';
    lm_jput(b, &quote, 1, NULL);
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        int n = lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        char code[16] = "";
        if (rune == '\\' || rune == (uint32_t)quote) snprintf(code, sizeof code, "\\%c", (char)rune);
        else if (rune == '\n' || rune == '\r' || rune == '\t') snprintf(code, sizeof code, "\\%c", rune == '\n' ? 'n' : rune == '\r' ? 'r' : 't');
        else if (!is_printable(rune)) snprintf(code, sizeof code, rune < 0x100 ? "\\x%02x" : rune < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)rune);
        if (*code) lm_jput_same(b, code, strlen(code), mark_at(text, i));
        else lm_jput_same(b, text.bytes + i, (size_t)n, mark_at(text, i));
        i += (size_t)n;
    }
    lm_jput(b, &quote, 1, NULL);
}

static void put_items(lm_jbuild *b, lm_jv v)
{
    lm_jputs(b, v.kind == LM_J_LIST ? "[" : v.kind == LM_J_TUPLE ? "(" : "{");
    for (size_t i = 0; i < v.n; i++) {
        if (i) lm_jputs(b, ", ");
        if (v.kind == LM_J_DICT) lm_jput_repr(b, v.items[2 * i]), lm_jputs(b, ": "), lm_jput_repr(b, v.items[2 * i + 1]);
        else lm_jput_repr(b, v.items[i]);
    }
    lm_jputs(b, v.kind == LM_J_LIST ? "]" : v.kind == LM_J_DICT ? "}" : v.n == 1 ? ",)" : ")");
}

void lm_jput_repr(lm_jbuild *b, lm_jv v)
{
    char text[32];
    lm_jenter(b->c);
    lm_jcharge(b->c, 1);
    switch (v.kind) {
    case LM_J_NONE: lm_jputs(b, "None"); break;
    case LM_J_BOOL: lm_jputs(b, v.truth ? "True" : "False"); break;
    case LM_J_INT: snprintf(text, sizeof text, "%lld", (long long)v.whole), lm_jputs(b, text); break;
    case LM_J_REAL: lm_jput_real(b, v.real); break;
    case LM_J_TEXT: put_quoted(b, v); break;
    case LM_J_LIST: case LM_J_TUPLE: case LM_J_DICT: put_items(b, v); break;
    case LM_J_UNDEFINED: lm_jputs(b, "Undefined"); break;
    default: lm_jfail(b->c, LM_E_FORMAT, "cannot write %s as text", lm_jkind_name(v));
    }
    b->c->depth--;
}

void lm_jput_str(lm_jbuild *b, lm_jv v)
{
    if (v.kind == LM_J_TEXT) lm_jput(b, v.bytes, v.n, v.marks);
    else if (v.kind != LM_J_UNDEFINED) lm_jput_repr(b, v);
}

lm_jv lm_jstr(lm_jcontext *c, lm_jv v)
{
    if (v.kind == LM_J_TEXT) return v;
    lm_jbuild b = { .c = c };
    lm_jput_str(&b, v);
    return lm_jbuilt(&b);
}

/* ---- searching ---------------------------------------------------------------------------- */

size_t lm_jfind_text(lm_jcontext *c, lm_jv whole, lm_jv part, size_t from)
{
    if (from > whole.n || part.n > whole.n - from) return SIZE_MAX;
    if (!part.n) return from;
    const char *at = memmem(whole.bytes + from, whole.n - from, part.bytes, part.n);
    lm_jcharge(c, (at ? (size_t)(at - whole.bytes) - from : whole.n - from) / 64);
    return at ? (size_t)(at - whole.bytes) : SIZE_MAX;
}

bool lm_jis_space(uint32_t rune)
{
    return lm_rune_is_space(rune) || (rune >= 0x1C && rune <= 0x1F);
}

static bool is_stripped(lm_jv characters, const char *p, size_t n, uint32_t rune)
{
    return characters.kind == LM_J_TEXT ? memmem(characters.bytes, characters.n, p, n) != NULL : lm_jis_space(rune);
}

lm_jv lm_jstrip(lm_jcontext *c, lm_jv text, lm_jv characters, bool left, bool right)
{
    size_t begin = 0, end = text.n;
    uint32_t rune;
    while (left && begin < end) {
        int n = lm_utf8_decode(text.bytes + begin, end - begin, &rune);
        if (!is_stripped(characters, text.bytes + begin, (size_t)n, rune)) break;
        begin += (size_t)n;
    }
    while (right && end > begin) {
        size_t at = end - 1;
        while (at > begin && ((unsigned char)text.bytes[at] & 0xC0) == 0x80) at--;
        lm_utf8_decode(text.bytes + at, end - at, &rune);
        if (!is_stripped(characters, text.bytes + at, end - at, rune)) break;
        end = at;
    }
    lm_jcharge(c, (text.n - (end - begin)) / 64);
    return lm_jpart(text, begin, end);
}

/* ---- splitting and replacing --------------------------------------------------------------- */

/* Words, at most `most` splits of them (< 0: all); the last item then holds the rest. */
lm_jv lm_jsplit_space(lm_jcontext *c, lm_jv text, int64_t most)
{
    lm_jv *items = lm_jalloc(c, (text.n / 2 + 1) * sizeof *items), none = lm_jnone();
    size_t n = 0;
    lm_jcharge(c, text.n / 8);
    for (lm_jv rest = lm_jstrip(c, text, none, true, false); rest.n; rest = lm_jstrip(c, rest, none, true, false)) {
        size_t end = 0;
        if (most >= 0 && (int64_t)n == most) end = rest.n;
        else for (uint32_t rune; end < rest.n; ) {
            int bytes = lm_utf8_decode(rest.bytes + end, rest.n - end, &rune);
            if (lm_jis_space(rune)) break;
            end += (size_t)bytes;
        }
        items[n++] = lm_jpart(rest, 0, end);
        if (most >= 0 && (int64_t)n > most) break;
        rest = lm_jpart(rest, end, rest.n);
    }
    return lm_jsequence(LM_J_LIST, items, n);
}

lm_jv lm_jreplace(lm_jcontext *c, lm_jv text, lm_jv old, lm_jv new, int64_t most)
{
    lm_jbuild b = { .c = c };
    size_t at = 0, from = 0;
    while (most != 0 && (from = lm_jfind_text(c, text, old, from)) != SIZE_MAX) {
        lm_jput(&b, text.bytes + at, from - at, text.marks ? text.marks + at : NULL);
        lm_jput(&b, new.bytes, new.n, new.marks);
        at = from;
        from += old.n;
        if (old.n) at = from;
        else if (from == text.n) break;
        else do from++; while (from < text.n && ((unsigned char)text.bytes[from] & 0xC0) == 0x80);
        lm_jcharge(c, 1);
        most--;
    }
    lm_jput(&b, text.bytes + at, text.n - at, text.marks ? text.marks + at : NULL);
    return lm_jbuilt(&b);
}

/* ---- case ---------------------------------------------------------------------------------- */

typedef uint32_t rune_map(uint32_t rune);
static uint32_t upper(uint32_t rune) { return (uint32_t)utf8proc_toupper((utf8proc_int32_t)rune); }
static uint32_t lower(uint32_t rune) { return (uint32_t)utf8proc_tolower((utf8proc_int32_t)rune); }
static uint32_t title(uint32_t rune) { return (uint32_t)utf8proc_totitle((utf8proc_int32_t)rune); }

static lm_jv map_runes(lm_jcontext *c, lm_jv text, rune_map *map)
{
    lm_jbuild b = { .c = c };
    lm_jcharge(c, text.n / 8);
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        int n = lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        lm_jput_rune(&b, map(rune), mark_at(text, i));
        i += (size_t)n;
    }
    return lm_jbuilt(&b);
}

lm_jv lm_jupper(lm_jcontext *c, lm_jv text) { return map_runes(c, text, upper); }
lm_jv lm_jlower(lm_jcontext *c, lm_jv text) { return map_runes(c, text, lower); }

lm_jv lm_jtitle(lm_jcontext *c, lm_jv text, bool first_word_only)
{
    lm_jbuild b = { .c = c };
    bool inside = false;
    lm_jcharge(c, text.n / 8);
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        int n = lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        lm_jput_rune(&b, inside ? lower(rune) : title(rune), mark_at(text, i));
        inside = first_word_only || lm_rune_in(rune, LM_CATEGORY(LM_LU) | LM_CATEGORY(LM_LL) | LM_CATEGORY(LM_LT));
        i += (size_t)n;
    }
    return lm_jbuilt(&b);
}

/* ---- "%s" % x ------------------------------------------------------------------------------ */

static void put_number(lm_jbuild *b, const char *spec, char kind, lm_jv v)
{
    char format[40], text[400];
    lm_jcontext *c = b->c;
    if (!lm_jis_number(v)) lm_jfail(c, LM_E_FORMAT, "%%%c needs a number, found %s", kind, lm_jkind_name(v));
    if (strchr("dioxX", kind)) {
        if (v.kind == LM_J_REAL && !(fabs(v.real) < 0x1p63)) lm_jfail(c, LM_E_UNSUPPORTED, "%g is beyond 64-bit integers", v.real);
        snprintf(format, sizeof format, "%s%s%c", spec, "ll", kind);
        snprintf(text, sizeof text, format, v.kind == LM_J_REAL ? (long long)v.real : (long long)lm_jwhole(v));
    } else {
        snprintf(format, sizeof format, "%s%c", spec, kind);
        snprintf(text, sizeof text, format, lm_jnumber(v));
    }
    lm_jputs(b, text);
}

/* Flags, width and precision apply to numbers; a string with them is refused rather than got wrong. */
lm_jv lm_jpercent(lm_jcontext *c, lm_jv format, const lm_jv *args, size_t n)
{
    lm_jbuild b = { .c = c };
    size_t used = 0;
    for (size_t i = 0; i < format.n;) {
        if (format.bytes[i] != '%') {
            lm_jput(&b, format.bytes + i, 1, format.marks ? format.marks + i : NULL);
            i++;
            continue;
        }
        char spec[16] = "%";
        size_t len = 1;
        for (i++; i < format.n && strchr("-+ #0123456789.", format.bytes[i]) && format.bytes[i] && len < 6; i++) spec[len++] = format.bytes[i];
        char kind = i < format.n ? format.bytes[i++] : 0;
        if (kind == '%') {
            lm_jputs(&b, "%");
            continue;
        }
        if (!kind || !strchr("srdioxXeEfFgG", kind) || (strchr("sr", kind) && len > 1))
            lm_jfail(c, LM_E_UNSUPPORTED, "format %s%c", spec, kind ? kind : ' ');
        if (used == n) lm_jfail(c, LM_E_FORMAT, "the format asks for more than %zu values", n);
        lm_jv v = args[used++];
        if (kind == 's') lm_jput_str(&b, v);
        else if (kind == 'r') lm_jput_repr(&b, v);
        else put_number(&b, spec, kind, v);
    }
    if (used < n) lm_jfail(c, LM_E_FORMAT, "the format asks for %zu values, found %zu", used, n);
    return lm_jbuilt(&b);
}
