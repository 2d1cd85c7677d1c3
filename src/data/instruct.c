/* Instructions: which phrasing a record gets, with which others before it, and the files of them. */
#include "data/instruct_set.h"

#include "base/file.h"
#include "base/rng.h"
#include "base/signal.h"
#include "data/format.h"
#include "data/permute.h"
#include "data/statute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 4096 };                        /* records that others are shown: the first of all rows */

typedef struct maker {
    const lm_template_set *set;
    const lm_instruct_options *o;
    lm_instruct_result *r;
    lm_record *pool;
    int64_t n_pool;
    int *fits;                               /* [set->n] room for a draw */
} maker;

/* ---- one instruction ---- */

/* An example ends with its answer: behind an indicator on the same line. */
static void put_answer(lm_str *out, const lm_phrasing *p, const lm_record *record)
{
    lm_str_puts(out, p->order[p->n - 1] == LM_PART_INDICATOR ? " " : "\n");
    lm_places_write(out, &p->answer, record);
}

static void put_parts(lm_str *out, const lm_phrasing *p, int from, int to, const lm_record *record)
{
    for (int i = from; i < to; i++) {
        if (i > from) lm_str_puts(out, p->order[i] == LM_PART_INDICATOR ? "\n" : "\n\n");
        lm_places_write(out, &p->part[p->order[i]], record);
    }
}

/* How many parts stand once, in front of all examples: instruction and context that name no field. */
static int common_parts(const lm_phrasing *p)
{
    int n = 0;
    while (n < p->n && p->order[n] <= LM_PART_CONTEXT && !p->part[p->order[n]].fields) n++;
    return n;
}

static void put_prompt(lm_str *out, const lm_template_set *set, const lm_phrasing *p, const lm_record *record, const lm_record *const *shots, int64_t n)
{
    int common = n ? common_parts(p) : 0;
    put_parts(out, p, 0, common, record);
    if (n && set->lead) lm_str_printf(out, "%s%s", out->len ? "\n\n" : "", set->lead);
    for (int64_t i = 0; i < n; i++) {
        if (out->len) lm_str_puts(out, "\n\n");
        put_parts(out, p, common, p->n, shots[i]);
        put_answer(out, p, shots[i]);
    }
    if (out->len) lm_str_puts(out, "\n\n");
    put_parts(out, p, common, p->n, record);
}

static lm_status put_row(lm_json *rows, const maker *m, const lm_phrasing *p, const lm_record *record, const lm_record *const *shots, lm_err *err)
{
    lm_str prompt = {0}, answer = {0}, name = {0};
    put_prompt(&prompt, m->set, p, record, shots, m->o->how.shots);
    lm_places_write(&answer, &p->answer, record);
    lm_sample s = { .prompt = lm_question(m->set->system, prompt.data, NULL), .answers = json_pack("[[o]]", lm_message("assistant", answer.data)) };
    lm_status status = lm_sample_put(rows, &s, LM_SHAPE_MESSAGES, m->o->completions ? LM_SHAPE_PROMPT_COMPLETION : LM_SHAPE_MESSAGES, err);
    if (status == LM_OK) {
        lm_str_printf(&name, "%s/%s/%d", m->set->name, lm_phrasing_names[p->kind], p->number);
        json_object_set_new(json_array_get(rows, json_array_size(rows) - 1), "template", json_string(name.data));
        m->r->written++;
        m->r->kinds[p->kind]++;
    }
    lm_sample_free(&s);
    lm_str_free(&prompt), lm_str_free(&answer), lm_str_free(&name);
    return status;
}

/* ---- draws ---- */

/* Other records that have what the phrasing asks for, none twice, none like the record itself. */
static lm_status draw_shots(const lm_record **out, const maker *m, const lm_phrasing *p, const lm_record *record, lm_rng *rng, lm_err *err)
{
    int64_t want = m->o->how.shots, n = 0;
    uint64_t key = lm_rng_u64(rng);
    for (int64_t i = 0; i < m->n_pool && n < want; i++) {
        const lm_record *other = &m->pool[lm_permute(i, m->n_pool, key, 0)];
        bool fits = (other->has & p->fields) == p->fields && !lm_record_equal(other, record);
        for (int64_t j = 0; j < n && fits; j++) fits = !lm_record_equal(other, out[j]);
        if (fits) out[n++] = other;
    }
    return n == want ? LM_OK : lm_fail(err, LM_E_FORMAT, "--shots %" PRId64 ": only %" PRId64 " other row%s like it among the first %" PRId64, want, n,
                                       n == 1 ? " is" : "s are", m->n_pool);
}

static lm_status write_one(lm_json *rows, const maker *m, int phrasing, const lm_record *record, lm_rng *rng, lm_err *err)
{
    const lm_record **shots = lm_calloc((size_t)m->o->how.shots + 1, sizeof *shots);
    lm_status status = draw_shots(shots, m, &m->set->phrasings[phrasing], record, rng, err);
    if (status == LM_OK) status = put_row(rows, m, &m->set->phrasings[phrasing], record, shots, err);
    free(shots);
    return status;
}

/* Phrasings of a kind that fit the record, into m->fits. */
static int64_t list_fitting(const maker *m, lm_phrasing_kind kind, const lm_record *record)
{
    int64_t n = 0;
    for (int i = 0; i < m->set->n; i++) {
        const lm_phrasing *p = &m->set->phrasings[i];
        if (p->kind == kind && (p->fields & ~record->has) == 0) m->fits[n++] = i;
    }
    return n;
}

static lm_status write_all(lm_json *rows, const maker *m, const lm_record *record, lm_rng *rng, lm_err *err)
{
    for (int i = 0; i < m->set->n; i++) {
        const lm_phrasing *p = &m->set->phrasings[i];
        bool wanted = (p->kind == LM_PHRASING_COT) == m->o->how.cot;
        if (wanted && (p->fields & ~record->has) == 0) LM_TRY(write_one(rows, m, i, record, rng, err));
    }
    return LM_OK;
}

/* `n` of the phrasings of a kind, or all there are. */
static lm_status write_some(lm_json *rows, const maker *m, lm_phrasing_kind kind, int64_t n, const lm_record *record, lm_rng *rng, lm_err *err)
{
    int64_t left = list_fitting(m, kind, record);
    for (; n > 0 && left > 0; n--, left--) {
        int64_t at = (int64_t)lm_rng_below(rng, (uint64_t)left);
        int chosen = m->fits[at];
        m->fits[at] = m->fits[left - 1];
        LM_TRY(write_one(rows, m, chosen, record, rng, err));
    }
    return LM_OK;
}

/* Everything of one record, whose number and the seed alone decide. */
static lm_status write_record(lm_json *rows, const maker *m, int64_t number, const lm_record *record, lm_err *err)
{
    const lm_instruct_how *how = &m->o->how;
    lm_rng rng = { .seed = how->seed, .stream = (uint64_t)number };
    size_t before = json_array_size(rows);
    int64_t turned = 0, fitting = list_fitting(m, LM_PHRASING_INVERTED, record);
    for (int64_t i = 0; i < how->per_row && !how->all; i++) turned += lm_rng_unit(&rng) < how->invert;
    if (turned > fitting) turned = fitting;
    if (how->all) LM_TRY(write_all(rows, m, record, &rng, err));
    else {
        LM_TRY(write_some(rows, m, LM_PHRASING_INVERTED, turned, record, &rng, err));
        LM_TRY(write_some(rows, m, how->cot ? LM_PHRASING_COT : LM_PHRASING_PLAIN, how->per_row - turned, record, &rng, err));
    }
    m->r->unfit += json_array_size(rows) == before;
    return LM_OK;
}

/* ---- rows ---- */

static lm_status check(const maker *m, lm_err *err)
{
    const lm_instruct_how *how = &m->o->how;
    lm_template_about about = lm_template_set_about(m->set);
    for (int i = 0; how->fields && i < how->fields->n; i++) {
        const char *item = how->fields->items[i], *equal = strchr(item, '=');
        if (!equal || !equal[1] || lm_template_field_find(m->set, lm_span_of(item, (size_t)(equal - item))) < 0)
            return lm_fail(err, LM_E_USAGE, "--field %s: expected NAME=COLUMN with a field of the set %s", item, about.name);
    }
    if (how->cot && !about.phrasings[LM_PHRASING_COT]) return lm_fail(err, LM_E_USAGE, "--cot: the set %s has no phrasing with a rationale", about.name);
    if (how->invert > 0 && !about.phrasings[LM_PHRASING_INVERTED]) return lm_fail(err, LM_E_USAGE, "--invert: the set %s has no phrasing that is turned around", about.name);
    bool some = about.phrasings[LM_PHRASING_PLAIN] || how->cot;
    return some ? LM_OK : lm_fail(err, LM_E_USAGE, "the set %s has phrasings of no other kind than inverted and cot", about.name);
}

/* The records of a row: itself, or the many of an act. */
static lm_status records_of(lm_json *out, const maker *m, const lm_row *row, lm_err *err)
{
    if (m->set->acts) return lm_statute_records(out, row, err);
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with the fields of the set %s, found plain text", m->set->name);
    json_array_append(out, row->object);
    return LM_OK;
}

static lm_status keep_fields(const maker *m, lm_json *rows, size_t from, const lm_row *row, lm_err *err)
{
    for (int i = 0; m->o->keep && i < m->o->keep->n; i++) {
        lm_json *value = row->object ? json_object_get(row->object, m->o->keep->items[i]) : NULL;
        if (!value) return lm_fail(err, LM_E_FORMAT, "expected field \"%s\" (--keep)", m->o->keep->items[i]);
        for (size_t j = from; j < json_array_size(rows); j++) json_object_set(json_array_get(rows, j), m->o->keep->items[i], value);
    }
    return LM_OK;
}

/* One record in a line of records: where it came from, and what it holds. */
typedef struct waiting {
    lm_row row;
    lm_record *records;
    int64_t n;
} waiting;

static void free_waiting(waiting *w)
{
    for (int64_t i = 0; i < w->n; i++) lm_record_free(&w->records[i]);
    free(w->records);
    lm_row_free(&w->row);
}

static lm_status read_records(waiting *w, const maker *m, lm_err *err)
{
    lm_json *objects = json_array();
    lm_status status = records_of(objects, m, &w->row, err);
    w->records = lm_calloc(json_array_size(objects) + 1, sizeof *w->records);
    for (size_t i = 0; i < json_array_size(objects) && status == LM_OK; i++) {
        status = lm_record_read(&w->records[i], m->set, json_array_get(objects, i), m->o->how.fields, err);
        w->n += status == LM_OK;
    }
    lm_json_free(objects);
    return status;
}

/* The next row that can be used, read; *more is false at the end. */
static lm_status next_row(waiting *w, const maker *m, lm_source *source, bool *more, lm_err *err)
{
    for (;;) {
        lm_err own = {0};
        *w = (waiting){0};
        LM_TRY(lm_source_next(source, &w->row, more, err));
        if (!*more) return LM_OK;
        lm_status status = read_records(w, m, &own);
        if (status == LM_OK) return LM_OK;
        if (status == LM_E_FORMAT) lm_context(&own, "%s:%" PRId64, w->row.path, w->row.line);
        free_waiting(w);
        if (lm_source_pass_over(source, &own) != LM_OK) return lm_fail(err, status, "%s", own.message);
    }
}

static lm_status write_row(maker *m, lm_json *rows, const waiting *w, lm_err *err)
{
    lm_status status = LM_OK;
    size_t from = json_array_size(rows);
    for (int64_t i = 0; i < w->n && status == LM_OK; i++) status = write_record(rows, m, m->r->records++, &w->records[i], err);
    if (status == LM_OK) status = keep_fields(m, rows, from, &w->row, err);
    if (status == LM_E_FORMAT && w->row.path) lm_context(err, "%s:%" PRId64, w->row.path, w->row.line);
    m->r->rows++;
    return status;
}

static lm_status flush(maker *m, lm_writer *out, const waiting *w, lm_err *err)
{
    lm_json *rows = json_array();
    lm_str text = {0};
    lm_status status = write_row(m, rows, w, err);
    for (size_t i = 0; i < json_array_size(rows) && status == LM_OK; i++) {
        lm_json_text(&text, json_array_get(rows, i), 0);
        lm_str_putc(&text, '\n');
    }
    if (text.len) fwrite(text.data, 1, text.len, out->stream);
    lm_str_free(&text);
    lm_json_free(rows);
    if (status == LM_OK && lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped; nothing was written");
    return status;
}

static void copy_record(lm_record *out, const lm_record *record)
{
    *out = *record;
    for (int i = 0; i < LM_TEMPLATE_FIELDS; i++) json_incref(out->value[i]);
}

/* First the rows that others are shown, which wait until all of them are known; then one after the other. */
static lm_status make_all(maker *m, lm_source *source, lm_writer *out, lm_err *err)
{
    waiting *first = NULL, w;
    size_t n = 0;
    lm_status status = LM_OK;
    bool more = true;
    while (status == LM_OK && more && m->o->how.shots && m->n_pool < POOL) {
        status = next_row(&w, m, source, &more, err);
        if (status != LM_OK || !more) break;
        first = lm_realloc(first, (n + 1) * sizeof *first);
        first[n++] = w;
        for (int64_t i = 0; i < w.n && m->n_pool < POOL; i++) copy_record(&m->pool[m->n_pool++], &w.records[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (status == LM_OK) status = flush(m, out, &first[i], err);
        free_waiting(&first[i]);
    }
    free(first);
    while (status == LM_OK && more) {
        status = next_row(&w, m, source, &more, err);
        if (status != LM_OK || !more) break;
        status = flush(m, out, &w, err);
        free_waiting(&w);
    }
    if (status != LM_OK || m->r->written) return status;
    return lm_fail(err, LM_E_FORMAT, "%s: %s", lm_source_name(source),
                   m->r->records ? "no phrasing of the set fits any row" : m->r->skipped.n ? "every row was passed over" : "no row in it");
}

static void open_maker(maker *m, const lm_template_set *set, const lm_instruct_options *o, lm_instruct_result *result)
{
    *m = (maker){ .set = set, .o = o, .r = result, .fits = lm_calloc((size_t)set->n + 1, sizeof *m->fits) };
    if (o->how.shots) m->pool = lm_calloc(POOL, sizeof *m->pool);
}

static void close_maker(maker *m)
{
    for (int64_t i = 0; i < m->n_pool; i++) lm_record_free(&m->pool[i]);
    free(m->pool);
    free(m->fits);
}

lm_status lm_instruct_files(lm_instruct_result *result, const lm_template_set *set, const lm_strings *paths, const lm_instruct_options *o, lm_err *err)
{
    maker m;
    lm_source *source = NULL;
    lm_writer out = {0};
    *result = (lm_instruct_result){0};
    const lm_source_options how = { .format = o->format, .separator = o->separator, .skipped = o->skip ? &result->skipped : NULL,
                                    .columns = o->columns ? o->columns : lm_template_set_about(set).columns };
    open_maker(&m, set, o, result);
    lm_status status = check(&m, err);
    if (status == LM_OK) status = lm_source_open(&source, paths, &how, err);
    if (status == LM_OK) status = lm_writer_open(&out, o->out, err);
    if (status == LM_OK) status = make_all(&m, source, &out, err);
    if (status == LM_OK) status = lm_writer_commit(&out, err);
    else lm_writer_abort(&out);
    lm_source_close(source);
    close_maker(&m);
    return status;
}

lm_status lm_instruct_object(lm_json *rows, lm_instruct_result *result, const lm_template_set *set, const lm_json *object, const lm_instruct_options *o, lm_err *err)
{
    maker m;
    waiting w = { .row = { .object = json_incref((json_t *)(uintptr_t)object) } };
    open_maker(&m, set, o, result);
    lm_status status = check(&m, err);
    if (status == LM_OK) status = read_records(&w, &m, err);
    if (status == LM_OK) status = write_row(&m, rows, &w, err);
    free_waiting(&w);
    close_maker(&m);
    return status;
}

void lm_instruct_result_free(lm_instruct_result *result) { lm_skipped_free(&result->skipped); }
