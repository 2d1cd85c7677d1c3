#include "io/gguf.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t sizes[LM_GGUF_N_TYPES] = {
    [LM_GGUF_U8] = 1, [LM_GGUF_I8] = 1, [LM_GGUF_U16] = 2, [LM_GGUF_I16] = 2, [LM_GGUF_U32] = 4, [LM_GGUF_I32] = 4,
    [LM_GGUF_F32] = 4, [LM_GGUF_BOOL] = 1, [LM_GGUF_U64] = 8, [LM_GGUF_I64] = 8, [LM_GGUF_F64] = 8,
};

static uint64_t little_endian(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* A place in the file; reads fail at its end and leave `ok` false. */
typedef struct cursor {
    const uint8_t *at, *end;
    bool ok;
} cursor;

static const uint8_t *take(cursor *c, uint64_t n)
{
    if (!c->ok || n > (uint64_t)(c->end - c->at)) {
        c->ok = false;
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += n;
    return p;
}

static uint64_t take_int(cursor *c, int bytes)
{
    const uint8_t *p = take(c, (uint64_t)bytes);
    return p ? little_endian(p, bytes) : 0;
}

static lm_span take_string(cursor *c)
{
    uint64_t n = take_int(c, 8);
    const uint8_t *p = take(c, n);
    return p ? lm_span_of((const char *)p, (size_t)n) : (lm_span){ NULL, 0 };
}

/* Steps over `n` values of a type.  Arrays of arrays are not in use and refused by the caller. */
static void skip(cursor *c, lm_gguf_type type, uint64_t n)
{
    if (type == LM_GGUF_STRING)
        while (c->ok && n--) take_string(c);
    else if (n > UINT64_MAX / 8) c->ok = false;
    else take(c, n * sizes[type]);
}

static bool read_entry(cursor *c, lm_gguf_entry *e)
{
    e->key = take_string(c);
    e->type = (lm_gguf_type)take_int(c, 4);
    e->n = 1;
    if (!c->ok || e->type >= LM_GGUF_N_TYPES) return false;
    e->item = e->type;
    if (e->type == LM_GGUF_ARRAY) {
        e->item = (lm_gguf_type)take_int(c, 4);
        e->n = take_int(c, 8);
        if (!c->ok || e->item >= LM_GGUF_N_TYPES || e->item == LM_GGUF_ARRAY) return false;
    }
    e->data = c->at;
    skip(c, e->item, e->n);
    return c->ok;
}

bool lm_gguf_is(lm_span head) { return head.len >= 24 && !memcmp(head.data, "GGUF", 4); }

/* Which of two entries with one key counts, readers do not agree about. */
static lm_status check_keys(const lm_gguf *g, lm_err *err)
{
    lm_map *keys = lm_map_new((size_t)g->n);
    lm_status status = LM_OK;
    for (int i = 0; i < g->n && !status; i++) {
        lm_span key = g->entries[i].key;
        if (!lm_map_put(keys, key.data, key.len, i))
            status = lm_fail(err, LM_E_FORMAT, "%s: entry %d: the key %.*s stands twice", g->path, i, (int)key.len, key.data);
    }
    lm_map_free(keys);
    return status;
}

static lm_status read_all(lm_gguf *g, lm_err *err)
{
    cursor c = { .at = g->file.data, .end = g->file.data + g->file.size, .ok = true };
    if (!lm_gguf_is(lm_span_of((const char *)c.at, g->file.size))) return lm_fail(err, LM_E_FORMAT, "%s: not a GGUF file", g->path);
    c.at += 4;
    g->version = (uint32_t)take_int(&c, 4);
    if (g->version != 2 && g->version != 3) return lm_fail(err, LM_E_UNSUPPORTED, "%s: GGUF version %u, expected 2 or 3", g->path, g->version);
    g->n_tensors = take_int(&c, 8);
    uint64_t n = take_int(&c, 8);
    if (n > g->file.size / 13) return lm_fail(err, LM_E_FORMAT, "%s: %llu entries do not fit in %zu bytes", g->path, (unsigned long long)n, g->file.size);
    g->entries = lm_calloc((size_t)n, sizeof *g->entries);
    for (; (uint64_t)g->n < n; g->n++)
        if (!read_entry(&c, &g->entries[g->n]))
            return lm_fail(err, LM_E_FORMAT, "%s: entry %d of %llu is damaged or runs past the end of the file", g->path, g->n, (unsigned long long)n);
    g->end = (size_t)(c.at - g->file.data);
    return check_keys(g, err);
}

lm_status lm_gguf_open(lm_gguf *out, const char *path, lm_err *err)
{
    *out = (lm_gguf){0};
    LM_TRY(lm_file_map(&out->file, path, err));
    out->path = lm_strdup(path);
    lm_status status = read_all(out, err);
    if (status) lm_gguf_close(out);
    return status;
}

void lm_gguf_close(lm_gguf *g)
{
    lm_mapping_free(&g->file);
    free(g->path);
    free(g->entries);
    *g = (lm_gguf){0};
}

/* ---- values ------------------------------------------------------------------------------------- */

const lm_gguf_entry *lm_gguf_find(const lm_gguf *g, const char *key)
{
    for (int i = 0; i < g->n; i++)
        if (lm_span_eq(g->entries[i].key, key)) return &g->entries[i];
    return NULL;
}

lm_span lm_gguf_text(const lm_gguf *g, const char *key)
{
    const lm_gguf_entry *e = lm_gguf_find(g, key);
    if (!e || e->type != LM_GGUF_STRING) return (lm_span){ NULL, 0 };
    return lm_span_of((const char *)e->data + 8, (size_t)little_endian(e->data, 8));
}

int64_t lm_gguf_int(const lm_gguf *g, const char *key, int64_t missing)
{
    const lm_gguf_entry *e = lm_gguf_find(g, key);
    if (!e) return missing;
    switch (e->type) {
    case LM_GGUF_I8: return (int8_t)e->data[0];
    case LM_GGUF_I16: return (int16_t)little_endian(e->data, 2);
    case LM_GGUF_I32: return (int32_t)little_endian(e->data, 4);
    case LM_GGUF_U8: case LM_GGUF_BOOL: case LM_GGUF_U16: case LM_GGUF_U32: case LM_GGUF_U64: case LM_GGUF_I64:
        return (int64_t)little_endian(e->data, sizes[e->type]);
    default: return missing;
    }
}

static lm_status find_array(const lm_gguf *g, const char *key, const lm_gguf_entry **out, bool (*fits)(lm_gguf_type item), const char *what, lm_err *err)
{
    *out = lm_gguf_find(g, key);
    if (*out && (*out)->type == LM_GGUF_ARRAY && fits((*out)->item)) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "%s: %s: expected an array of %s, found %s", g->path, key, what, *out ? "another type" : "nothing");
}

static bool is_string(lm_gguf_type t) { return t == LM_GGUF_STRING; }
static bool is_float(lm_gguf_type t) { return t == LM_GGUF_F32; }
static bool is_int(lm_gguf_type t) { return t == LM_GGUF_I32 || t == LM_GGUF_U32; }

lm_status lm_gguf_strings(const lm_gguf *g, const char *key, lm_span **out, uint64_t *n, lm_err *err)
{
    const lm_gguf_entry *e;
    LM_TRY(find_array(g, key, &e, is_string, "strings", err));
    *n = e->n;
    *out = lm_malloc((size_t)e->n * sizeof **out);
    cursor c = { .at = e->data, .end = g->file.data + g->file.size, .ok = true };
    for (uint64_t i = 0; i < e->n; i++) (*out)[i] = take_string(&c);
    return LM_OK;
}

lm_status lm_gguf_floats(const lm_gguf *g, const char *key, float **out, uint64_t *n, lm_err *err)
{
    const lm_gguf_entry *e;
    LM_TRY(find_array(g, key, &e, is_float, "floats", err));
    *n = e->n;
    *out = lm_malloc((size_t)e->n * sizeof **out);
    for (uint64_t i = 0; i < e->n; i++) {
        uint32_t bits = (uint32_t)little_endian(e->data + 4 * i, 4);
        memcpy(&(*out)[i], &bits, sizeof bits);
    }
    return LM_OK;
}

lm_status lm_gguf_ints(const lm_gguf *g, const char *key, int32_t **out, uint64_t *n, lm_err *err)
{
    const lm_gguf_entry *e;
    LM_TRY(find_array(g, key, &e, is_int, "32-bit integers", err));
    *n = e->n;
    *out = lm_malloc((size_t)e->n * sizeof **out);
    for (uint64_t i = 0; i < e->n; i++) (*out)[i] = (int32_t)little_endian(e->data + 4 * i, 4);
    return LM_OK;
}
