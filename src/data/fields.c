#include "data/fields.h"

#include "base/json_reader.h"
#include "data/labelled.h"

#include <string.h>

static void clear(lm_fields *r)
{
    for (int i = 0; i < r->n; i++) lm_json_free(r->items[i].tree);
    r->n = 0;
    lm_str_clear(&r->spelled);
}

void lm_fields_free(lm_fields *r)
{
    clear(r);
    lm_str_free(&r->spelled);
    lm_str_free(&r->buffer);
}

/* ---- reading ----------------------------------------------------------------- */

/* What was written with escapes moves from the buffer to `spelled`, which has room: a string is never longer than
 * its text. */
static bool keep(lm_fields *r, lm_span *text)
{
    if (text->data != r->buffer.data || !r->buffer.data) return false;
    size_t at = r->spelled.len;
    lm_str_append(&r->spelled, text->data, text->len);
    text->data = r->spelled.data + at;
    return true;
}

/* A number from 0 to 18 digits, true or false: written as it stands.  Its end, or NULL. */
static const char *plain_end(const char *p, const char *end)
{
    const char *begin = p;
    if (end - p >= 4 && !memcmp(p, "true", 4)) p += 4;
    else if (end - p >= 5 && !memcmp(p, "false", 5)) p += 5;
    else while (p < end && p - begin < 18 && *p >= '0' && *p <= '9') p++;
    bool whole = p < end && (*p == ',' || *p == '}' || *p == ' ');
    return p > begin && whole && !(*begin == '0' && p - begin > 1) ? p : NULL;
}

static bool read_value(lm_fields *r, lm_json_reader *in, lm_field *m)
{
    char first = lm_json_peek(in);
    if (first == '"') {
        m->kind = LM_FIELD_STRING;
        if (!lm_json_string_unchecked(in, &r->buffer, &m->value)) return false;     /* the line is known to be UTF-8 */
        m->value_spelled = keep(r, &m->value);
        return true;
    }
    const char *end = plain_end(in->at, in->end);
    if (end) {
        m->kind = LM_FIELD_PLAIN;
        m->value = lm_span_of(in->at, (size_t)(end - in->at));
        in->at = end;
        return true;
    }
    m->tree = lm_json_take(in);
    m->kind = json_is_null(m->tree) ? LM_FIELD_NULL : LM_FIELD_TREE;
    return m->tree;
}

static bool stands(const lm_fields *r, lm_span key)
{
    for (int i = 0; i < r->n; i++)
        if (r->items[i].key.len == key.len && !memcmp(r->items[i].key.data, key.data, key.len)) return true;
    return false;
}

bool lm_fields_read(lm_fields *r, const lm_row *row)
{
    lm_json_reader in;
    lm_span key;
    clear(r);
    if (lm_utf8_valid(row->text.data, row->text.len) < row->text.len) return false;
    lm_str_reserve(&r->spelled, row->text.len);
    lm_json_reader_init(&in, lm_span_of(row->text.data, row->text.len), "", NULL);
    if (!lm_json_open(&in, '{')) return false;
    while (lm_json_key(&in, &r->buffer, &key)) {
        if (r->n == LM_FIELDS_MOST || stands(r, key)) return false;
        lm_field *m = &r->items[r->n];
        *m = (lm_field){ .key = key };
        m->key_spelled = keep(r, &m->key);
        r->n++;
        if (!read_value(r, &in, m)) return false;
    }
    return lm_json_reader_end(&in) == LM_OK;
}

const lm_field *lm_fields_find(const lm_fields *r, const char *key)
{
    for (int i = 0; i < r->n; i++)
        if (r->items[i].kind != LM_FIELD_NULL && lm_span_eq(r->items[i].key, key)) return &r->items[i];
    return NULL;
}

const lm_field *lm_fields_text(const lm_fields *r, const char *field)
{
    const lm_field *m = NULL;
    if (field) m = lm_fields_find(r, field);
    for (const char *const *name = lm_text_names; !field && !m && *name; name++) m = lm_fields_find(r, *name);
    return m && m->kind == LM_FIELD_STRING ? m : NULL;
}

/* ---- writing ----------------------------------------------------------------- */

/* A string without escapes is written as it was read. */
static void put_string(lm_str *out, lm_span text, bool spelled)
{
    if (spelled) {
        lm_json_put_string(out, text);
        return;
    }
    lm_str_putc(out, '"');
    lm_str_append(out, text.data, text.len);
    lm_str_putc(out, '"');
}

static void put_value(lm_str *out, const lm_field *m)
{
    if (m->kind == LM_FIELD_STRING) put_string(out, m->value, m->value_spelled);
    else if (m->kind == LM_FIELD_PLAIN) lm_str_append(out, m->value.data, m->value.len);
    else lm_json_text(out, m->tree, 0);
}

void lm_fields_put(lm_str *out, const lm_fields *r, const lm_field *text, lm_span edited, const char *const *more)
{
    lm_str_putc(out, '{');
    for (int i = 0; i < r->n; i++) {
        const lm_field *m = &r->items[i];
        if (i) lm_str_append(out, ", ", 2);
        put_string(out, m->key, m->key_spelled);
        lm_str_append(out, ": ", 2);
        if (m == text) lm_json_put_string(out, edited);
        else put_value(out, m);
    }
    for (; more && *more; more += 2) {
        if (out->data[out->len - 1] != '{') lm_str_append(out, ", ", 2);
        lm_json_put_string(out, lm_span_of(more[0], strlen(more[0])));
        lm_str_append(out, ": ", 2);
        lm_json_put_string(out, lm_span_of(more[1], strlen(more[1])));
    }
    lm_str_append(out, "}\n", 2);
}
