#include "data/dedup.h"
#include "data/dedup/copy.h"
#include "data/dedup/journal.h"
#include "data/dedup/record.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"
#include "data/members.h"
#include "data/normal.h"
#include "data/rounds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTERS_SHOWN = 100, MEMBERS_SHOWN = 20, MOST_MEMBERS = 8 };

typedef enum keep_rule { KEEP_FIRST, KEEP_LONGEST, KEEP_NEWEST } keep_rule;

/* A thread's own: the members of a row that are looked at, those that may be its text and the one of --keep; and room. */
typedef struct sight {
    lm_member members[MOST_MEMBERS];
    int n_texts, n;
    lm_digest_room room;
} sight;

typedef struct driver {
    lm_dedup_run run;
    lm_dedup_result *result;
    const lm_strings *paths;
    lm_source *source;
    lm_str stamp;                        /* of the source's files */
    lm_journal journal;                  /* of the first reading, where --work asks for one */
    lm_str line;                         /* room for a record */
    sight *sights;                       /* [lm_threads()] */
    keep_rule keep;
    const char *newest;                  /* field */
    int64_t rows[2];                     /* of the first and of the second reading, with those that were passed over */
    lm_dedup_document *documents;
    size_t cap;
    lm_strings names;                    /* of files, as documents refer to them */
    uint8_t *dropped;                    /* a bit each */
    lm_against *against;
    lm_json *hits;
    lm_writer out;
    int64_t at;                          /* the document that is written next */
} driver;

const lm_dedup *lm_dedup_find(const char *name)
{
    for (const lm_dedup *const *m = lm_dedup_registry; *m; m++)
        if (!strcmp((*m)->name, name)) return *m;
    return NULL;
}

void lm_digest_free(lm_digest *d)
{
    lm_str_free(&d->text);
    lm_hashes_free(&d->hashes);
    lm_hashes_free(&d->keys);
}

void lm_digest_room_free(lm_digest_room *room)
{
    lm_str_free(&room->text);
    lm_str_free(&room->other);
    lm_hashes_free(&room->hashes);
    lm_hash_set_free(&room->set);
}

/* ---- the first reading ------------------------------------------------------- */

static void free_record(void *slot) { lm_dedup_record_free(slot); }

static lm_status text_of(const driver *d, const lm_row *row, lm_span *text, lm_err *err)
{
    const char *field;
    LM_TRY(lm_document_field(row, d->run.common->field, &field, err));
    return lm_row_text(row, field, text, err);
}

/* A text whose first bytes decide, as dates do when they are written from the year on. */
static uint64_t rank_of_text(lm_span text)
{
    uint64_t rank = 0;
    for (size_t i = 0; i < 17; i++) {
        char c = i < text.len ? text.data[i] : '\0';
        rank = rank * 12 + (c >= '0' && c <= '9' ? (unsigned)(c - '0') + 1 : i < text.len ? 11 : 0);
    }
    return rank;
}

static uint64_t rank_of_number(double x) { return x < 0x1p53 ? (uint64_t)(x * 1024) : UINT64_MAX; }

static lm_status rank_of(const driver *d, const lm_row *row, lm_span text, uint64_t *rank, lm_err *err)
{
    *rank = d->keep == KEEP_LONGEST ? text.len : 0;
    if (d->keep != KEEP_NEWEST) return LM_OK;
    const lm_json *value = row->object ? lm_json_get(row->object, d->newest) : NULL;
    if (json_is_string(value)) *rank = rank_of_text(lm_span_of(json_string_value(value), json_string_length(value)));
    else if (json_is_number(value) && json_number_value(value) >= 0) *rank = rank_of_number(json_number_value(value));
    else return lm_fail(err, LM_E_FORMAT, "field \"%s\" of --keep: expected a date or a number that is not negative", d->newest);
    return LM_OK;
}

static void set_sight(sight *s, const driver *d)
{
    const char *given[] = { d->run.common->field, NULL };
    for (const char *const *name = *given ? given : lm_text_names; *name; name++) s->members[s->n_texts++].name = *name;
    s->n = s->n_texts;
    if (d->newest) s->members[s->n++].name = d->newest;
    LM_ASSERT(s->n <= MOST_MEMBERS);
}

static void free_sight(sight *s)
{
    for (int i = 0; i < MOST_MEMBERS; i++) lm_str_free(&s->members[i].room);
    lm_digest_room_free(&s->room);
}

/* Reads a line of JSONL without making a document.  False: not such a line, or something is wrong with it. */
static bool see_line(const driver *d, sight *s, const lm_row *row, lm_span *text, uint64_t *rank)
{
    double number;
    if (!row->raw || !lm_members_read(s->members, s->n, lm_span_of(row->text.data, row->text.len))) return false;
    const lm_member *found = s->members, *newest = &s->members[s->n_texts];
    while (!found->kind && found + 1 < s->members + s->n_texts) found++;
    if (found->kind != '"') return false;
    *text = found->value;
    *rank = d->keep == KEEP_LONGEST ? text->len : 0;
    if (d->keep != KEEP_NEWEST) return true;
    if (newest->name != d->newest || !newest->kind) return false;
    if (newest->kind == '"') *rank = rank_of_text(newest->value);
    else if (lm_member_number(newest, &number) && number >= 0) *rank = rank_of_number(number);
    else return false;
    return true;
}

static lm_status see(const driver *d, sight *s, lm_row *row, lm_span *text, uint64_t *rank, lm_err *err)
{
    if (see_line(d, s, row, text, rank)) return LM_OK;
    LM_TRY(lm_row_parse(row, err));
    lm_status status = text_of(d, row, text, err);
    if (status == LM_OK) status = rank_of(d, row, *text, rank, err);
    return status == LM_OK ? LM_OK : lm_context(err, "%s:%" PRId64, row->path, row->line);
}

static lm_status look(const driver *d, sight *mine, lm_row *row, lm_dedup_record *s)
{
    lm_span text;
    uint64_t rank;
    LM_TRY(see(d, mine, row, &text, &rank, &s->err));
    s->document = (lm_dedup_document){ .rank = rank, .line = row->line, .bytes = (int64_t)text.len, .place = row->place, .length = (uint32_t)row->text.len,
                                       .tie = d->keep == KEEP_FIRST ? 0 : lm_hash(text.data, text.len, 0) };
    d->run.method->digest(&d->run, &s->digest, &mine->room, text);
    if (d->against) lm_against_find(d->against, &s->overlaps, &mine->room, text);
    return LM_OK;
}

static void look_at_row(void *context, int worker, lm_row *row, void *slot)
{
    const driver *d = context;
    lm_dedup_record *s = slot;
    s->err = (lm_err){0};
    s->document.line = 0;
    look(d, &d->sights[worker], row, s);
}

static uint32_t name_index(driver *d, const char *path)
{
    lm_strings *names = &d->names;
    if (names->n && !strcmp(names->items[names->n - 1], path)) return (uint32_t)names->n - 1;
    lm_strings_push(names, lm_strdup(path));
    return (uint32_t)names->n - 1;
}

static lm_json *place_of(const driver *d, int64_t document)
{
    return json_sprintf("%s:%" PRId64, d->names.items[d->documents[document].path], d->documents[document].line);
}

static void note_overlaps(driver *d, const lm_overlaps *o)
{
    for (size_t i = 0; i < o->n; i++) {
        char *place = lm_against_place(d->against, o->items[i].row);
        json_array_append_new(d->hits, json_pack("{s:o, s:s, s:I, s:s%}", "row", place_of(d, d->run.n), "against", place, "ngrams",
                                                 (json_int_t)o->items[i].ngrams, "text", o->items[i].text.data, o->items[i].text.len));
        free(place);
    }
    d->result->hits += (int64_t)o->n;
    d->result->contaminated += o->n > 0;
}

static lm_status take_record(driver *d, const lm_row *row, lm_dedup_record *r, lm_err *err)
{
    d->rows[0]++;
    if (r->err.code && lm_source_pass_over(d->source, &r->err) != LM_OK) return lm_fail(err, r->err.code, "%s", r->err.message);
    if (!r->document.line) return LM_OK;
    if (d->run.n == UINT32_MAX) return lm_fail(err, LM_E_UNSUPPORTED, "more than %" PRIu32 " documents", UINT32_MAX);
    if ((size_t)d->run.n == d->cap) {
        size_t old = (d->cap + 7) / 8;
        d->cap = d->cap * 2 + 1024;
        d->documents = lm_realloc(d->documents, d->cap * sizeof *d->documents);
        d->dropped = lm_realloc(d->dropped, (d->cap + 7) / 8);
        memset(d->dropped + old, 0, (d->cap + 7) / 8 - old);
    }
    r->document.path = name_index(d, row->path);
    d->documents[d->run.n] = r->document;
    if (d->against && r->overlaps.n) {
        note_overlaps(d, &r->overlaps);
        if (!d->run.common->against_keep) lm_bit_set(d->dropped, d->run.n);
    }
    LM_TRY(d->run.method->add(&d->run, &r->digest, err));
    d->run.n++;
    return LM_OK;
}

static lm_status take_first(void *context, lm_row *row, void *slot, lm_err *err)
{
    driver *d = context;
    lm_str_clear(&d->line);
    if (d->journal.path) lm_dedup_record_put(&d->line, slot);
    LM_TRY(take_record(d, row, slot, err));
    return d->journal.path ? lm_journal_put(&d->journal, lm_span_of(d->line.data, d->line.len), err) : LM_OK;
}

/* ---- a run that was killed ---------------------------------------------------- */

/* Whatever the first reading depends on, as text. */
static lm_status make_key(const driver *d, lm_str *key, lm_err *err)
{
    const lm_dedup_options *o = d->run.common;
    lm_option_set sets[2] = { { .options = d->run.method->options, .values = (void *)(uintptr_t)d->run.options } };
    lm_json *doc = json_pack("{s:s, s:o, s:i, s:s?, s:s?, s:s?, s:s, s:I}", "method", d->run.method->name, "settings",
                             d->run.method->options ? lm_options_dump(sets, false) : json_object(), "form", (int)d->run.normal, "field", o->field, "format",
                             o->format, "separator", o->separator, "keep", o->keep ? o->keep : "first", "ngram", (json_int_t)o->against_ngram);
    lm_json_text(key, doc, 0);
    lm_json_free(doc);
    lm_str_printf(key, "\n%s", d->stamp.data);
    if (!o->against.n) return LM_OK;
    lm_source *against;
    LM_TRY(lm_source_open(&against, &o->against, &(lm_source_options){0}, err));
    lm_source_stamp(against, key);
    lm_source_close(against);
    return LM_OK;
}

/* Whether a record of the journal is one of this row, in this run. */
static bool fits(const driver *d, const lm_row *row, const lm_dedup_record *r)
{
    if (!r->document.line) return true;
    for (size_t i = 0; i < r->overlaps.n; i++)
        if (!d->against || r->overlaps.items[i].row < 0 || r->overlaps.items[i].row >= lm_against_rows(d->against)) return false;
    return r->document.line == row->line && d->run.method->fits(&d->run, &r->digest);
}

/* Takes the rows that the journal has from there, while the source passes over them. */
static lm_status replay(driver *d, lm_err *err)
{
    lm_dedup_record r = {0};
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK && more;) {
        lm_span bytes;
        lm_row row = {0};
        bool there;
        status = lm_journal_next(&d->journal, &bytes, &more, err);
        if (status != LM_OK || !more) break;
        status = lm_source_next(d->source, &row, &there, err);
        bool good = status == LM_OK && there && lm_dedup_record_get(&r, bytes) && fits(d, &row, &r);
        if (good) status = take_record(d, &row, &r, err);
        else if (status == LM_OK) status = lm_fail(err, LM_E_MISMATCH, "%s: row %" PRId64 " does not fit %s: remove the file to begin anew", d->journal.path, d->rows[0] + 1, row.path ? row.path : d->paths->items[0]);
        lm_row_free(&row);
    }
    lm_dedup_record_free(&r);
    d->result->resumed = d->rows[0];
    return status;
}

static lm_status take_up(driver *d, lm_err *err)
{
    lm_str key = {0}, name = {0};
    LM_TRY(lm_make_dirs(d->run.folder, err));
    lm_status status = make_key(d, &key, err);
    lm_str_printf(&name, "%s/%s.state", d->run.folder, lm_path_name(d->run.common->out));
    if (status == LM_OK) status = lm_journal_open(&d->journal, name.data, lm_span_of(key.data, key.len), err);
    if (status == LM_OK) status = replay(d, err);
    if (d->result->resumed) lm_log(LM_LOG_INFO, "%s: goes on behind %" PRId64 " rows", name.data, d->result->resumed);
    lm_str_free(&key);
    lm_str_free(&name);
    return status;
}

/* ---- which ones stay --------------------------------------------------------- */

static bool better(const lm_dedup_document *a, const lm_dedup_document *b)
{
    return a->rank != b->rank ? a->rank > b->rank : a->tie < b->tie;
}

/* Keeps the best of each cluster.  A document that overlaps with an evaluation set is not among them: it goes
 * by itself, and does not take its cluster along. */
static uint32_t *choose(driver *d)
{
    int64_t n = d->run.n;
    const uint32_t *root = d->run.clusters.parent;
    uint32_t *best = lm_malloc((size_t)n * sizeof *best + 1);
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = root[i];
        if (r == i) best[i] = (uint32_t)i;
        bool gone = lm_bit(d->dropped, best[r]), going = lm_bit(d->dropped, i);
        if ((gone && !going) || (gone == going && better(&d->documents[i], &d->documents[best[r]]))) best[r] = (uint32_t)i;
    }
    for (int64_t i = 0; i < n; i++)
        if (best[root[i]] != i) lm_bit_set(d->dropped, i);
    return best;
}

/* ---- the second reading ------------------------------------------------------ */

typedef struct second_slot {
    lm_str line;
    bool has_line;
} second_slot;

static void free_second(void *slot) { lm_str_free(&((second_slot *)slot)->line); }

static bool is_next(const driver *d, const lm_row *row)
{
    const lm_dedup_document *next = &d->documents[d->at];
    return d->at < d->run.n && next->line == row->line && !strcmp(d->names.items[next->path], row->path);
}

/* Lines of whole documents are made on all threads; a line of JSONL is there already. */
static void print_row(void *context, int worker, lm_row *row, void *slot)
{
    (void)worker;
    const driver *d = context;
    second_slot *s = slot;
    lm_str_clear(&s->line);
    s->has_line = !d->run.method->edit;
    if (s->has_line && !row->raw) lm_row_put_json(&s->line, row);
}

static lm_status edit_row(driver *d, lm_row *row, lm_span text, lm_str *line, lm_err *err)
{
    lm_str left = {0};
    d->run.method->edit(&d->run, &left, text);
    lm_span blank = lm_span_of(left.data, left.len);
    bool changed = left.len != text.len, empty = text.len && lm_is_blank(blank);
    const char *field = NULL;
    lm_status status = LM_OK;
    if (changed) status = lm_document_field(row, d->run.common->field, &field, err);
    if (status == LM_OK && changed) lm_row_set_text(row, field, blank);
    if (empty) lm_bit_set(d->dropped, d->at);
    else if (status == LM_OK && (changed || !row->object || !row->text.len)) lm_row_put_json(line, row);
    else if (status == LM_OK) lm_str_printf(line, "%s\n", row->text.data);       /* a line of JSONL, which has no zero byte */
    d->result->edited += changed && !empty;
    d->result->kept_bytes += empty || lm_bit(d->dropped, d->at) ? 0 : (int64_t)left.len;
    lm_str_free(&left);
    return status;
}

static lm_status write_line(driver *d, const lm_str *line, bool ended, lm_err *err)
{
    FILE *out = d->out.stream;
    d->result->kept++;
    fwrite(line->data, 1, line->len, out);
    if (!ended) putc('\n', out);
    return ferror(out) ? lm_fail(err, LM_E_IO, "%s: cannot be written: is the disk full?", d->run.common->out) : LM_OK;
}

static lm_status take_second(void *context, lm_row *row, void *slot, lm_err *err)
{
    driver *d = context;
    second_slot *s = slot;
    d->rows[1]++;
    if (!is_next(d, row)) return LM_OK;                  /* it was passed over the first time */
    d->result->bytes += d->documents[d->at].bytes;
    bool raw = s->has_line && row->raw;
    if (!s->has_line) {
        lm_span text;
        LM_TRY(lm_row_parse(row, err));
        LM_TRY(text_of(d, row, &text, err));
        LM_TRY(edit_row(d, row, text, &s->line, err));
    } else if (!lm_bit(d->dropped, d->at)) d->result->kept_bytes += d->documents[d->at].bytes;
    if (!lm_bit(d->dropped, d->at)) LM_TRY(write_line(d, raw ? &row->text : &s->line, !raw, err));
    d->at++;
    return LM_OK;
}

/* ---- the report -------------------------------------------------------------- */

/* Clusters of two and more, by size and by kept document: pairs (root, document) in that order. */
typedef struct members {
    lm_key_pair *pairs;
    size_t n;
} members;

static members list_members(const driver *d)
{
    const uint32_t *root = d->run.clusters.parent;
    int64_t n = d->run.n;
    uint8_t *many = lm_calloc((size_t)n / 8 + 1, 1);
    members m = {0};
    for (int64_t i = 0; i < n; i++)
        if (root[i] != i) lm_bit_set(many, root[i]);
    for (int64_t i = 0; i < n; i++) m.n += lm_bit(many, root[i]);
    m.pairs = lm_malloc((2 * m.n + 1) * sizeof *m.pairs);
    size_t at = 0;
    for (int64_t i = 0; i < n; i++)
        if (lm_bit(many, root[i])) m.pairs[at++] = (lm_key_pair){ .key = (uint64_t)root[i] << 32, .value = (uint64_t)i };
    lm_sort_pairs(m.pairs, m.pairs + m.n, m.n);
    free(many);
    return m;
}

static lm_json *cluster_json(const driver *d, const members *m, size_t begin, size_t end, const uint32_t *best, size_t most)
{
    uint32_t kept = best[m->pairs[begin].key >> 32];
    lm_json *removed = json_array();
    for (size_t i = begin; i < end && json_array_size(removed) < most; i++)
        if (m->pairs[i].value != kept) json_array_append_new(removed, place_of(d, (int64_t)m->pairs[i].value));
    return json_pack("{s:I, s:o, s:o}", "size", (json_int_t)(end - begin), "kept", place_of(d, kept), "removed", removed);
}

/* Adds "sizes" and the first clusters to the report; all of them go to the file that --clusters names. */
static lm_status report_clusters(driver *d, lm_json *report, const uint32_t *best, lm_err *err)
{
    members m = list_members(d);
    lm_json *shown = json_array(), *sizes = json_object();
    lm_writer file = {0};
    lm_str line = {0};
    lm_status status = d->run.common->clusters ? lm_writer_open(&file, d->run.common->clusters, err) : LM_OK;
    for (size_t i = 0, j; i < m.n && status == LM_OK; i = j) {
        for (j = i; j < m.n && m.pairs[j].key == m.pairs[i].key;) j++;
        char size[24];
        snprintf(size, sizeof size, "%zu", j - i);
        json_object_set_new(sizes, size, json_integer(json_integer_value(json_object_get(sizes, size)) + 1));
        d->result->clusters++;
        if ((int64_t)(j - i) > d->result->largest) d->result->largest = (int64_t)(j - i);
        if (json_array_size(shown) < CLUSTERS_SHOWN) json_array_append_new(shown, cluster_json(d, &m, i, j, best, MEMBERS_SHOWN));
        if (!file.stream) continue;
        lm_json *whole = cluster_json(d, &m, i, j, best, SIZE_MAX);
        lm_str_clear(&line);
        lm_json_text(&line, whole, 0);
        lm_str_putc(&line, '\n');
        fwrite(line.data, 1, line.len, file.stream);
        lm_json_free(whole);
    }
    if (status == LM_OK && file.stream) status = lm_writer_commit(&file, err);
    lm_writer_abort(&file);
    lm_str_free(&line);
    free(m.pairs);
    json_object_set_new(report, "sizes", sizes);
    json_object_set_new(report, "clusters", shown);
    return status;
}

static lm_json *skipped_json(const lm_skipped *skipped)
{
    lm_json *list = json_array();
    for (int i = 0; i < skipped->messages.n; i++) json_array_append_new(list, json_string(skipped->messages.items[i]));
    return json_pack("{s:I, s:o}", "count", (json_int_t)skipped->n, "first", list);
}

static void report_counts(const driver *d, lm_json *report)
{
    const lm_dedup_result *r = d->result;
    lm_json *counts = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "method", d->run.method->name, "source",
                                d->run.method->source, "documents", (json_int_t)r->documents, "kept", (json_int_t)r->kept, "removed",
                                (json_int_t)r->removed, "edited", (json_int_t)r->edited, "clusters_of_two_or_more", (json_int_t)r->clusters,
                                "largest_cluster", (json_int_t)r->largest, "bytes", (json_int_t)r->bytes, "kept_bytes", (json_int_t)r->kept_bytes,
                                "contaminated", (json_int_t)r->contaminated, "hits_in_all", (json_int_t)r->hits, "seconds", r->seconds, "skipped",
                                skipped_json(&r->skipped));
    json_object_update(counts, report);
    json_object_update(report, counts);
    lm_json_free(counts);
    if (d->against) json_object_set(report, "hits", d->hits);
}

/* ---- the work ---------------------------------------------------------------- */

static lm_status parse_keep(driver *d, lm_err *err)
{
    const char *rule = d->run.common->keep;
    if (!rule || !strcmp(rule, "first")) d->keep = KEEP_FIRST;
    else if (!strcmp(rule, "longest")) d->keep = KEEP_LONGEST;
    else if (lm_starts_with(rule, "newest:") && rule[7]) d->keep = KEEP_NEWEST, d->newest = rule + 7;
    else return lm_fail(err, LM_E_USAGE, "--keep %s: expected first, longest or newest:FIELD", rule);
    return LM_OK;
}

static lm_status open_source(driver *d, lm_skipped *skipped, lm_err *err)
{
    const lm_dedup_options *o = d->run.common;
    lm_source_options how = { .format = o->format, .separator = o->separator, .raw = true, .skipped = o->on_error ? skipped : NULL };
    return lm_source_open(&d->source, d->paths, &how, err);
}

static void close_source(driver *d)
{
    lm_source_close(d->source);
    d->source = NULL;
}

static lm_status read_first(driver *d, lm_err *err)
{
    static const lm_row_work work = { .slot_size = sizeof(lm_dedup_record), .slot_free = free_record, .each = look_at_row, .take = take_first };
    LM_TRY(open_source(d, &d->result->skipped, err));
    lm_source_stamp(d->source, &d->stamp);
    lm_status status = d->run.common->folder ? take_up(d, err) : LM_OK;
    if (status == LM_OK) status = lm_rows_work(d->source, &work, d, err);
    close_source(d);
    if (status == LM_OK && !d->run.n) status = lm_fail(err, LM_E_FORMAT, "%s: holds no document", d->paths->items[0]);
    return status;
}

/* What was wrong with a row has been told after the first reading. */
static lm_status read_second(driver *d, lm_err *err)
{
    static const lm_row_work work = { .slot_size = sizeof(second_slot), .slot_free = free_second, .each = print_row, .take = take_second };
    lm_skipped again = {0};
    lm_str stamp = {0};
    lm_status status = open_source(d, &again, err);
    if (status == LM_OK) status = lm_rows_work(d->source, &work, d, err);
    if (status == LM_OK) lm_source_stamp(d->source, &stamp);
    if (status == LM_OK && (d->at != d->run.n || d->rows[0] != d->rows[1] || strcmp(stamp.data, d->stamp.data)))
        status = lm_fail(err, LM_E_MISMATCH, "%s: was changed while duplicates were looked for", d->paths->items[0]);
    close_source(d);
    lm_str_free(&stamp);
    lm_skipped_free(&again);
    return status;
}

/* For documents that stay as they are, where they lie open. */
static lm_status copy_kept(driver *d, lm_err *err)
{
    lm_source *source;
    lm_str stamp = {0};
    for (int64_t i = 0; i < d->run.n; i++) {
        bool kept = !lm_bit(d->dropped, i);
        d->result->bytes += d->documents[i].bytes;
        d->result->kept_bytes += kept ? d->documents[i].bytes : 0;
        d->result->kept += kept;
    }
    LM_TRY(lm_dedup_copy(d->out.stream, d->run.common->out, &d->names, d->documents, d->run.n, d->dropped, err));
    LM_TRY(lm_source_open(&source, d->paths, &(lm_source_options){ .format = d->run.common->format }, err));
    lm_source_stamp(source, &stamp);
    bool same = !strcmp(stamp.data, d->stamp.data);
    lm_source_close(source);
    lm_str_free(&stamp);
    return same ? LM_OK : lm_fail(err, LM_E_MISMATCH, "%s: was changed while duplicates were looked for", d->paths->items[0]);
}

static lm_status write_kept(driver *d, lm_err *err)
{
    bool copies = !d->run.method->edit && lm_dedup_lie_plain(d->documents, d->run.n);
    return copies ? copy_kept(d, err) : read_second(d, err);
}

static lm_status work_through(driver *d, lm_json *report, lm_err *err)
{
    LM_TRY(d->run.method->open(&d->run, err));
    LM_TRY(read_first(d, err));
    lm_clusters_init(&d->run.clusters, d->run.n);
    LM_TRY(d->run.method->solve(&d->run, err));
    lm_clusters_flatten(&d->run.clusters);
    uint32_t *best = choose(d);
    lm_status status = report_clusters(d, report, best, err);
    free(best);
    return status == LM_OK ? write_kept(d, err) : status;
}

static lm_status write_results(driver *d, lm_json *report, double started, lm_err *err)
{
    const lm_dedup_options *o = d->run.common;
    d->result->documents = d->run.n;
    d->result->removed = d->run.n - d->result->kept;
    d->result->seconds = lm_now() - started;
    LM_TRY(lm_writer_commit(&d->out, err));
    if (d->run.method->describe) d->run.method->describe(&d->run, report);
    report_counts(d, report);
    return o->report ? lm_json_write(report, o->report, err) : LM_OK;
}

static lm_status check_paths(const lm_strings *paths, const lm_dedup_options *o, lm_err *err)
{
    for (int i = 0; i < paths->n; i++)
        if (!strcmp(paths->items[i], "-"))
            return lm_fail(err, LM_E_USAGE, "standard input cannot be read twice, as finding duplicates needs: give files");
    return o->out ? LM_OK : lm_fail(err, LM_E_USAGE, "--out: expected a file to write");
}

static char *folder_of(const lm_dedup_options *o)
{
    if (o->folder) return lm_strdup(o->folder);
    size_t n = (size_t)(lm_path_name(o->out) - o->out);
    return n ? lm_strndup(o->out, n) : lm_strdup(".");
}

lm_status lm_dedup_files(lm_dedup_result *result, const lm_strings *paths, const lm_dedup *method, const void *method_options,
                         const lm_dedup_options *o, lm_err *err)
{
    double started = lm_now();
    *result = (lm_dedup_result){0};
    LM_TRY(check_paths(paths, o, err));
    char *folder = folder_of(o);
    driver d = { .run = { .method = method, .options = method_options, .common = o, .folder = folder }, .result = result, .paths = paths, .hits = json_array() };
    d.run.normal = (o->nfc ? LM_NORMAL_NFC : 0u) | (o->space ? LM_NORMAL_SPACE : 0u) | (o->lower ? LM_NORMAL_CASE : 0u) |
                   (o->punctuation ? LM_NORMAL_PUNCTUATION : 0u);
    lm_json *report = json_object();
    lm_status status = parse_keep(&d, err);
    int workers = lm_threads();
    d.sights = lm_calloc((size_t)workers, sizeof *d.sights);
    for (int i = 0; i < workers; i++) set_sight(&d.sights[i], &d);
    if (status == LM_OK) status = lm_writer_open(&d.out, o->out, err);       /* before hours of work */
    if (status == LM_OK) status = lm_file_can_write(o->report, err);
    if (status == LM_OK) status = lm_file_can_write(o->clusters, err);
    if (status == LM_OK && o->against.n) status = lm_against_open(&d.against, &o->against, NULL, (int)o->against_ngram, err);
    if (status == LM_OK) status = work_through(&d, report, err);
    if (status == LM_OK) status = write_results(&d, report, started, err);
    lm_writer_abort(&d.out);
    lm_journal_close(&d.journal, status == LM_OK);
    if (d.run.state) method->close(d.run.state);
    lm_clusters_free(&d.run.clusters);
    lm_against_free(d.against);
    lm_json_free(report);
    lm_json_free(d.hits);
    lm_strings_free(&d.names);
    for (int i = 0; i < workers; i++) free_sight(&d.sights[i]);
    free(d.sights);
    lm_str_free(&d.stamp);
    lm_str_free(&d.line);
    free(d.documents);
    free(d.dropped);
    free(folder);
    return status;
}

void lm_dedup_result_free(lm_dedup_result *result) { lm_skipped_free(&result->skipped); }
