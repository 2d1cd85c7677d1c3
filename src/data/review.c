#include "data/review.h"

#include "base/file.h"
#include "base/map.h"
#include "data/hashes.h"
#include "data/labelled.h"
#include "data/rounds.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void lm_wilson(int64_t hits, int64_t n, double *low, double *high)
{
    static const double z = 1.959963984540054;
    *low = 0, *high = 1;
    if (n <= 0) return;
    double N = (double)n, p = (double)hits / N, middle = p + z * z / (2 * N), half = z * sqrt(p * (1 - p) / N + z * z / (4 * N * N)), all = 1 + z * z / N;
    *low = fmax(0, (middle - half) / all);
    *high = fmin(1, (middle + half) / all);
}

void lm_review_free(lm_review *r)
{
    for (int i = 0; i < r->n; i++) free(r->items[i].name);
    free(r->items);
    *r = (lm_review){0};
}

/* ---- strata ------------------------------------------------------------------ */

static const char KEPT[] = "kept";

static int stratum_of(lm_review *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (!strcmp(r->items[i].name, name)) return i;
    r->items = lm_realloc(r->items, (size_t)(r->n + 1) * sizeof *r->items);
    r->items[r->n] = (lm_review_stratum){ .name = lm_strdup(name) };
    return r->n++;
}

static uint64_t id_of(lm_span text) { return lm_hash(text.data, text.len, 0); }

static const char *string_of(const lm_row *row, const char *key)
{
    const char *text = row->object ? json_string_value(json_object_get(row->object, key)) : NULL;
    return text ? text : "";
}

/* Counts a row for its stratum. */
static lm_status count_row(lm_review *r, bool kept, const lm_row *row, int *stratum, lm_err *err)
{
    const char *by = kept ? KEPT : string_of(row, "rejected_by");
    if (!*by) return lm_fail(err, LM_E_FORMAT, "expected a field \"rejected_by\", as `data clean --rejected` writes it");
    *stratum = stratum_of(r, by);
    r->items[*stratum].documents++;
    return LM_OK;
}

/* Calls visit with every row of a file and its text. */
typedef lm_status (*visitor)(void *context, bool kept, lm_row *row, lm_span text, lm_err *err);

static lm_status visit_file(const lm_review_files *files, bool kept, visitor visit, void *context, lm_err *err)
{
    char *path = kept ? files->kept : files->rejected;
    lm_source *source;
    if (!path) return LM_OK;
    LM_TRY(lm_source_open(&source, &(lm_strings){ &path, 1 }, &(lm_source_options){ .format = "jsonl" }, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        const char *field;
        lm_span text;
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        status = lm_document_field(&row, files->field, &field, err);
        if (status == LM_OK) status = lm_row_text(&row, field, &text, err);
        if (status == LM_OK) status = visit(context, kept, &row, text, err);
        if (status != LM_OK) lm_context(err, "%s:%" PRId64, path, row.line);
        lm_row_free(&row);
    }
    lm_source_close(source);
    return status;
}

/* ---- drawing ----------------------------------------------------------------- */

typedef struct drawn {
    uint64_t order;                      /* those with the least are drawn */
    int stratum;
    int64_t line;
    char *reason, *text;
    size_t bytes;
} drawn;

typedef struct draw {
    lm_review *r;
    int64_t per_stratum;
    uint64_t seed;
    drawn *items;
    size_t n, cap;
} draw;

/* The one of the stratum that would go first. */
static drawn *last_of(draw *d, int stratum)
{
    drawn *last = NULL;
    for (size_t i = 0; i < d->n; i++)
        if (d->items[i].stratum == stratum && (!last || d->items[i].order > last->order)) last = &d->items[i];
    return last;
}

static lm_status draw_row(void *context, bool kept, lm_row *row, lm_span text, lm_err *err)
{
    draw *d = context;
    int number;
    LM_TRY(count_row(d->r, kept, row, &number, err));
    lm_review_stratum *s = &d->r->items[number];
    uint64_t order = lm_mix64(lm_mix64(d->seed + (uint64_t)kept) + (uint64_t)row->line);
    drawn *place;
    if (s->drawn < d->per_stratum) {
        if (d->n == d->cap) {
            d->cap = 2 * d->cap + 64;
            d->items = lm_realloc(d->items, d->cap * sizeof *d->items);
        }
        place = &d->items[d->n++];
        s->drawn++;
    } else {
        place = last_of(d, number);
        if (!place || place->order <= order) return LM_OK;
        free(place->reason);
        free(place->text);
    }
    *place = (drawn){ .order = order, .stratum = number, .line = row->line, .reason = lm_strdup(string_of(row, "reason")), .text = lm_strndup(text.data, text.len), .bytes = text.len };
    return LM_OK;
}

static int by_stratum(const void *a, const void *b)
{
    const drawn *x = a, *y = b;
    return x->stratum != y->stratum ? (x->stratum > y->stratum) - (x->stratum < y->stratum) : (x->line > y->line) - (x->line < y->line);
}

static void put_id(char out[20], lm_span text) { snprintf(out, 20, "%016" PRIx64, id_of(text)); }

/* White space and what a table cannot hold as single spaces. */
static void put_cell(lm_str *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool white = (unsigned char)text[i] <= ' ';
        if (!white || (out->len && out->data[out->len - 1] != ' ' && out->data[out->len - 1] != '\t')) lm_str_putc(out, white ? ' ' : text[i]);
    }
}

static void put_table(lm_str *out, const draw *d)
{
    lm_str_puts(out, "verdict\tstratum\tline\tid\treason\ttext\n");
    for (size_t i = 0; i < d->n; i++) {
        const drawn *e = &d->items[i];
        char id[20];
        put_id(id, lm_span_of(e->text, e->bytes));
        lm_str_printf(out, "\t%s\t%" PRId64 "\t%s\t", d->r->items[e->stratum].name, e->line, id);
        put_cell(out, e->reason, strlen(e->reason));
        lm_str_putc(out, '\t');
        put_cell(out, e->text, e->bytes);
        lm_str_putc(out, '\n');
    }
}

static void put_rows(lm_str *out, const draw *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const drawn *e = &d->items[i];
        char id[20];
        put_id(id, lm_span_of(e->text, e->bytes));
        lm_json *row = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s%}", "verdict", "", "stratum", d->r->items[e->stratum].name, "line", (json_int_t)e->line, "id", id, "reason", e->reason, "text", e->text,
                                 e->bytes);
        lm_json_text(out, row, 0);
        lm_str_putc(out, '\n');
        lm_json_free(row);
    }
}

static void put_html(lm_str *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '&') lm_str_puts(out, "&amp;");
        else if (c == '<') lm_str_puts(out, "&lt;");
        else if (c == '>') lm_str_puts(out, "&gt;");
        else if (c == '"') lm_str_puts(out, "&quot;");
        else lm_str_putc(out, (unsigned char)c < 0x20 && c != '\n' ? ' ' : c);
    }
}

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>data review</title>\n<style>\n"
    "body { font: 15px/1.5 'Noto Sans KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif; color: #222; max-width: 62rem; margin: 2rem auto 6rem; padding: 0 1rem }\n"
    "article { border-top: 1px solid #ddd; padding: .8rem 0 } p { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30rem; overflow-y: auto; margin: .4rem 0 }\n"
    "small { color: #666 } label { margin-right: 1.2rem } footer { position: fixed; bottom: 0; left: 0; right: 0; background: #f4f5f7; padding: .6rem; text-align: center }\n"
    "</style>\n<h1>data review</h1>\n<p>Is it good enough to be trained on? &middot; 학습에 쓸 만한 글입니까?</p>\n";
static const char page_foot[] =
    "<footer><button id=\"save\">save verdicts.jsonl</button></footer>\n<script>\n"
    "document.getElementById('save').onclick = () => {\n"
    "  const rows = [...document.querySelectorAll('article')].map(a => JSON.stringify({ verdict: (a.querySelector('input:checked') || { value: '' }).value,\n"
    "    stratum: a.dataset.stratum, line: Number(a.dataset.line), id: a.dataset.id }) + '\\n');\n"
    "  const link = document.createElement('a');\n"
    "  link.href = URL.createObjectURL(new Blob(rows)); link.download = 'verdicts.jsonl'; link.click();\n};\n</script>\n</html>\n";

static void put_page(lm_str *out, const draw *d)
{
    lm_str_puts(out, page_head);
    for (size_t i = 0; i < d->n; i++) {
        const drawn *e = &d->items[i];
        const char *name = d->r->items[e->stratum].name;
        char id[20];
        put_id(id, lm_span_of(e->text, e->bytes));
        lm_str_puts(out, "<article data-stratum=\"");
        put_html(out, name, strlen(name));
        lm_str_printf(out, "\" data-line=\"%" PRId64 "\" data-id=\"%s\"><small>", e->line, id);
        put_html(out, name, strlen(name));
        lm_str_puts(out, *e->reason ? ": " : "");
        put_html(out, e->reason, strlen(e->reason));
        lm_str_puts(out, "</small>\n<p>");
        put_html(out, e->text, e->bytes);
        lm_str_printf(out, "</p>\n<label><input type=\"radio\" name=\"v%zu\" value=\"good\"> good</label><label><input type=\"radio\" name=\"v%zu\" value=\"bad\"> bad</label></article>\n", i, i);
    }
    lm_str_puts(out, page_foot);
}

static lm_status write_sample(const draw *d, const char *path, void (*put)(lm_str *, const draw *), lm_err *err)
{
    lm_str text = {0};
    put(&text, d);
    lm_status status = lm_file_write(path, text.data ? text.data : "", text.len, err);
    lm_str_free(&text);
    return status;
}

lm_status lm_review_draw(lm_review *r, const lm_review_files *files, int64_t per_stratum, uint64_t seed, const char *out, const char *page, lm_err *err)
{
    draw d = { .r = r, .per_stratum = per_stratum, .seed = seed };
    *r = (lm_review){0};
    lm_status status = visit_file(files, true, draw_row, &d, err);
    if (status == LM_OK) status = visit_file(files, false, draw_row, &d, err);
    if (status == LM_OK && !d.n) status = lm_fail(err, LM_E_FORMAT, "there are no documents to draw from");
    if (d.n) qsort(d.items, d.n, sizeof *d.items, by_stratum);
    if (status == LM_OK) status = write_sample(&d, out, lm_ends_with(out, ".tsv") ? put_table : put_rows, err);
    if (status == LM_OK && page) status = write_sample(&d, page, put_page, err);
    for (size_t i = 0; i < d.n; i++) free(d.items[i].reason), free(d.items[i].text);
    free(d.items);
    return status;
}

/* ---- merging ----------------------------------------------------------------- */

typedef struct verdict {
    bool kept, good, found;
    int64_t line;
    uint64_t id;
} verdict;

typedef struct merge {
    lm_review *r;
    verdict *items;
    size_t n, cap;
    lm_map *by_row;                      /* of a key, the index */
    lm_writer kept, rejected;
    bool writes;
    lm_str line;
    lm_str moved;                        /* rows that were kept and follow the rejected ones */
} merge;

typedef struct row_key {
    int64_t line, kept;
} row_key;

/* A number that may be written as a text, as tables have it. */
static bool number_of(const lm_row *row, const char *key, int base, uint64_t *out)
{
    const lm_json *value = row->object ? json_object_get(row->object, key) : NULL;
    const char *text = json_string_value(value);
    char *end = NULL;
    if (json_is_integer(value)) *out = (uint64_t)json_integer_value(value);
    else if (text && *text) *out = strtoull(text, &end, base);
    else return false;
    return !end || !*end;
}

static lm_status put_verdict(merge *m, const lm_row *row, lm_err *err)
{
    const char *said = string_of(row, "verdict"), *stratum = string_of(row, "stratum");
    uint64_t line, id;
    if (!*stratum || !number_of(row, "line", 10, &line) || !number_of(row, "id", 16, &id))
        return lm_fail(err, LM_E_FORMAT, "expected verdict, stratum, line and id, as the sample has them");
    int number = stratum_of(m->r, stratum);              /* which may move the items */
    lm_review_stratum *s = &m->r->items[number];
    s->drawn++;
    if (!*said) return s->open++, LM_OK;
    bool good = !strcmp(said, "good");
    if (!good && strcmp(said, "bad")) return lm_fail(err, LM_E_FORMAT, "verdict: expected good, bad or nothing, found \"%.50s\"", said);
    if (m->n == m->cap) {
        m->cap = 2 * m->cap + 64;
        m->items = lm_realloc(m->items, m->cap * sizeof *m->items);
    }
    row_key key = { .line = (int64_t)line, .kept = !strcmp(stratum, KEPT) };
    if (!lm_map_put(m->by_row, &key, sizeof key, (int64_t)m->n)) return lm_fail(err, LM_E_FORMAT, "a second verdict on line %" PRId64 " of stratum %.50s", key.line, stratum);
    m->items[m->n++] = (verdict){ .kept = key.kept, .good = good, .line = key.line, .id = id };
    *(good ? &s->good : &s->bad) += 1;
    return LM_OK;
}

static lm_status read_verdicts(merge *m, const lm_strings *paths, lm_err *err)
{
    lm_source *source;
    LM_TRY(lm_source_open(&source, paths, &(lm_source_options){0}, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        status = put_verdict(m, &row, err);
        if (status != LM_OK) lm_context(err, "%s:%" PRId64, row.path, row.line);
        lm_row_free(&row);
    }
    lm_source_close(source);
    return status;
}

static lm_status write_text(const merge *m, const lm_writer *w, const lm_str *text, lm_err *err)
{
    if (!m->writes) return LM_OK;
    fwrite(text->data, 1, text->len, w->stream);
    return ferror(w->stream) ? lm_fail(err, LM_E_IO, "cannot be written: is the disk full?") : LM_OK;
}

/* Writes the row where it belongs now. */
static lm_status merge_row(void *context, bool kept, lm_row *row, lm_span text, lm_err *err)
{
    merge *m = context;
    int stratum;
    LM_TRY(count_row(m->r, kept, row, &stratum, err));
    row_key key = { .line = row->line, .kept = kept };
    int64_t at = lm_map_get(m->by_row, &key, sizeof key, -1);
    verdict *v = at < 0 ? NULL : &m->items[at];
    if (v && v->id != id_of(text)) return lm_fail(err, LM_E_MISMATCH, "the row is not the one that was judged; was the sample drawn from this file?");
    if (v) v->found = true;
    bool moves = v && v->good != kept;
    lm_str_clear(&m->line);
    if (moves && kept) {
        json_object_set_new(row->object, "rejected_by", json_string("review"));
        json_object_set_new(row->object, "reason", json_string("judged bad"));
        lm_row_put_json(&m->moved, row);
        m->r->to_rejected++;
        return LM_OK;
    }
    if (moves) {
        json_object_del(row->object, "rejected_by");
        json_object_del(row->object, "reason");
        m->r->to_kept++;
    }
    lm_row_put_json(&m->line, row);
    return write_text(m, kept || moves ? &m->kept : &m->rejected, &m->line, err);
}

static lm_status merge_files(merge *m, const lm_review_files *files, const char *kept, const char *rejected, lm_err *err)
{
    m->writes = kept && rejected;
    if (m->writes) {
        LM_TRY(lm_writer_open(&m->kept, kept, err));
        LM_TRY(lm_writer_open(&m->rejected, rejected, err));
    }
    LM_TRY(visit_file(files, true, merge_row, m, err));
    LM_TRY(visit_file(files, false, merge_row, m, err));
    for (size_t i = 0; i < m->n; i++)
        if (!m->items[i].found)
            return lm_fail(err, LM_E_MISMATCH, "a verdict is on line %" PRId64 " of the %s documents, which is not there", m->items[i].line, m->items[i].kept ? "kept" : "rejected");
    if (m->moved.len) LM_TRY(write_text(m, &m->rejected, &m->moved, err));
    if (!m->writes) return LM_OK;
    LM_TRY(lm_writer_commit(&m->rejected, err));
    return lm_writer_commit(&m->kept, err);
}

lm_status lm_review_merge(lm_review *r, const lm_review_files *files, const lm_strings *verdicts, const char *kept, const char *rejected, lm_err *err)
{
    merge m = { .r = r, .by_row = lm_map_new(256) };
    *r = (lm_review){0};
    lm_status status = read_verdicts(&m, verdicts, err);
    if (status == LM_OK) status = merge_files(&m, files, kept, rejected, err);
    lm_writer_abort(&m.kept);
    lm_writer_abort(&m.rejected);
    lm_map_free(m.by_row);
    lm_str_free(&m.line);
    lm_str_free(&m.moved);
    free(m.items);
    return status;
}
