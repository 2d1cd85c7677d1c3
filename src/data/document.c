#include "data/document.h"

#include "base/map.h"
#include "token/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lm_script_names[] = { "hangul", "latin", "han", "kana", "cyrillic", "greek", "arabic", "hebrew", "devanagari", "thai", "other", NULL };

static const struct { uint32_t first, last; lm_script script; } scripts[] = {
    { 0xAC00, 0xD7A3, LM_SCRIPT_HANGUL }, { 0x41, 0x24F, LM_SCRIPT_LATIN }, { 0x4E00, 0x9FFF, LM_SCRIPT_HAN }, { 0x1100, 0x11FF, LM_SCRIPT_HANGUL },
    { 0x3131, 0x318E, LM_SCRIPT_HANGUL }, { 0xA960, 0xA97C, LM_SCRIPT_HANGUL }, { 0xD7B0, 0xD7FB, LM_SCRIPT_HANGUL }, { 0xFFA0, 0xFFDC, LM_SCRIPT_HANGUL },
    { 0x1E00, 0x1EFF, LM_SCRIPT_LATIN }, { 0xFF21, 0xFF5A, LM_SCRIPT_LATIN }, { 0x3005, 0x3007, LM_SCRIPT_HAN }, { 0x3400, 0x4DBF, LM_SCRIPT_HAN },
    { 0xF900, 0xFAFF, LM_SCRIPT_HAN }, { 0x20000, 0x323AF, LM_SCRIPT_HAN }, { 0x3040, 0x30FF, LM_SCRIPT_KANA }, { 0x31F0, 0x31FF, LM_SCRIPT_KANA },
    { 0xFF66, 0xFF9D, LM_SCRIPT_KANA }, { 0x400, 0x52F, LM_SCRIPT_CYRILLIC }, { 0x370, 0x3FF, LM_SCRIPT_GREEK }, { 0x1F00, 0x1FFF, LM_SCRIPT_GREEK },
    { 0x600, 0x6FF, LM_SCRIPT_ARABIC }, { 0x750, 0x77F, LM_SCRIPT_ARABIC }, { 0x590, 0x5FF, LM_SCRIPT_HEBREW }, { 0x900, 0x97F, LM_SCRIPT_DEVANAGARI },
    { 0xE00, 0xE7F, LM_SCRIPT_THAI },
};

lm_script lm_script_of(uint32_t rune)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (rune >= scripts[i].first && rune <= scripts[i].last) return scripts[i].script;
    return LM_SCRIPT_OTHER;
}

/* ---- the text ---------------------------------------------------------------- */

void lm_doc_begin(lm_doc *d, const lm_row *row, lm_span text)
{
    d->row = row;
    d->text = lm_span_of(text.data ? text.data : "", text.len);
    d->edited = false;
    d->known = false;
    d->cut = 0;
    d->reason[0] = '\0';
}

void lm_doc_free(lm_doc *d)
{
    lm_str_free(&d->buffer);
    lm_str_free(&d->room);
    free(d->words);
    free(d->lines);
    free(d->scratch);
    *d = (lm_doc){0};
}

lm_str *lm_doc_room(lm_doc *d)
{
    lm_str_clear(&d->room);
    return &d->room;
}

void lm_doc_replace(lm_doc *d)
{
    if (d->room.len == d->text.len && (!d->room.len || !memcmp(d->room.data, d->text.data, d->room.len))) return;
    lm_str other = d->buffer;
    d->buffer = d->room;
    d->room = other;
    d->cut += (int64_t)d->text.len - (int64_t)d->buffer.len;
    d->text = lm_span_of(d->buffer.data ? d->buffer.data : "", d->buffer.len);
    d->edited = true;
    d->known = false;
}

void *lm_doc_scratch(lm_doc *d, size_t bytes)
{
    if (bytes > d->scratch_size) {
        free(d->scratch);
        d->scratch_size = bytes + bytes / 2;
        d->scratch = lm_malloc(d->scratch_size);
    }
    return d->scratch;
}

bool lm_reject(lm_doc *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->reason, sizeof d->reason, format, arguments);
    va_end(arguments);
    size_t whole = lm_utf8_valid(d->reason, strlen(d->reason));      /* it may have been cut inside a character */
    d->reason[whole] = '\0';
    return false;
}

/* ---- facts ------------------------------------------------------------------- */

static void count_rune(lm_counts *c, uint32_t rune)
{
    lm_category category = lm_rune_kind_of(rune).category;
    unsigned bit = LM_CATEGORY(category);
    if (bit & LM_LETTERS) {
        c->letters++;
        c->script[lm_script_of(rune)]++;
    } else if (lm_rune_is_space(rune)) c->spaces++;
    else if (bit & LM_NUMBERS) c->digits++;
    else if (bit & LM_MARKS) c->marks++;
    else if (category >= LM_PC && category <= LM_PO) c->punctuation++;
    else if (category >= LM_SM && category <= LM_SO) c->symbols++;
    else if (category == LM_CC || category == LM_CF) c->controls++;
    else c->others++;
}

/* All facts in one pass over the text: where a word ends is where the others change. */
typedef struct scan {
    lm_doc *d;
    size_t begin;                        /* of the word */
    uint32_t runes, at_begin;            /* characters so far, and before the word */
    bool inside, letter;                 /* a word; it has a letter */
    lm_text_line line;                   /* so far; text.data NULL: it has no word yet */
    uint32_t line_begin;                 /* characters before its first word */
    bool opens;
} scan;

static void end_word(scan *s, size_t end)
{
    lm_doc *d = s->d;
    if (!s->inside) return;
    s->inside = false;
    if (d->n_words == d->cap_words) {
        d->cap_words = 2 * d->cap_words + 256;
        d->words = lm_realloc(d->words, d->cap_words * sizeof *d->words);
    }
    lm_span text = lm_span_of(d->text.data + s->begin, end - s->begin);
    d->words[d->n_words++] = (lm_word){ .text = text, .hash = lm_hash(text.data, text.len, 0), .runes = s->runes - s->at_begin, .letter = s->letter };
    if (!s->line.text.data) {
        s->line.text.data = text.data;
        s->line_begin = s->at_begin;
    }
    s->line.text.len = (size_t)(text.data + text.len - s->line.text.data);
    s->line.runes = s->runes - s->line_begin;
    s->line.words++;
}

static void end_line(scan *s)
{
    lm_doc *d = s->d;
    bool empty = !s->line.text.data;
    if (!empty) {
        if (d->n_lines == d->cap_lines) {
            d->cap_lines = 2 * d->cap_lines + 64;
            d->lines = lm_realloc(d->lines, d->cap_lines * sizeof *d->lines);
        }
        s->line.opens = s->opens;
        d->lines[d->n_lines++] = s->line;
    }
    s->opens = empty;
    s->line = (lm_text_line){0};
}

static inline void begin_word(scan *s, size_t at)
{
    if (s->inside) return;
    s->inside = true;
    s->letter = false;
    s->begin = at;
    s->at_begin = s->runes;
}

static void count_ascii(lm_counts *c, const uint32_t *ascii)
{
    for (uint32_t rune = 0; rune < 128; rune++) {
        lm_counts one = {0};
        if (!ascii[rune]) continue;
        count_rune(&one, rune);
        c->letters += one.letters * ascii[rune], c->digits += one.digits * ascii[rune], c->punctuation += one.punctuation * ascii[rune];
        c->symbols += one.symbols * ascii[rune], c->spaces += one.spaces * ascii[rune], c->controls += one.controls * ascii[rune];
        c->script[LM_SCRIPT_LATIN] += one.letters * ascii[rune];
    }
}

static void know(lm_doc *d)
{
    if (d->known) return;
    d->known = true;
    d->n_words = d->n_lines = 0;
    lm_counts *c = &d->counts;
    *c = (lm_counts){0};
    const char *text = d->text.data;
    size_t len = d->text.len;
    uint32_t ascii[128] = {0};
    int64_t syllables = 0;
    scan s = { .d = d, .opens = true };
    for (size_t i = 0; i < len;) {
        unsigned char byte = (unsigned char)text[i];
        size_t n = 1;
        uint32_t rune = byte;
        if (byte < 0x80) {
            ascii[byte]++;
            if (byte == ' ' || (byte >= '\t' && byte <= '\r')) {
                end_word(&s, i);
                if (byte == '\n') end_line(&s);
            } else {
                begin_word(&s, i);
                s.letter |= (unsigned char)((byte | 32) - 'a') < 26;
            }
        } else if (lm_is_syllable(text + i, len - i)) {
            n = 3;
            syllables++;
            begin_word(&s, i);
            s.letter = true;
        } else {
            n = (size_t)lm_rune_at(text + i, len - i, &rune);
            count_rune(c, rune);
            if (lm_rune_is_space(rune)) end_word(&s, i);
            else {
                begin_word(&s, i);
                s.letter |= lm_rune_in(rune, LM_LETTERS);
            }
        }
        s.runes++;
        i += n;
    }
    end_word(&s, len);
    end_line(&s);
    count_ascii(c, ascii);
    c->runes = s.runes;
    c->letters += syllables;
    c->script[LM_SCRIPT_HANGUL] += syllables;
}

const lm_counts *lm_doc_counts(lm_doc *d)
{
    know(d);
    return &d->counts;
}

const lm_word *lm_doc_words(lm_doc *d, size_t *n)
{
    know(d);
    *n = d->n_words;
    return d->words;
}

const lm_text_line *lm_doc_lines(lm_doc *d, size_t *n)
{
    know(d);
    *n = d->n_lines;
    return d->lines;
}

int64_t lm_doc_word_runes(lm_doc *d)
{
    size_t n;
    int64_t sum = 0;
    const lm_word *words = lm_doc_words(d, &n);
    for (size_t i = 0; i < n; i++) sum += words[i].runes;
    return sum;
}

/* ---- how lines end ------------------------------------------------------------ */

/* The last character of the line, and the line without it. */
static uint32_t last_rune(lm_span *line)
{
    size_t at = line->len;
    while (at && ((unsigned char)line->data[--at] & 0xC0) == 0x80) {}
    uint32_t rune = 0;
    if (line->len) lm_rune_at(line->data + at, line->len - at, &rune);
    line->len = at;
    return rune;
}

static bool is_one_of(uint32_t rune, const uint32_t *list)
{
    for (; *list; list++)
        if (*list == rune) return true;
    return false;
}

bool lm_ends_sentence(lm_span line)
{
    static const uint32_t closing[] = { '"', '\'', ')', ']', '*', 0x2019, 0x201D, 0x300D, 0x300F, 0x3009, 0x300B, 0xFF09, 0xBB, 0 };
    static const uint32_t ends[] = { '.', '!', '?', 0x2026, 0x3002, 0xFF01, 0xFF0E, 0xFF1F, 0x203C, 0x2047, 0x2048, 0x2049, 0 };
    uint32_t rune = last_rune(&line);
    while (is_one_of(rune, closing)) rune = last_rune(&line);
    return is_one_of(rune, ends);
}

bool lm_ends_ellipsis(lm_span line)
{
    return (line.len >= 3 && !memcmp(line.data + line.len - 3, "...", 3)) || last_rune(&line) == 0x2026;
}
