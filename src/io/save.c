/* Layout of a file: tensors with larger elements come first, and the header is padded with spaces
 * to a multiple of 64 bytes, so that every tensor is aligned to its element where it is mapped. */
#include "io/save.h"

#include "base/file.h"
#include "base/map.h"
#include "base/str.h"
#include "io/convert.h"
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_ALIGN = 64, LENGTH_BYTES = 8, CONVERT_BYTES = 1 << 20 };
static const int64_t default_shard = 5000000000;

/* One file of a save: which entries, in which order. */
typedef struct shard {
    int64_t *index;                          /* into the save's entries */
    int64_t n, bytes;
    char *name;
    lm_writer writer;
} shard;

/* ---- checking what is to be saved -------------------------------------------- */

static int64_t numel(const lm_save_entry *e)
{
    int64_t n = 1;
    for (int i = 0; i < e->ndim; i++) n *= e->dim[i];
    return n;
}

static int64_t file_bytes(const lm_save_entry *e) { return numel(e) * (int64_t)lm_dtype_size(e->dtype); }

static lm_status check(const lm_save *s, const char *where, lm_err *err)
{
    lm_map *names = lm_map_new((size_t)s->n);
    lm_status status = LM_OK;
    for (int64_t i = 0; i < s->n && status == LM_OK; i++) {
        const lm_save_entry *e = &s->entries[i];
        size_t len = strlen(e->name);
        LM_ASSERT(e->ndim >= 0 && e->ndim <= LM_STORED_MAX_DIM && (e->data || s->fill || !numel(e)));
        if (lm_utf8_valid(e->name, len) != len)
            status = lm_fail(err, LM_E_FORMAT, "%s: tensor %lld: its name is not UTF-8", where, (long long)i);
        else if (!lm_map_put(names, e->name, len, i))
            status = lm_fail(err, LM_E_FORMAT, "%s: two tensors are called %s", where, e->name);
        else if (!lm_convertible(e->data_dtype, e->dtype))
            status = lm_fail(err, LM_E_UNSUPPORTED, "%s: tensor %s: %s cannot be written as %s", where, e->name,
                             lm_dtype_name(e->data_dtype), lm_dtype_name(e->dtype));
    }
    lm_map_free(names);
    return status;
}

/* ---- the header -------------------------------------------------------------- */

static void describe(json_t *header, const lm_save_entry *e, int64_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < e->ndim; i++) json_array_append_new(shape, json_integer(e->dim[i]));
    json_object_set_new(header, e->name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", lm_dtype_name(e->dtype), "shape", shape,
                                  "data_offsets", (json_int_t)begin, (json_int_t)(begin + file_bytes(e))));
}

static void write_header(FILE *out, const lm_save *s, const shard *file)
{
    json_t *header = json_object();
    json_object_set_new(header, "__metadata__",
                        s->metadata ? json_deep_copy(s->metadata) : json_pack("{s:s}", "format", "pt"));
    for (int64_t i = 0, at = 0; i < file->n; i++) {
        const lm_save_entry *e = &s->entries[file->index[i]];
        describe(header, e, at);
        at += file_bytes(e);
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) LM_BUG("a safetensors header that is not JSON");

    size_t len = strlen(text), end = LENGTH_BYTES + len;
    size_t pad = (HEADER_ALIGN - end % HEADER_ALIGN) % HEADER_ALIGN;
    for (int i = 0; i < LENGTH_BYTES; i++) putc((int)((len + pad) >> 8 * i & 0xFF), out);
    fwrite(text, 1, len, out);
    for (size_t i = 0; i < pad; i++) putc(' ', out);
    free(text);
}

/* ---- the data ---------------------------------------------------------------- */

static void write_converted(FILE *out, const lm_save_entry *e, const void *data)
{
    int64_t n = numel(e);
    size_t from = lm_dtype_size(e->data_dtype), to = lm_dtype_size(e->dtype);
    if (e->data_dtype == e->dtype) {
        fwrite(data, to, (size_t)n, out);
        return;
    }
    const int64_t block = CONVERT_BYTES / (int64_t)to;
    uint8_t *buffer = lm_malloc(CONVERT_BYTES);
    for (int64_t i = 0; i < n; i += block) {
        int64_t count = n - i < block ? n - i : block;
        lm_convert(buffer, e->dtype, (const uint8_t *)data + (size_t)i * from, e->data_dtype, count);
        fwrite(buffer, to, (size_t)count, out);
    }
    free(buffer);
}

static lm_status write_filled(FILE *out, const lm_save *s, int64_t i, lm_err *err)
{
    const lm_save_entry *e = &s->entries[i];
    size_t bytes = (size_t)numel(e) * lm_dtype_size(e->data_dtype);
    void *data = malloc(bytes);
    if (!data) return lm_fail(err, LM_E_NOMEM, "tensor %s: no memory for its %zu bytes", e->name, bytes);
    lm_status status = s->fill(s->context, i, data, err);
    if (status == LM_OK) write_converted(out, e, data);
    free(data);
    return status;
}

/* A failed write stays in the stream and ends the loop; commit reports it. */
static lm_status write_file(shard *file, const lm_save *s, lm_err *err)
{
    FILE *out = file->writer.stream;
    write_header(out, s, file);
    for (int64_t i = 0; i < file->n && !ferror(out); i++) {
        const lm_save_entry *e = &s->entries[file->index[i]];
        if (!numel(e)) continue;
        if (e->data) write_converted(out, e, e->data);
        else LM_TRY(write_filled(out, s, file->index[i], err));
    }
    return LM_OK;
}

/* ---- shards ------------------------------------------------------------------ */

/* Larger elements first; the sort keeps the order of equals. */
static void order_by_element(shard *file, const lm_save *s)
{
    int64_t *sorted = lm_malloc((size_t)file->n * sizeof *sorted), n = 0;
    for (size_t size = 8; size; size /= 2)
        for (int64_t i = 0; i < file->n; i++)
            if (lm_dtype_size(s->entries[file->index[i]].dtype) == size) sorted[n++] = file->index[i];
    free(file->index);
    file->index = sorted;
}

/* Fills one shard after the other in the order of the list. */
static shard *split(const lm_save *s, int64_t max_shard, int64_t *n_shards)
{
    shard *shards = lm_calloc(1, sizeof *shards);
    *n_shards = 1;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t bytes = file_bytes(&s->entries[i]);
        shard *last = &shards[*n_shards - 1];
        if (last->n && bytes > max_shard - last->bytes) {
            shards = lm_realloc(shards, (size_t)(*n_shards + 1) * sizeof *shards);
            last = &shards[(*n_shards)++];
            *last = (shard){0};
        }
        last->index = lm_realloc(last->index, (size_t)(last->n + 1) * sizeof *last->index);
        last->index[last->n++] = i;
        last->bytes += bytes;
    }
    for (int64_t i = 0; i < *n_shards; i++) {
        lm_str name = {0};
        if (*n_shards == 1) lm_str_puts(&name, "model.safetensors");
        else lm_str_printf(&name, "model-%05lld-of-%05lld.safetensors", (long long)i + 1, (long long)*n_shards);
        shards[i].name = lm_str_take(&name);
        order_by_element(&shards[i], s);
    }
    return shards;
}

static void free_shards(shard *shards, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        lm_writer_abort(&shards[i].writer);
        free(shards[i].index);
        free(shards[i].name);
    }
    free(shards);
}

static lm_status write_index(const lm_save *s, const shard *shards, int64_t n, const char *path, lm_err *err)
{
    json_t *map = json_object();
    json_int_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        total += shards[i].bytes;
        for (int64_t j = 0; j < shards[i].n; j++)
            json_object_set_new(map, s->entries[shards[i].index[j]].name, json_string(shards[i].name));
    }
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", total, "weight_map", map);
    lm_status status = lm_json_write(index, path, err);
    json_decref(index);
    return status;
}

/* All shards reach the disk under temporary names before the first takes its own. */
static lm_status write_shards(const lm_save *s, shard *shards, int64_t n, const char *folder, lm_err *err)
{
    for (int64_t i = 0; i < n; i++) {
        char *path = lm_path_join(folder, shards[i].name);
        lm_status status = lm_writer_open(&shards[i].writer, path, err);
        if (status == LM_OK) status = write_file(&shards[i], s, err);
        free(path);
        LM_TRY(status);
        FILE *out = shards[i].writer.stream;
        if (ferror(out) || fflush(out) || fsync(fileno(out))) return lm_writer_commit(&shards[i].writer, err);
    }
    for (int64_t i = 0; i < n; i++) LM_TRY(lm_writer_commit(&shards[i].writer, err));
    return LM_OK;
}

lm_status lm_save_folder(const lm_save *s, const char *folder, int64_t max_shard, lm_err *err)
{
    LM_TRY(check(s, folder, err));
    int64_t n;
    shard *shards = split(s, max_shard > 0 ? max_shard : default_shard, &n);
    char *single = lm_path_join(folder, "model.safetensors");
    char *index = lm_path_join(folder, "model.safetensors.index.json");

    lm_status status = write_shards(s, shards, n, folder, err);
    if (status == LM_OK && n > 1) status = write_index(s, shards, n, index, err);
    if (status == LM_OK) unlink(n > 1 ? single : index);
    free(single);
    free(index);
    free_shards(shards, n);
    return status;
}

lm_status lm_save_file(const lm_save *s, const char *path, lm_err *err)
{
    LM_TRY(check(s, path, err));
    int64_t n;
    shard *file = split(s, INT64_MAX, &n);
    lm_status status = lm_writer_open(&file->writer, path, err);
    if (status == LM_OK) status = write_file(file, s, err);
    if (status == LM_OK) status = lm_writer_commit(&file->writer, err);
    free_shards(file, n);
    return status;
}
