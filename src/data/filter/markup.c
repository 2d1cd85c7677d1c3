/* Markup taken off: tags and comments of HTML, what stands between <script> and </script> or <style> and
 * </style>, and references to characters (&amp; &#44032; &#xAC00;), which become the characters.
 *
 * A "<" is a tag only before a letter, "/", "!" or "?", and only if a ">" follows in the next thousand bytes, so
 * that "a < b" stays.  <br> and the ends of blocks become line breaks. */
#define _GNU_SOURCE
#include "data/filter.h"

#include <string.h>
#include <strings.h>

typedef struct settings {
    bool entities;
    double max;
} settings;

static const lm_option options[] = {
    LM_OPTION(FLAG, settings, entities, "entities", .fallback = "true", .help = "references to characters become the characters"),
    LM_OPTION(REAL, settings, max, "max", .fallback = "1", .min = 0, .max = 1, .help = "share of a document that may be markup; more is rejected"),
    { 0 },
};

static const lm_measure measures[] = { { "markup", false }, { 0 } };

enum { LONGEST_TAG = 1000 };

static bool is_letter(char c) { return (unsigned char)((c | 32) - 'a') < 26; }

static bool is_named(lm_span tag, const char *name)
{
    size_t n = strlen(name), at = 1 + (tag.len > 1 && tag.data[1] == '/');
    return tag.len > at + n && !strncasecmp(tag.data + at, name, n) && !is_letter(tag.data[at + n]) && (tag.data[at + n] < '0' || tag.data[at + n] > '9');
}

static bool breaks_line(lm_span tag)
{
    static const char *const blocks[] = { "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "section", "article", NULL };
    if (is_named(tag, "br") || is_named(tag, "hr")) return true;
    for (const char *const *b = blocks; *b && tag.data[1] == '/'; b++)
        if (is_named(tag, *b)) return true;
    return false;
}

/* Where "</name" stands from `at` on, or the end. */
static size_t find_close(lm_span text, size_t at, const char *name)
{
    size_t n = strlen(name);
    for (const char *p; (p = memmem(text.data + at, text.len - at, "</", 2)); at = (size_t)(p - text.data) + 2)
        if ((size_t)(text.data + text.len - p) > 2 + n && !strncasecmp(p + 2, name, n)) return (size_t)(p - text.data);
    return text.len;
}

/* Bytes of the tag, comment, script or style at `at`, or 0; *line: it stands for a line break. */
static size_t markup_at(lm_span text, size_t at, bool *line)
{
    lm_span tag = lm_span_of(text.data + at, text.len - at);
    *line = false;
    if (tag.len < 3 || !(is_letter(tag.data[1]) || strchr("/!?", tag.data[1]))) return 0;
    if (tag.len >= 4 && !memcmp(tag.data, "<!--", 4)) {
        const char *end = memmem(tag.data + 4, tag.len - 4, "-->", 3);
        return end ? (size_t)(end + 3 - tag.data) : 0;
    }
    const char *end = memchr(tag.data, '>', tag.len < LONGEST_TAG ? tag.len : LONGEST_TAG);
    if (!end) return 0;
    tag.len = (size_t)(end + 1 - tag.data);
    *line = breaks_line(tag);
    bool script = is_named(tag, "script"), style = is_named(tag, "style");
    if (tag.data[1] == '/' || !(script || style)) return tag.len;
    return find_close(text, at + tag.len, script ? "script" : "style") - at;
}

static const struct { const char *name; uint32_t rune; } entities[] = {
    { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' }, { "nbsp", ' ' }, { "middot", 0xB7 }, { "hellip", 0x2026 },
    { "ndash", 0x2013 }, { "mdash", 0x2014 }, { "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "ldquo", 0x201C }, { "rdquo", 0x201D }, { "bull", 0x2022 },
    { "copy", 0xA9 }, { "reg", 0xAE }, { "trade", 0x2122 }, { "times", 0xD7 }, { "deg", 0xB0 },
};

/* The number of "#44032" or "#xAC00", or 0. */
static uint32_t numbered(lm_span name)
{
    uint32_t rune = 0;
    bool hex = name.len > 1 && (name.data[1] | 32) == 'x';
    for (size_t i = 1 + hex; i < name.len; i++) {
        int c = name.data[i] | 32, digit = name.data[i] >= '0' && name.data[i] <= '9' ? name.data[i] - '0' : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || rune > 0x10FFFF) return 0;
        rune = rune * (hex ? 16 : 10) + (uint32_t)digit;
    }
    bool character = (rune >= 0x20 || rune == '\n' || rune == '\t') && rune <= 0x10FFFF && (rune < 0xD800 || rune > 0xDFFF);
    return character ? rune : 0;
}

/* Bytes of the reference at text, or 0. */
static size_t entity_at(lm_span text, uint32_t *rune)
{
    const char *end = memchr(text.data, ';', text.len < 12 ? text.len : 12);
    if (!end || end < text.data + 3) return 0;
    lm_span name = lm_span_of(text.data + 1, (size_t)(end - text.data) - 1);
    *rune = name.data[0] == '#' ? numbered(name) : 0;
    for (size_t i = 0; i < sizeof entities / sizeof *entities && !*rune; i++)
        if (lm_span_eq(name, entities[i].name)) *rune = entities[i].rune;
    return *rune ? name.len + 2 : 0;
}

/* The next "<" or "&" from `at` on, or the end. */
static size_t find_sign(lm_span text, size_t at, bool references)
{
    const char *from = text.data + at, *tag = memchr(from, '<', text.len - at);
    size_t end = tag ? (size_t)(tag - text.data) : text.len;
    const char *entity = references ? memchr(from, '&', end - at) : NULL;
    return entity ? (size_t)(entity - text.data) : end;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    lm_span text = doc->text;
    size_t taken = 0, plain = 0;         /* plain: what from there on is not copied yet */
    lm_str *out = lm_doc_room(doc);
    for (size_t i = find_sign(text, 0, o->entities), n; i < text.len; i = find_sign(text, i + n, o->entities)) {
        bool line = false, tag = text.data[i] == '<';
        uint32_t rune = 0;
        n = tag ? markup_at(text, i, &line) : entity_at(lm_span_of(text.data + i, text.len - i), &rune);
        taken += tag ? n : 0;
        if (n) {
            lm_str_append(out, text.data + plain, i - plain);
            if (line) lm_str_putc(out, '\n');
            if (!tag) lm_str_put_rune(out, rune);
            plain = i + n;
        }
        n += !n;
    }
    if (plain) {
        lm_str_append(out, text.data + plain, text.len - plain);
        lm_doc_replace(doc);
    }
    double share = doc->values[0] = text.len ? (double)taken / (double)text.len : 0;
    return share <= o->max ? true : lm_reject(doc, "%.1f%% is markup, expected at most %g%%", 100 * share, 100 * o->max);
}

const lm_filter lm_filter_markup = {
    .name = "markup", .source = "own rules, after the syntax of HTML",
    .help = "tags, comments, scripts and references to characters are taken off",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
