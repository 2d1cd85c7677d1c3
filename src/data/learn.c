#include "data/learn.h"

#include "base/file.h"
#include "base/rng.h"
#include "base/signal.h"
#include "data/labelled.h"
#include "data/linear.h"
#include "data/ngram_model.h"
#include "data/topics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const lm_learn_names[] = { "language", "classifier", "perplexity", "topics", NULL };
const char lm_language_model[] = "malmoi language model 1", lm_classifier_model[] = "malmoi classifier 1";

/* Language: enough for a sentence.  Classifier: characters take in endings and particles, words what is said. */
static const lm_linear_rule rules[] = {
    [LM_LEARN_LANGUAGE] = { .least_runes = 1, .most_runes = 3, .bits = 18, .limit = 1000, .letters = true },
    [LM_LEARN_CLASSIFIER] = { .least_runes = 2, .most_runes = 4, .words = 2, .bits = 20, .limit = 4000 },
};

enum { LANGUAGE_PIECE = 300 };

typedef struct learner {
    const lm_learn_options *o;
    lm_skipped *skipped;
    int64_t rows, pieces, left_out;      /* left_out: rows beyond what can be held */
    uint64_t drawn;                      /* pieces that were asked whether they are held out */
    lm_strings labels;
    lm_buckets places;
    lm_linear_example *examples, *held;         /* held: those held out */
    int64_t n, n_held, cap, cap_held;
    lm_ngram_trainer *trainer;
    lm_topics_trainer *topics;
    lm_strings held_texts;
    lm_str room;
} learner;

static bool has_labels(const learner *l) { return l->o->kind == LM_LEARN_LANGUAGE || l->o->kind == LM_LEARN_CLASSIFIER; }

/* ---- pieces ------------------------------------------------------------------ */

static int label_number(learner *l, const char *label)
{
    for (int i = 0; i < l->labels.n; i++)
        if (!strcmp(l->labels.items[i], label)) return i;
    lm_strings_push(&l->labels, lm_strdup(label));
    return l->labels.n - 1;
}

static bool is_held_out(learner *l)
{
    uint32_t words[4];
    lm_philox(words, (uint64_t)l->o->seed, 0, l->drawn++);
    return (double)lm_u32_unit(words[0]) < l->o->held_out;
}

static void put_example(learner *l, lm_span text, int label, bool held)
{
    lm_buckets_of(&l->places, &rules[l->o->kind], text);
    lm_linear_example e = { .places = lm_malloc(l->places.n * sizeof *e.places + 1), .n = l->places.n, .label = label };
    if (e.n) memcpy(e.places, l->places.items, e.n * sizeof *e.places);
    lm_linear_example **list = held ? &l->held : &l->examples;
    int64_t *n = held ? &l->n_held : &l->n, *cap = held ? &l->cap_held : &l->cap;
    if (*n == *cap) {
        *cap = 2 * *cap + 1024;
        *list = lm_realloc(*list, (size_t)*cap * sizeof **list);
    }
    (*list)[(*n)++] = e;
}

static void put_piece(learner *l, lm_span text, const char *label)
{
    bool held = is_held_out(l);
    if (lm_is_blank(text)) return;
    l->pieces++;
    if (has_labels(l)) put_example(l, text, label_number(l, label), held);
    else if (l->o->kind == LM_LEARN_TOPICS) lm_topics_trainer_add(l->topics, text);
    else if (held) lm_strings_push(&l->held_texts, lm_strndup(text.data, text.len));
    else if (!lm_ngram_trainer_add(l->trainer, text)) l->left_out++;
}

static void put_text(learner *l, lm_span text, const char *label)
{
    int64_t most = l->o->piece >= 0 ? l->o->piece : l->o->kind == LM_LEARN_LANGUAGE ? LANGUAGE_PIECE : 0, runes = 0;
    size_t from = 0;
    for (size_t i = 0; i < text.len && most; i++) {
        bool begins = ((unsigned char)text.data[i] & 0xC0) != 0x80;
        if (begins && runes == most) {
            put_piece(l, lm_span_of(text.data + from, i - from), label);
            from = i;
            runes = 0;
        }
        runes += begins;
    }
    put_piece(l, lm_span_of(text.data + from, text.len - from), label);
}

/* ---- files ------------------------------------------------------------------- */

static lm_status find_text(learner *l, const lm_row *row, lm_span *text, lm_err *err)
{
    const char *field;
    if (l->o->kind == LM_LEARN_TOPICS) return lm_row_whole_text(row, l->o->field, &l->room, text, err);
    LM_TRY(lm_document_field(row, l->o->field, &field, err));
    return lm_row_text(row, field, text, err);
}

/* label: of all rows, or NULL. */
static lm_status put_row(learner *l, const lm_row *row, const char *label, lm_err *err)
{
    lm_span text;
    lm_str own = {0};
    LM_TRY(find_text(l, row, &text, err));
    bool labelled = has_labels(l) && !label;
    lm_status status = labelled ? lm_labelled_label(row, &(lm_labelled_fields){ .label = l->o->label_field }, &own, err) : LM_OK;
    if (status == LM_OK) {
        put_text(l, text, labelled ? own.data : label);
        l->rows++;
    }
    lm_str_free(&own);
    return status;
}

static lm_status read_files(learner *l, const lm_strings *paths, const char *label, lm_err *err)
{
    lm_source_options how = { .format = l->o->format, .separator = l->o->separator, .skipped = l->o->on_error ? l->skipped : NULL };
    lm_source *source;
    LM_TRY(lm_source_open(&source, paths, &how, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        lm_err local = {0};
        if (put_row(l, &row, label, &local) != LM_OK) {
            lm_context(&local, "%s:%lld", row.path, (long long)row.line);
            if (lm_source_pass_over(source, &local) != LM_OK) status = lm_fail(err, local.code, "%s", local.message);
        }
        lm_row_free(&row);
        if (status == LM_OK && lm_interrupted()) status = lm_fail(err, LM_E_INTERRUPT, "stopped; nothing was written");
    }
    lm_source_close(source);
    return status;
}

static lm_status read_labelled(learner *l, const char *as, lm_err *err)
{
    const char *equals = strchr(as, '=');
    if (!equals || equals == as || !equals[1]) return lm_fail(err, LM_E_USAGE, "--as: expected LABEL=FILE, found \"%.100s\"", as);
    if (!has_labels(l)) return lm_fail(err, LM_E_USAGE, "--as: a model of %s learns from no labels; name the files themselves", lm_learn_names[l->o->kind]);
    char *label = lm_strndup(as, (size_t)(equals - as)), *path = lm_strdup(equals + 1);
    lm_status status = read_files(l, &(lm_strings){ &path, 1 }, label, err);
    free(label);
    free(path);
    return status;
}

static lm_status read_all(learner *l, const lm_strings *paths, lm_err *err)
{
    if (!paths->n && !l->o->as.n) return lm_fail(err, LM_E_USAGE, "expected files%s", has_labels(l) ? ", or --as LABEL=FILE" : "");
    if (paths->n) LM_TRY(read_files(l, paths, NULL, err));
    for (int i = 0; i < l->o->as.n; i++) LM_TRY(read_labelled(l, l->o->as.items[i], err));
    if (has_labels(l) && l->labels.n < 2) return lm_fail(err, LM_E_FORMAT, "expected texts of two labels or more, found %d", l->labels.n);
    if (!l->pieces) return lm_fail(err, LM_E_FORMAT, "the files hold no text");
    return LM_OK;
}

/* ---- what was learned -------------------------------------------------------- */

static lm_json *metadata(const lm_json *report)
{
    lm_str text = {0};
    lm_json_text(&text, report, 0);
    lm_json *meta = json_pack("{s:s}", "report", text.data);
    lm_str_free(&text);
    return meta;
}

/* Of the texts held out: how many of each label, how many were given it, and how many rightly. */
static void judge(lm_json *report, const lm_linear *m, const learner *l)
{
    int k = l->labels.n;
    int64_t *counts = lm_calloc(3 * (size_t)k, sizeof *counts), right = 0;
    double *p = lm_calloc((size_t)k, sizeof *p);
    lm_json *labels = json_object();
    for (int64_t e = 0; e < l->n_held; e++) {
        int best = lm_linear_predict(m, l->held[e].places, l->held[e].n, p);
        counts[3 * l->held[e].label]++;
        counts[3 * best + 1]++;
        if (best == l->held[e].label) counts[3 * best + 2]++, right++;
    }
    for (int i = 0; i < k; i++) {
        const int64_t *c = &counts[3 * i];
        json_object_set_new(labels, l->labels.items[i], json_pack("{s:I, s:f, s:f}", "held_out", (json_int_t)c[0], "precision", c[1] ? (double)c[2] / (double)c[1] : 0.0, "recall",
                                                                   c[0] ? (double)c[2] / (double)c[0] : 0.0));
    }
    json_object_set_new(report, "accuracy", json_real(l->n_held ? (double)right / (double)l->n_held : 0));
    json_object_set_new(report, "labels", labels);
    free(counts);
    free(p);
}

static lm_status learn_labels(lm_json *report, learner *l, lm_err *err)
{
    const lm_learn_options *o = l->o;
    if (!l->n) return lm_fail(err, LM_E_FORMAT, "all texts are held out: expected more of them, or a smaller --held-out");
    bool language = o->kind == LM_LEARN_LANGUAGE;
    lm_linear *m = language ? lm_linear_bayes(&rules[o->kind], &l->labels, l->examples, l->n)
                            : lm_linear_logistic(&rules[o->kind], &l->labels, l->examples, l->n, (int)o->epochs, o->rate, (uint64_t)o->seed);
    judge(report, m, l);
    lm_json *meta = metadata(report);
    lm_status status = lm_linear_save(m, language ? lm_language_model : lm_classifier_model, meta, o->out, err);
    lm_json_free(meta);
    lm_linear_free(m);
    return status;
}

static int by_size(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static lm_status learn_ngrams(lm_json *report, learner *l, lm_err *err)
{
    static const double shares[] = { 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99 };
    static const char *const names[] = { "1%", "5%", "25%", "50%", "75%", "95%", "99%" };
    lm_ngram_model *m = lm_ngram_train(l->trainer);
    int n = l->held_texts.n;
    double *values = lm_calloc((size_t)n + 1, sizeof *values);
    lm_json *percentiles = json_object();
    for (int i = 0; i < n; i++) values[i] = lm_ngram_perplexity(m, lm_span_of(l->held_texts.items[i], strlen(l->held_texts.items[i])));
    qsort(values, (size_t)n, sizeof *values, by_size);
    for (size_t i = 0; i < sizeof shares / sizeof *shares && n; i++) json_object_set_new(percentiles, names[i], json_real(values[(int)(shares[i] * (n - 1) + 0.5)]));
    json_object_set_new(report, "ngrams", json_integer(lm_ngram_count(m)));
    json_object_set_new(report, "vocabulary", json_integer(lm_ngram_vocabulary(m)));
    json_object_set_new(report, "perplexity", percentiles);
    lm_json *meta = metadata(report);
    lm_status status = lm_ngram_save(m, meta, l->o->out, err);
    lm_json_free(meta);
    lm_ngram_free(m);
    free(values);
    return status;
}

static lm_status learn_topics(lm_json *report, learner *l, lm_err *err)
{
    lm_linear *m;
    lm_json *topics = json_array();
    json_object_set_new(report, "topics", topics);
    LM_TRY(lm_topics_train(&m, topics, l->topics, err));
    lm_json *meta = metadata(report);
    lm_status status = lm_linear_save(m, lm_topic_model, meta, l->o->out, err);
    lm_json_free(meta);
    lm_linear_free(m);
    return status;
}

static lm_status learn_kind(lm_json *report, learner *l, lm_err *err)
{
    switch ((lm_learn_kind)l->o->kind) {
    case LM_LEARN_PERPLEXITY: return learn_ngrams(report, l, err);
    case LM_LEARN_TOPICS: return learn_topics(report, l, err);
    default: return learn_labels(report, l, err);
    }
}

static void free_examples(lm_linear_example *examples, int64_t n)
{
    for (int64_t i = 0; i < n; i++) free(examples[i].places);
    free(examples);
}

lm_status lm_learn_files(lm_json **out, lm_skipped *skipped, const lm_strings *paths, const lm_learn_options *o, lm_err *err)
{
    learner l = { .o = o, .skipped = skipped };
    *out = NULL;
    if (o->kind == LM_LEARN_PERPLEXITY) l.trainer = lm_ngram_trainer_new(&(lm_ngram_options){ .order = o->order, .least = o->least, .words = o->words });
    if (o->kind == LM_LEARN_TOPICS) l.topics = lm_topics_trainer_new(&(lm_topics_options){ .topics = o->topics, .sample = o->sample, .seed = o->seed });
    lm_status status = lm_file_can_write(o->out, err);   /* before the work */
    if (status == LM_OK) status = read_all(&l, paths, err);
    if (status == LM_OK) {
        *out = json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", lm_learn_names[o->kind], "rows", (json_int_t)l.rows, "pieces", (json_int_t)l.pieces, "held_out",
                         (json_int_t)(l.n_held + l.held_texts.n), "left_out", (json_int_t)l.left_out);
        status = learn_kind(*out, &l, err);
    }
    free_examples(l.examples, l.n);
    free_examples(l.held, l.n_held);
    lm_ngram_trainer_free(l.trainer);
    lm_topics_trainer_free(l.topics);
    lm_str_free(&l.room);
    lm_buckets_free(&l.places);
    lm_strings_free(&l.labels);
    lm_strings_free(&l.held_texts);
    return status;
}
