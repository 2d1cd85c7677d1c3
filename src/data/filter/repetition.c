/* Text that repeats itself.  Rae et al. 2021 (Gopher), A1.1, table A1:
 *
 *   lines, paragraphs that stand before        at most 30% of all, and 20% of the characters
 *   the most frequent 2-, 3-, 4-gram           at most 20, 18, 16% of the characters
 *   5- to 10-grams that stand before           at most 15, 14, 13, 12, 11, 10% of the characters
 *
 * Characters are those of words, so that the bounds do not depend on layout; what stands for the first time is
 * no repetition.  An n-gram can only be repeated where its first n - 1 words are, so that each length is
 * looked for among the places that the one before left; and most that stand once are known by a few bits for each
 * place, which stay in the nearest cache, before any is counted. */
#include "data/filter.h"

#include "base/map.h"
#include "data/hashes.h"

#include <string.h>

enum { FIRST_TOP = 2, LAST_TOP = 4, FIRST_REPEATED = 5, LAST_REPEATED = 10, VALUES = 4 + 3 + 6 };

typedef struct settings {
    double lines, paragraphs, line_chars, paragraph_chars;
    double top[3], repeated[6];
} settings;

#define SHARE(field, name, value, text) LM_OPTION(REAL, settings, field, name, .fallback = value, .min = 0, .max = 1, .help = text)
static const lm_option options[] = {
    SHARE(lines, "max-lines", "0.3", "share of lines that stand before"),
    SHARE(paragraphs, "max-paragraphs", "0.3", "share of paragraphs that stand before"),
    SHARE(line_chars, "max-line-chars", "0.2", "characters in such lines"),
    SHARE(paragraph_chars, "max-paragraph-chars", "0.2", "characters in such paragraphs"),
    SHARE(top[0], "max-top-2", "0.2", "characters in the most frequent two words"),
    SHARE(top[1], "max-top-3", "0.18", "three words"),
    SHARE(top[2], "max-top-4", "0.16", "four words"),
    SHARE(repeated[0], "max-repeated-5", "0.15", "characters in five words that stand before"),
    SHARE(repeated[1], "max-repeated-6", "0.14", "six words"),
    SHARE(repeated[2], "max-repeated-7", "0.13", "seven words"),
    SHARE(repeated[3], "max-repeated-8", "0.12", "eight words"),
    SHARE(repeated[4], "max-repeated-9", "0.11", "nine words"),
    SHARE(repeated[5], "max-repeated-10", "0.1", "ten words"),
    { 0 },
};

static const lm_measure measures[] = {
    { "repeated lines", false }, { "repeated paragraphs", false }, { "characters in repeated lines", false }, { "characters in repeated paragraphs", false },
    { "top 2-gram", false }, { "top 3-gram", false }, { "top 4-gram", false }, { "repeated 5-grams", false }, { "repeated 6-grams", false },
    { "repeated 7-grams", false }, { "repeated 8-grams", false }, { "repeated 9-grams", false }, { "repeated 10-grams", false }, { 0 },
};

/* ---- a table of hashes ------------------------------------------------------- */

typedef struct entry {
    uint32_t tag, count;                 /* the lower half of the hash; 0: empty */
} entry;

typedef struct table {
    entry *entries;
    size_t mask;
} table;

static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

static entry *find(const table *t, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash | 1;
    size_t i = (hash >> 32) & t->mask;
    while (t->entries[i].tag && t->entries[i].tag != tag) i = (i + 1) & t->mask;
    t->entries[i].tag = tag;
    return &t->entries[i];
}

/* ---- lines and paragraphs ---------------------------------------------------- */

typedef struct repeats {
    int64_t n, again, chars, chars_again;
} repeats;

static void see(repeats *r, const table *t, uint64_t hash, int64_t chars)
{
    entry *e = find(t, hash);
    bool again = e->count++ > 0;
    r->n++;
    r->chars += chars;
    r->again += again;
    r->chars_again += again ? chars : 0;
}

static double ratio(int64_t a, int64_t b) { return b ? (double)a / (double)b : 0; }

static void repeated_lines(lm_doc *doc)
{
    size_t n;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    size_t size = table_size(n);
    table t = { .entries = lm_doc_scratch(doc, size * sizeof(entry)), .mask = size - 1 };
    for (int whole = 0; whole < 2; whole++) {                /* lines, then paragraphs */
        repeats r = {0};
        memset(t.entries, 0, size * sizeof *t.entries);
        for (size_t i = 0, j; i < n; i = j) {
            uint64_t hash = 0;
            int64_t chars = 0;
            for (j = i; j < n && (j == i || (whole && !lines[j].opens)); j++) {
                hash = lm_hash(lines[j].text.data, lines[j].text.len, hash);
                chars += lines[j].runes;
            }
            see(&r, &t, hash, chars);
        }
        doc->values[whole] = ratio(r.again, r.n);
        doc->values[2 + whole] = ratio(r.chars_again, r.chars);
    }
}

/* ---- n-grams ----------------------------------------------------------------- */

enum { BITS_A_PLACE = 8 };

typedef struct grams {
    size_t n_words;
    uint64_t *hash, *word_hash;          /* [places] of the n-gram there; [n_words] */
    uint32_t *place, *before;            /* places; [n_words + 1] characters of all words before */
    uint64_t *met;                       /* two bits by hash: some n-gram was met, and some was met again */
    size_t places;
    table t;
} grams;

static int64_t chars_of(const grams *g, size_t begin, size_t end) { return (int64_t)g->before[end] - g->before[begin]; }

/* The n-grams of length n at the places that are left, of which those that stand in one place only are dropped; a few of
 * these stay. */
static void extend(grams *g, int n)
{
    enum { IN_A_WORD = 32 };
    size_t size = 64, longer = 0, left = 0;
    while (size < BITS_A_PLACE * g->places) size *= 2;
    memset(g->met, 0, size / IN_A_WORD * sizeof *g->met);
    for (size_t i = 0; i < g->places; i++) {
        size_t last = g->place[i] + (size_t)n - 1;
        if (last >= g->n_words) continue;
        uint64_t hash = lm_mix64((n > 1 ? g->hash[i] * 31 : 0) + g->word_hash[last]);
        size_t at = (hash >> 20) & (size - 1), shift = 2 * (at % IN_A_WORD);
        uint64_t *met = &g->met[at / IN_A_WORD], before = *met >> shift & 1;
        *met |= (1 | before << 1) << shift;
        g->place[longer] = g->place[i];
        g->hash[longer++] = hash;
    }
    for (size_t i = 0; i < longer; i++) {
        size_t at = (g->hash[i] >> 20) & (size - 1);
        g->place[left] = g->place[i];
        g->hash[left] = g->hash[i];
        left += g->met[at / IN_A_WORD] >> (2 * (at % IN_A_WORD) + 1) & 1;
    }
    g->places = left;
}

/* Empties the table for as many n-grams as there are places. */
static void clear_table(grams *g)
{
    size_t size = table_size(g->places);
    g->t.mask = size - 1;
    memset(g->t.entries, 0, size * sizeof *g->t.entries);
}

static double top_share(grams *g, int n, int64_t all)
{
    int64_t most = 0, count = 1;
    for (size_t i = 0; i < g->places; i++) {
        entry *e = find(&g->t, g->hash[i]);
        e->count++;
        int64_t chars = chars_of(g, g->place[i], g->place[i] + (size_t)n);
        if (e->count > count) count = e->count, most = 0;
        if (e->count == count && count > 1 && chars > most) most = chars;
    }
    return ratio(count * most, all);
}

static double repeated_share(grams *g, int n, int64_t all)
{
    int64_t again = 0;
    size_t covered = 0;
    for (size_t i = 0; i < g->places; i++) {
        size_t begin = g->place[i], end = begin + (size_t)n;
        if (find(&g->t, g->hash[i])->count++ == 0) continue;
        again += chars_of(g, begin > covered ? begin : covered, end);
        covered = end;
    }
    return ratio(again, all);
}

/* Where each array begins in the scratch memory; 64-bit ones stand first. */
static grams lay_out(lm_doc *doc, size_t n)
{
    size_t entries = table_size(n), bits = 64;
    while (bits < BITS_A_PLACE * n) bits *= 2;
    uint64_t *memory = lm_doc_scratch(doc, (entries + 2 * n + bits / 32) * sizeof(uint64_t) + (2 * n + 1) * sizeof(uint32_t));
    grams g = { .n_words = n, .places = n, .t = { .entries = (entry *)memory } };
    g.hash = memory + entries;
    g.word_hash = g.hash + n;
    g.met = g.word_hash + n;
    g.place = (uint32_t *)(g.met + bits / 32);
    g.before = g.place + n;
    return g;
}

static void repeated_grams(lm_doc *doc)
{
    size_t n;
    const lm_word *words = lm_doc_words(doc, &n);
    grams g = lay_out(doc, n);
    g.before[0] = 0;
    for (size_t i = 0; i < n; i++) {
        g.place[i] = (uint32_t)i;
        g.before[i + 1] = g.before[i] + words[i].runes;
        g.word_hash[i] = lm_word_hash(&words[i]);
    }
    int64_t all = chars_of(&g, 0, n);
    for (int length = 1; length <= LAST_REPEATED && g.places; length++) {
        extend(&g, length);
        if (length == 1) continue;                           /* a word alone is no repetition */
        clear_table(&g);
        doc->values[4 + length - FIRST_TOP] = length <= LAST_TOP ? top_share(&g, length, all) : repeated_share(&g, length, all);
    }
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    double bounds[VALUES] = { o->lines, o->paragraphs, o->line_chars, o->paragraph_chars };
    memcpy(bounds + 4, o->top, sizeof o->top);
    memcpy(bounds + 7, o->repeated, sizeof o->repeated);
    memset(doc->values, 0, sizeof doc->values);
    if (doc->text.len > UINT32_MAX) return lm_reject(doc, "%zu bytes, more than can be searched for repetition", doc->text.len);
    repeated_lines(doc);
    repeated_grams(doc);
    for (int i = 0; i < VALUES; i++)
        if (doc->values[i] > bounds[i]) return lm_reject(doc, "%s: %.1f%%, expected at most %g%%", measures[i].name, 100 * doc->values[i], 100 * bounds[i]);
    return true;
}

const lm_filter lm_filter_repetition = {
    .name = "repetition", .source = "Rae et al. 2021 (Gopher), table A1",
    .help = "repeated lines, paragraphs and n-grams",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
