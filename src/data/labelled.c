#include "data/labelled.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_FOUND = 4096 };

const char *const lm_text_names[] = { "text", "document", "sentence", "review", "content", NULL };
static const char *const label_names[] = { "label", "labels", "class", "category", "sentiment", NULL };

/* ---- rows ---- */

static lm_status not_there(const lm_row *row, const char *what, const char *option, const char *const *names, lm_err *err)
{
    lm_str known = {0}, found = {0};
    const char *key;
    lm_json *value;
    for (; *names; names++) lm_str_printf(&known, "%s\"%s\"", known.len ? ", " : "", *names);
    json_object_foreach(row->object, key, value)
        if (found.len < 200) lm_str_printf(&found, "%s%s", found.len ? ", " : "", key);
    lm_fail(err, LM_E_FORMAT, "expected a %s in one of the fields %s, or in the one that %s names; found %s", what, known.data, option,
            found.len ? found.data : "plain text");
    lm_str_free(&known);
    lm_str_free(&found);
    return LM_E_FORMAT;
}

static const char *choose(const lm_row *row, const char *given, const char *const *names)
{
    for (; !given && *names; names++)
        if (lm_row_has(row, *names)) return *names;
    return given;
}

lm_status lm_labelled_text(const lm_row *row, const lm_labelled_fields *fields, lm_span *out, lm_err *err)
{
    const char *field = choose(row, fields->text, lm_text_names);
    if (!row->object || !field) return not_there(row, "text", "--text-field", lm_text_names, err);
    return lm_row_text(row, field, out, err);
}

lm_status lm_document_field(const lm_row *row, const char *given, const char **field, lm_err *err)
{
    *field = row->object ? choose(row, given, lm_text_names) : NULL;
    return *field || !row->object ? LM_OK : not_there(row, "text", "--field", lm_text_names, err);
}

lm_status lm_labelled_label(const lm_row *row, const lm_labelled_fields *fields, lm_str *out, lm_err *err)
{
    const char *field = choose(row, fields->label, label_names);
    const lm_json *value = field && row->object ? lm_json_get(row->object, field) : NULL;
    if (!value) return not_there(row, "label", "--label-field", field ? (const char *const[]){ field, NULL } : label_names, err);
    if (json_is_integer(value)) lm_str_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value)) lm_str_puts(out, json_is_true(value) ? "true" : "false");
    else if (json_is_string(value) && json_string_length(value)) lm_str_puts(out, json_string_value(value));
    else return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected a label, a text that is not empty, an integer or a truth value", field);
    return LM_OK;
}

static void put_strings(lm_str *out, const lm_json *node)
{
    const char *key;
    lm_json *member;
    size_t i;
    if (json_is_string(node)) {
        lm_str_append(out, json_string_value(node), json_string_length(node));
        lm_str_putc(out, '\n');
    }
    json_object_foreach((lm_json *)(uintptr_t)node, key, member)
        if (strcmp(key, "role") && strcmp(key, "from") && strcmp(key, "template")) put_strings(out, member);
    json_array_foreach(node, i, member) put_strings(out, member);
}

lm_status lm_row_whole_text(const lm_row *row, const char *given, lm_str *room, lm_span *text, lm_err *err)
{
    const char *field;
    lm_err local = {0};
    if (lm_document_field(row, given, &field, &local) == LM_OK) return lm_row_text(row, field, text, err);
    lm_str_clear(room);
    put_strings(room, row->object);
    if (!room->len) return lm_fail(err, local.code, "%s", local.message);
    *text = lm_span_of(room->data, room->len);
    return LM_OK;
}

bool lm_is_blank(lm_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n\v\f", text.data[i]) || !text.data[i]) return false;
    return true;
}

/* ---- labels ---- */

static bool is_integer(const char *label, long long *value)
{
    char *end;
    *value = strtoll(label, &end, 10);
    return *label && !*end && strlen(label) < 18 && strchr("-0123456789", *label);
}

int64_t lm_label_find(const lm_strings *names, const char *label)
{
    long long value, other;
    bool integers = false;
    for (int i = 0; i < names->n; i++) {
        if (!strcmp(names->items[i], label)) return i;
        integers |= is_integer(names->items[i], &other);
    }
    return !integers && is_integer(label, &value) && value >= 0 && value < names->n ? value : -1;
}

lm_status lm_label_unknown(const lm_strings *names, const char *label, lm_err *err)
{
    lm_str known = {0};
    for (int i = 0; i < names->n && known.len < 200; i++) lm_str_printf(&known, "%s%s", i ? ", " : "", names->items[i]);
    lm_fail(err, LM_E_FORMAT, "label \"%.100s\" is not one of the model's %d: %s", label, names->n, known.data);
    lm_str_free(&known);
    return LM_E_FORMAT;
}

static int by_size_or_bytes(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    long long i, j;
    if (is_integer(x, &i) && is_integer(y, &j)) return (i > j) - (i < j);
    return strcmp(x, y);
}

/* Adds the label of every row that is not there yet. */
static lm_status collect(lm_strings *out, lm_map *seen, lm_source *source, const lm_labelled_fields *fields, lm_err *err)
{
    lm_str label = {0};
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK && more;) {
        lm_row row = {0};
        lm_str_clear(&label);
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        status = lm_labelled_label(&row, fields, &label, err);
        if (status != LM_OK) lm_context(err, "%s:%lld", row.path, (long long)row.line);
        else if (lm_map_put(seen, label.data, label.len, out->n)) lm_strings_push(out, lm_strdup(label.data));
        lm_row_free(&row);
        if (status == LM_OK && out->n > MOST_FOUND)
            status = lm_fail(err, LM_E_FORMAT, "%s: more than %d different labels; is the label in another field (--label-field)?",
                             lm_source_name(source), MOST_FOUND);
    }
    lm_str_free(&label);
    return status;
}

lm_status lm_labels_scan(lm_strings *out, const lm_strings *paths, const lm_source_options *how,
                         const lm_labelled_fields *fields, lm_err *err)
{
    *out = (lm_strings){0};
    for (int i = 0; i < paths->n; i++)
        if (!strcmp(paths->items[i], "-"))
            return lm_fail(err, LM_E_USAGE, "standard input cannot be read twice: name the labels with --labels");
    lm_source *source;
    LM_TRY(lm_source_open(&source, paths, how, err));
    lm_map *seen = lm_map_new(64);
    lm_status status = collect(out, seen, source, fields, err);
    if (status == LM_OK && out->n < 2)
        status = lm_fail(err, LM_E_FORMAT, "%s: expected at least two different labels, found %s%s%s", lm_source_name(source),
                         out->n ? "only \"" : "no row", out->n ? out->items[0] : "", out->n ? "\"" : "");
    if (status == LM_OK) qsort(out->items, (size_t)out->n, sizeof *out->items, by_size_or_bytes);
    else lm_strings_free(out);
    lm_map_free(seen);
    lm_source_close(source);
    return status;
}
