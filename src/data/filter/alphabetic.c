/* Words with a letter in them.  Rae et al. 2021 (Gopher), A1.1: at least 80% of all. */
#include "data/filter.h"

typedef struct settings {
    double min;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, min, "min", .fallback = "0.8", .min = 0, .max = 1, .help = "share of words that have a letter"),
    { 0 },
};

static const lm_measure measures[] = { { "words with a letter", false }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, with = 0;
    const lm_word *words = lm_doc_words(doc, &n);
    for (size_t i = 0; i < n; i++) with += words[i].letter;
    double share = doc->values[0] = n ? (double)with / (double)n : 0;
    return share >= o->min ? true : lm_reject(doc, "%.1f%% of the words have a letter, expected at least %g%%", 100 * share, 100 * o->min);
}

const lm_filter lm_filter_alphabetic = {
    .name = "alphabetic", .source = "Rae et al. 2021 (Gopher), A1.1",
    .help = "share of words that have a letter",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
