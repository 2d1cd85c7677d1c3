/* How usual a text is: its perplexity under an n-gram model that `malmoi data learn --kind perplexity` made of text that
 * is as it should be.  Far above the band stands what is no such text, far below what repeats itself or is made from a
 * form.  Wenzek et al. 2020 (CCNet), section 4.2, who take thirds of a corpus; bounds depend on model and tokens, and
 * learning tells those of texts that it held out. */
#include "data/filter.h"

#include "data/ngram_model.h"

typedef struct settings {
    const char *model;
    double min, max;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, model, "model", .metavar = "FILE", .help = "what `malmoi data learn --kind perplexity` made"),
    LM_OPTION(REAL, settings, min, "min", .fallback = "0", .min = 0, .max = 1e30, .help = "perplexity of a token, at least"),
    LM_OPTION(REAL, settings, max, "max", .fallback = "0", .min = 0, .max = 1e30, .help = "at most; 0: any"),
    { 0 },
};

static const lm_measure measures[] = { { "perplexity", true }, { 0 } };

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    if (!o->model) return lm_fail(err, LM_E_USAGE, "expected model=FILE");
    lm_ngram_model *m = NULL;
    LM_TRY(lm_ngram_load(&m, o->model, err));
    use->state = m;
    return LM_OK;
}

static void close_model(void *state) { lm_ngram_free(state); }

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    double value = doc->values[0] = lm_ngram_perplexity(use->state, doc->text);
    if (o->max > 0 && value > o->max) return lm_reject(doc, "perplexity %.1f, expected at most %g", value, o->max);
    return value >= o->min ? true : lm_reject(doc, "perplexity %.1f, expected at least %g", value, o->min);
}

const lm_filter lm_filter_perplexity = {
    .name = "perplexity", .source = "Wenzek et al. 2020 (CCNet), section 4.2; Chen and Goodman 1998",
    .help = "how usual the text is, by an n-gram model of texts that are as they should be",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_model, .close = close_model, .apply = apply,
};
