/* Length in words and characters.  Rae et al. 2021 (Gopher), A1.1: between 50 and 100,000 words. */
#include "data/filter.h"

typedef struct settings {
    int64_t min_words, max_words, min_chars, max_chars;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, min_words, "min-words", .fallback = "50", .min = 0, .max = 1e12, .help = "words, at least"),
    LM_OPTION(INT, settings, max_words, "max-words", .fallback = "100000", .min = 0, .max = 1e12, .help = "words, at most"),
    LM_OPTION(INT, settings, min_chars, "min-chars", .fallback = "0", .min = 0, .max = 1e12, .help = "characters, at least"),
    LM_OPTION(INT, settings, max_chars, "max-chars", .fallback = "0", .min = 0, .max = 1e12, .help = "characters, at most; 0: any"),
    { 0 },
};

static const lm_measure measures[] = { { "words", true }, { "characters", true }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n;
    lm_doc_words(doc, &n);
    int64_t words = (int64_t)n, chars = lm_doc_counts(doc)->runes;
    doc->values[0] = (double)words;
    doc->values[1] = (double)chars;
    if (words < o->min_words || words > o->max_words)
        return lm_reject(doc, "%lld words, expected %lld to %lld", (long long)words, (long long)o->min_words, (long long)o->max_words);
    if (chars < o->min_chars) return lm_reject(doc, "%lld characters, expected at least %lld", (long long)chars, (long long)o->min_chars);
    if (o->max_chars && chars > o->max_chars) return lm_reject(doc, "%lld characters, expected at most %lld", (long long)chars, (long long)o->max_chars);
    return true;
}

const lm_filter lm_filter_length = {
    .name = "length", .source = "Rae et al. 2021 (Gopher), A1.1",
    .help = "words and characters of a document",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
