/* The values of a set's fields, from a row. */
#define _GNU_SOURCE                          /* memmem, memrchr */
#include "data/instruct_set.h"

#include "data/labelled.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

void lm_record_free(lm_record *record)
{
    for (int i = 0; i < LM_TEMPLATE_FIELDS; i++) lm_json_free(record->value[i]);
    *record = (lm_record){0};
}

bool lm_record_equal(const lm_record *a, const lm_record *b)
{
    for (int i = 0; i < LM_TEMPLATE_FIELDS; i++)
        if (a->value[i] || b->value[i])
            if (!json_equal(a->value[i], b->value[i])) return false;
    return true;
}

/* ---- the row's value as text ---- */

static const char *own_name(const lm_strings *own, const char *field)
{
    size_t n = strlen(field);
    for (int i = 0; own && i < own->n; i++)
        if (!strncmp(own->items[i], field, n) && own->items[i][n] == '=') return own->items[i] + n + 1;
    return NULL;
}

static const lm_json *find(const lm_template_field *f, const lm_json *row, const lm_strings *own, const char **name)
{
    const lm_json *value = NULL;
    *name = own_name(own, f->name);
    if (*name) return lm_json_get(row, *name);
    for (int i = 0; i < f->from.n && !value; i++) value = lm_json_get(row, *name = f->from.items[i]);
    if (!value) *name = f->from.items[0];
    return value;
}

static void unescape(lm_str *text)
{
    lm_str out = {0};
    for (size_t i = 0; i < text->len; i++) {
        bool escape = text->data[i] == '\\' && i + 1 < text->len && strchr("nt\\", text->data[i + 1]);
        char c = escape ? text->data[++i] : text->data[i];
        lm_str_putc(&out, !escape || c == '\\' ? c : c == 'n' ? '\n' : '\t');
    }
    lm_str_free(text);
    *text = out;
}

static void trim(lm_str *text)
{
    size_t begin = 0, end = text->len;
    while (begin < end && strchr(" \t\r\n", text->data[begin])) begin++;
    while (end > begin && strchr(" \t\r\n", text->data[end - 1])) end--;
    if (text->len) memmove(text->data, text->data + begin, end - begin), text->data[end - begin] = '\0';
    text->len = end - begin;
}

/* The last place of a mark, or NULL. */
static const char *find_last(const lm_str *text, const char *mark)
{
    const char *last = NULL, *end = text->data + text->len;
    for (const char *at = text->data; at && (at = memmem(at, (size_t)(end - at), mark, strlen(mark))); at++) last = at;
    return last;
}

/* What stands behind the first mark, or before the last. */
static bool keep_side(lm_str *text, const char *mark, bool behind)
{
    lm_str out = {0};
    const char *at = text->len && behind ? memmem(text->data, text->len, mark, strlen(mark)) : text->len ? find_last(text, mark) : NULL;
    if (!at) return false;
    const char *begin = behind ? at + strlen(mark) : text->data, *end = behind ? text->data + text->len : at;
    lm_str_append(&out, begin, (size_t)(end - begin));
    lm_str_free(text);
    *text = out;
    return true;
}

/* Takes out what stands between two marks, and the marks. */
static void drop_between(lm_str *text, const char *open, const char *close)
{
    lm_str out = {0};
    const char *at = text->data, *end = at ? at + text->len : at;
    while (at) {
        const char *from = memmem(at, (size_t)(end - at), open, strlen(open));
        const char *to = from ? memmem(from, (size_t)(end - from), close, strlen(close)) : NULL;
        lm_str_append(&out, at, (size_t)((to ? from : end) - at));
        at = to ? to + strlen(close) : NULL;
    }
    lm_str_free(text);
    *text = out;
}

static lm_status text_of(lm_str *out, const lm_template_field *f, const lm_json *value, const char *name, lm_err *err)
{
    if (json_is_string(value)) lm_str_append(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value)) lm_str_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value)) lm_str_puts(out, json_is_true(value) ? "true" : "false");
    else if (json_is_real(value)) lm_json_text(out, value, 0);
    else return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text or a number", name);
    if (out->len && memchr(out->data, '\0', out->len)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text, found a zero byte", name);
    if (f->unescape) unescape(out);
    if (f->after && !keep_side(out, f->after, true)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected \"%s\" in it", name, f->after);
    if (f->before && !keep_side(out, f->before, false)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected \"%s\" in it", name, f->before);
    if (f->open) drop_between(out, f->open, f->close);
    trim(out);
    return LM_OK;
}

/* ---- types ---- */

static size_t count_runes(const char *text, size_t n)
{
    size_t runes = 0;
    for (size_t i = 0; i < n; i++) runes += ((unsigned char)text[i] & 0xC0) != 0x80;
    return runes;
}

static bool is_integer(const lm_str *text)
{
    const char *c = text->data ? text->data : "";
    c += *c == '-' || *c == '+';
    if (!(*c >= '0' && *c <= '9')) return false;
    while ((*c >= '0' && *c <= '9') || *c == ',') c++;
    return !*c;
}

/* "- item", "(A) item", "- (A) item", "A. item" without their marks. */
static lm_span unmark(lm_span item)
{
    if (item.len > 1 && item.data[0] == '-' && item.data[1] == ' ') item = lm_span_of(item.data + 2, item.len - 2);
    const char *c = item.data;
    bool round = item.len > 3 && c[0] == '(' && c[2] == ')', point = item.len > 2 && c[1] == '.' && c[2] == ' ';
    bool letter = item.len > 1 && c[round] >= 'A' && c[round] <= 'Z';
    size_t n = letter && (round || point) ? round ? 3 : 2 : 0;
    while (n && n < item.len && c[n] == ' ') n++;
    return lm_span_of(c + n, item.len - n);
}

static void add_item(lm_json *list, const lm_template_field *f, const char *text, size_t n)
{
    lm_span item = f->marked ? unmark(lm_span_of(text, n)) : lm_span_of(text, n);
    if (!lm_is_blank(item)) json_array_append_new(list, json_stringn(item.data, item.len));
}

static lm_json *split_list(const lm_template_field *f, const lm_str *text)
{
    lm_json *list = json_array();
    const char *at = text->data ? text->data : "", *end = at + text->len;
    for (const char *next; at; at = next) {
        const char *cut = memmem(at, (size_t)(end - at), f->split, strlen(f->split));
        add_item(list, f, at, (size_t)((cut ? cut : end) - at));
        next = cut ? cut + strlen(f->split) : NULL;
    }
    return list;
}

/* A list of the row, one text that is split, or several fields. */
static lm_status read_list(lm_json **out, const lm_template_field *f, const lm_json *row, const lm_json *value, const char *name, lm_err *err)
{
    lm_str text = {0};
    lm_status status = LM_OK;
    size_t n = json_is_array(value) ? json_array_size(value) : f->split ? 1 : (size_t)f->from.n;
    *out = json_array();
    for (size_t i = 0; i < n && status == LM_OK; i++) {
        const char *own = json_is_array(value) || f->split ? name : f->from.items[i];
        const lm_json *item = json_is_array(value) ? json_array_get(value, i) : f->split ? value : lm_json_get(row, own);
        lm_str_clear(&text);
        if (!item) status = lm_fail(err, LM_E_FORMAT, "field \"%s\" is missing", own);
        else status = text_of(&text, f, item, own, err);
        if (status != LM_OK) break;
        if (f->split && !json_is_array(value)) {
            lm_json_free(*out);
            *out = split_list(f, &text);
        } else add_item(*out, f, text.data ? text.data : "", text.len);
    }
    lm_str_free(&text);
    return status;
}

/* The place of an item in a list, told by its letter, "C" or "(C)", or by its text; -1: nowhere. */
static int64_t place_in(const lm_json *list, const lm_str *text)
{
    const char *c = text->data ? text->data : "";
    bool round = text->len == 3 && c[0] == '(' && c[2] == ')';
    int64_t n = (int64_t)json_array_size(list), letter = text->len == 1 || round ? c[round] - 'A' : -1;
    if (letter >= 0 && letter < n) return letter;
    for (int64_t i = 0; i < n; i++)
        if (!strcmp(json_string_value(json_array_get(list, (size_t)i)), c)) return i;
    return -1;
}

static lm_status read_label(lm_json **out, const lm_template_field *f, const lm_record *record, const lm_str *text, const char *name, lm_err *err)
{
    lm_str known = {0};
    const char *key;
    lm_json *value;
    if (f->of < 0) {
        const char *called = json_string_value(json_object_get(f->choices, text->data ? text->data : ""));
        if (called) return *out = json_string(called), LM_OK;
        json_object_foreach(f->choices, key, value) lm_str_printf(&known, "%s%s", known.len ? ", " : "", key);
    } else {
        int64_t at = place_in(record->value[f->of], text);
        if (at >= 0 && f->letter) return *out = json_pack("s%", &(char){ (char)('A' + at) }, (size_t)1), LM_OK;
        if (at >= 0) return *out = json_incref(json_array_get(record->value[f->of], (size_t)at)), LM_OK;
        for (size_t i = 0; i < json_array_size(record->value[f->of]); i++) lm_str_printf(&known, "%s%s", i ? ", " : "", json_string_value(json_array_get(record->value[f->of], i)));
    }
    lm_fail(err, LM_E_FORMAT, "field \"%s\": expected one of %.300s; found \"%.60s\"", name, known.data ? known.data : "nothing", text->data ? text->data : "");
    lm_str_free(&known);
    return LM_E_FORMAT;
}

static lm_status read_value(lm_json **out, const lm_template_field *f, const lm_record *record, const lm_json *row, const lm_json *value, const char *name, lm_err *err)
{
    lm_str text = {0};
    if (f->type == LM_TEMPLATE_LIST) return read_list(out, f, row, value, name, err);
    lm_status status = text_of(&text, f, value, name, err);
    if (status == LM_OK && lm_is_blank(lm_span_of(text.data ? text.data : "", text.len))) status = lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty", name);
    if (status == LM_OK && f->type == LM_TEMPLATE_INTEGER && !is_integer(&text)) status = lm_fail(err, LM_E_FORMAT, "field \"%s\": expected an integer, found \"%.60s\"", name, text.data);
    if (status == LM_OK && f->type == LM_TEMPLATE_LABEL) status = read_label(out, f, record, &text, name, err);
    else if (status == LM_OK && (*out = json_stringn(text.data, text.len)) == NULL) status = lm_fail(err, LM_E_FORMAT, "field \"%s\": expected UTF-8", name);
    lm_str_free(&text);
    return status;
}

static bool too_long(const lm_template_field *f, const lm_json *value)
{
    size_t runes = count_runes(json_string_value(value), json_string_length(value));
    for (size_t i = 0; i < json_array_size(value); i++) runes += count_runes(json_string_value(json_array_get(value, i)), json_string_length(json_array_get(value, i)));
    return f->longest && runes > (size_t)f->longest;
}

static lm_status read_field(lm_record *out, int i, const lm_template_field *f, const lm_json *row, const lm_strings *own, lm_err *err)
{
    const char *name;
    lm_err ignored = {0};
    const lm_json *value = find(f, row, own, &name);
    bool of_nothing = f->of >= 0 && !out->value[f->of];
    if (!value || of_nothing) {
        if (f->optional || of_nothing) return LM_OK;
        lm_str found = {0};
        const char *key;
        lm_json *other;
        json_object_foreach((json_t *)(uintptr_t)row, key, other) if (found.len < 200) lm_str_printf(&found, "%s%.60s", found.len ? ", " : "", key);
        lm_fail(err, LM_E_FORMAT, "expected field \"%s\"%s%s%s, found %s", name, strcmp(name, f->name) ? " (the set's " : "", strcmp(name, f->name) ? f->name : "",
                strcmp(name, f->name) ? ")" : "", found.data ? found.data : "nothing");
        lm_str_free(&found);
        return LM_E_FORMAT;
    }
    lm_status status = read_value(&out->value[i], f, out, row, value, name, f->optional ? &ignored : err);
    bool empty = json_is_array(out->value[i]) && !json_array_size(out->value[i]);
    if (status == LM_OK && empty && !f->optional) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty", name);
    if (status != LM_OK || empty || too_long(f, out->value[i])) {
        lm_json_free(out->value[i]);
        out->value[i] = NULL;
        return f->optional ? LM_OK : status;
    }
    out->has |= UINT64_C(1) << i;
    return LM_OK;
}

lm_status lm_record_read(lm_record *out, const lm_template_set *set, const lm_json *row, const lm_strings *own, lm_err *err)
{
    lm_status status = LM_OK;
    *out = (lm_record){0};
    for (int i = 0; i < set->n_fields && status == LM_OK; i++) status = read_field(out, i, &set->fields[i], row, own, err);
    if (status != LM_OK) lm_record_free(out);
    return status;
}
