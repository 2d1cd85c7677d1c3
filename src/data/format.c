/* Files of rows into one file: detect, check, write. */
#include "data/format.h"

#include "base/file.h"
#include "base/signal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct formatter {
    const lm_format_options *o;
    lm_format_result *r;
    lm_source *source;
    lm_writer out;
    bool detects, chat, seen;            /* the kind is looked at in every row; samples are messages; some sample was there */
} formatter;

/* ---- options ---- */

static lm_status choose_shape(formatter *f, lm_err *err)
{
    const char *to = f->o->to && strcmp(f->o->to, "auto") ? f->o->to : NULL;
    lm_format_result *r = f->r;
    r->to = r->kind->usual;
    for (int s = 0; to && s < LM_SHAPES; s++)
        if (!strcmp(to, lm_shape_names[s])) r->to = (lm_shape)s;
    if (to && strcmp(to, lm_shape_names[r->to])) return lm_fail(err, LM_E_USAGE, "--to %s: no shape is called that", to);
    if (lm_shape_becomes(r->kind->shape, r->to)) return LM_OK;
    lm_str list = {0};
    for (int s = 0; s < LM_SHAPES; s++)
        if (lm_shape_becomes(r->kind->shape, (lm_shape)s)) lm_str_printf(&list, "%s%s", list.len ? ", " : "", lm_shape_names[s]);
    lm_fail(err, LM_E_USAGE, "--to %s: %s rows cannot become that; they become %s", to, r->kind->name, list.data);
    lm_str_free(&list);
    return LM_E_USAGE;
}

static lm_status choose_kind(formatter *f, lm_err *err)
{
    const char *kind = f->o->kind;
    f->detects = !kind || !strcmp(kind, "auto");
    if (f->detects) return LM_OK;
    f->r->kind = lm_kind_find(kind);
    return f->r->kind ? choose_shape(f, err) : lm_fail(err, LM_E_USAGE, "--kind %s: no kind is called that", kind);
}

static lm_status check_roles(const lm_format_options *o, lm_err *err)
{
    for (int i = 0; o->fields && i < o->fields->n; i++) {
        const char *equal = strchr(o->fields->items[i], '=');
        bool known = false;
        for (const lm_row_kind *const *k = lm_row_kind_registry; *k && equal; k++)
            for (const lm_kind_field *role = (*k)->fields; role < (*k)->fields + LM_KIND_FIELDS && role->role; role++)
                known |= strlen(role->role) == (size_t)(equal - o->fields->items[i]) && lm_starts_with(o->fields->items[i], role->role);
        if (!known || !equal[1]) return lm_fail(err, LM_E_USAGE, "--field %s: expected ROLE=NAME with a role such as question, answer, prompt or completion", o->fields->items[i]);
    }
    return LM_OK;
}

/* ---- the fields of the first row, for the report ---- */

static void note_fields(lm_format_result *r, const lm_kind_row *row, const lm_json *object, const lm_strings *keep)
{
    const char *key;
    lm_json *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        bool used = false, kept = false;
        for (int i = 0; i < LM_KIND_FIELDS; i++) used |= row->value[i] && !strcmp(row->name[i], key);
        for (int i = 0; keep && i < keep->n; i++) kept |= !strcmp(keep->items[i], key);
        if (used) lm_strings_push(&r->used, lm_strdup(key));
        else if (!kept) lm_strings_push(&r->unused, lm_strdup(key));
    }
    if (!object) lm_strings_push(&r->used, lm_strdup("plain text"));
}

/* ---- a row ---- */

/* The kind of every row is looked at, so that one of another kind is told for what it is. */
static lm_status same_kind(formatter *f, const lm_row *row, lm_err *err)
{
    const lm_row_kind *kind;
    lm_err other = {0};
    lm_kind_row ignored;
    if (!f->r->kind) {
        LM_TRY(lm_kind_detect(&f->r->kind, f->o->fields, row, err));
        return choose_shape(f, err);
    }
    if (lm_kind_detect(&kind, f->o->fields, row, &other) == LM_OK) {
        if (kind == f->r->kind) return LM_OK;
        lm_str fields = {0};
        for (int i = 0; i < f->r->used.n; i++) lm_str_printf(&fields, "%s%s", i ? ", " : "", f->r->used.items[i]);
        lm_fail(err, LM_E_FORMAT, "mixed kinds: this row is %s, the first was %s (%s)", kind->name, f->r->kind->name, fields.data ? fields.data : "");
        lm_str_free(&fields);
        return LM_E_FORMAT;
    }
    if (row->object && lm_kind_match(&ignored, f->r->kind, f->o->fields, row->object, err) != LM_OK) return err->code;
    return lm_fail(err, LM_E_FORMAT, "%s", other.message);
}

static lm_status keep_fields(const formatter *f, lm_json *rows, const lm_json *object, lm_err *err)
{
    for (int i = 0; f->o->keep && i < f->o->keep->n; i++) {
        const char *name = f->o->keep->items[i];
        lm_json *value = json_object_get(object, name);
        if (!value) return lm_fail(err, LM_E_FORMAT, "expected field \"%s\" (--keep)", name);
        for (size_t j = 0; j < json_array_size(rows); j++) {
            lm_json *row = json_array_get(rows, j);
            if (json_object_get(row, name)) return lm_fail(err, LM_E_FORMAT, "--keep %s: the %s row has a field of that name", name, lm_shape_names[f->r->to]);
            json_object_set(row, name, value);
        }
    }
    return LM_OK;
}

/* Text in one row and messages in another make a column that no table holds; both become messages where those are wanted. */
static lm_status same_form(formatter *f, const lm_sample *s, lm_err *err)
{
    bool chat = lm_sample_is_chat(s), matters = f->r->to != LM_SHAPE_MESSAGES && f->r->to != LM_SHAPE_PROMPT_COMPLETION;
    if (f->seen && matters && chat != f->chat)
        return lm_fail(err, LM_E_FORMAT, "mixed kinds: its answers are %s, those of the rows before %s", chat ? "messages" : "text", f->chat ? "messages" : "text");
    f->chat = chat;
    f->seen = true;
    return LM_OK;
}

static lm_status make_rows(formatter *f, lm_json *rows, const lm_row *row, lm_err *err)
{
    lm_kind_row fields;
    lm_sample sample = {0};
    lm_json *object = row->object ? json_incref(row->object) : json_pack("{s:s%}", "text", row->text.data ? row->text.data : "", row->text.len);
    lm_status status = f->detects ? same_kind(f, row, err) : LM_OK;
    if (status == LM_OK) status = lm_kind_match(&fields, f->r->kind, f->o->fields, object, err);
    if (status == LM_OK && !f->r->used.n) note_fields(f->r, &fields, row->object, f->o->keep);
    if (status == LM_OK) status = f->r->kind->read(&sample, &fields, err);
    if (status == LM_OK) status = same_form(f, &sample, err);
    if (status == LM_OK) status = lm_sample_put(rows, &sample, f->r->kind->shape, f->r->to, err);
    if (status == LM_OK) status = keep_fields(f, rows, object, err);
    lm_sample_free(&sample);
    lm_json_free(object);
    return status;
}

static lm_status take(formatter *f, const lm_row *row, lm_err *err)
{
    lm_json *rows = json_array();
    lm_str text = {0};
    lm_err own = {0};
    lm_status status = make_rows(f, rows, row, &own);
    for (size_t i = 0; i < json_array_size(rows) && status == LM_OK; i++, f->r->written++) {
        lm_json_text(&text, json_array_get(rows, i), 0);
        lm_str_putc(&text, '\n');
    }
    if (text.len) fwrite(text.data, 1, text.len, f->out.stream);
    lm_str_free(&text);
    lm_json_free(rows);
    f->r->rows += status == LM_OK;
    if (status == LM_OK) return LM_OK;
    if (status == LM_E_FORMAT) lm_context(&own, "%s:%" PRId64, row->path, row->line);
    return lm_source_pass_over(f->source, &own) == LM_OK ? LM_OK : lm_fail(err, status, "%s", own.message);
}

static lm_status take_all(formatter *f, lm_err *err)
{
    for (bool more = true;;) {
        lm_row row = {0};
        LM_TRY(lm_source_next(f->source, &row, &more, err));
        if (!more) break;
        lm_status status = take(f, &row, err);
        lm_row_free(&row);
        LM_TRY(status);
        if (lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped; nothing was written");
    }
    if (f->r->written) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "%s: %s", lm_source_name(f->source), f->r->skipped.n ? "every row was passed over" : "no row in it");
}

lm_status lm_format_files(lm_format_result *result, const lm_strings *paths, const lm_format_options *o, lm_err *err)
{
    *result = (lm_format_result){0};
    formatter f = { .o = o, .r = result };
    const lm_source_options how = { .format = o->format, .separator = o->separator, .skipped = o->skip ? &result->skipped : NULL, .columns = o->columns };
    LM_TRY(choose_kind(&f, err));
    LM_TRY(check_roles(o, err));
    LM_TRY(lm_source_open(&f.source, paths, &how, err));
    lm_status status = lm_writer_open(&f.out, o->out, err);
    if (status == LM_OK) status = take_all(&f, err);
    if (status == LM_OK) status = lm_writer_commit(&f.out, err);
    else lm_writer_abort(&f.out);
    lm_source_close(f.source);
    return status;
}

void lm_format_result_free(lm_format_result *result)
{
    lm_strings_free(&result->used);
    lm_strings_free(&result->unused);
    lm_skipped_free(&result->skipped);
}
