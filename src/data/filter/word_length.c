/* Mean length of words.  Rae et al. 2021 (Gopher), A1.1: between 3 and 10 characters, for English; Korean words
 * carry their particles and have about 3, so that the preset `korean` asks for 1.5 to 8. */
#include "data/filter.h"

typedef struct settings {
    double min, max;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, min, "min", .fallback = "3", .min = 0, .max = 1e9, .help = "characters, at least"),
    LM_OPTION(REAL, settings, max, "max", .fallback = "10", .min = 0, .max = 1e9, .help = "characters, at most"),
    { 0 },
};

static const lm_measure measures[] = { { "mean word length", true }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n;
    lm_doc_words(doc, &n);
    double mean = doc->values[0] = n ? (double)lm_doc_word_runes(doc) / (double)n : 0;
    return mean >= o->min && mean <= o->max ? true : lm_reject(doc, "words have %.2f characters on average, expected %g to %g", mean, o->min, o->max);
}

const lm_filter lm_filter_word_length = {
    .name = "word-length", .source = "Rae et al. 2021 (Gopher), A1.1",
    .help = "mean length of words",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
