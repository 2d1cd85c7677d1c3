/* Good and bad texts, by a model that `malmoi data learn --kind classifier` made: logistic regression over n-grams of
 * characters and words (data/linear.h).  It knows what its examples had in common, which may be their subject or where
 * they come from rather than their quality: look at what it rejects. */
#include "data/filter/learned.h"

#include "data/learn.h"

typedef struct settings {
    const char *model, *label;
    double min;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, model, "model", .metavar = "FILE", .help = "what `malmoi data learn --kind classifier` made"),
    LM_OPTION(STRING, settings, label, "label", .fallback = "good", .metavar = "LABEL", .help = "the one that is kept"),
    LM_OPTION(REAL, settings, min, "min", .fallback = "0.5", .min = 0, .max = 1, .help = "its probability, at least"),
    { 0 },
};

static const lm_measure measures[] = { { "probability of the label", false }, { 0 } };

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    if (!o->model) return lm_fail(err, LM_E_USAGE, "expected model=FILE");
    LM_TRY(lm_learned_open(use, lm_classifier_model, o->model, err));
    return lm_learned_want(use->state, "label", o->label, err);
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const double *p;
    double share = lm_learned_share(use->state, doc, &p);
    return share >= o->min ? true : lm_reject(doc, "%.60s with a probability of %.3f, expected at least %g", o->label, share, o->min);
}

const lm_filter lm_filter_classifier = {
    .name = "classifier", .source = "after Joulin et al. 2017; learned from one's own texts",
    .help = "good or bad, by a model that was learned from examples of both",
    .options = options, .options_size = sizeof(settings), .measures = measures, .kinds = lm_learned_kinds, .open = open_model, .close = lm_learned_close, .apply = apply,
};
