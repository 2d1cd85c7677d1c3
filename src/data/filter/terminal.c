/* Lines that end a sentence.  Penedo et al. 2024 (FineWeb), section 3.6: more than 12% of all lines. */
#include "data/filter.h"

typedef struct settings {
    double min;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, min, "min", .fallback = "0.12", .min = 0, .max = 1, .help = "share of lines that end in . ! ? or an ellipsis; more than that is kept"),
    { 0 },
};

static const lm_measure measures[] = { { "lines that end a sentence", false }, { 0 } };

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, ended = 0;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    for (size_t i = 0; i < n; i++) ended += lm_ends_sentence(lines[i].text);
    double share = doc->values[0] = n ? (double)ended / (double)n : 0;
    return share > o->min ? true : lm_reject(doc, "%.1f%% of the lines end a sentence, expected more than %g%%", 100 * share, 100 * o->min);
}

const lm_filter lm_filter_terminal = {
    .name = "terminal", .source = "Penedo et al. 2024 (FineWeb), section 3.6",
    .help = "share of lines that end a sentence",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
