/* Hash signs and ellipses for each word.  Rae et al. 2021 (Gopher), A1.1: at most 0.1 of either. */
#include "data/filter.h"

typedef struct settings {
    double max_hash, max_ellipsis;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, max_hash, "max-hash", .fallback = "0.1", .min = 0, .max = 1e9, .help = "hash signs for each word"),
    LM_OPTION(REAL, settings, max_ellipsis, "max-ellipsis", .fallback = "0.1", .min = 0, .max = 1e9, .help = "ellipses for each word"),
    { 0 },
};

static const lm_measure measures[] = { { "hash signs a word", false }, { "ellipses a word", false }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n;
    lm_doc_words(doc, &n);
    double words = n ? (double)n : 1;
    double hash = doc->values[0] = (double)lm_doc_counts(doc)->hashes / words;
    double ellipsis = doc->values[1] = (double)lm_doc_counts(doc)->ellipses / words;
    if (hash > o->max_hash) return lm_reject(doc, "%.3f hash signs a word, expected at most %g", hash, o->max_hash);
    if (ellipsis > o->max_ellipsis) return lm_reject(doc, "%.3f ellipses a word, expected at most %g", ellipsis, o->max_ellipsis);
    return true;
}

const lm_filter lm_filter_symbols = {
    .name = "symbols", .source = "Rae et al. 2021 (Gopher), A1.1",
    .help = "hash signs and ellipses for each word",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
