#include "data/document.h"

#include "base/map.h"
#include "data/block.h"
#include "data/hashes.h"
#include "data/normal.h"
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
    if (d->quiet) return false;
    va_start(arguments, format);
    vsnprintf(d->reason, sizeof d->reason, format, arguments);
    va_end(arguments);
    size_t whole = lm_utf8_valid(d->reason, strlen(d->reason));      /* it may have been cut inside a character */
    d->reason[whole] = '\0';
    return false;
}

/* ---- facts ------------------------------------------------------------------- */

/* A character of ASCII by its kind, and whether a closer look at it is wanted. */
enum { LETTER, DIGIT, PUNCTUATION, SYMBOL, SPACE, CONTROL, KINDS, KIND = 7, LOOK = 8 };
#define C CONTROL
#define S SPACE
#define P PUNCTUATION
#define H PUNCTUATION | LOOK
#define Y SYMBOL
#define D DIGIT
#define L LETTER
static const uint8_t ascii_kinds[128] = {
    C, C, C, C, C, C, C, C, C, S, S, S, S, S, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    S, P, P, H, Y, P, P, P, P, P, P, Y, P, P, H, P, D, D, D, D, D, D, D, D, D, D, P, P, Y, Y, Y, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, P, P, Y, P,
    Y, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, Y, P, Y, C,
};
#undef C
#undef S
#undef P
#undef H
#undef Y
#undef D
#undef L

bool lm_rune_is_invisible(uint32_t rune)
{
    return rune == 0x200B || rune == 0xFEFF || rune == 0xAD || rune == 0x2060 || (rune >= 0x200E && rune <= 0x200F) || (rune >= 0x202A && rune <= 0x202E) ||
           (rune >= 0x2066 && rune <= 0x2069);
}

/* All facts in one pass over the text, a block at a time. */
typedef struct scan {
    lm_doc *d;
    lm_span text;
    size_t dots;                         /* where the last "..." ended */
    int64_t ascii[KINDS];
    bool inside, letter;                 /* a word; it has a letter */
    size_t begin;                        /* of the word */
    int64_t runes, at_begin;             /* characters so far, and before the word */
    size_t first_word;                   /* of the line */
    int64_t line_begin, line_end;        /* characters before its first word, and up to the end of its last */
    bool opens;
    uint64_t white;                      /* bits of the next block that a white character goes on over */
} scan;

static void look_at_ascii(scan *s, size_t at)
{
    lm_counts *c = &s->d->counts;
    if (s->text.data[at] == '#') c->hashes++;
    else if (at >= s->dots && s->text.len - at >= 3 && s->text.data[at + 1] == '.' && s->text.data[at + 2] == '.') {
        c->ellipses++;
        s->dots = at + 3;
    }
}

static void count_ascii(scan *s, size_t base, const lm_block *b)
{
    for (uint64_t bits = b->other; bits; bits &= bits - 1) {
        size_t at = base + (size_t)__builtin_ctzll(bits);
        uint8_t kind = ascii_kinds[(unsigned char)s->text.data[at]];
        s->ascii[kind & KIND]++;
        if (kind & LOOK) look_at_ascii(s, at);
    }
    s->ascii[LETTER] += lm_bits_count(b->letter);
    s->ascii[SPACE] += lm_bits_count(b->space);
}

/* A character that is neither ASCII nor a common syllable. */
static void count_rune(lm_counts *c, uint32_t rune, bool *letter, bool *white)
{
    lm_category category = lm_rune_kind_of(rune).category;
    unsigned bit = LM_CATEGORY(category);
    *letter = bit & LM_LETTERS;
    *white = !*letter && lm_rune_is_space(rune);
    if (*letter) {
        c->letters++;
        c->script[lm_script_of(rune)]++;
    } else if (*white) c->spaces++;
    else if (bit & LM_NUMBERS) c->digits++;
    else if (bit & LM_MARKS) c->marks++;
    else if (category >= LM_PC && category <= LM_PO) c->punctuation++;
    else if (category >= LM_SM && category <= LM_SO) c->symbols++;
    else if (category == LM_CC || category == LM_CF) c->controls++;
    else c->others++;
    c->ellipses += rune == 0x2026;
}

/* Adds what the block does not know of its rare characters to its letters and spaces. */
static void count_rare(scan *s, size_t base, lm_block *b)
{
    lm_doc *d = s->d;
    b->space |= s->white;
    s->white = 0;
    for (uint64_t bits = b->rare; bits; bits &= bits - 1) {
        size_t bit = (size_t)__builtin_ctzll(bits);
        bool letter, white;
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(s->text.data + base + bit, s->text.len - base - bit, &rune);
        count_rune(&d->counts, rune, &letter, &white);
        if (letter) b->letter |= (uint64_t)1 << bit;
        if (!white) continue;
        b->space |= lm_bits_below(n) << bit;
        if (bit + n > LM_BLOCK) s->white = lm_bits_below(bit + n - LM_BLOCK);
    }
}

static void put_word(scan *s, size_t end)
{
    lm_doc *d = s->d;
    if (d->n_words == d->cap_words) {
        d->cap_words = 2 * d->cap_words + 256;
        d->words = lm_realloc(d->words, d->cap_words * sizeof *d->words);
    }
    if (d->n_words == s->first_word) s->line_begin = s->at_begin;
    s->line_end = s->runes;
    d->words[d->n_words++] =
        (lm_word){ .text = lm_span_of(s->text.data + s->begin, end - s->begin), .runes = (uint32_t)(s->runes - s->at_begin), .letter = s->letter };
}

static void end_line(scan *s)
{
    lm_doc *d = s->d;
    bool empty = d->n_words == s->first_word;
    if (!empty) {
        if (d->n_lines == d->cap_lines) {
            d->cap_lines = 2 * d->cap_lines + 64;
            d->lines = lm_realloc(d->lines, d->cap_lines * sizeof *d->lines);
        }
        lm_span first = d->words[s->first_word].text, last = d->words[d->n_words - 1].text;
        d->lines[d->n_lines++] = (lm_text_line){ .text = lm_span_of(first.data, (size_t)(last.data + last.len - first.data)), .opens = s->opens,
                                                 .runes = (uint32_t)(s->line_end - s->line_begin), .words = (uint32_t)(d->n_words - s->first_word) };
    }
    s->opens = empty;
    s->first_word = d->n_words;
}

static void end_lines(scan *s, uint64_t newlines)
{
    for (; newlines; newlines &= newlines - 1) end_line(s);
}

/* Words begin and end where white space does; lines end before the next word begins. */
static void split_words(scan *s, size_t base, const lm_block *b)
{
    uint64_t newlines = b->newline, letters = b->letter | b->syllable;
    size_t from = 0;
    for (uint64_t edges = b->space ^ (b->space << 1 | !s->inside); edges; edges &= edges - 1) {
        size_t at = (size_t)__builtin_ctzll(edges);
        uint64_t since = lm_bits_below(at) & ~lm_bits_below(from);
        s->runes += lm_bits_count(b->begins & since);
        from = at;
        s->inside = !s->inside;
        if (s->inside) {
            end_lines(s, newlines & lm_bits_below(at));
            newlines &= ~lm_bits_below(at);
            s->begin = base + at;
            s->at_begin = s->runes;
            s->letter = false;
        } else {
            s->letter |= (letters & since) != 0;
            put_word(s, base + at);
        }
    }
    s->runes += lm_bits_count(b->begins & ~lm_bits_below(from));
    if (s->inside) s->letter |= (letters & ~lm_bits_below(from)) != 0;
    else end_lines(s, newlines);
}

static void know(lm_doc *d)
{
    if (d->known) return;
    d->known = true;
    d->n_words = d->n_lines = 0;
    lm_counts *c = &d->counts;
    *c = (lm_counts){0};
    int64_t syllables = 0;
    scan s = { .d = d, .text = d->text, .opens = true };
    for (size_t at = 0; at < s.text.len; at += LM_BLOCK) {
        lm_block b = lm_block_at(s.text, at);
        syllables += lm_bits_count(b.syllable);
        count_ascii(&s, at, &b);
        if (b.rare | s.white) count_rare(&s, at, &b);
        if (s.text.len - at < LM_BLOCK) b.space |= ~lm_bits_below(s.text.len - at);      /* white behind the end */
        split_words(&s, at, &b);
    }
    if (s.inside) put_word(&s, s.text.len);
    end_line(&s);
    c->runes = s.runes;
    c->letters += syllables + s.ascii[LETTER];
    c->script[LM_SCRIPT_HANGUL] += syllables;
    c->script[LM_SCRIPT_LATIN] += s.ascii[LETTER];
    c->digits += s.ascii[DIGIT], c->punctuation += s.ascii[PUNCTUATION], c->symbols += s.ascii[SYMBOL];
    c->spaces += s.ascii[SPACE], c->controls += s.ascii[CONTROL];
}

lm_flaws lm_doc_flaws(const lm_doc *d)
{
    lm_flaws f = {0};
    for (size_t at = 0; at < d->text.len; at += LM_BLOCK) {
        lm_block b = lm_block_at(d->text, at);
        f.unseen |= b.control != 0;
        for (uint64_t bits = b.rare; bits; bits &= bits - 1) {
            size_t place = at + (size_t)__builtin_ctzll(bits);
            uint32_t rune;
            lm_rune_at(d->text.data + place, d->text.len - place, &rune);
            f.lost += rune == LM_REPLACEMENT;
            f.misread |= rune >= 0xC0 && rune < 0x100;
            f.unseen |= rune < 0xA0 || lm_rune_is_invisible(rune);
            f.uncomposed |= !lm_rune_is_settled(rune);
        }
    }
    return f;
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
    know(d);
    return d->counts.runes - d->counts.spaces;
}

/* Most words are short: two loads that overlap hold them. */
uint64_t lm_word_hash(const lm_word *word)
{
    const char *p = word->text.data;
    size_t n = word->text.len;
    uint64_t first = 0, last = 0;
    if (n > 16) return lm_hash(p, n, 0);
    if (n >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
    } else for (size_t i = 0; i < n; i++) first = first << 8 | (unsigned char)p[i];
    return lm_mix64((first + n) * 0x9E3779B97F4A7C15u ^ last);
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
