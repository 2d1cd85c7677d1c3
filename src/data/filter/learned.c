#include "data/filter/learned.h"

#include "data/labelled.h"

#include <stdlib.h>

lm_status lm_learned_open(lm_filter_use *use, const char *kind, const char *path, lm_err *err)
{
    lm_learned *s = use->state = lm_calloc(1, sizeof *s);
    LM_TRY(lm_linear_load(&s->model, kind, path, err));
    s->wanted = lm_calloc((size_t)lm_linear_labels(s->model)->n + 1, sizeof *s->wanted);
    return LM_OK;
}

void lm_learned_close(void *state)
{
    lm_learned *s = state;
    lm_linear_free(s->model);
    free(s->wanted);
    free(s);
}

lm_status lm_learned_want(lm_learned *s, const char *option, const char *label, lm_err *err)
{
    const lm_strings *labels = lm_linear_labels(s->model);
    int64_t l = lm_label_find(labels, label);
    if (l < 0) return lm_fail(err, LM_E_USAGE, "%s: the model does not know \"%.50s\"; the first that it knows is \"%.50s\"", option, label, labels->items[0]);
    s->wanted[l] = true;
    return LM_OK;
}

const lm_strings *lm_learned_kinds(const lm_filter_use *use) { return lm_linear_labels(((const lm_learned *)use->state)->model); }

double lm_learned_share(const lm_learned *s, lm_doc *doc, const double **p)
{
    int n = lm_linear_labels(s->model)->n;
    double *each = lm_doc_scratch(doc, (size_t)n * sizeof *each), sum = 0;
    doc->kind = lm_linear_predict_text(s->model, doc->text, each);
    for (int l = 0; l < n; l++) sum += s->wanted[l] ? each[l] : 0;
    *p = each;
    return doc->values[0] = sum;
}
