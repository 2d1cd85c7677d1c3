/* The language of a document, by a model that `malmoi data learn --kind language` made: naive Bayes over n-grams of
 * letters (data/linear.h).  Its probabilities lie near 0 or 1, because n-grams are not as independent as it takes them
 * to be; a text in a language that it never saw gets one of those that it knows. */
#include "data/filter.h"

#include "data/labelled.h"
#include "data/learn.h"
#include "data/linear.h"

#include <stdlib.h>
#include <string.h>

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

typedef struct state {
    lm_linear *model;
    bool *wanted;
} state;

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    state *s = use->state = lm_calloc(1, sizeof *s);
    if (!o->model || !o->languages.n) return lm_fail(err, LM_E_USAGE, "expected model=FILE and languages=LABEL");
    LM_TRY(lm_linear_load(&s->model, lm_language_model, o->model, err));
    const lm_strings *labels = lm_linear_labels(s->model);
    s->wanted = lm_calloc((size_t)labels->n, sizeof *s->wanted);
    for (int i = 0; i < o->languages.n; i++) {
        int64_t l = lm_label_find(labels, o->languages.items[i]);
        if (l < 0) return lm_fail(err, LM_E_USAGE, "languages: the model does not know \"%.50s\"; the first that it knows is \"%.50s\"", o->languages.items[i], labels->items[0]);
        s->wanted[l] = true;
    }
    return LM_OK;
}

static void close_model(void *state_)
{
    state *s = state_;
    lm_linear_free(s->model);
    free(s->wanted);
    free(s);
}

static const lm_strings *kinds(const lm_filter_use *use) { return lm_linear_labels(((const state *)use->state)->model); }

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const state *s = use->state;
    const lm_strings *labels = lm_linear_labels(s->model);
    double *p = lm_doc_scratch(doc, (size_t)labels->n * sizeof *p), sum = 0;
    int best = 0;
    lm_linear_predict_text(s->model, doc->text, p);
    for (int l = 0; l < labels->n; l++) {
        best = p[l] > p[best] ? l : best;
        sum += s->wanted[l] ? p[l] : 0;
    }
    doc->values[0] = sum;
    doc->kind = best;
    return sum >= o->min ? true : lm_reject(doc, "%.60s, with a probability of %.3f", labels->items[best], p[best]);
}

const lm_filter lm_filter_language = {
    .name = "language", .source = "Dunning 1994; learned from one's own texts",
    .help = "the language, by a model that was learned from texts",
    .options = options, .options_size = sizeof(settings), .measures = measures, .kinds = kinds, .open = open_model, .close = close_model, .apply = apply,
};
