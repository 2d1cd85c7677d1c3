/* The files of a model seen as one list of tensors. */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

static const char single_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

/* ---- the tensors of the open files ------------------------------------------- */

static lm_status list_tensors(lm_weights *w, lm_err *err)
{
    size_t total = 0;
    for (int64_t f = 0; f < w->n_files; f++) total += (size_t)w->files[f].n;
    w->items = lm_calloc(total, sizeof *w->items);
    w->by_name = lm_map_new(total);
    for (int64_t f = 0; f < w->n_files; f++) {
        for (int64_t i = 0; i < w->files[f].n; i++) {
            const lm_stored *s = &w->files[f].items[i];
            if (!lm_map_put(w->by_name, s->name, strlen(s->name), w->n))
                return lm_fail(err, LM_E_FORMAT, "%s: tensor %s is also in %s", s->path, s->name,
                               lm_weights_find(w, s->name)->path);
            w->items[w->n++] = s;
        }
    }
    return LM_OK;
}

static lm_status open_file(lm_weights *w, const char *path, lm_err *err)
{
    w->files = lm_realloc(w->files, (size_t)(w->n_files + 1) * sizeof *w->files);
    LM_TRY(lm_safetensors_open(&w->files[w->n_files], path, err));
    w->n_files++;
    return LM_OK;
}

/* ---- shards ------------------------------------------------------------------ */

/* The file of a shard, opened when first named. */
static lm_status open_shard(lm_weights *w, lm_map *shards, const char *folder, const char *shard, lm_err *err)
{
    if (!lm_map_put(shards, shard, strlen(shard), w->n_files)) return LM_OK;
    if (!*shard || strchr(shard, '/') || strchr(shard, '\\') || !lm_ends_with(shard, ".safetensors"))
        return lm_fail(err, LM_E_FORMAT, "%s/%s: shard \"%s\" is not the name of a .safetensors file of the folder",
                       folder, index_name, shard);
    char *path = lm_path_join(folder, shard);
    lm_status status = open_file(w, path, err);
    free(path);
    return status;
}

/* Each tensor of the map must lie in the shard that the map names. */
static lm_status check_map(const lm_weights *w, const lm_map *shards, const char *index, lm_json *map, lm_err *err)
{
    const char *name;
    lm_json *value;
    json_object_foreach(map, name, value) {
        const char *shard = json_string_value(value);
        const lm_safetensors *file = &w->files[lm_map_get(shards, shard, strlen(shard), -1)];
        if (!lm_safetensors_find(file, name))
            return lm_fail(err, LM_E_FORMAT, "%s: tensor %s is not in %s", index, name, shard);
    }
    return LM_OK;
}

static lm_status open_shards(lm_weights *w, lm_map *shards, const char *folder, const char *index,
                             const lm_json *doc, lm_err *err)
{
    lm_json *map = json_object_get(doc, "weight_map"), *value;
    const char *name;
    if (!json_is_object(map) || !json_object_size(map))
        return lm_fail(err, LM_E_FORMAT, "%s: weight_map: expected an object from tensor to file", index);
    json_object_foreach(map, name, value) {
        if (!json_is_string(value))
            return lm_fail(err, LM_E_FORMAT, "%s: weight_map: %s: expected a file name", index, name);
        LM_TRY(open_shard(w, shards, folder, json_string_value(value), err));
    }
    LM_TRY(list_tensors(w, err));
    return check_map(w, shards, index, map, err);
}

static lm_status open_index(lm_weights *w, const char *folder, const char *index, lm_err *err)
{
    lm_json *doc = lm_json_read(index, err);
    if (!doc) return LM_E_FORMAT;
    lm_map *shards = lm_map_new(0);
    lm_status status = open_shards(w, shards, folder, index, doc, err);
    lm_map_free(shards);
    lm_json_free(doc);
    return status;
}

/* ---- the set ----------------------------------------------------------------- */

static lm_status open_folder(lm_weights *w, const char *folder, lm_err *err)
{
    char *single = lm_path_join(folder, single_name), *index = lm_path_join(folder, index_name);
    lm_status status;
    if (lm_file_exists(single)) {
        status = open_file(w, single, err);
        if (status == LM_OK) status = list_tensors(w, err);
    } else if (lm_file_exists(index)) {
        status = open_index(w, folder, index, err);
    } else {
        status = lm_fail(err, LM_E_IO, "%s: holds neither %s nor %s (pickled weights, *.bin, are not read)", folder,
                         single_name, index_name);
    }
    free(single);
    free(index);
    return status;
}

lm_status lm_weights_open(lm_weights *w, const char *path, lm_err *err)
{
    *w = (lm_weights){ .path = lm_strdup(path) };
    lm_status status;
    if (lm_is_dir(path)) {
        status = open_folder(w, path, err);
    } else {
        status = open_file(w, path, err);
        if (status == LM_OK) status = list_tensors(w, err);
    }
    if (status != LM_OK) lm_weights_close(w);
    return status;
}

void lm_weights_close(lm_weights *w)
{
    if (!w) return;
    for (int64_t f = 0; f < w->n_files; f++) lm_safetensors_close(&w->files[f]);
    lm_map_free(w->by_name);
    free(w->items);
    free(w->files);
    free(w->path);
    *w = (lm_weights){0};
}

const lm_stored *lm_weights_find(const lm_weights *w, const char *name)
{
    int64_t i = lm_map_get(w->by_name, name, strlen(name), -1);
    return i < 0 ? NULL : w->items[i];
}

lm_status lm_weights_need(const lm_weights *w, const char *name, const lm_stored **out, lm_err *err)
{
    *out = lm_weights_find(w, name);
    if (*out) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is missing", w->path, name);
}
