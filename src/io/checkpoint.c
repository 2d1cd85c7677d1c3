#include "io/checkpoint.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char manifest_name[] = "manifest.json", state_name[] = "state.json", latest_name[] = "latest";
static const char step_prefix[] = "step-", format_name[] = "malmoi checkpoint";
enum { FORMAT_VERSION = 1, STEP_DIGITS = 6, MOST_DIGITS = 18 };

/* ---- names ------------------------------------------------------------------- */

static char *step_name(int64_t step)
{
    lm_str name = {0};
    lm_str_printf(&name, "%s%0*" PRId64, step_prefix, STEP_DIGITS, step);
    return lm_str_take(&name);
}

char *lm_checkpoint_path(const char *run, int64_t step)
{
    char *name = step_name(step), *path = lm_path_join(run, name);
    free(name);
    return path;
}

/* The step of a name that step_name makes, or -1. */
static int64_t step_of(const char *name)
{
    if (!lm_starts_with(name, step_prefix)) return -1;
    const char *digits = name + strlen(step_prefix);
    size_t n = strspn(digits, "0123456789");
    if (n < STEP_DIGITS || n > MOST_DIGITS || digits[n]) return -1;
    int64_t step = strtoll(digits, NULL, 10);
    char *name_again = step_name(step);
    bool same = !strcmp(name, name_again);
    free(name_again);
    return same ? step : -1;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

lm_status lm_checkpoint_list(int64_t **steps, size_t *n, const char *run, lm_err *err)
{
    *steps = NULL, *n = 0;
    DIR *dir = opendir(run);
    if (!dir) return lm_fail(err, LM_E_IO, "%s: cannot open: %s", run, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)); ) {
        int64_t step = step_of(entry->d_name);
        if (step < 0) continue;
        *steps = lm_realloc(*steps, (*n + 1) * sizeof **steps);
        (*steps)[(*n)++] = step;
    }
    closedir(dir);
    if (*n) qsort(*steps, *n, sizeof **steps, ascending);
    return LM_OK;
}

/* The step that RUN/latest names, or -1. */
static int64_t latest_step(const char *run)
{
    lm_str text;
    char *path = lm_path_join(run, latest_name);
    int64_t step = -1;
    if (lm_file_read(&text, path, 64, NULL) == LM_OK) {
        text.data[strcspn(text.data, "\n")] = '\0';
        step = step_of(text.data);
        lm_str_free(&text);
    }
    free(path);
    return step;
}

/* ---- the manifest ------------------------------------------------------------ */

/* "bytes" and "xxh3" of a file. */
static lm_status fingerprint(lm_json **out, const char *path, lm_err *err)
{
    lm_mapping file;
    char hash[17];
    *out = NULL;
    LM_TRY(lm_file_map(&file, path, err));
    snprintf(hash, sizeof hash, "%016" PRIx64, lm_hash(file.data, file.size, 0));
    *out = json_pack("{s:I, s:s}", "bytes", (json_int_t)file.size, "xxh3", hash);
    lm_mapping_free(&file);
    return LM_OK;
}

/* Adds every file below `folder`/`inner` under its path from `folder`. */
static lm_status list_files(lm_json *files, const char *folder, const char *inner, lm_err *err)
{
    char *path = lm_path_join(folder, inner);
    lm_status status = LM_OK;
    DIR *dir = opendir(path);
    if (!dir) status = lm_fail(err, LM_E_IO, "%s: cannot open: %s", path, strerror(errno));
    for (struct dirent *entry; status == LM_OK && (entry = readdir(dir)); ) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char *name = *inner ? lm_path_join(inner, entry->d_name) : lm_strdup(entry->d_name);
        char *file = lm_path_join(folder, name);
        lm_json *print = NULL;
        if (lm_is_dir(file)) status = list_files(files, folder, name, err);
        else status = fingerprint(&print, file, err);
        if (print && json_object_set_new(files, name, print) != 0)
            status = lm_fail(err, LM_E_FORMAT, "%s: a file name that is not UTF-8", path);
        free(name);
        free(file);
    }
    if (dir) closedir(dir);
    free(path);
    return status;
}

static lm_status write_manifest(const lm_checkpoint_writer *w, lm_err *err)
{
    lm_json *files = json_object();
    lm_status status = list_files(files, w->staging.path, "", err);
    lm_json *manifest = json_pack("{s:s, s:i, s:I, s:o}", "format", format_name, "version", (int)FORMAT_VERSION,
                                  "step", (json_int_t)w->step, "files", files);
    char *path = lm_path_join(w->staging.path, manifest_name);
    if (status == LM_OK) status = lm_json_write(manifest, path, err);
    lm_json_free(manifest);
    free(path);
    return status;
}

/* A file of the manifest is there and unchanged. */
static lm_status check_file(const char *folder, const char *name, const lm_json *expected, lm_err *err)
{
    if (*name == '/' || strstr(name, ".."))
        return lm_fail(err, LM_E_FORMAT, "%s/%s: file %s is not in the folder", folder, manifest_name, name);
    char *path = lm_path_join(folder, name);
    lm_json *found;
    lm_status status = fingerprint(&found, path, err);
    if (status == LM_OK && !json_equal(found, expected))
        status = lm_fail(err, LM_E_FORMAT, "%s: damaged: not the file that %s describes", path, manifest_name);
    lm_json_free(found);
    free(path);
    return status;
}

static lm_status check_manifest(lm_checkpoint_reader *c, const lm_json *manifest, const char *path, lm_err *err)
{
    const char *format = "", *name;
    int64_t version = 0;
    lm_json *expected;
    LM_TRY(lm_json_opt_str(manifest, "format", path, &format, err));
    LM_TRY(lm_json_opt_int(manifest, "version", path, &version, err));
    LM_TRY(lm_json_need_int(manifest, "step", path, &c->step, err));
    if (strcmp(format, format_name) || version != FORMAT_VERSION)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: format \"%s\" version %" PRId64 ", expected \"%s\" version %d", path,
                       format, version, format_name, FORMAT_VERSION);
    lm_json *files = lm_json_get(manifest, "files");
    if (!json_is_object(files)) return lm_fail(err, LM_E_FORMAT, "%s: files: expected an object", path);
    json_object_foreach(files, name, expected) LM_TRY(check_file(c->path, name, expected, err));
    return LM_OK;
}

/* ---- writing ----------------------------------------------------------------- */

lm_status lm_checkpoint_begin(lm_checkpoint_writer *w, const char *run, int64_t step, lm_err *err)
{
    LM_ASSERT(step >= 0);
    *w = (lm_checkpoint_writer){ .run = lm_strdup(run), .step = step };
    lm_staging_sweep(run, step_prefix);
    lm_staging_sweep(run, ".latest");
    char *target = lm_checkpoint_path(run, step);
    lm_status status = lm_staging_begin(&w->staging, target, true, err);
    free(target);
    if (status != LM_OK) lm_checkpoint_abort(w);
    return status;
}

const char *lm_checkpoint_folder(const lm_checkpoint_writer *w) { return w->staging.path; }

lm_status lm_checkpoint_tensors(lm_checkpoint_writer *w, const char *name, const lm_save *tensors, lm_err *err)
{
    char *path = lm_path_join(w->staging.path, name);
    lm_status status = lm_save_file(tensors, path, err);
    free(path);
    return status;
}

lm_status lm_checkpoint_state(lm_checkpoint_writer *w, const lm_json *state, lm_err *err)
{
    char *path = lm_path_join(w->staging.path, state_name);
    lm_status status = lm_json_write(state, path, err);
    free(path);
    return status;
}

static lm_status point_to(const char *run, int64_t step, lm_err *err)
{
    char *path = lm_path_join(run, latest_name), *name = step_name(step);
    lm_str line = {0};
    lm_str_printf(&line, "%s\n", name);
    lm_status status = lm_file_write(path, line.data, line.len, err);
    lm_str_free(&line);
    free(name);
    free(path);
    return status;
}

/* Removes the lowest steps until `keep` are left; never the one that was just written. */
static lm_status prune(const char *run, int64_t current, int64_t keep, lm_err *err)
{
    int64_t *steps;
    size_t n;
    LM_TRY(lm_checkpoint_list(&steps, &n, run, err));
    lm_status status = LM_OK;
    for (size_t i = 0; i + (size_t)keep < n && status == LM_OK; i++) {
        if (steps[i] == current) continue;
        char *path = lm_checkpoint_path(run, steps[i]);
        status = lm_staging_remove(path, err);
        free(path);
    }
    free(steps);
    return status;
}

lm_status lm_checkpoint_commit(lm_checkpoint_writer *w, int64_t keep, lm_err *err)
{
    lm_status status = write_manifest(w, err);
    if (status == LM_OK) status = lm_staging_commit(&w->staging, err);
    if (status == LM_OK) status = point_to(w->run, w->step, err);
    if (status == LM_OK && keep > 0) status = prune(w->run, w->step, keep, err);
    lm_checkpoint_abort(w);
    return status;
}

void lm_checkpoint_abort(lm_checkpoint_writer *w)
{
    if (!w) return;
    lm_staging_abort(&w->staging);
    free(w->run);
    *w = (lm_checkpoint_writer){0};
}

/* ---- reading ----------------------------------------------------------------- */

static lm_status verify(lm_checkpoint_reader *c, lm_err *err)
{
    char *path = lm_path_join(c->path, manifest_name), *state = lm_path_join(c->path, state_name);
    lm_json *manifest = lm_json_read(path, err);
    lm_status status = manifest ? check_manifest(c, manifest, path, err) : LM_E_FORMAT;
    if (status == LM_OK && lm_json_get(lm_json_get(manifest, "files"), state_name)) {
        c->state = lm_json_read(state, err);
        if (!c->state) status = LM_E_FORMAT;
    }
    lm_json_free(manifest);
    free(path);
    free(state);
    return status;
}

lm_status lm_checkpoint_open_step(lm_checkpoint_reader *c, const char *folder, lm_err *err)
{
    *c = (lm_checkpoint_reader){ .path = lm_strdup(folder) };
    lm_status status = verify(c, err);
    if (status != LM_OK) lm_checkpoint_close(c);
    return status;
}

/* Opens run/step, or tells why it is passed over. */
static bool try_step(lm_checkpoint_reader *c, const char *run, int64_t step)
{
    lm_err why = {0};
    char *path = lm_checkpoint_path(run, step);
    bool good = lm_checkpoint_open_step(c, path, &why) == LM_OK;
    if (!good) lm_log(LM_LOG_WARN, "%s: passed over: %s", path, why.message);
    free(path);
    return good;
}

/* The latest, then the ones before it, and only then what is newer than the latest: steps of a part of
 * the run that was given up, or one whose commit was cut off before it became the latest. */
static bool open_newest(lm_checkpoint_reader *c, const char *run, const int64_t *steps, size_t n)
{
    int64_t latest = latest_step(run);
    if (latest < 0 && n) latest = steps[n - 1];
    for (size_t i = n; i-- > 0; )
        if (steps[i] <= latest && try_step(c, run, steps[i])) return true;
    for (size_t i = n; i-- > 0; )
        if (steps[i] > latest && try_step(c, run, steps[i])) return true;
    return false;
}

lm_status lm_checkpoint_open(lm_checkpoint_reader *c, const char *run, lm_err *err)
{
    *c = (lm_checkpoint_reader){0};
    int64_t *steps;
    size_t n;
    LM_TRY(lm_checkpoint_list(&steps, &n, run, err));
    lm_status status = LM_OK;
    if (n == 0) status = lm_fail(err, LM_E_IO, "%s: holds no checkpoint", run);
    else if (!open_newest(c, run, steps, n))
        status = lm_fail(err, LM_E_FORMAT, "%s: none of its %zu checkpoints is whole", run, n);
    free(steps);
    return status;
}

void lm_checkpoint_close(lm_checkpoint_reader *c)
{
    if (!c) return;
    lm_json_free(c->state);
    free(c->path);
    *c = (lm_checkpoint_reader){0};
}
