#include "data/stats.h"

#include "base/map.h"
#include "base/thread.h"
#include "data/hashes.h"
#include "data/labelled.h"
#include "data/learn.h"
#include "data/linear.h"
#include "data/rounds.h"
#include "data/topics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- how many are different -------------------------------------------------- */

enum { REGISTERS = 1 << LM_HYPERLOGLOG_BITS };

void lm_hyperloglog_put(lm_hyperloglog *h, uint64_t hash)
{
    uint64_t rest = hash << LM_HYPERLOGLOG_BITS | (uint64_t)1 << (LM_HYPERLOGLOG_BITS - 1);
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1), *place = &h->registers[hash >> (64 - LM_HYPERLOGLOG_BITS)];
    if (rank > *place) *place = rank;
}

void lm_hyperloglog_merge(lm_hyperloglog *into, const lm_hyperloglog *from)
{
    for (int i = 0; i < REGISTERS; i++)
        if (from->registers[i] > into->registers[i]) into->registers[i] = from->registers[i];
}

/* Few are counted by the registers that stayed empty (linear counting), as the paper has it. */
double lm_hyperloglog_count(const lm_hyperloglog *h)
{
    double sum = 0, m = REGISTERS;
    int empty = 0;
    for (int i = 0; i < REGISTERS; i++) {
        sum += ldexp(1, -h->registers[i]);
        empty += !h->registers[i];
    }
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    return estimate <= 2.5 * m && empty ? m * log(m / empty) : estimate;
}

/* ---- lengths ----------------------------------------------------------------- */

static int bin_of(int64_t value)
{
    int bin = lm_histogram_bin((double)value);
    return bin < LM_CLEAN_COUNT_BINS ? bin : LM_CLEAN_COUNT_BINS - 1;
}

static void add_length(lm_lengths *l, int64_t value)
{
    l->least = l->n && l->least < value ? l->least : value;
    l->most = l->most > value ? l->most : value;
    l->sum += value;
    l->n++;
    l->bins[bin_of(value)]++;
}

static void merge_lengths(lm_lengths *into, const lm_lengths *from)
{
    if (!from->n) return;
    into->least = into->n && into->least < from->least ? into->least : from->least;
    into->most = into->most > from->most ? into->most : from->most;
    into->n += from->n;
    into->sum += from->sum;
    for (int b = 0; b < LM_CLEAN_COUNT_BINS; b++) into->bins[b] += from->bins[b];
}

double lm_lengths_percentile(const lm_lengths *l, double share)
{
    double wanted = share * (double)l->n, before = 0;
    for (int b = 0; b < LM_CLEAN_COUNT_BINS; b++) {
        double here = (double)l->bins[b];
        if (before + here < wanted || !here) {
            before += here;
            continue;
        }
        double begin = lm_histogram_begin(true, b), end = lm_histogram_begin(true, b + 1), at = begin + (end - begin) * (wanted - before) / here;
        return fmin(fmax(at, (double)l->least), (double)l->most);
    }
    return (double)l->most;
}

/* ---- a row ------------------------------------------------------------------- */

typedef struct worker {
    lm_doc doc;
    lm_buckets terms;
    lm_str text;
    lm_data_stats stats;
} worker;

typedef struct counter {
    const lm_data_stats_options *o;
    lm_data_stats *stats;
    lm_source *source;
    worker *workers;
    lm_linear *languages, *topics;       /* NULL: not asked for */
} counter;

static void make_seen(lm_data_stats *s)
{
    s->roles = json_object();
    s->templates = json_object();
    s->documents_seen = lm_calloc(2 + LM_STATS_NGRAMS, sizeof *s->documents_seen);
    s->lines_seen = s->documents_seen + 1;
    s->ngrams_seen = s->documents_seen + 2;
}

static void add_counts(lm_counts *into, const lm_counts *c)
{
    into->runes += c->runes, into->letters += c->letters, into->digits += c->digits, into->punctuation += c->punctuation, into->symbols += c->symbols;
    into->spaces += c->spaces, into->marks += c->marks, into->controls += c->controls, into->others += c->others;
    for (int s = 0; s < LM_SCRIPTS; s++) into->script[s] += c->script[s];
}

static void count_document(worker *w, lm_span text)
{
    lm_data_stats *s = &w->stats;
    size_t n_words, n_lines;
    const lm_word *words = lm_doc_words(&w->doc, &n_words);
    const lm_text_line *lines = lm_doc_lines(&w->doc, &n_lines);
    s->documents++;
    s->empty += !n_words;
    s->bytes += (int64_t)text.len;
    s->lines += (int64_t)n_lines;
    add_counts(&s->counts, lm_doc_counts(&w->doc));
    add_length(&s->chars, lm_doc_counts(&w->doc)->runes);
    add_length(&s->words, (int64_t)n_words);
    lm_hyperloglog_put(s->documents_seen, lm_hash(text.data, text.len, 0));
    for (size_t i = 0; i < n_lines; i++) lm_hyperloglog_put(s->lines_seen, lm_hash(lines[i].text.data, lines[i].text.len, 0));
    for (size_t i = 0; i < n_words; i++) {
        uint64_t hash = 0;
        for (size_t n = 0; n < LM_STATS_NGRAMS && i + n < n_words; n++) {
            hash = lm_mix64(hash * 31 + lm_word_hash(&words[i + n]));
            lm_hyperloglog_put(&s->ngrams_seen[n], hash);
            s->ngrams[n]++;
        }
    }
}

static void count_language(worker *w, const lm_linear *languages, lm_span text)
{
    double *p = lm_doc_scratch(&w->doc, (size_t)lm_linear_labels(languages)->n * sizeof *p);
    w->stats.of_language[lm_linear_predict_text(languages, text, p)]++;
}

/* Counts a name, of which there are a few; a file that has more has them under one. */
static void count_name(lm_json *counts, const char *name)
{
    enum { MOST = 1000 };
    if (!json_object_get(counts, name) && json_object_size(counts) >= MOST) name = "others";
    json_object_set_new(counts, name, json_integer(json_integer_value(json_object_get(counts, name)) + 1));
}

/* The messages in a row, wherever they stand in it. */
static int64_t count_messages(lm_json *roles, lm_json *node)
{
    const char *key, *role = json_string_value(json_object_get(node, "role"));
    lm_json *member;
    size_t i;
    int64_t n = 0;
    if (!role) role = json_string_value(json_object_get(node, "from"));
    if (role) count_name(roles, role), n++;
    json_object_foreach(node, key, member) n += count_messages(roles, member);
    json_array_foreach(node, i, member) n += count_messages(roles, member);
    return n;
}

static void count_parts(lm_data_stats *s, lm_json *object)
{
    const char *name = json_string_value(json_object_get(object, "template"));
    int64_t messages = count_messages(s->roles, object);
    if (messages) add_length(&s->messages, messages);
    if (name) count_name(s->templates, name);
}

static bool is_nearer(const lm_topic_nearest *a, const lm_topic_nearest *b)
{
    if (!a->text || !b->text) return a->text;
    if (a->score != b->score) return a->score > b->score;
    return a->line != b->line ? a->line < b->line : strcmp(a->text, b->text) < 0;
}

static void count_topic(worker *w, const lm_linear *topics, const lm_row *row, lm_span text)
{
    double score;
    int topic = lm_topic_of(topics, &w->terms, text, &score);
    w->stats.of_topic[topic < 0 ? w->stats.topics.n : topic]++;
    if (topic < 0 || (w->stats.nearest[topic].text && score < w->stats.nearest[topic].score)) return;
    lm_topic_nearest now = { .score = score, .line = row->line, .text = lm_topic_example(text) }, *nearest = &w->stats.nearest[topic];
    bool nearer = is_nearer(&now, nearest);
    free(nearer ? nearest->text : now.text);
    if (nearer) *nearest = now;
}

typedef struct slot {
    lm_err err;
} slot;

static lm_status find_text(const counter *c, worker *w, const lm_row *row, lm_span *text, lm_err *err)
{
    static const char *const parts[] = { "messages", "conversations", "prompt", "completion", "instruction", "question", "answer", "chosen", "rejected" };
    const char *field;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !c->o->field; i++)
        if (lm_row_has(row, parts[i])) return lm_row_whole_text(row, NULL, &w->text, text, err);
    LM_TRY(lm_document_field(row, c->o->field, &field, err));
    return lm_row_text(row, field, text, err);
}

static void count_row(void *context, int number, lm_row *row, void *slot_)
{
    counter *c = context;
    slot *s = slot_;
    worker *w = &c->workers[number];
    lm_span text;
    s->err = (lm_err){0};
    if (find_text(c, w, row, &text, &s->err) != LM_OK) return;
    if (row->object) count_parts(&w->stats, row->object);
    lm_doc_begin(&w->doc, row, text);
    count_document(w, w->doc.text);
    if (c->languages) count_language(w, c->languages, w->doc.text);
    if (c->topics) count_topic(w, c->topics, row, w->doc.text);
}

static lm_status take_row(void *context, lm_row *row, void *slot_, lm_err *err)
{
    counter *c = context;
    const slot *s = slot_;
    if (!s->err.code) return LM_OK;
    lm_err placed = {0};
    lm_fail(&placed, s->err.code, "%s:%" PRId64 ": %s", row->path, row->line, s->err.message);
    return lm_source_pass_over(c->source, &placed) == LM_OK ? LM_OK : lm_fail(err, placed.code, "%s", placed.message);
}

/* ---- the work ---------------------------------------------------------------- */

static void merge_names(lm_json *into, lm_json *from)
{
    const char *name;
    lm_json *count;
    json_object_foreach(from, name, count) json_object_set_new(into, name, json_integer(json_integer_value(json_object_get(into, name)) + json_integer_value(count)));
}

static void merge(lm_data_stats *into, const lm_data_stats *from)
{
    into->documents += from->documents, into->empty += from->empty, into->bytes += from->bytes, into->lines += from->lines;
    merge_lengths(&into->chars, &from->chars);
    merge_lengths(&into->words, &from->words);
    merge_lengths(&into->messages, &from->messages);
    merge_names(into->roles, from->roles);
    merge_names(into->templates, from->templates);
    add_counts(&into->counts, &from->counts);
    for (int i = 0; i < 2 + LM_STATS_NGRAMS; i++) lm_hyperloglog_merge(&into->documents_seen[i], &from->documents_seen[i]);
    for (int n = 0; n < LM_STATS_NGRAMS; n++) into->ngrams[n] += from->ngrams[n];
    for (int l = 0; l < into->languages.n; l++) into->of_language[l] += from->of_language[l];
    for (int k = 0; k < into->topics.n + (into->topics.n > 0); k++) into->of_topic[k] += from->of_topic[k];
    for (int k = 0; k < into->topics.n; k++) {
        if (!is_nearer(&from->nearest[k], &into->nearest[k])) continue;
        free(into->nearest[k].text);
        into->nearest[k] = from->nearest[k];
        into->nearest[k].text = lm_strdup(from->nearest[k].text);
    }
}

/* Room for what the model's languages count, in the sums and for each worker. */
static lm_status open_languages(counter *c, int workers, lm_err *err)
{
    if (!c->o->languages) return LM_OK;
    LM_TRY(lm_linear_load(&c->languages, lm_language_model, c->o->languages, err));
    const lm_strings *labels = lm_linear_labels(c->languages);
    for (int l = 0; l < labels->n; l++) lm_strings_push(&c->stats->languages, lm_strdup(labels->items[l]));
    c->stats->of_language = lm_calloc((size_t)labels->n, sizeof *c->stats->of_language);
    for (int w = 0; w < workers; w++) c->workers[w].stats.of_language = lm_calloc((size_t)labels->n, sizeof *c->stats->of_language);
    return LM_OK;
}

static void make_topics(lm_data_stats *s, const lm_strings *names)
{
    for (int k = 0; k < names->n; k++) lm_strings_push(&s->topics, lm_strdup(names->items[k]));
    s->of_topic = lm_calloc((size_t)names->n + 1, sizeof *s->of_topic);
    s->nearest = lm_calloc((size_t)names->n, sizeof *s->nearest);
}

static lm_status open_topics(counter *c, int workers, lm_err *err)
{
    if (!c->o->topics) return LM_OK;
    LM_TRY(lm_linear_load(&c->topics, lm_topic_model, c->o->topics, err));
    make_topics(c->stats, lm_linear_labels(c->topics));
    for (int w = 0; w < workers; w++) make_topics(&c->workers[w].stats, lm_linear_labels(c->topics));
    return LM_OK;
}

lm_status lm_data_stats_files(lm_data_stats *out, const lm_strings *paths, const lm_data_stats_options *o, lm_err *err)
{
    static const lm_row_work work = { .slot_size = sizeof(slot), .each = count_row, .take = take_row };
    *out = (lm_data_stats){0};
    lm_source_options how = { .format = o->format, .separator = o->separator, .skipped = o->on_error ? &out->skipped : NULL };
    counter c = { .o = o, .stats = out };
    LM_TRY(lm_source_open(&c.source, paths, &how, err));
    int n = lm_threads();
    make_seen(out);
    c.workers = lm_calloc((size_t)n, sizeof *c.workers);
    for (int w = 0; w < n; w++) make_seen(&c.workers[w].stats);
    lm_status status = open_languages(&c, n, err);
    if (status == LM_OK) status = open_topics(&c, n, err);
    if (status == LM_OK) status = lm_rows_work(c.source, &work, &c, err);
    lm_linear_free(c.languages);
    lm_linear_free(c.topics);
    for (int w = 0; w < n; w++) {
        if (status == LM_OK) merge(out, &c.workers[w].stats);
        lm_doc_free(&c.workers[w].doc);
        lm_buckets_free(&c.workers[w].terms);
        lm_str_free(&c.workers[w].text);
        lm_data_stats_free(&c.workers[w].stats);
    }
    free(c.workers);
    lm_source_close(c.source);
    return status;
}

void lm_data_stats_free(lm_data_stats *s)
{
    free(s->documents_seen);
    lm_json_free(s->roles);
    lm_json_free(s->templates);
    free(s->of_language);
    lm_strings_free(&s->languages);
    for (int k = 0; k < s->topics.n; k++) free(s->nearest[k].text);
    free(s->nearest);
    free(s->of_topic);
    lm_strings_free(&s->topics);
    lm_skipped_free(&s->skipped);
    *s = (lm_data_stats){0};
}
