#include "data/mix/store.h"

#include "base/thread.h"
#include "data/labelled.h"
#include "data/members.h"
#include "data/rounds.h"
#include "data/topics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC, DIFFICULTY, NAME, MEMBERS };

/* A source that is being read. */
typedef struct reading {
    const lm_mix_source *source;
    const lm_mix_options *o;
    lm_mix_store *store;
    lm_source *rows;
    lm_member (*members)[MEMBERS];       /* of each thread */
    const char *topic_field;             /* NULL: there is none ... */
    lm_linear *model;                    /* ... or this tells topics, */
    lm_buckets *terms;                   /* with room for each thread */
    lm_str *rooms;
    lm_map *topics;                      /* name to number */
    lm_strings names;                    /* of topics */
    uint32_t *topic;                     /* of each row; and its difficulty, NaN: none */
    double *difficulty;
    int64_t n;
    size_t cap;
} reading;

/* What threads make of a row. */
typedef struct slot {
    lm_str line, topic;
    double difficulty;
    lm_err err;
} slot;

static void free_slot(void *slot_)
{
    slot *s = slot_;
    lm_str_free(&s->line);
    lm_str_free(&s->topic);
}

/* ---- rows ---------------------------------------------------------------------- */

/* From a line, without a document; false where that needs a closer look. */
static bool take_line(const reading *r, lm_member *members, const lm_row *row, slot *s)
{
    members[TOPIC].name = r->topic_field ? r->topic_field : "";
    members[DIFFICULTY].name = r->source->difficulty ? r->source->difficulty : "";
    members[NAME].name = r->o->source_field ? r->o->source_field : "";
    if (!row->raw || !lm_members_read(members, MEMBERS, lm_span_of(row->text.data, row->text.len)) || members[NAME].kind) return false;
    lm_str_append(&s->line, row->text.data, row->text.len);
    lm_str_putc(&s->line, '\n');
    if (r->topic_field && members[TOPIC].kind) lm_str_append(&s->topic, members[TOPIC].value.data, members[TOPIC].value.len);
    if (r->source->difficulty && !lm_member_number(&members[DIFFICULTY], &s->difficulty)) s->difficulty = NAN;
    return true;
}

static lm_status take_document(const reading *r, lm_row *row, slot *s)
{
    const char *added = r->o->source_field;
    LM_TRY(lm_row_parse(row, &s->err));
    if (added && row->object && json_object_get(row->object, added))
        return lm_fail(&s->err, LM_E_FORMAT, "%s:%" PRId64 ": --source-field %s: the row has such a field already", row->path, row->line, added);
    lm_row_put_json(&s->line, row);
    const lm_json *topic = row->object && r->topic_field ? lm_json_get(row->object, r->topic_field) : NULL;
    const lm_json *difficulty = row->object && r->source->difficulty ? lm_json_get(row->object, r->source->difficulty) : NULL;
    if (json_is_string(topic)) lm_str_append(&s->topic, json_string_value(topic), json_string_length(topic));
    else if (topic) lm_json_text(&s->topic, topic, 0);
    if (json_is_number(difficulty)) s->difficulty = json_number_value(difficulty);
    return LM_OK;
}

/* What the row is about, where a model is to tell. */
static void find_topic(const reading *r, int worker, lm_row *row, slot *s)
{
    lm_span text;
    if (lm_row_parse(row, &s->err) != LM_OK) return;
    if (lm_row_whole_text(row, NULL, &r->rooms[worker], &text, &s->err) != LM_OK) {
        lm_context(&s->err, "%s:%" PRId64, row->path, row->line);
        return;
    }
    int topic = lm_topic_of(r->model, &r->terms[worker], text, NULL);
    if (topic >= 0) lm_str_puts(&s->topic, lm_linear_labels(r->model)->items[topic]);
}

static void look_at_row(void *context, int worker, lm_row *row, void *slot_)
{
    const reading *r = context;
    slot *s = slot_;
    lm_str_clear(&s->line);
    lm_str_clear(&s->topic);
    s->difficulty = NAN;
    s->err = (lm_err){0};
    if (!take_line(r, r->members[worker], row, s)) take_document(r, row, s);
    if (r->model && !s->err.code) find_topic(r, worker, row, s);
}

/* The name goes in front of the other members. */
static lm_status keep_line(lm_mix_store *store, const reading *r, const lm_str *line, lm_err *err)
{
    if (!r->o->source_field) return lm_spill_put(&store->spill, line->data, line->len, err);
    size_t brace = strcspn(line->data, "{") + 1, next = brace + strspn(line->data + brace, " \t\r");
    lm_str head = {0};
    lm_json *name = json_string(r->source->name), *field = json_string(r->o->source_field);
    lm_str_puts(&head, "{");
    lm_json_text(&head, field, 0);
    lm_str_puts(&head, ": ");
    lm_json_text(&head, name, 0);
    if (line->data[next] != '}') lm_str_puts(&head, ", ");
    lm_json_free(name);
    lm_json_free(field);
    lm_status status = lm_spill_put(&store->spill, head.data, head.len, err);
    lm_str_free(&head);
    return status == LM_OK ? lm_spill_put(&store->spill, line->data + next, line->len - next, err) : status;
}

static lm_status take_row(void *context, lm_row *row, void *slot_, lm_err *err)
{
    reading *r = context;
    slot *s = slot_;
    lm_mix_store *store = r->store;
    (void)row;
    if (s->err.code) return lm_source_pass_over(r->rows, &s->err) == LM_OK ? LM_OK : lm_fail(err, s->err.code, "%s", s->err.message);
    if (store->n == UINT32_MAX) return lm_fail(err, LM_E_UNSUPPORTED, "more than %" PRIu32 " rows", UINT32_MAX);
    if ((size_t)store->n == store->cap) {
        store->cap = 2 * store->cap + 1024;
        store->ends = lm_realloc(store->ends, store->cap * sizeof *store->ends);
    }
    if ((size_t)r->n == r->cap) {
        r->cap = 2 * r->cap + 1024;
        r->topic = lm_realloc(r->topic, r->cap * sizeof *r->topic);
        r->difficulty = lm_realloc(r->difficulty, r->cap * sizeof *r->difficulty);
    }
    LM_TRY(keep_line(store, r, &s->line, err));
    store->ends[store->n++] = store->spill.size;
    if (lm_map_put(r->topics, s->topic.data ? s->topic.data : "", s->topic.len, r->names.n)) lm_strings_push(&r->names, lm_strdup(s->topic.data ? s->topic.data : ""));
    r->topic[r->n] = (uint32_t)lm_map_get(r->topics, s->topic.data ? s->topic.data : "", s->topic.len, 0);
    r->difficulty[r->n++] = s->difficulty;
    return LM_OK;
}

/* ---- groups -------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of the sorted values are less. */
static int64_t rank_of(const double *sorted, int64_t n, double x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (sorted[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Bins with equally many rows each, but that equal values share one; the last number is for rows without a value. */
static void cut_into_bins(const reading *r, uint32_t *bin, int64_t bins)
{
    double *sorted = lm_malloc((size_t)r->n * sizeof *sorted + 1);
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++)
        if (!isnan(r->difficulty[i])) sorted[n++] = r->difficulty[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 0; i < r->n; i++) {
        double x = r->difficulty[i];
        bin[i] = isnan(x) ? (uint32_t)bins : (uint32_t)(rank_of(sorted, n, x) * bins / n);
    }
    free(sorted);
}

static char *group_name(const reading *r, int64_t key, int64_t bins)
{
    lm_str name = {0};
    const char *topic = r->names.items[key / (bins + 1)];
    int64_t bin = key % (bins + 1);
    lm_str_puts(&name, "");
    if (r->source->topic) lm_str_puts(&name, *topic ? topic : "(no topic)");
    if (r->source->difficulty && bin == bins) lm_str_printf(&name, "%s(no number)", name.len ? ", " : "");
    else if (r->source->difficulty) lm_str_printf(&name, "%sbin %" PRId64 " of %" PRId64, name.len ? ", " : "", bin + 1, bins);
    return lm_str_take(&name);
}

static void make_groups(const reading *r, lm_mix_rows *out)
{
    int64_t bins = r->source->difficulty ? r->source->bins : 0, keys = r->names.n * (bins + 1), first = r->store->n - r->n;
    uint32_t *bin = lm_calloc((size_t)r->n, sizeof *bin);
    int64_t *count = lm_calloc((size_t)keys, sizeof *count);
    int *number = lm_malloc((size_t)keys * sizeof *number + 1);
    if (r->source->difficulty) cut_into_bins(r, bin, bins);
    for (int64_t i = 0; i < r->n; i++) count[r->topic[i] * (bins + 1) + bin[i]]++;
    out->n = r->n;
    for (int64_t k = 0; k < keys; k++) out->n_groups += count[k] > 0;
    out->groups = lm_calloc((size_t)out->n_groups, sizeof *out->groups);
    for (int64_t k = 0, g = 0; k < keys; k++) {
        if (!count[k]) continue;
        number[k] = (int)g;
        out->groups[g++] = (lm_mix_group){ .name = group_name(r, k, bins), .rows = lm_malloc((size_t)count[k] * sizeof(uint32_t)) };
    }
    for (int64_t i = 0; i < r->n; i++) {
        lm_mix_group *g = &out->groups[number[r->topic[i] * (bins + 1) + bin[i]]];
        g->rows[g->n++] = (uint32_t)(first + i);
    }
    free(number);
    free(count);
    free(bin);
}

/* The topic of a source is a field of its rows, or what a model tells. */
static lm_status open_topics(reading *r, int workers, lm_err *err)
{
    const char *topic = r->source->topic;
    r->terms = lm_calloc((size_t)workers, sizeof *r->terms);
    r->rooms = lm_calloc((size_t)workers, sizeof *r->rooms);
    if (topic && lm_ends_with(topic, ".safetensors")) return lm_linear_load(&r->model, lm_topic_model, topic, err);
    r->topic_field = topic;
    return LM_OK;
}

static void close_topics(reading *r, int workers)
{
    for (int w = 0; w < workers; w++) {
        lm_buckets_free(&r->terms[w]);
        lm_str_free(&r->rooms[w]);
    }
    lm_linear_free(r->model);
    free(r->terms);
    free(r->rooms);
}

/* ---- all of it ------------------------------------------------------------------- */

static lm_status read_source(lm_mix_store *store, lm_mix_rows *out, const lm_mix_source *source, const lm_mix_options *o, lm_skipped *skipped, lm_err *err)
{
    static const lm_row_work work = { .slot_size = sizeof(slot), .slot_free = free_slot, .each = look_at_row, .take = take_row };
    lm_source_options how = { .format = source->format, .separator = source->separator, .raw = true, .skipped = o->on_error ? skipped : NULL };
    int workers = lm_threads();
    reading r = { .source = source, .o = o, .store = store, .topics = lm_map_new(16), .members = lm_calloc((size_t)workers, sizeof *r.members) };
    lm_status status = lm_source_open(&r.rows, &source->files, &how, err);
    if (status == LM_OK) status = open_topics(&r, workers, err);
    if (status == LM_OK) status = lm_rows_work(r.rows, &work, &r, err);
    if (status == LM_OK && !r.n) status = lm_fail(err, LM_E_FORMAT, "%s: holds no row", source->name);
    if (status == LM_OK) make_groups(&r, out);
    lm_source_close(r.rows);
    if (r.terms) close_topics(&r, workers);
    for (int w = 0; w < workers; w++)
        for (int i = 0; i < MEMBERS; i++) lm_str_free(&r.members[w][i].room);
    free(r.members);
    lm_map_free(r.topics);
    lm_strings_free(&r.names);
    free(r.topic);
    free(r.difficulty);
    return status;
}

lm_status lm_mix_store_read(lm_mix_store *s, const lm_mix *m, const lm_mix_options *o, const char *folder, lm_skipped *skipped, lm_err *err)
{
    *s = (lm_mix_store){ .n_sources = m->n_sources, .sources = lm_calloc((size_t)m->n_sources, sizeof *s->sources) };
    lm_spill_init(&s->spill, folder, (size_t)o->memory);
    for (int i = 0; i < m->n_sources; i++) LM_TRY(read_source(s, &s->sources[i], &m->sources[i], o, skipped, err));
    const void *text;
    LM_TRY(lm_spill_seal(&s->spill, &text, err));
    s->text = text;
    return LM_OK;
}

void lm_mix_store_free(lm_mix_store *s)
{
    for (int i = 0; i < s->n_sources; i++) {
        for (int g = 0; g < s->sources[i].n_groups; g++) {
            free(s->sources[i].groups[g].name);
            free(s->sources[i].groups[g].rows);
        }
        free(s->sources[i].groups);
    }
    lm_spill_free(&s->spill);
    free(s->sources);
    free(s->ends);
    *s = (lm_mix_store){ .spill.fd = -1 };               /* as that of a store that was never read */
}
