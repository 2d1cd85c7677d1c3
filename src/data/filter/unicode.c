/* Unicode mended.
 *
 *   mojibake    UTF-8 that was read as Windows-1252 and written as UTF-8 again: characters of that code page
 *               whose bytes are UTF-8 become what they were, as often as they were misread.  A misread letter of
 *               Latin or mark of punctuation is taken for what it is; of others, which "é»…" might be by
 *               chance, a document must have three
 *   controls    control characters other than tab and line feed go; carriage returns become line feeds
 *   invisible   zero-width spaces, byte order marks, soft hyphens and marks of direction go
 *   nfc         the rest is composed
 *
 * A document with too many U+FFFD, where text is lost for good, is rejected. */
#include "data/filter.h"

#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    bool nfc, mojibake, controls, invisible;
    double max_lost;
} settings;

static const lm_option options[] = {
    LM_OPTION(FLAG, settings, mojibake, "mojibake", .fallback = "true", .help = "UTF-8 that was taken for Windows-1252 is turned back"),
    LM_OPTION(FLAG, settings, controls, "controls", .fallback = "true", .help = "control characters go"),
    LM_OPTION(FLAG, settings, invisible, "invisible", .fallback = "true", .help = "zero-width characters go, those of emoji and Indic scripts excepted"),
    LM_OPTION(FLAG, settings, nfc, "nfc", .fallback = "true", .help = "canonical composition"),
    LM_OPTION(REAL, settings, max_lost, "max-lost", .fallback = "0.001", .min = 0, .max = 1, .help = "share of characters that may be U+FFFD"),
    { 0 },
};

static const lm_measure measures[] = { { "characters lost", false }, { 0 } };
static const char *const tallies[] = { "mojibake mended", "control and invisible characters", NULL };

/* ---- mojibake ---------------------------------------------------------------- */

/* The byte that Windows-1252 shows as this character, or -1.  The five bytes it leaves free stand for controls. */
static int byte_of(uint32_t rune)
{
    static const uint16_t upper[32] = { 0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D, 0x8F,
                                        0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178 };
    if (rune >= 0x80 && rune < 0x100) return (int)rune;
    for (int i = 0; i < 32 && rune >= 0x100; i++)
        if (upper[i] == rune) return 0x80 + i;
    return -1;
}

/* The character that was misread at text, where it takes *n bytes, or 0; *sure: it is hardly something else. */
static uint32_t misread_at(lm_span text, size_t *n, bool *sure)
{
    char bytes[4];
    int have = 0, need = 4;
    size_t at = 0;
    while (have < need && at < text.len) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        int byte = byte_of(rune);
        if (byte < 0) return 0;
        if (!have) need = byte >= 0xF0 && byte < 0xF5 ? 4 : byte >= 0xE0 && byte < 0xF0 ? 3 : byte >= 0xC2 && byte < 0xE0 ? 2 : 0;
        if (!need) return 0;
        bytes[have++] = (char)byte;
        at += length;
    }
    uint32_t rune;
    if (have < need || lm_utf8_decode(bytes, (size_t)have, &rune) != have) return 0;
    *n = at;
    *sure = need == 2 ? (unsigned char)bytes[0] <= 0xC3 : (unsigned char)bytes[0] == 0xE2 && (unsigned char)bytes[1] == 0x80;
    return rune;
}

/* U+00C2 to U+00F4 stand for the bytes that begin a character; of all of them the first byte is this one. */
enum { FIRST_MISREAD = 0xC3, ENOUGH_MISREAD = 3 };

static int64_t count_misread(lm_span text)
{
    int64_t count = 0;
    bool sure;
    for (const char *at = text.data, *end = at + text.len; (at = memchr(at, FIRST_MISREAD, (size_t)(end - at)));) {
        size_t n = 1;
        count += misread_at(lm_span_of(at, (size_t)(end - at)), &n, &sure) != 0;
        at += n;
    }
    return count;
}

static int64_t mend_mojibake(lm_doc *doc)
{
    lm_span text = doc->text;
    int64_t mended = 0, all = count_misread(text);
    if (!all) return 0;
    lm_str *out = lm_doc_room(doc);
    for (size_t i = 0, plain = 0; i <= text.len;) {
        size_t n = 0;
        bool sure = false;
        uint32_t rune = i < text.len && (unsigned char)text.data[i] == FIRST_MISREAD ? misread_at(lm_span_of(text.data + i, text.len - i), &n, &sure) : 0;
        if (!sure && all < ENOUGH_MISREAD) rune = 0, n = 0;
        if (rune || i == text.len) lm_str_append(out, text.data + plain, i - plain);
        if (rune) {
            lm_str_put_rune(out, rune);
            mended++;
            plain = i + n;
        }
        i += n + !n;
    }
    if (mended) lm_doc_replace(doc);
    return mended;
}

/* ---- characters that nobody sees --------------------------------------------- */

static bool goes(const settings *o, uint32_t rune)
{
    if (o->controls && (rune < 0x20 || (rune >= 0x7F && rune < 0xA0))) return rune != '\t' && rune != '\n';
    return o->invisible && lm_rune_is_invisible(rune);
}

/* Bytes that may begin a character that goes. */
static lm_status open_bytes(lm_filter_use *use, lm_err *err)
{
    (void)err;
    bool *may_go = use->state = lm_malloc(256 * sizeof *may_go);
    for (int c = 0; c < 256; c++) may_go[c] = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F || c == 0xC2 || c == 0xE2 || c == 0xEF;
    return LM_OK;
}

static int64_t drop_unseen(lm_doc *doc, const settings *o, const bool *may_go)
{
    lm_span text = doc->text;
    lm_str *out = lm_doc_room(doc);
    int64_t dropped = 0;
    size_t plain = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t n = may_go[(unsigned char)text.data[i]] ? (size_t)lm_rune_at(text.data + i, text.len - i, &rune) : 0;
        if (n && goes(o, rune)) {
            lm_str_append(out, text.data + plain, i - plain);
            if (rune == '\r' && (i + 1 == text.len || text.data[i + 1] != '\n')) lm_str_putc(out, '\n');
            plain = i + n;
            dropped++;
        }
        i += n + !n;
    }
    if (!dropped) return 0;
    lm_str_append(out, text.data + plain, text.len - plain);
    lm_doc_replace(doc);
    return dropped;
}

/* ---- the filter -------------------------------------------------------------- */

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    lm_flaws flaws = lm_doc_flaws(doc);
    for (int64_t mended = o->mojibake && flaws.misread, times = 0; mended && times < 3; times++) {
        doc->tallies[0] += mended = mend_mojibake(doc);
        if (mended) flaws = lm_doc_flaws(doc);
    }
    doc->tallies[1] = flaws.unseen ? drop_unseen(doc, o, use->state) : 0;
    if (o->nfc && flaws.uncomposed) {
        lm_unicode_normalise(lm_doc_room(doc), doc->text, LM_NFC);
        lm_doc_replace(doc);
    }
    int64_t runes = flaws.lost ? lm_doc_counts(doc)->runes : 0;
    double share = doc->values[0] = runes > 0 ? (double)flaws.lost / (double)runes : 0;
    return share <= o->max_lost ? true : lm_reject(doc, "%.2f%% of the characters are lost (U+FFFD), expected at most %g%%", 100 * share, 100 * o->max_lost);
}

const lm_filter lm_filter_unicode = {
    .name = "unicode", .source = "Unicode 16 (NFC); Windows-1252 for mojibake",
    .help = "composes, mends misread text, and drops control characters",
    .options = options, .options_size = sizeof(settings), .measures = measures, .tallies = tallies, .open = open_bytes, .close = free, .apply = apply,
};
