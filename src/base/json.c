#include "base/json.h"
#include "base/file.h"
#include "base/json_reader.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t read_limit = (size_t)1 << 30;

/* ---- parsing ----------------------------------------------------------------- */

lm_json *lm_json_parse(const char *text, size_t n, const char *name, lm_err *err)
{
    lm_json_reader r;
    lm_json_reader_init(&r, lm_span_of(text, n), name, err);
    lm_json *doc = lm_json_take(&r);
    if (lm_json_reader_end(&r) == LM_OK) return doc;
    lm_json_free(doc);
    return NULL;
}

lm_json *lm_json_read(const char *path, lm_err *err)
{
    lm_str text;
    if (lm_file_read(&text, path, read_limit, err) != LM_OK) return NULL;
    lm_json *doc = lm_json_parse(text.data, text.len, path, err);
    lm_str_free(&text);
    return doc;
}

/* ---- writing ----------------------------------------------------------------- */

/* jansson prints reals with a fixed number of digits: 0.10000000000000001, or bits are lost. */
static void put_real(lm_str *out, double x)
{
    char text[40];
    for (int digits = fabs(x) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {   /* %g drops trailing zeros itself */
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    lm_str_puts(out, text);
    if (!strpbrk(text, ".e")) lm_str_puts(out, ".0");
}

void lm_json_put_string(lm_str *out, lm_span text)
{
    static const char codes[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    lm_str_putc(out, '"');
    for (size_t i = 0; i < text.len; ) {
        size_t plain = i + lm_json_plain(text.data + i, text.len - i);
        lm_str_append(out, text.data + i, plain - i);
        i = plain;
        if (i == text.len) break;
        const char *code = text.data[i] ? strchr(codes, text.data[i]) : NULL;
        if (code) lm_str_append(out, (const char[]){ '\\', letters[code - codes] }, 2);
        else lm_str_printf(out, "\\u%04x", (unsigned)(unsigned char)text.data[i]);
        i++;
    }
    lm_str_putc(out, '"');
}

static void put_break(lm_str *out, int indent, int depth)
{
    if (indent == 0) return;
    lm_str_putc(out, '\n');
    for (int i = 0; i < indent * depth; i++) lm_str_putc(out, ' ');
}

static void put_value(lm_str *out, const lm_json *value, int indent, int depth);

static void put_object(lm_str *out, const lm_json *object, int indent, int depth)
{
    const char *key;
    lm_json *value;
    bool first = true;
    lm_str_putc(out, '{');
    json_object_foreach((lm_json *)(uintptr_t)object, key, value) {
        if (!first) lm_str_puts(out, indent ? "," : ", ");
        first = false;
        put_break(out, indent, depth + 1);
        lm_json_put_string(out, lm_span_of(key, strlen(key)));
        lm_str_puts(out, ": ");
        put_value(out, value, indent, depth + 1);
    }
    if (!first) put_break(out, indent, depth);
    lm_str_putc(out, '}');
}

static void put_array(lm_str *out, const lm_json *array, int indent, int depth)
{
    size_t n = json_array_size(array);
    lm_str_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) lm_str_puts(out, indent ? "," : ", ");
        put_break(out, indent, depth + 1);
        put_value(out, json_array_get(array, i), indent, depth + 1);
    }
    if (n) put_break(out, indent, depth);
    lm_str_putc(out, ']');
}

static void put_value(lm_str *out, const lm_json *value, int indent, int depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:  put_object(out, value, indent, depth); break;
    case JSON_ARRAY:   put_array(out, value, indent, depth); break;
    case JSON_STRING:  lm_json_put_string(out, lm_span_of(json_string_value(value), json_string_length(value))); break;
    case JSON_INTEGER: lm_str_printf(out, "%" PRId64, (int64_t)json_integer_value(value)); break;
    case JSON_REAL:    put_real(out, json_real_value(value)); break;
    case JSON_TRUE:    lm_str_puts(out, "true"); break;
    case JSON_FALSE:   lm_str_puts(out, "false"); break;
    case JSON_NULL:    lm_str_puts(out, "null"); break;
    }
}

void lm_json_text(lm_str *out, const lm_json *doc, int indent)
{
    put_value(out, doc, indent, 0);
}

lm_status lm_json_write(const lm_json *doc, const char *path, lm_err *err)
{
    lm_str text = {0};
    lm_json_text(&text, doc, 2);
    lm_str_putc(&text, '\n');
    lm_status status = lm_file_write(path, text.data, text.len, err);
    lm_str_free(&text);
    return status;
}

void lm_json_free(lm_json *doc)
{
    json_decref(doc);
}

/* ---- typed members ----------------------------------------------------------- */

const char *lm_json_kind(const lm_json *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:  return "an object";
    case JSON_ARRAY:   return "a list";
    case JSON_STRING:  return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL:    return "a real number";
    case JSON_TRUE:    return "true";
    case JSON_FALSE:   return "false";
    case JSON_NULL:    return "null";
    }
    LM_BUG("json type %d", (int)json_typeof(value));
}

/* What a message begins with. */
#define HEAD(name) (name) ? (name) : "", (name) ? ": " : ""

static lm_status expected(lm_err *err, const char *name, const char *key, const char *what, const lm_json *found)
{
    return lm_fail(err, LM_E_FORMAT, "%s%s%s: expected %s, found %s", HEAD(name), key, what, lm_json_kind(found));
}

lm_json *lm_json_get(const lm_json *o, const char *key)
{
    lm_json *value = json_object_get(o, key);
    return json_is_null(value) ? NULL : value;
}

/* *value becomes the member, or NULL; a node that is no object is an error. */
static lm_status member(lm_json **value, const lm_json *o, const char *key, const char *name, bool need,
                        const char *what, lm_err *err)
{
    if (!json_is_object(o))
        return lm_fail(err, LM_E_FORMAT, "%s%sexpected an object with %s, found %s", HEAD(name), key,
                       o ? lm_json_kind(o) : "nothing");
    *value = lm_json_get(o, key);
    if (need && !*value)
        return lm_fail(err, LM_E_FORMAT, "%s%s%s: missing, expected %s", HEAD(name), key, what);
    return LM_OK;
}

static lm_status get_int(const lm_json *o, const char *key, const char *name, bool need, int64_t *out, lm_err *err)
{
    lm_json *value;
    LM_TRY(member(&value, o, key, name, need, "an integer", err));
    if (!value) return LM_OK;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return LM_OK;
    }
    if (!json_is_real(value)) return expected(err, name, key, "an integer", value);
    double real = json_real_value(value);             /* 4096.0 is what some writers make of 4096 */
    if (real != floor(real) || fabs(real) > 0x1p53)
        return lm_fail(err, LM_E_FORMAT, "%s%s%s: expected a 64-bit integer, found %g", HEAD(name), key, real);
    *out = (int64_t)real;
    return LM_OK;
}

static lm_status get_str(const lm_json *o, const char *key, const char *name, bool need, const char **out, lm_err *err)
{
    lm_json *value;
    LM_TRY(member(&value, o, key, name, need, "a string", err));
    if (!value) return LM_OK;
    if (!json_is_string(value)) return expected(err, name, key, "a string", value);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return lm_fail(err, LM_E_FORMAT, "%s%s%s: expected text, found a string with a zero byte", HEAD(name), key);
    *out = json_string_value(value);
    return LM_OK;
}

lm_status lm_json_need_int(const lm_json *o, const char *key, const char *name, int64_t *out, lm_err *err)
{
    return get_int(o, key, name, true, out, err);
}

lm_status lm_json_opt_int(const lm_json *o, const char *key, const char *name, int64_t *out, lm_err *err)
{
    return get_int(o, key, name, false, out, err);
}

lm_status lm_json_need_str(const lm_json *o, const char *key, const char *name, const char **out, lm_err *err)
{
    return get_str(o, key, name, true, out, err);
}

lm_status lm_json_opt_str(const lm_json *o, const char *key, const char *name, const char **out, lm_err *err)
{
    return get_str(o, key, name, false, out, err);
}

lm_status lm_json_opt_real(const lm_json *o, const char *key, const char *name, double *out, lm_err *err)
{
    lm_json *value;
    LM_TRY(member(&value, o, key, name, false, "a number", err));
    if (!value) return LM_OK;
    if (!json_is_number(value)) return expected(err, name, key, "a number", value);
    *out = json_number_value(value);
    return LM_OK;
}

lm_status lm_json_opt_bool(const lm_json *o, const char *key, const char *name, bool *out, lm_err *err)
{
    lm_json *value;
    LM_TRY(member(&value, o, key, name, false, "true or false", err));
    if (!value) return LM_OK;
    if (!json_is_boolean(value)) return expected(err, name, key, "true or false", value);
    *out = json_is_true(value);
    return LM_OK;
}

bool lm_json_lists(const lm_json *list, lm_span text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const lm_json *item = json_array_get(list, i);
        if (json_string_length(item) == text.len && !memcmp(json_string_value(item), text.data, text.len)) return true;
    }
    return false;
}
