/* Which kind a row is, from the names and types of its fields. */
#include "data/format.h"

#include "data/labelled.h"

#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

static bool each(const lm_json *list, const char *key)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (key ? !json_object_get(json_array_get(list, i), key) : !json_is_string(json_array_get(list, i))) return false;
    return json_is_array(list) && json_array_size(list);
}

static bool are_answers(const lm_json *list)
{
    bool texts = each(list, NULL), chats = json_array_size(list) > 0;
    for (size_t i = 0; i < json_array_size(list); i++) chats = chats && each(json_array_get(list, i), "role");
    return texts || chats;
}

static bool is_of(const lm_json *v, unsigned types)
{
    int64_t whole = json_is_integer(v) ? json_integer_value(v) : -1;
    return ((types & LM_FIELD_TEXT) && json_is_string(v)) || ((types & LM_FIELD_ROLES) && each(v, "role"))
        || ((types & LM_FIELD_FROMS) && each(v, "from")) || ((types & LM_FIELD_TEXTS) && each(v, NULL))
        || ((types & LM_FIELD_LIST) && json_is_array(v)) || ((types & LM_FIELD_OBJECT) && json_is_object(v))
        || ((types & LM_FIELD_NUMBER) && json_is_number(v)) || ((types & LM_FIELD_TRUTH) && (json_is_boolean(v) || whole == 0 || whole == 1))
        || ((types & LM_FIELD_OBJECTS) && json_is_array(v) && json_is_object(json_array_get(v, 0)) && !each(v, "role"))
        || ((types & LM_FIELD_ANSWERS) && are_answers(v));
}

static void list_types(lm_str *out, unsigned types)
{
    static const char *const names[] = { "text", "a list of messages with \"role\"", "a list of turns with \"from\"", "a list of texts", "a list",
                                         "an object", "a number", "true or false", "a list of objects", "a list of answers" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (types >> i & 1) lm_str_printf(out, "%s%s", out->len ? " or " : "", names[i]);
}

/* ---- fields ---- */

static const char *own_name(const lm_strings *own, const char *role)
{
    size_t n = strlen(role);
    for (int i = 0; own && i < own->n; i++)
        if (!strncmp(own->items[i], role, n) && own->items[i][n] == '=') return own->items[i] + n + 1;
    return NULL;
}

/* The first of the field's names that the row has, and whose value is of the field's types. */
static const char *find(const lm_kind_field *f, const lm_strings *own, const lm_json *row)
{
    const char *named = own_name(own, f->role);
    for (int i = 0; i < LM_FIELD_NAMES && (named || f->names[i]); i++) {
        const char *name = named ? named : f->names[i];
        if (is_of(json_object_get(row, name), f->types)) return name;
        if (named) break;
    }
    return NULL;
}

/* The name of a field that is there with a value of another type, or NULL. */
static const char *there(const lm_kind_field *f, const lm_strings *own, const lm_json *row)
{
    const char *named = own_name(own, f->role);
    if (named) return json_object_get(row, named) ? named : NULL;
    for (int i = 0; i < LM_FIELD_NAMES && f->names[i]; i++)
        if (json_object_get(row, f->names[i])) return f->names[i];
    return NULL;
}

static void list_fields(lm_str *out, const lm_json *row)
{
    const char *key;
    lm_json *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
        if (out->len < 200) lm_str_printf(out, "%s%.60s", out->len ? ", " : "", key);
    if (!out->len) lm_str_puts(out, "nothing");
}

/* Texts are C strings from here on. */
static bool has_zero(const lm_json *v)
{
    const char *key;
    lm_json *member;
    if (json_is_string(v)) return memchr(json_string_value(v), '\0', json_string_length(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        if (has_zero(json_array_get(v, i))) return true;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
        if (has_zero(member)) return true;
    return false;
}

static lm_status refuse(const lm_row_kind *kind, const lm_kind_field *f, const lm_strings *own, const lm_json *row, lm_err *err)
{
    lm_str found = {0}, types = {0}, names = {0};
    const char *other = there(f, own, row), *named = own_name(own, f->role);
    list_fields(&found, row);
    list_types(&types, f->types);
    for (int i = 0; !named && i < LM_FIELD_NAMES && f->names[i]; i++) lm_str_printf(&names, "%s\"%s\"", i ? " or " : "", f->names[i]);
    if (other) lm_fail(err, LM_E_FORMAT, "field \"%s\": %s rows have %s there", other, kind->name, types.data);
    else if (named) lm_fail(err, LM_E_FORMAT, "expected field \"%s\" (--field %s=%s), found %s", named, f->role, named, found.data);
    else lm_fail(err, LM_E_FORMAT, "expected field %s of %s rows, found %s", names.data, kind->name, found.data);
    lm_str_free(&found), lm_str_free(&types), lm_str_free(&names);
    return LM_E_FORMAT;
}

lm_status lm_kind_match(lm_kind_row *out, const lm_row_kind *kind, const lm_strings *own, const lm_json *row, lm_err *err)
{
    *out = (lm_kind_row){0};
    for (int i = 0; i < LM_KIND_FIELDS && kind->fields[i].role; i++) {
        const lm_kind_field *f = &kind->fields[i];
        const char *name = find(f, own, row), *other = name ? name : there(f, own, row);
        bool null = other && json_is_null(json_object_get(row, other));
        if (!name && (!f->optional || (other && !null))) return refuse(kind, f, own, row, err);
        out->name[i] = name ? name : f->names[0];
        out->value[i] = name ? lm_json_get(row, name) : NULL;
        if (has_zero(out->value[i])) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text, found a zero byte", name);
    }
    const char *missing = kind->lacks ? kind->lacks(out) : NULL;
    return missing ? lm_fail(err, LM_E_FORMAT, "expected %s of %s rows", missing, kind->name) : LM_OK;
}

const lm_row_kind *lm_kind_find(const char *name)
{
    for (const lm_row_kind *const *k = lm_row_kind_registry; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

/* ---- detection ---- */

/* Whether every field that `a` uses is used by `b`, too. */
static bool within(const lm_kind_row *a, const lm_kind_row *b)
{
    for (int i = 0; i < LM_KIND_FIELDS; i++) {
        bool found = !a->value[i];
        for (int j = 0; j < LM_KIND_FIELDS && !found; j++) found = b->value[j] == a->value[i];
        if (!found) return false;
    }
    return true;
}

static void list_used(lm_str *out, const lm_row_kind *kind, const lm_kind_row *row)
{
    lm_str_printf(out, "%s (", kind->name);
    const char *comma = "";
    for (int i = 0; i < LM_KIND_FIELDS; i++)
        if (row->value[i]) lm_str_printf(out, "%s%s", comma, row->name[i]), comma = ", ";
    lm_str_putc(out, ')');
}

static lm_status ambiguous(const lm_row_kind *a, const lm_kind_row *in_a, const lm_row_kind *b, const lm_kind_row *in_b, lm_err *err)
{
    lm_str first = {0}, second = {0};
    list_used(&first, a, in_a);
    list_used(&second, b, in_b);
    lm_fail(err, LM_E_FORMAT, "its fields fit two kinds, %s and %s: say which with --kind %s or --kind %s", first.data, second.data, a->name, b->name);
    lm_str_free(&first);
    lm_str_free(&second);
    return LM_E_FORMAT;
}

lm_status lm_kind_detect(const lm_row_kind **out, const lm_strings *own, const lm_row *row, lm_err *err)
{
    const lm_row_kind *best = NULL;
    lm_kind_row best_row = {0}, other;
    *out = lm_kind_find("text");
    if (!row->object) return LM_OK;
    *out = NULL;
    const char *key;
    lm_json *value;
    json_object_foreach(row->object, key, value)
        if (has_zero(value)) return lm_fail(err, LM_E_FORMAT, "field \"%.60s\": expected text, found a zero byte", key);
    for (int last = 0; last < 2 && !best; last++)
        for (const lm_row_kind *const *k = lm_row_kind_registry; *k; k++) {
            lm_err ignored = {0};
            if ((*k)->last != last || lm_kind_match(&other, *k, own, row->object, &ignored) != LM_OK) continue;
            bool less = best && within(&other, &best_row), more = best && within(&best_row, &other);
            if (less && !more) continue;
            if (best && (less || !more)) return ambiguous(best, &best_row, *k, &other, err);
            best = *k;
            best_row = other;
        }
    *out = best;
    if (best) return LM_OK;
    lm_str found = {0};
    list_fields(&found, row->object);
    lm_fail(err, LM_E_FORMAT, "its fields are those of no kind that is known: %s (malmoi data format --help lists them; --field ROLE=NAME names others)", found.data);
    lm_str_free(&found);
    return LM_E_FORMAT;
}

/* ---- what kinds read with ---- */

lm_status lm_kind_text(const char **out, const lm_kind_row *row, int i, lm_err *err)
{
    *out = json_string_value(row->value[i]);
    if (!*out) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text", row->name[i]);
    return lm_is_blank(lm_span_of(*out, json_string_length(row->value[i]))) ? lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty", row->name[i]) : LM_OK;
}

const char *lm_kind_optional(const lm_kind_row *row, int i)
{
    return json_is_string(row->value[i]) ? json_string_value(row->value[i]) : "";
}

lm_status lm_kind_tools(lm_sample *out, const lm_kind_row *row, int i, lm_err *err)
{
    const lm_json *value = row->value[i];
    if (json_is_string(value)) {
        if (lm_is_blank(lm_span_of(json_string_value(value), json_string_length(value)))) return LM_OK;
        out->tools = lm_json_parse(json_string_value(value), json_string_length(value), row->name[i], err);
        if (!out->tools) return err->code;
    } else out->tools = json_incref((json_t *)(uintptr_t)value);
    if (!out->tools || (json_is_array(out->tools) && json_array_size(out->tools))) return LM_OK;
    bool nothing = json_is_array(out->tools);
    lm_json_free(out->tools);
    out->tools = NULL;
    return nothing ? LM_OK : lm_fail(err, LM_E_FORMAT, "field \"%s\": expected a list of tools", row->name[i]);
}

lm_status lm_kind_prompt(lm_sample *out, const lm_kind_row *row, int i, int more, lm_err *err)
{
    const char *text, *under = more < 0 ? "" : lm_kind_optional(row, more);
    if (json_is_array(row->value[i])) {
        out->prompt = lm_messages_read(row->value[i], row->name[i], false, err);
        return out->prompt ? LM_OK : err->code;
    }
    LM_TRY(lm_kind_text(&text, row, i, err));
    lm_str joint = {0};
    lm_str_printf(&joint, "%s%s%s", text, *under ? "\n\n" : "", under);
    out->prompt = json_string(joint.data);
    lm_str_free(&joint);
    return LM_OK;
}

lm_status lm_kind_answer(lm_sample *out, const lm_json *answer, const char *field, lm_err *err)
{
    bool chat = json_is_array(answer);
    const lm_json *before = out->prompt ? out->prompt : json_array_get(out->answers, 0);
    if (before && chat != json_is_array(before))
        return lm_fail(err, LM_E_FORMAT, "field \"%s\" is %s and what stands before it %s: expected both alike", field, chat ? "messages" : "text", chat ? "text" : "messages");
    if (!out->answers) out->answers = json_array();
    if (chat) {
        lm_json *messages = lm_messages_answer(answer, field, err);
        return messages ? json_array_append_new(out->answers, messages), LM_OK : err->code;
    }
    if (!json_is_string(answer)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text or messages", field);
    if (lm_is_blank(lm_span_of(json_string_value(answer), json_string_length(answer)))) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty", field);
    json_array_append(out->answers, (json_t *)(uintptr_t)answer);
    return LM_OK;
}
