/* Template sets: the YAML file, checked, with the line of everything that is wrong. */
#define _GNU_SOURCE                          /* memmem */
#include "data/instruct_set.h"

#include "base/file.h"
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

const char *const lm_phrasing_names[] = { "templates", "inverted", "cot", NULL };
static const char *const part_names[] = { "instruction", "context", "input", "indicator", "answer", NULL };
static const char *const type_names[] = { "string", "integer", "label", "list", NULL };

typedef struct reading {
    const char *text, *name;
    size_t n;
    lm_map *lines;
    lm_template_set *set;
    lm_err *err;
} reading;

/* ---- messages with lines ---- */

static int line_of(const reading *r, const lm_json *node) { return lm_yaml_line(r->lines, node); }

/* The line of the piece `what` of a text that begins in line `from`; that line where the file writes it otherwise. */
static int line_with(const reading *r, int from, lm_span what)
{
    const char *at = r->text, *end = r->text + r->n;
    int line = 1;
    for (; line < from && at; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : NULL;
    }
    const char *found = at ? memmem(at, (size_t)(end - at), what.data, what.len) : NULL;
    if (!found) return from;
    for (; at < found; at++) line += *at == '\n';
    return line;
}

static int find_name(const char *const *names, const char *name)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static lm_status refuse_key(const reading *r, int line, const char *key, const char *const *names)
{
    const char *nearest = lm_nearest(key, names);
    return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %.60s: no key of that name is read here%s%s", r->name, line_with(r, line, lm_span_of(key, strlen(key))), key,
                   nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static lm_status want_text(const reading *r, const lm_json *value, int line, const char *key, const char **out)
{
    *out = json_string_value(value);
    return *out && **out ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: expected text", r->name, line_of(r, value) ? line_of(r, value) : line, key);
}

static lm_status copy_text(const reading *r, const lm_json *value, int line, const char *key, char **out)
{
    const char *text;
    LM_TRY(want_text(r, value, line, key, &text));
    *out = lm_strdup(text);
    return LM_OK;
}

/* A text, or a list of some. */
static lm_status copy_texts(const reading *r, const lm_json *value, int line, const char *key, lm_strings *out)
{
    char *text;
    if (!json_is_array(value)) {
        LM_TRY(copy_text(r, value, line, key, &text));
        lm_strings_push(out, text);
        return LM_OK;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        LM_TRY(copy_text(r, json_array_get(value, i), line_of(r, value), key, &text));
        lm_strings_push(out, text);
    }
    return out->n ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: expected text", r->name, line_of(r, value), key);
}

static lm_status copy_truth(const reading *r, const lm_json *value, int line, const char *key, bool *out)
{
    const char *text = json_string_value(value);
    *out = text && !strcmp(text, "true");
    return *out || (text && !strcmp(text, "false")) ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: expected true or false", r->name, line_of(r, value) ? line_of(r, value) : line, key);
}

/* ---- fields ---- */

int lm_template_field_find(const lm_template_set *set, lm_span name)
{
    for (int i = 0; i < set->n_fields; i++)
        if (lm_span_eq(name, set->fields[i].name)) return i;
    return -1;
}

static lm_status read_choices(reading *r, lm_template_field *f, const lm_json *value, int line)
{
    const char *key, *text;
    lm_json *called;
    if (!json_is_object(value) || json_object_size(value) < 2)
        return lm_fail(r->err, LM_E_FORMAT, "%s:%d: choices: expected two or more, {\"0\": no, \"1\": yes}", r->name, line_of(r, value) ? line_of(r, value) : line);
    json_object_foreach((json_t *)(uintptr_t)value, key, called) LM_TRY(want_text(r, called, line, key, &text));
    f->choices = json_incref((json_t *)(uintptr_t)value);
    return LM_OK;
}

static lm_status read_of(reading *r, lm_template_field *f, const lm_json *value, int line)
{
    const char *text;
    LM_TRY(want_text(r, value, line, "of", &text));
    f->of = lm_template_field_find(r->set, lm_span_of(text, strlen(text)));
    bool list = f->of >= 0 && r->set->fields[f->of].type == LM_TEMPLATE_LIST;
    return list ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: of: expected a field above it of type list, found %.60s", r->name, line_of(r, value), text);
}

static lm_status read_type(reading *r, lm_template_field *f, const lm_json *value, int line)
{
    const char *text;
    LM_TRY(want_text(r, value, line, "type", &text));
    int type = find_name(type_names, text);
    f->type = (lm_template_type)type;
    return type >= 0 ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: type: expected string, integer, label or list, found %.60s", r->name, line_of(r, value), text);
}

static lm_status read_without(reading *r, lm_template_field *f, const lm_json *value, int line)
{
    lm_strings marks = {0};
    lm_status status = copy_texts(r, value, line, "without", &marks);
    if (status == LM_OK && marks.n != 2) status = lm_fail(r->err, LM_E_FORMAT, "%s:%d: without: expected two marks, [\"<<\", \">>\"]", r->name, line_of(r, value));
    if (status == LM_OK) f->open = lm_strdup(marks.items[0]), f->close = lm_strdup(marks.items[1]);
    lm_strings_free(&marks);
    return status;
}

static lm_status read_longest(reading *r, lm_template_field *f, const lm_json *value, int line)
{
    const char *text;
    char *end;
    LM_TRY(want_text(r, value, line, "longest", &text));
    f->longest = strtoll(text, &end, 10);
    return !*end && f->longest > 0 && f->longest < INT64_C(1) << 40 ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: longest: expected a number of characters", r->name, line_of(r, value));
}

static lm_status read_field_key(reading *r, lm_template_field *f, const char *key, const lm_json *value, int line)
{
    static const char *const keys[] = { "type", "from", "choices", "of", "letter", "optional", "unescape", "marked", "after", "before", "split", "without", "longest", NULL };
    switch (find_name(keys, key)) {
    case 0: return read_type(r, f, value, line);
    case 1: return copy_texts(r, value, line, key, &f->from);
    case 2: return read_choices(r, f, value, line);
    case 3: return read_of(r, f, value, line);
    case 4: return copy_truth(r, value, line, key, &f->letter);
    case 5: return copy_truth(r, value, line, key, &f->optional);
    case 6: return copy_truth(r, value, line, key, &f->unescape);
    case 7: return copy_truth(r, value, line, key, &f->marked);
    case 8: return copy_text(r, value, line, key, &f->after);
    case 9: return copy_text(r, value, line, key, &f->before);
    case 10: return copy_text(r, value, line, key, &f->split);
    case 11: return read_without(r, f, value, line);
    case 12: return read_longest(r, f, value, line);
    default: return refuse_key(r, line, key, keys);
    }
}

static lm_status check_field(const reading *r, const lm_template_field *f, int line)
{
    bool label = f->type == LM_TEMPLATE_LABEL, list = f->type == LM_TEMPLATE_LIST;
    if (label && !f->choices && f->of < 0) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: a label needs choices, or of", r->name, line, f->name);
    if (label && f->choices && f->of >= 0) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: choices and of: expected one of them", r->name, line, f->name);
    if (!list && (f->split || f->marked)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: split and marked are for lists", r->name, line, f->name);
    if (f->letter && f->of < 0) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: letter needs of", r->name, line, f->name);
    return LM_OK;
}

static bool is_name(const char *name) { return *name && !name[strcspn(name, "{}|\n/ ")]; }

static lm_status read_field(reading *r, const char *name, const lm_json *keys, int line)
{
    lm_template_field *f = &r->set->fields[r->set->n_fields];
    const char *key;
    lm_json *value;
    if (r->set->n_fields == LM_TEMPLATE_FIELDS) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: more than %d fields", r->name, line, LM_TEMPLATE_FIELDS);
    if (!is_name(name)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: \"%.60s\": a field's name has no spaces, braces, bars or slashes", r->name, line, name);
    if (!json_is_object(keys) && !json_is_null(keys)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: expected {from: .., type: ..}, or nothing", r->name, line, name);
    *f = (lm_template_field){ .name = lm_strdup(name), .of = -1 };
    r->set->n_fields++;
    json_object_foreach((json_t *)(uintptr_t)keys, key, value) {
        LM_TRY(read_field_key(r, f, key, value, line));
        if (!strcmp(key, "choices") || !strcmp(key, "of")) f->type = LM_TEMPLATE_LABEL;
    }
    if (!f->from.n) lm_strings_push(&f->from, lm_strdup(name));
    return check_field(r, f, line);
}

static lm_status read_fields(reading *r, const lm_json *fields, int line)
{
    const char *name;
    lm_json *keys;
    line = line_of(r, fields) ? line_of(r, fields) : line;
    if (!json_is_object(fields)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: fields: expected name: {..} for each", r->name, line);
    json_object_foreach((json_t *)(uintptr_t)fields, name, keys) {
        int own = line_of(r, keys) ? line_of(r, keys) : line_with(r, line, lm_span_of(name, strlen(name)));
        LM_TRY(read_field(r, name, keys, own));
    }
    return LM_OK;
}

/* ---- phrasings ---- */

static lm_status read_part(reading *r, lm_phrasing *p, const char *key, const lm_json *value, int line)
{
    const char *text;
    lm_span at = {0};
    lm_err err = {0};
    int part = find_name(part_names, key), own = line_of(r, value) ? line_of(r, value) : line;
    if (part < 0) return refuse_key(r, line, key, part_names);
    LM_TRY(want_text(r, value, own, key, &text));
    lm_places *places = part == LM_PARTS ? &p->answer : &p->part[part];
    if (part < LM_PARTS) p->order[p->n++] = (lm_prompt_part)part;
    lm_status status = lm_places_compile(places, r->set, text, &at, &err);
    p->fields |= places->fields;
    return status == LM_OK ? LM_OK : lm_fail(r->err, status, "%s:%d: %s: %s", r->name, line_with(r, own, at), key, err.message);
}

static lm_status read_phrasing(reading *r, lm_phrasing *p, const lm_json *parts, int line)
{
    const char *key;
    lm_json *value;
    uint64_t asked = 0;
    line = line_of(r, parts) ? line_of(r, parts) : line;
    if (!json_is_object(parts)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: expected instruction, context, input, indicator and answer", r->name, line);
    json_object_foreach((json_t *)(uintptr_t)parts, key, value) LM_TRY(read_part(r, p, key, value, line));
    for (int i = 0; i < p->n; i++) asked |= p->part[p->order[i]].fields;
    if (!p->n) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: expected instruction, context, input or indicator", r->name, line);
    if (!p->answer.fields) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: answer: expected a text that names a field", r->name, line);
    return asked || r->set->profile ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: no part of the prompt names a field", r->name, line);
}

static lm_status read_phrasings(reading *r, lm_phrasing_kind kind, const lm_json *list, int line)
{
    lm_template_set *s = r->set;
    if (!json_is_array(list)) return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: expected a list", r->name, line_of(r, list) ? line_of(r, list) : line, lm_phrasing_names[kind]);
    for (size_t i = 0; i < json_array_size(list); i++) {
        s->phrasings = lm_realloc(s->phrasings, (size_t)(s->n + 1) * sizeof *s->phrasings);
        s->phrasings[s->n] = (lm_phrasing){ .kind = kind, .number = (int)i + 1 };
        LM_TRY(read_phrasing(r, &s->phrasings[s->n++], json_array_get(list, i), line_of(r, list)));
    }
    return LM_OK;
}

/* ---- the file ---- */

static lm_status read_reader(reading *r, const lm_json *value, int line)
{
    const char *text;
    LM_TRY(want_text(r, value, line, "reader", &text));
    r->set->acts = !strcmp(text, "statute");
    return r->set->acts ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: reader: expected statute, found %.60s", r->name, line_of(r, value), text);
}

static lm_status read_key(reading *r, const char *key, const lm_json *value)
{
    static const char *const keys[] = { "name", "language", "about", "source", "system", "shots", "columns", "reader", "example", "profile", "fields", "templates", "inverted", "cot", NULL };
    lm_template_set *s = r->set;
    int line = line_of(r, value) ? line_of(r, value) : line_with(r, 1, lm_span_of(key, strlen(key)));
    switch (find_name(keys, key)) {
    case 0: return copy_text(r, value, line, key, &s->name);
    case 1: return copy_text(r, value, line, key, &s->language);
    case 2: return copy_text(r, value, line, key, &s->about);
    case 3: return copy_text(r, value, line, key, &s->source);
    case 4: return copy_text(r, value, line, key, &s->system);
    case 5: return copy_text(r, value, line, key, &s->lead);
    case 6: return copy_texts(r, value, line, key, &s->columns);
    case 7: return read_reader(r, value, line);
    case 8:
        s->example = json_incref((json_t *)(uintptr_t)value);
        return json_is_object(value) ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s:%d: example: expected the fields of a row", r->name, line);
    case 9: return copy_truth(r, value, line, key, &s->profile);
    case 10: case 11: case 12: case 13: return LM_OK;
    default: return refuse_key(r, 1, key, keys);
    }
}

static lm_status read_set(reading *r, const lm_json *doc)
{
    const char *key;
    lm_json *value;
    if (!json_is_object(doc)) return lm_fail(r->err, LM_E_FORMAT, "%s: expected name, fields and templates", r->name);
    json_object_foreach((json_t *)(uintptr_t)doc, key, value) LM_TRY(read_key(r, key, value));
    if (!r->set->name) return lm_fail(r->err, LM_E_FORMAT, "%s: expected a name", r->name);
    LM_TRY(read_fields(r, json_object_get(doc, "fields"), 1));
    for (int k = 0; k < LM_PHRASING_KINDS; k++)
        if (json_object_get(doc, lm_phrasing_names[k])) LM_TRY(read_phrasings(r, (lm_phrasing_kind)k, json_object_get(doc, lm_phrasing_names[k]), 1));
    return r->set->n ? LM_OK : lm_fail(r->err, LM_E_FORMAT, "%s: expected templates", r->name);
}

lm_status lm_template_set_parse(lm_template_set **out, const char *text, size_t n, const char *name, lm_err *err)
{
    reading r = { .text = n ? text : "", .n = n, .name = name, .lines = lm_map_new(256), .set = lm_calloc(1, sizeof *r.set), .err = err };
    lm_json *doc = lm_yaml_document_lines(text, n, name, r.lines, err);
    lm_status status = doc ? read_set(&r, doc) : LM_E_FORMAT;
    lm_json_free(doc);
    lm_map_free(r.lines);
    *out = r.set;
    if (status == LM_OK) return LM_OK;
    lm_template_set_free(r.set);
    *out = NULL;
    return status;
}

lm_status lm_template_set_read(lm_template_set **out, const char *path, lm_err *err)
{
    lm_str text = {0};
    *out = NULL;
    LM_TRY(lm_file_read(&text, path, 1 << 22, err));
    lm_status status = lm_template_set_parse(out, text.data ? text.data : "", text.len, path, err);
    lm_str_free(&text);
    return status;
}

static void free_field(lm_template_field *f)
{
    free(f->name), free(f->after), free(f->before), free(f->split), free(f->open), free(f->close);
    lm_strings_free(&f->from);
    lm_json_free(f->choices);
}

void lm_template_set_free(lm_template_set *set)
{
    if (!set) return;
    for (int i = 0; i < set->n_fields; i++) free_field(&set->fields[i]);
    for (int i = 0; i < set->n; i++) {
        for (int p = 0; p < LM_PARTS; p++) lm_places_free(&set->phrasings[i].part[p]);
        lm_places_free(&set->phrasings[i].answer);
    }
    free(set->phrasings);
    free(set->name), free(set->language), free(set->about), free(set->source), free(set->system), free(set->lead);
    lm_strings_free(&set->columns);
    lm_json_free(set->example);
    free(set);
}

lm_template_about lm_template_set_about(const lm_template_set *set)
{
    lm_template_about a = { .name = set->name, .language = set->language, .about = set->about, .source = set->source, .columns = set->columns.n ? &set->columns : NULL, .example = set->example };
    for (int i = 0; i < set->n; i++) a.phrasings[set->phrasings[i].kind]++;
    return a;
}
