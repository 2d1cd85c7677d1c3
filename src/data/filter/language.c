/* The language of a document, by a model that `malmoi data learn --kind language` made: naive Bayes over n-grams of
 * letters (data/linear.h).  Its probabilities lie near 0 or 1, because n-grams are not as independent as it takes them
 * to be; a text in a language that it never saw gets one of those that it knows. */
#include "data/filter/learned.h"

#include "data/learn.h"

typedef struct settings {
    const char *model;
    lm_strings languages;
    double min;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, model, "model", .metavar = "FILE", .help = "what `malmoi data learn --kind language` made"),
    LM_OPTION(LIST, settings, languages, "languages", .metavar = "LABEL+...", .help = "of those that the model knows, the ones that are kept"),
    LM_OPTION(REAL, settings, min, "min", .fallback = "0.65", .min = 0, .max = 1, .help = "their probability together, at least"),
    { 0 },
};

static const lm_measure measures[] = { { "probability of the languages", false }, { 0 } };

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    if (!o->model || !o->languages.n) return lm_fail(err, LM_E_USAGE, "expected model=FILE and languages=LABEL");
    LM_TRY(lm_learned_open(use, lm_language_model, o->model, err));
    for (int i = 0; i < o->languages.n; i++) LM_TRY(lm_learned_want(use->state, "languages", o->languages.items[i], err));
    return LM_OK;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const double *p;
    double share = lm_learned_share(use->state, doc, &p);
    return share >= o->min ? true : lm_reject(doc, "%.60s, with a probability of %.3f", lm_learned_kinds(use)->items[doc->kind], p[doc->kind]);
}

const lm_filter lm_filter_language = {
    .name = "language", .source = "Dunning 1994; learned from one's own texts",
    .help = "the language, by a model that was learned from texts",
    .options = options, .options_size = sizeof(settings), .measures = measures, .kinds = lm_learned_kinds, .open = open_model, .close = lm_learned_close, .apply = apply,
};
