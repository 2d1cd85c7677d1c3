#include "data/clean.h"

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "data/labelled.h"
#include "data/fields.h"
#include "data/rounds.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLE_COLUMNS = 400 };

typedef struct worker {
    lm_doc doc;
    lm_fields fields;
    lm_clean_filter *filters;
} worker;

typedef struct cleaner {
    const lm_pipeline *pipeline;
    const lm_clean_options *o;
    lm_clean_result *result;
    lm_source *source;
    worker *workers;
    int n_workers;
    bool reads_rows;                     /* a filter does */
    bool *enough;                        /* of each filter: it has its examples, as of the last round */
    lm_writer out, rejected;
} cleaner;

/* ---- counts ------------------------------------------------------------------ */

double lm_histogram_begin(bool counts, int bin)
{
    if (!counts) return (double)bin / LM_CLEAN_BINS;
    return bin ? exp2((double)(bin - 1) / LM_CLEAN_PER_OCTAVE) : 0;
}

/* The exponent of the number, and its fraction against the powers 1/4, 1/2 and 3/4 of two. */
int lm_histogram_bin(double value)
{
    uint64_t bits;
    if (value < 1) return 0;
    memcpy(&bits, &value, sizeof bits);
    int octave = (int)(bits >> 52) - 1023;
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    return 1 + LM_CLEAN_PER_OCTAVE * octave + (fraction >= 0x306FE0A31B715u) + (fraction >= 0x6A09E667F3BCDu) + (fraction >= 0xAE89F995AD3ADu);
}

void lm_histogram_add(lm_histogram *h, bool counts, double value, bool kept)
{
    int bins = counts ? LM_CLEAN_COUNT_BINS : LM_CLEAN_BINS, bin;
    if (counts) bin = lm_histogram_bin(value);
    else bin = (int)(value * LM_CLEAN_BINS);
    bin = bin < 0 ? 0 : bin >= bins ? bins - 1 : bin;
    h->least = h->n && h->least < value ? h->least : value;
    h->most = h->n && h->most > value ? h->most : value;
    h->n++;
    h->sum += value;
    (kept ? h->kept : h->rejected)[bin]++;
}

static lm_clean_filter *new_filters(const lm_pipeline *p)
{
    lm_clean_filter *filters = lm_calloc((size_t)p->n + 1, sizeof *filters);
    for (int i = 0; i < p->n; i++) {
        const lm_filter *f = p->items[i].filter;
        while (f->measures && f->measures[filters[i].n_measures].name) filters[i].n_measures++;
        while (f->tallies && f->tallies[filters[i].n_tallies]) filters[i].n_tallies++;
        filters[i].histograms = lm_calloc((size_t)filters[i].n_measures + 1, sizeof *filters[i].histograms);
        const lm_strings *kinds = f->kinds ? f->kinds(&p->items[i]) : &(lm_strings){0};
        filters[i].kinds = lm_calloc((size_t)kinds->n + 1, sizeof *filters[i].kinds);
        for (; filters[i].n_kinds < kinds->n; filters[i].n_kinds++) filters[i].kinds[filters[i].n_kinds].name = kinds->items[filters[i].n_kinds];
    }
    return filters;
}

static void free_filters(lm_clean_filter *filters, int n)
{
    for (int i = 0; i < n && filters; i++) {
        free(filters[i].histograms);
        free(filters[i].kinds);
        for (int e = 0; e < filters[i].n_examples; e++) free(filters[i].examples[e].place), free(filters[i].examples[e].reason), free(filters[i].examples[e].text);
    }
    free(filters);
}

static void add_histogram(lm_histogram *sum, const lm_histogram *h)
{
    if (!h->n) return;
    sum->least = sum->n && sum->least < h->least ? sum->least : h->least;
    sum->most = sum->n && sum->most > h->most ? sum->most : h->most;
    sum->n += h->n;
    sum->sum += h->sum;
    for (int b = 0; b < LM_CLEAN_COUNT_BINS; b++) sum->kept[b] += h->kept[b], sum->rejected[b] += h->rejected[b];
}

static void add_filter(lm_clean_filter *sum, const lm_clean_filter *f)
{
    sum->seen += f->seen, sum->rejected += f->rejected, sum->changed += f->changed, sum->cut += f->cut, sum->rejected_bytes += f->rejected_bytes;
    for (int t = 0; t < f->n_tallies; t++) sum->tallies[t] += f->tallies[t];
    for (int m = 0; m < f->n_measures; m++) add_histogram(&sum->histograms[m], &f->histograms[m]);
    for (int k = 0; k < f->n_kinds; k++) sum->kinds[k].kept += f->kinds[k].kept, sum->kinds[k].rejected += f->kinds[k].rejected;
}

/* ---- a row ------------------------------------------------------------------- */

typedef struct slot {
    lm_err err;
    lm_str line;
    lm_str example;                      /* the text as the filter that rejected it saw it */
    char reason[LM_DOC_REASON];
    int by;                              /* the filter that rejected it, or -1 */
    size_t bytes, kept_bytes;
    bool changed;
} slot;

static void free_slot(void *slot_)
{
    slot *s = slot_;
    lm_str_free(&s->line);
    lm_str_free(&s->example);
}

typedef struct observing {
    const lm_pipeline *pipeline;
    lm_clean_filter *filters;
    int64_t cut;
} observing;

static void observe(void *context, int index, const lm_doc *doc, bool kept, bool changed)
{
    observing *o = context;
    lm_clean_filter *f = &o->filters[index];
    const lm_measure *measures = o->pipeline->items[index].filter->measures;
    f->seen++;
    f->rejected += !kept;
    f->rejected_bytes += kept ? 0 : (int64_t)doc->text.len;
    f->changed += changed;
    f->cut += doc->cut - o->cut;
    o->cut = doc->cut;
    for (int t = 0; t < f->n_tallies; t++) f->tallies[t] += doc->tallies[t];
    for (int m = 0; m < f->n_measures; m++) lm_histogram_add(&f->histograms[m], measures[m].counts, doc->values[m], kept);
    if (f->n_kinds && doc->kind >= 0) *(kept ? &f->kinds[doc->kind].kept : &f->kinds[doc->kind].rejected) += 1;
}

/* fields: NULL where the row is read. */
static void put_rejected(const cleaner *c, slot *s, lm_row *row, const lm_fields *fields, const lm_doc *doc)
{
    if (!c->enough[s->by]) {
        size_t shown = lm_text_fit(doc->text.data, doc->text.len, EXAMPLE_COLUMNS);
        memcpy(s->reason, doc->reason, sizeof s->reason);
        lm_str_clear(&s->example);
        lm_str_append(&s->example, doc->text.data, shown);
        if (shown < doc->text.len) lm_str_puts(&s->example, " \xE2\x80\xA6");
    }
    if (!c->o->rejected) return;
    const char *const more[] = { "rejected_by", c->pipeline->items[s->by].filter->name, "reason", doc->reason, NULL };
    if (fields && !lm_fields_find(fields, more[0]) && !lm_fields_find(fields, more[2])) {
        lm_fields_put(&s->line, fields, NULL, (lm_span){0}, more);
        return;
    }
    if (lm_row_parse(row, NULL) != LM_OK) LM_BUG("a line that was read once cannot be read again");
    if (!row->object) {
        row->object = json_pack("{s:s%}", "text", row->text.data, row->text.len);
        lm_str_free(&row->text);
    }
    json_object_set_new(row->object, "rejected_by", json_string(c->pipeline->items[s->by].filter->name));
    json_object_set_new(row->object, "reason", json_string(doc->reason));
    lm_row_put_json(&s->line, row);
}

/* Where the text of a row stands: one of its fields as they are written, or a member of its object. */
typedef struct text_place {
    const lm_fields *fields;             /* NULL: the row is read */
    const lm_field *member;
    const char *field;
    lm_span text;
} text_place;

/* By fields as they are written where that will do. */
static lm_status find_text(const cleaner *c, lm_fields *fields, lm_row *row, text_place *out, lm_err *err)
{
    if (row->raw && !c->reads_rows && lm_fields_read(fields, row)) {
        out->member = lm_fields_text(fields, c->o->field);
        if (out->member) {
            out->fields = fields;
            out->text = out->member->value;
            return LM_OK;
        }
    }
    LM_TRY(lm_row_parse(row, err));
    if (lm_document_field(row, c->o->field, &out->field, err) == LM_OK && lm_row_text(row, out->field, &out->text, err) == LM_OK) return LM_OK;
    return lm_context(err, "%s:%" PRId64, row->path, row->line);
}

static void put_kept(slot *s, lm_row *row, const text_place *at, const lm_doc *doc)
{
    if (at->fields) {
        lm_fields_put(&s->line, at->fields, doc->edited ? at->member : NULL, doc->text, NULL);
        return;
    }
    if (doc->edited) lm_row_set_text(row, at->field, doc->text);
    lm_row_put_json(&s->line, row);
}

static void clean_row(void *context, int number, lm_row *row, void *slot_)
{
    cleaner *c = context;
    slot *s = slot_;
    worker *w = &c->workers[number];
    text_place at = {0};
    lm_err_clear(&s->err);
    s->by = -1;
    lm_str_clear(&s->line);
    if (find_text(c, &w->fields, row, &at, &s->err) != LM_OK) return;
    lm_doc_begin(&w->doc, row, at.text);
    s->bytes = at.text.len;
    observing o = { .pipeline = c->pipeline, .filters = w->filters };
    int by;
    bool kept = lm_pipeline_apply(c->pipeline, &w->doc, &by, c->o->rejected ? NULL : c->enough, observe, &o);
    if (!kept) {
        s->by = by;
        put_rejected(c, s, row, at.fields, &w->doc);
        return;
    }
    s->changed = w->doc.edited;
    s->kept_bytes = w->doc.text.len;
    put_kept(s, row, &at, &w->doc);
}

static lm_status write_line(lm_writer *w, const char *path, const lm_str *line, lm_err *err)
{
    fwrite(line->data, 1, line->len, w->stream);
    return ferror(w->stream) ? lm_fail(err, LM_E_IO, "%s: cannot be written: is the disk full?", path) : LM_OK;
}

static void keep_example(cleaner *c, const lm_row *row, const slot *s)
{
    lm_clean_filter *f = &c->result->filters[s->by];
    if (c->enough[s->by]) return;
    lm_str place = {0};
    lm_str_printf(&place, "%s:%" PRId64, row->path, row->line);
    int e = f->n_examples++;
    f->examples[e].place = lm_str_take(&place);
    f->examples[e].reason = lm_strdup(s->reason);
    f->examples[e].text = lm_strndup(s->example.data ? s->example.data : "", s->example.len);
    c->enough[s->by] = f->n_examples == LM_CLEAN_EXAMPLES;
}

static lm_status take_row(void *context, lm_row *row, void *slot_, lm_err *err)
{
    cleaner *c = context;
    slot *s = slot_;
    if (s->err.code) return lm_source_pass_over(c->source, &s->err) == LM_OK ? LM_OK : lm_fail(err, s->err.code, "%s", s->err.message);
    c->result->documents++;
    c->result->bytes += (int64_t)s->bytes;
    if (s->by >= 0) {
        keep_example(c, row, s);
        return c->o->rejected ? write_line(&c->rejected, c->o->rejected, &s->line, err) : LM_OK;
    }
    c->result->kept++;
    c->result->changed += s->changed;
    c->result->kept_bytes += (int64_t)s->kept_bytes;
    return write_line(&c->out, c->o->out, &s->line, err);
}

/* ---- the work ---------------------------------------------------------------- */

static lm_status clean_all(cleaner *c, const lm_strings *paths, lm_err *err)
{
    static const lm_row_work work = { .slot_size = sizeof(slot), .slot_free = free_slot, .each = clean_row, .take = take_row };
    lm_source_options how = { .format = c->o->format, .separator = c->o->separator, .skipped = c->o->on_error ? &c->result->skipped : NULL, .raw = true };
    LM_TRY(lm_source_open(&c->source, paths, &how, err));
    lm_status status = lm_writer_open(&c->out, c->o->out, err);
    if (status == LM_OK && c->o->rejected) status = lm_writer_open(&c->rejected, c->o->rejected, err);
    if (status == LM_OK) status = lm_file_can_write(c->o->report, err);
    if (status == LM_OK) status = lm_rows_work(c->source, &work, c, err);
    lm_source_close(c->source);
    if (status == LM_OK && c->o->rejected) status = lm_writer_commit(&c->rejected, err);
    if (status == LM_OK) status = lm_writer_commit(&c->out, err);
    lm_writer_abort(&c->rejected);
    lm_writer_abort(&c->out);
    return status;
}

static lm_status write_report(const cleaner *c, lm_err *err)
{
    if (!c->o->report) return LM_OK;
    if (lm_ends_with(c->o->report, ".html")) {
        lm_str page = {0};
        lm_clean_html(&page, c->result, c->pipeline);
        lm_status status = lm_file_write(c->o->report, page.data, page.len, err);
        lm_str_free(&page);
        return status;
    }
    lm_json *doc = lm_clean_json(c->result, c->pipeline);
    lm_status status = lm_json_write(doc, c->o->report, err);
    lm_json_free(doc);
    return status;
}

lm_status lm_clean_files(lm_clean_result *result, const lm_strings *paths, const lm_pipeline *pipeline, const lm_clean_options *o, lm_err *err)
{
    double started = lm_now();
    *result = (lm_clean_result){ .filters = new_filters(pipeline), .n_filters = pipeline->n };
    cleaner c = { .pipeline = pipeline, .o = o, .result = result, .n_workers = lm_threads() };
    c.workers = lm_calloc((size_t)c.n_workers, sizeof *c.workers);
    c.enough = lm_calloc((size_t)pipeline->n + 1, sizeof *c.enough);
    for (int w = 0; w < c.n_workers; w++) c.workers[w].filters = new_filters(pipeline);
    for (int i = 0; i < pipeline->n; i++) c.reads_rows |= pipeline->items[i].filter->reads_row;
    lm_status status = clean_all(&c, paths, err);
    for (int w = 0; w < c.n_workers; w++) {
        for (int i = 0; i < pipeline->n; i++) add_filter(&result->filters[i], &c.workers[w].filters[i]);
        free_filters(c.workers[w].filters, pipeline->n);
        lm_doc_free(&c.workers[w].doc);
        lm_fields_free(&c.workers[w].fields);
    }
    free(c.workers);
    free(c.enough);
    result->seconds = lm_now() - started;
    return status == LM_OK ? write_report(&c, err) : status;
}

void lm_clean_result_free(lm_clean_result *result)
{
    free_filters(result->filters, result->n_filters);
    lm_skipped_free(&result->skipped);
    *result = (lm_clean_result){0};
}
