/* The rules that FineWeb adds to those before it.  Penedo et al. 2024, section 3.6: a document is rejected when
 * at most 12% of its lines end with punctuation, when at least 10% of its characters stand in lines that stand
 * there before, or when at least 67% of its lines are shorter than 30 characters. */
#include "data/filter.h"

#include "base/map.h"

#include <string.h>

typedef struct settings {
    double min_punctuation, max_repeated, max_short;
    int64_t short_line;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, min_punctuation, "min-punctuation", .fallback = "0.12", .min = 0, .max = 1, .help = "share of lines that end with punctuation; more than that is kept"),
    LM_OPTION(REAL, settings, max_repeated, "max-repeated", .fallback = "0.1", .min = 0, .max = 1, .help = "characters in lines that stand before; fewer are kept"),
    LM_OPTION(REAL, settings, max_short, "max-short", .fallback = "0.67", .min = 0, .max = 1, .help = "share of short lines; fewer are kept"),
    LM_OPTION(INT, settings, short_line, "short", .fallback = "30", .min = 0, .max = 1e6, .help = "characters below which a line is short"),
    { 0 },
};

static const lm_measure measures[] = { { "lines that end with punctuation", false }, { "characters in repeated lines", false }, { "short lines", false }, { 0 } };

/* Characters in lines that stand before: the table holds hashes. */
static int64_t repeated_chars(lm_doc *doc, const lm_text_line *lines, size_t n)
{
    size_t size = 16;
    int64_t chars = 0;
    while (size < 2 * n) size *= 2;
    uint64_t *seen = lm_doc_scratch(doc, size * sizeof *seen);
    memset(seen, 0, size * sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = lm_hash(lines[i].text.data, lines[i].text.len, 0) | 1;
        size_t at = (hash >> 20) & (size - 1);
        while (seen[at] && seen[at] != hash) at = (at + 1) & (size - 1);
        if (seen[at]) chars += lines[i].runes;
        seen[at] = hash;
    }
    return chars;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    int64_t ended = 0, brief = 0, chars = 0;
    for (size_t i = 0; i < n; i++) {
        ended += lm_ends_sentence(lines[i].text);
        brief += lines[i].runes < o->short_line;
        chars += lines[i].runes;
    }
    double *v = doc->values;
    v[0] = n ? (double)ended / (double)n : 0;
    v[1] = chars ? (double)repeated_chars(doc, lines, n) / (double)chars : 0;
    v[2] = n ? (double)brief / (double)n : 0;
    if (v[0] <= o->min_punctuation) return lm_reject(doc, "%.1f%% of the lines end with punctuation, expected more than %g%%", 100 * v[0], 100 * o->min_punctuation);
    if (v[1] >= o->max_repeated) return lm_reject(doc, "%.1f%% of the characters are in repeated lines, expected less than %g%%", 100 * v[1], 100 * o->max_repeated);
    if (v[2] >= o->max_short) return lm_reject(doc, "%.1f%% of the lines are short, expected less than %g%%", 100 * v[2], 100 * o->max_short);
    return true;
}

const lm_filter lm_filter_fineweb = {
    .name = "fineweb", .source = "Penedo et al. 2024 (FineWeb), section 3.6",
    .help = "lines without punctuation, repeated characters, short lines",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
