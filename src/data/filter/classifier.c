/* Good and bad texts, by a model that `malmoi data learn --kind classifier` made: logistic regression over n-grams of
 * characters and words (data/linear.h).  It knows what its examples had in common, which may be their subject or where
 * they come from rather than their quality: look at what it rejects. */
#include "data/filter.h"

#include "data/labelled.h"
#include "data/learn.h"
#include "data/linear.h"

#include <stdlib.h>
#include <string.h>

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

typedef struct state {
    lm_linear *model;
    int64_t label;
} state;

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    state *s = use->state = lm_calloc(1, sizeof *s);
    if (!o->model) return lm_fail(err, LM_E_USAGE, "expected model=FILE");
    LM_TRY(lm_linear_load(&s->model, lm_classifier_model, o->model, err));
    const lm_strings *labels = lm_linear_labels(s->model);
    s->label = lm_label_find(labels, o->label);
    return s->label >= 0 ? LM_OK : lm_fail(err, LM_E_USAGE, "label: the model does not know \"%.50s\"; the first that it knows is \"%.50s\"", o->label, labels->items[0]);
}

static void close_model(void *state_)
{
    state *s = state_;
    lm_linear_free(s->model);
    free(s);
}

static const lm_strings *kinds(const lm_filter_use *use) { return lm_linear_labels(((const state *)use->state)->model); }

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const state *s = use->state;
    int n = lm_linear_labels(s->model)->n;
    double *p = lm_doc_scratch(doc, (size_t)n * sizeof *p);
    lm_linear_predict_text(s->model, doc->text, p);
    doc->kind = 0;
    for (int l = 1; l < n; l++) doc->kind = p[l] > p[doc->kind] ? l : doc->kind;
    double share = doc->values[0] = p[s->label];
    return share >= o->min ? true : lm_reject(doc, "%.60s with a probability of %.3f, expected at least %g", o->label, share, o->min);
}

const lm_filter lm_filter_classifier = {
    .name = "classifier", .source = "after Joulin et al. 2017; learned from one's own texts",
    .help = "good or bad, by a model that was learned from examples of both",
    .options = options, .options_size = sizeof(settings), .measures = measures, .kinds = kinds, .open = open_model, .close = close_model, .apply = apply,
};
