/* Shares of digits, punctuation and symbols among all characters that are not white space.  The bounds are this
 * project's own: tables of numbers, code and decoration lie beyond them, prose and statutes far below. */
#include "data/filter.h"

typedef struct settings {
    double digits, punctuation, symbols;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, digits, "max-digits", .fallback = "0.25", .min = 0, .max = 1, .help = "share of digits"),
    LM_OPTION(REAL, settings, punctuation, "max-punctuation", .fallback = "0.3", .min = 0, .max = 1, .help = "share of punctuation"),
    LM_OPTION(REAL, settings, symbols, "max-symbols", .fallback = "0.1", .min = 0, .max = 1, .help = "share of other signs: currency, mathematics, emoji, box drawing"),
    { 0 },
};

static const lm_measure measures[] = { { "digits", false }, { "punctuation", false }, { "symbols", false }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const lm_counts *c = lm_doc_counts(doc);
    const double bounds[] = { o->digits, o->punctuation, o->symbols };
    const int64_t counts[] = { c->digits, c->punctuation, c->symbols };
    double all = (double)(c->runes - c->spaces);
    for (int i = 0; i < 3; i++) doc->values[i] = all > 0 ? (double)counts[i] / all : 0;
    for (int i = 0; i < 3; i++)
        if (doc->values[i] > bounds[i]) return lm_reject(doc, "%.1f%% %s, expected at most %g%%", 100 * doc->values[i], measures[i].name, 100 * bounds[i]);
    return true;
}

const lm_filter lm_filter_ratios = {
    .name = "ratios", .source = "own bounds",
    .help = "shares of digits, punctuation and symbols",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
