/* The header is JSON of at most 100 MB, as in the reference library.
 *
 * Order of the checks: the frame (length, JSON), then each entry alone (dtype, shape, offsets,
 * size), then all together (sorted by offset: overlap, hole, rest). */
#include "io/safetensors.h"

#include "io/convert.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };
static const uint64_t max_header = 100000000;

/* Types of the format and their bits; dtype -1 where malmoi has none. */
static const struct { const char *name; int bits, dtype; } types[] = {
    { "F64", 64, -1 },      { "F32", 32, LM_F32 },  { "F16", 16, LM_F16 },  { "BF16", 16, LM_BF16 },
    { "I64", 64, LM_I64 },  { "I32", 32, LM_I32 },  { "I16", 16, -1 },      { "I8", 8, LM_I8 },
    { "U64", 64, -1 },      { "U32", 32, -1 },      { "U16", 16, -1 },      { "U8", 8, LM_U8 },
    { "BOOL", 8, -1 },      { "C64", 64, -1 },      { "F8_E4M3", 8, -1 },   { "F8_E5M2", 8, -1 },
    { "F8_E8M0", 8, -1 },   { "F8_E4M3FNUZ", 8, -1 }, { "F8_E5M2FNUZ", 8, -1 },
    { "F6_E2M3", 6, -1 },   { "F6_E3M2", 6, -1 },   { "F4", 4, -1 },
};
enum { N_TYPES = sizeof types / sizeof *types };

/* ---- one entry --------------------------------------------------------------- */

static lm_status bad_entry(const lm_stored *s, lm_err *err, const char *what)
{
    return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: %s", s->path, s->name, what);
}

/* Fills dim, ndim and numel. */
static lm_status read_shape(lm_stored *s, const lm_json *shape, lm_err *err)
{
    if (!json_is_array(shape)) return bad_entry(s, err, "shape: expected a list of sizes");
    if (json_array_size(shape) > LM_STORED_MAX_DIM)
        return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: %zu dimensions, expected at most %d", s->path, s->name,
                       json_array_size(shape), LM_STORED_MAX_DIM);
    s->ndim = (int)json_array_size(shape);
    s->numel = 1;
    for (int i = 0; i < s->ndim; i++) {
        const lm_json *size = json_array_get(shape, (size_t)i);
        s->dim[i] = json_is_integer(size) ? json_integer_value(size) : -1;
        if (s->dim[i] < 0)
            return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: shape: size %d is not an integer of at least 0",
                           s->path, s->name, i);
        if (__builtin_mul_overflow(s->numel, s->dim[i], &s->numel))
            return bad_entry(s, err, "shape: more elements than 64 bits count");
    }
    return LM_OK;
}

/* *begin <= *end <= size of the data. */
static lm_status read_offsets(const lm_stored *s, const lm_json *pair, uint64_t data_bytes,
                              uint64_t *begin, uint64_t *end, lm_err *err)
{
    const lm_json *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(a) || !json_is_integer(b)
        || json_integer_value(a) < 0 || json_integer_value(b) < 0)
        return bad_entry(s, err, "data_offsets: expected [begin, end]");
    *begin = (uint64_t)json_integer_value(a), *end = (uint64_t)json_integer_value(b);
    if (*begin > *end)
        return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: data_offsets: begins at %" PRIu64 ", after its end at %" PRIu64,
                       s->path, s->name, *begin, *end);
    if (*end > data_bytes)
        return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: ends at byte %" PRIu64 " of the data, the file has %" PRIu64
                       " (cut short?)", s->path, s->name, *end, data_bytes);
    return LM_OK;
}

/* Where the type's width is known, offsets and shape must agree. */
static lm_status check_size(const lm_stored *s, int bits, lm_err *err)
{
    int64_t total;
    bool fits = !__builtin_mul_overflow(s->numel, (int64_t)bits, &total);
    if (!fits || total % 8 || (uint64_t)total / 8 != s->bytes)
        return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: %zu bytes of data, but %" PRId64 " elements of %s",
                       s->path, s->name, s->bytes, s->numel, s->type);
    return LM_OK;
}

static lm_status read_entry(lm_stored *s, const lm_json *entry, const uint8_t *data, uint64_t data_bytes, lm_err *err)
{
    if (!json_is_object(entry)) return bad_entry(s, err, "expected an object with dtype, shape and data_offsets");
    const lm_json *type = json_object_get(entry, "dtype");
    s->type = json_string_value(type);
    if (!s->type || strlen(s->type) != json_string_length(type)) return bad_entry(s, err, "dtype: expected a string");
    s->dtype = -1;
    LM_TRY(read_shape(s, json_object_get(entry, "shape"), err));

    uint64_t begin = 0, end = 0;
    LM_TRY(read_offsets(s, json_object_get(entry, "data_offsets"), data_bytes, &begin, &end, err));
    s->data = data + begin;
    s->bytes = (size_t)(end - begin);
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(s->type, types[i].name)) continue;
        s->dtype = types[i].dtype;
        return check_size(s, types[i].bits, err);
    }
    return LM_OK;
}

/* ---- the header -------------------------------------------------------------- */

static lm_status read_metadata(lm_safetensors *file, lm_json *metadata, lm_err *err)
{
    const char *key;
    lm_json *value;
    if (!json_is_object(metadata))
        return lm_fail(err, LM_E_FORMAT, "%s: __metadata__: expected an object of strings", file->path);
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return lm_fail(err, LM_E_FORMAT, "%s: __metadata__: %s: expected a string", file->path, key);
    file->metadata = metadata;
    return LM_OK;
}

static int by_place(const void *a, const void *b)
{
    const lm_stored *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;   /* empty ones before the one they touch */
    return strcmp(x->name, y->name);
}

/* Sorts the entries by place; each must begin where the one before it ends, the last end the file. */
static lm_status check_cover(lm_safetensors *file, const uint8_t *data, size_t data_bytes, lm_err *err)
{
    qsort(file->items, (size_t)file->n, sizeof *file->items, by_place);
    const uint8_t *covered = data;
    for (int64_t i = 0; i < file->n; i++) {
        const lm_stored *s = &file->items[i];
        const uint8_t *begin = s->data;
        if (begin < covered)
            return lm_fail(err, LM_E_FORMAT, "%s: tensors %s and %s overlap", file->path, s[-1].name, s->name);
        if (begin > covered)
            return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: %td bytes in front of it belong to no tensor",
                           file->path, s->name, begin - covered);
        covered = begin + s->bytes;
    }
    size_t rest = data_bytes - (size_t)(covered - data);
    if (rest) return lm_fail(err, LM_E_FORMAT, "%s: %zu bytes at the end belong to no tensor", file->path, rest);
    return LM_OK;
}

static lm_status read_header(lm_safetensors *file, const uint8_t *data, size_t data_bytes, lm_err *err)
{
    if (!json_is_object(file->header))
        return lm_fail(err, LM_E_FORMAT, "%s: header: expected a JSON object", file->path);
    file->items = lm_calloc(json_object_size(file->header), sizeof *file->items);
    file->by_name = lm_map_new(json_object_size(file->header));

    const char *name;
    lm_json *entry;
    json_object_foreach(file->header, name, entry) {
        if (!strcmp(name, "__metadata__")) {
            LM_TRY(read_metadata(file, entry, err));
            continue;
        }
        lm_stored *s = &file->items[file->n++];
        s->name = name, s->path = file->path;
        LM_TRY(read_entry(s, entry, data, data_bytes, err));
    }
    LM_TRY(check_cover(file, data, data_bytes, err));
    for (int64_t i = 0; i < file->n; i++)
        lm_map_put(file->by_name, file->items[i].name, strlen(file->items[i].name), i);
    return LM_OK;
}

static lm_status read_frame(lm_safetensors *file, lm_err *err)
{
    const uint8_t *bytes = file->mapping.data;
    size_t size = file->mapping.size;
    if (size < LENGTH_BYTES)
        return lm_fail(err, LM_E_FORMAT, "%s: %zu bytes, too short for a safetensors file", file->path, size);
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | bytes[i];
    if (n > max_header)
        return lm_fail(err, LM_E_FORMAT, "%s: header of %" PRIu64 " bytes, expected at most %" PRIu64
                       " (not a safetensors file?)", file->path, n, max_header);
    if (n > size - LENGTH_BYTES)
        return lm_fail(err, LM_E_FORMAT, "%s: header of %" PRIu64 " bytes, but only %zu follow (cut short?)",
                       file->path, n, size - LENGTH_BYTES);
    file->header = lm_json_parse((const char *)bytes + LENGTH_BYTES, (size_t)n, file->path, err);
    if (!file->header) return LM_E_FORMAT;
    return read_header(file, bytes + LENGTH_BYTES + n, size - LENGTH_BYTES - (size_t)n, err);
}

lm_status lm_safetensors_open(lm_safetensors *file, const char *path, lm_err *err)
{
    *file = (lm_safetensors){ .path = lm_strdup(path) };
    lm_status status = lm_file_map(&file->mapping, path, err);
    if (status == LM_OK) status = read_frame(file, err);
    if (status != LM_OK) lm_safetensors_close(file);
    return status;
}

void lm_safetensors_close(lm_safetensors *file)
{
    if (!file) return;
    lm_map_free(file->by_name);
    lm_json_free(file->header);
    lm_mapping_free(&file->mapping);
    free(file->items);
    free(file->path);
    *file = (lm_safetensors){0};
}

const lm_stored *lm_safetensors_find(const lm_safetensors *file, const char *name)
{
    int64_t i = lm_map_get(file->by_name, name, strlen(name), -1);
    return i < 0 ? NULL : &file->items[i];
}

const char *lm_safetensors_meta(const lm_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

/* ---- a tensor's data --------------------------------------------------------- */

const void *lm_stored_in_place(const lm_stored *s, lm_dtype dtype)
{
    if (s->dtype < 0 || s->dtype != (int)dtype) return NULL;
    return (uintptr_t)s->data % lm_dtype_size(dtype) == 0 ? s->data : NULL;
}

lm_status lm_stored_copy(const lm_stored *s, void *out, lm_dtype dtype, lm_err *err)
{
    if (s->dtype == (int)dtype) {
        if (s->bytes) memcpy(out, s->data, s->bytes);
        return LM_OK;
    }
    if (s->dtype < 0 || !lm_convertible((lm_dtype)s->dtype, dtype))
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: tensor %s: dtype %s cannot be used as %s", s->path, s->name,
                       s->type, lm_dtype_name(dtype));
    lm_convert(out, dtype, s->data, (lm_dtype)s->dtype, s->numel);
    return LM_OK;
}

lm_status lm_stored_need_shape(const lm_stored *s, int ndim, const int64_t *dim, lm_err *err)
{
    if (s->ndim == ndim && (ndim == 0 || !memcmp(s->dim, dim, (size_t)ndim * sizeof *dim))) return LM_OK;
    char found[96], expected[96];
    return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: shape %s, expected %s", s->path, s->name,
                   lm_shape_text(found, s->ndim, s->dim), lm_shape_text(expected, ndim, dim));
}
