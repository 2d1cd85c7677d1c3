/* Classification: how many texts get the label that they have.
 *
 *   accuracy = right / rows;   loss = mean of -ln p(label);   macro-F1 and each label's precision, recall and
 *   F1 as in data/confusion.h; confusion[i][j]: rows of label i that were taken for j.
 *
 * (van Rijsbergen 1979, chapter 7; Yang & Liu 1999, section 3, for the macro average.)  A text's label is
 * the one with the largest score at its last token (nn/head.h). */
#include "eval/rows.h"

#include "data/confusion.h"
#include "data/labelled.h"
#include "infer/classifier.h"

#include <stdlib.h>

typedef struct classify_options {
    lm_labelled_fields fields;
    int64_t context, batch_tokens;
    const char *format;
    bool truncate, skip_empty;
} classify_options;

static const lm_option options[] = {
    LM_OPTION(STRING, classify_options, fields.text, "text-field", .metavar = "NAME", .help = "field of a row with its text (default: text, document, sentence, review or content)"),
    LM_OPTION(STRING, classify_options, fields.label, "label-field", .metavar = "NAME", .help = "field with its label (default: label, labels, class, category or sentiment)"),
    LM_OPTION(INT, classify_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of a text at most (0: the model's limit)"),
    LM_OPTION(FLAG, classify_options, truncate, "truncate", .help = "cut off what is longer than the context, and count it"),
    LM_OPTION(FLAG, classify_options, skip_empty, "skip-empty", .help = "leave rows without text out, and count them"),
    LM_OPTION(INT, classify_options, batch_tokens, "batch-tokens", .fallback = "4096", .min = 1, .max = 1 << 24, .help = "tokens that go through the model at once"),
    LM_OPTION(STRING, classify_options, format, "format", .fallback = "auto", .help = "of the files: jsonl, csv, tsv"),
    { 0 },
};

typedef struct measure {
    const lm_eval *e;
    const classify_options *o;
    lm_classifier *classifier;
    lm_confusion confusion;
    int64_t *truths, n, cap, skipped;    /* labels of the texts so far */
    double loss;                         /* of all together */
} measure;

static void scored(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    (void)n_rows;
    measure *p = to;
    p->loss += lm_confusion_add(&p->confusion, p->truths[text], scores);
}

static lm_status truth_of(int64_t *out, const measure *p, const lm_row *row, lm_err *err)
{
    lm_str label = { 0 };
    lm_status status = lm_labelled_label(row, &p->o->fields, &label, err);
    if (status == LM_OK && (*out = lm_label_find(&p->e->model->labels, label.data)) < 0)
        status = lm_label_unknown(&p->e->model->labels, label.data, err);
    lm_str_free(&label);
    return status;
}

static lm_status add_row(void *to, const lm_row *row, lm_err *err)
{
    measure *p = to;
    lm_span text;
    LM_TRY(lm_labelled_text(row, &p->o->fields, &text, err));
    if (lm_is_blank(text)) {
        p->skipped++;
        return p->o->skip_empty ? LM_OK : lm_fail(err, LM_E_FORMAT, "the text is empty; --skip-empty leaves such rows out");
    }
    if (p->n == p->cap) {
        p->cap = 2 * p->cap + 256;
        p->truths = lm_realloc(p->truths, (size_t)p->cap * sizeof *p->truths);
    }
    LM_TRY(truth_of(&p->truths[p->n], p, row, err));
    p->n++;
    return lm_classifier_add(p->classifier, text, err);
}

static lm_status measure_all(measure *p, lm_err *err)
{
    const classify_options *o = p->o;
    const lm_classifier_options how = { .context = o->context, .batch_tokens = o->batch_tokens, .truncate = o->truncate,
                                        .compute = p->e->compute, .scored = scored, .to = p };
    LM_TRY(lm_classifier_new(&p->classifier, p->e->model, p->e->kernels, p->e->tokenizer, &how, err));
    lm_confusion_init(&p->confusion, p->e->model->labels.n);
    LM_TRY(lm_eval_rows(p->e, o->format, add_row, p, err));
    LM_TRY(lm_classifier_flush(p->classifier, err));
    return p->confusion.total ? LM_OK : lm_fail(err, LM_E_FORMAT, "%s: no row to classify", p->e->data.items[0]);
}

static lm_json *report(const measure *p)
{
    const lm_confusion *c = &p->confusion;
    const lm_strings *names = &p->e->model->labels;
    json_t *labels = json_array();
    for (int i = 0; i < names->n; i++) json_array_append_new(labels, json_string(names->items[i]));
    return json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:o, s:o, s:o}", "accuracy", lm_confusion_accuracy(c), "macro_f1",
                     lm_confusion_macro_f1(c), "loss", p->loss / (double)c->total, "rows", (json_int_t)c->total, "truncated_rows",
                     (json_int_t)lm_classifier_truncated(p->classifier), "skipped_rows", (json_int_t)p->skipped, "labels", labels,
                     "classes", lm_confusion_classes(c, names), "confusion", lm_confusion_matrix(c));
}

static lm_status run(const lm_eval *e, const void *values, lm_json **result, lm_err *err)
{
    measure p = { .e = e, .o = values };
    lm_status status = measure_all(&p, err);
    if (status == LM_OK) *result = report(&p);
    lm_classifier_free(p.classifier);
    lm_confusion_free(&p.confusion);
    free(p.truths);
    return status;
}

const lm_eval_task lm_eval_task_classify = {
    .name = "classify",
    .summary = "accuracy, macro-F1 and confusion of a model that labels texts",
    .source = "van Rijsbergen 1979, chapter 7; Yang & Liu 1999, section 3",
    .options = options,
    .values_size = sizeof(classify_options),
    .run = run,
};
