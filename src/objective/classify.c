/* Classification: a text gets one label of a few.
 *
 *   loss = - 1/n sum_i log softmax(W h_T(i))[y_i]       over the n texts of a step, h_T of the last token
 *
 * A row has a text and a label.  A language model gets a fresh head W (nn/head.h) for the labels that the
 * data has, or --labels names; a model that classifies already keeps its head and its labels.  With an
 * adapter the head trains beside it and goes into the adapter's folder.
 *
 * To the packing a row is its tokens and then its label as the one thing to predict: rows stay apart in a
 * block, and the lesson of a row is that of its last token.
 *
 * Source: Radford et al. 2018, "Improving language understanding by generative pre-training", section 3.2;
 * the last token as in transformers' *ForSequenceClassification.  Left out: several labels at once,
 * regression, pairs of texts. */
#include "train/objective.h"

#include "data/confusion.h"
#include "data/labelled.h"
#include "data/mix.h"
#include "nn/head.h"
#include "train/options.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    lm_labelled_fields fields;
    lm_strings labels;
    bool skip_empty;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, fields.text, "text-field", .metavar = "NAME", .help = "field of a row with its text (default: text, document, sentence, review or content)"),
    LM_OPTION(STRING, settings, fields.label, "label-field", .metavar = "NAME", .help = "field with its label (default: label, labels, class, category or sentiment)"),
    LM_OPTION(LIST, settings, labels, "labels", .metavar = "NAME,..", .help = "all labels in order; data may say 0, 1, .. for them (default: those of the data)"),
    LM_OPTION(FLAG, settings, skip_empty, "skip-empty", .help = "leave rows without text out, and count them"),
    { 0 },
};

/* ---- the head ---- */

static lm_status check_given(const lm_strings *labels, lm_err *err)
{
    if (labels->n < 2) return lm_fail(err, LM_E_USAGE, "--labels: expected two or more, found %d", labels->n);
    for (int i = 0; i < labels->n; i++) {
        size_t length = strlen(labels->items[i]);
        if (!length || lm_utf8_valid(labels->items[i], length) < length)
            return lm_fail(err, LM_E_USAGE, "--labels: label %d is empty or not UTF-8", i + 1);
        for (int j = 0; j < i; j++)
            if (!strcmp(labels->items[i], labels->items[j])) return lm_fail(err, LM_E_USAGE, "--labels: \"%s\" stands there twice", labels->items[i]);
    }
    return LM_OK;
}

/* The labels of the data. */
static lm_status scan(lm_strings *out, const settings *s, const lm_train_options *o, lm_err *err)
{
    const lm_source_options how = { .format = o->format, .separator = o->separator };
    lm_strings files = {0};
    lm_status status = lm_mix_files_of(&files, &o->data, err);
    if (status == LM_OK) status = lm_labels_scan(out, &files, &how, &s->fields, err);
    lm_strings_free(&files);
    return status;
}

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    const settings *s = task->options;
    if (s->labels.n) LM_TRY(check_given(&s->labels, err));
    if (model->score) {
        LM_TRY(lm_model_need_score(model, err));
        if (s->labels.n && s->labels.n != model->labels.n)
            return lm_fail(err, LM_E_USAGE, "--labels: %d given, the model's head has %d", s->labels.n, model->labels.n);
        if (s->labels.n) lm_model_name_labels(model, &s->labels);
        return LM_OK;
    }
    if (s->labels.n) return lm_model_classify(model, &s->labels, (uint64_t)o->seed, err);
    lm_strings found;
    LM_TRY(scan(&found, s, o, err));
    lm_status status = lm_model_classify(model, &found, (uint64_t)o->seed, err);
    lm_strings_free(&found);
    return status;
}

/* What a measurement counts. */
static lm_status prepare(lm_task *task, lm_err *err)
{
    (void)err;
    lm_confusion *c = task->own = lm_calloc(1, sizeof *c);
    lm_confusion_init(c, task->model->labels.n);
    return LM_OK;
}

static void release(lm_task *task)
{
    if (task->own) lm_confusion_free(task->own);
    free(task->own);
    task->own = NULL;
}

/* ---- rows ---- */

static lm_status label_of(int32_t *out, const lm_task *task, const lm_row *row, lm_err *err)
{
    const settings *s = task->options;
    lm_str label = {0};
    lm_status status = lm_labelled_label(row, &s->fields, &label, err);
    *out = status == LM_OK ? (int32_t)lm_label_find(&task->model->labels, label.data) : 0;
    if (*out < 0) status = lm_label_unknown(&task->model->labels, label.data, err);
    lm_str_free(&label);
    return status;
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *s = task->options;
    lm_span text;
    int32_t label;
    LM_TRY(lm_labelled_text(row, &s->fields, &text, err));
    if (lm_is_blank(text) && s->skip_empty) {
        out->skipped = true;
        return LM_OK;
    }
    if (lm_is_blank(text)) return lm_fail(err, LM_E_FORMAT, "the text is empty; --skip-empty leaves such rows out");
    LM_TRY(label_of(&label, task, row, err));
    LM_TRY(lm_encoder_run(encoder, ids, text.data, text.len, LM_ENCODE_SPECIAL, err));
    LM_TRY(lm_task_fit(task, out, ids, err));
    lm_example_put(out, ids->data, ids->len, false);
    lm_example_put(out, &label, 1, true);
    return LM_OK;
}

/* ---- the loss ---- */

/* The rows of hidden states that are to be labelled, with their labels and weights. */
typedef struct lessons {
    lm_tensor *rows;
    int32_t *labels;
    float *weights;
    int64_t n;
} lessons;

static lessons last_rows(const lm_forward *f, const lm_microbatch *m)
{
    lm_tensor *hidden = lm_model_forward(f);
    int64_t n = m->n_targets, at = 0;
    int32_t *index = lm_tape_meta(f->t, (size_t)n * sizeof *index);
    lessons l = { .rows = &f->t->dead, .labels = lm_tape_meta(f->t, (size_t)n * sizeof *l.labels),
                  .weights = lm_tape_meta(f->t, (size_t)n * sizeof *l.weights), .n = n };
    if (f->t->err.code) return l;
    for (int64_t i = 0; i < m->batch.n_tokens; i++) {
        if (m->targets[i] < 0) continue;
        index[at] = (int32_t)i;
        l.labels[at] = m->targets[i];
        l.weights[at++] = m->weights[i];
    }
    l.rows = lm_gather_rows(f->t, hidden, lm_input(f->t, index, LM_I32, 1, &n));
    return l;
}

static lm_tensor *loss_of(const lm_forward *f, const lessons *l)
{
    return lm_cross_entropy(f->t, l->rows, f->m->score, l->labels, &(lm_cross_entropy_options){ .weights = l->weights });
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    const lessons l = last_rows(f, m);
    return loss_of(f, &l);
}

static lm_tensor *measure(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    lm_confusion *c = task->own;
    const lessons l = last_rows(f, m);
    const lm_tensor *scores = lm_model_scores(f, l.rows);
    for (int64_t i = 0; i < l.n && !f->t->err.code && f->t->k->computes; i++)
        lm_confusion_add(c, l.labels[i], (const float *)scores->data + i * c->n);
    return loss_of(f, &l);
}

static lm_json *measured(const lm_task *task)
{
    lm_confusion *c = task->own;
    lm_json *doc = json_pack("{s:f, s:f}", "accuracy", lm_confusion_accuracy(c), "macro_f1", lm_confusion_macro_f1(c));
    lm_confusion_clear(c);
    return doc;
}

const lm_objective lm_objective_classify = {
    .name = "classify", .source = "Radford et al. 2018, section 3.2",
    .help = "label texts: a head for the labels of the data, accuracy and macro-F1",
    .use = "classify", .use_option = "text",
    .options = options, .options_size = sizeof(settings), .head = head, .prepare = prepare, .release = release,
    .render = render, .loss = loss, .measure = measure, .measured = measured,
};
