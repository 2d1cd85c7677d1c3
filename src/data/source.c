#define _GNU_SOURCE
#include "data/source.h"

#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const lm_on_error[] = { "stop", "skip", NULL };

struct lm_source {
    lm_strings paths;
    const lm_row_format **formats;       /* of each path */
    lm_source_options options;
    int at;                              /* the path that is being read */
    lm_row_reader reader;
};

/* ---- rows ---- */

void lm_row_free(lm_row *row)
{
    lm_json_free(row->object);
    lm_str_free(&row->text);
    row->object = NULL;
}

/* Parsed once more, with the name of its place, where something is wrong with the line. */
static lm_status not_an_object(lm_row *row, lm_err *err)
{
    lm_str place = {0};
    lm_str_printf(&place, "%s:%lld", row->path, (long long)row->line);
    if (row->object) lm_fail(err, LM_E_FORMAT, "%s: expected an object, {\"...\": ...}, found %s", place.data, lm_json_kind(row->object));
    else lm_json_parse(row->text.data, row->text.len, place.data, err);
    lm_str_free(&place);
    return LM_E_FORMAT;
}

/* Lines are cut by the stream; what is wrong with one has the words that it would have when read at once. */
lm_status lm_row_parse(lm_row *row, lm_err *err)
{
    if (!row->raw) return LM_OK;
    size_t valid = lm_utf8_valid(row->text.data, row->text.len);
    if (valid < row->text.len)
        return lm_fail(err, LM_E_FORMAT, "%s:%lld: byte %zu of the line (0x%02x) is not UTF-8", row->path, (long long)row->line, valid + 1, (unsigned char)row->text.data[valid]);
    row->object = lm_json_parse(row->text.data, row->text.len, "", NULL);
    if (!json_is_object(row->object)) return not_an_object(row, err);
    row->raw = false;
    return LM_OK;
}

bool lm_row_has(const lm_row *row, const char *field) { return row->object && lm_json_get(row->object, field); }

/* "prompt, answer": what an object holds, for messages. */
static char *field_names(lm_json *object)
{
    lm_str names = {0};
    const char *key;
    lm_json *value;
    json_object_foreach(object, key, value) {
        if (names.len > 200) {
            lm_str_puts(&names, ", ...");
            break;
        }
        lm_str_printf(&names, "%s%s", names.len ? ", " : "", key);
    }
    return names.len ? lm_str_take(&names) : lm_strdup("nothing");
}

lm_status lm_row_text(const lm_row *row, const char *field, lm_span *out, lm_err *err)
{
    if (!row->object) {
        *out = lm_span_of(row->text.data, row->text.len);
        return LM_OK;
    }
    const lm_json *value = lm_json_get(row->object, field);
    if (!value) {
        char *names = field_names(row->object);
        lm_fail(err, LM_E_FORMAT, "expected a field \"%s\", found %s", field, names);
        free(names);
        return LM_E_FORMAT;
    }
    if (!json_is_string(value)) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected a string", field);
    *out = lm_span_of(json_string_value(value), json_string_length(value));
    return LM_OK;
}

lm_status lm_row_truth(const lm_row *row, const char *field, bool *out, lm_err *err)
{
    const lm_json *value = row->object ? lm_json_get(row->object, field) : NULL;
    bool number = json_is_integer(value) && (json_integer_value(value) == 0 || json_integer_value(value) == 1);
    *out = number ? json_integer_value(value) : json_is_true(value);
    if (number || json_is_boolean(value)) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "field \"%s\"%s: expected true or false", field, value ? "" : " is missing");
}

/* ---- files ---- */

static const lm_row_format *format_named(const char *name)
{
    for (const lm_row_format *const *f = lm_row_format_registry; *f; f++)
        if (!strcmp((*f)->name, name)) return *f;
    return NULL;
}

/* By the name's ending, "data.jsonl.zst" being a JSONL file; a name without one is plain text. */
static const lm_row_format *format_of(const char *path)
{
    char *name = lm_strdup(lm_path_name(path));
    for (const char *const *packed = (const char *const[]){ ".gz", ".zst", NULL }; *packed; packed++)
        if (lm_ends_with(name, *packed)) name[strlen(name) - strlen(*packed)] = 0;
    const lm_row_format *found = strchr(name, '.') ? NULL : format_named("text");
    for (const lm_row_format *const *f = lm_row_format_registry; *f; f++)
        for (const char *const *ending = (*f)->endings; *ending; ending++)
            if (lm_ends_with(name, *ending)) found = *f;
    free(name);
    return found;
}

static lm_status add_file(lm_source *s, const char *path, lm_err *err)
{
    const char *named = s->options.format && strcmp(s->options.format, "auto") ? s->options.format : NULL;
    const lm_row_format *format = named ? format_named(named) : format_of(path);
    if (!format && named) return lm_fail(err, LM_E_USAGE, "no data format is called %s", named);
    if (!format) return lm_fail(err, LM_E_USAGE, "%s: its name does not tell its format; give --format", path);
    if (strcmp(path, "-") && !lm_file_exists(path)) return lm_fail(err, LM_E_IO, "%s: there is no such file", path);
    s->formats = lm_realloc(s->formats, (size_t)(s->paths.n + 1) * sizeof *s->formats);
    s->formats[s->paths.n] = format;
    lm_strings_push(&s->paths, lm_strdup(path));
    return LM_OK;
}

static int has_known_ending(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strchr(entry->d_name, '.') && format_of(entry->d_name);
}

static lm_status add_folder(lm_source *s, const char *folder, lm_err *err)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, has_known_ending, alphasort);
    if (n < 0) return lm_fail(err, LM_E_IO, "%s: cannot list the folder", folder);
    lm_status status = n ? LM_OK : lm_fail(err, LM_E_FORMAT, "%s: the folder holds no data file", folder);
    for (int i = 0; i < n; i++) {
        char *path = lm_path_join(folder, entries[i]->d_name);
        if (status == LM_OK) status = add_file(s, path, err);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static lm_status add_path(lm_source *s, const char *path, lm_err *err) { return lm_is_dir(path) ? add_folder(s, path, err) : add_file(s, path, err); }

static bool is_pattern(const char *path) { return strpbrk(path, "*?[") && !lm_file_exists(path); }

/* What it matches, in the order of names. */
static lm_status add_pattern(lm_source *s, const char *pattern, lm_err *err)
{
    glob_t found = {0};
    int failed = glob(pattern, 0, NULL, &found);
    lm_status status = failed == GLOB_NOMATCH ? lm_fail(err, LM_E_IO, "%s: no file matches", pattern) : failed ? lm_fail(err, LM_E_IO, "%s: cannot be looked for", pattern) : LM_OK;
    for (size_t i = 0; i < found.gl_pathc && status == LM_OK; i++) status = add_path(s, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

lm_status lm_source_open(lm_source **out, const lm_strings *paths, const lm_source_options *options, lm_err *err)
{
    lm_source *s = *out = lm_calloc(1, sizeof *s);
    s->options = *options;
    lm_status status = LM_OK;
    for (int i = 0; i < paths->n && status == LM_OK; i++)
        status = is_pattern(paths->items[i]) ? add_pattern(s, paths->items[i], err) : add_path(s, paths->items[i], err);
    if (status != LM_OK) {
        lm_source_close(s);
        *out = NULL;
    }
    return status;
}

static void close_file(lm_source *s)
{
    lm_row_reader *r = &s->reader;
    lm_stream_close(r->stream);
    lm_str_free(&r->line);
    lm_strings_free(&r->header);
    *r = (lm_row_reader){0};
}

void lm_skipped_tell(const lm_skipped *skipped)
{
    enum { TOLD = 5 };
    for (int i = 0; i < skipped->messages.n && i < TOLD; i++) lm_log(LM_LOG_WARN, "passed over: %s", skipped->messages.items[i]);
    if (skipped->n > TOLD) lm_log(LM_LOG_WARN, "passed over %lld rows in all", (long long)skipped->n);
}

void lm_skipped_free(lm_skipped *skipped)
{
    lm_strings_free(&skipped->messages);
    *skipped = (lm_skipped){0};
}

lm_status lm_source_pass_over(lm_source *s, lm_err *err)
{
    lm_skipped *skipped = s->options.skipped;
    if (!skipped || err->code != LM_E_FORMAT) return err->code;
    if (skipped->n++ < LM_SKIPPED_LISTED) lm_strings_push(&skipped->messages, lm_strdup(err->message));
    lm_err_clear(err);
    return LM_OK;
}

bool lm_source_skips(const lm_source *s) { return s->options.skipped; }

/* The next row of the file that is open.  Rows that are malformed may be passed over; a file whose packing is
 * damaged ends there, and nobody knows how much of it is lost. */
static lm_status next_of_file(lm_source *s, lm_row *row, bool *more, lm_err *err)
{
    lm_row_reader *r = &s->reader;
    for (;;) {
        lm_err local;
        lm_err_clear(&local);
        *row = (lm_row){ .path = s->paths.items[s->at], .place = -1 };
        lm_status status = s->formats[s->at]->next(r, row, more, &local);
        if (status == LM_OK) return LM_OK;
        lm_row_free(row);
        if (lm_stream_broken(r->stream) || lm_source_pass_over(s, &local) != LM_OK) return lm_fail(err, status, "%s", local.message);
    }
}

lm_status lm_source_next(lm_source *s, lm_row *row, bool *more, lm_err *err)
{
    for (*more = false; s->at < s->paths.n; s->at++) {
        lm_row_reader *r = &s->reader;
        if (!r->stream) LM_TRY(lm_stream_open(&r->stream, s->paths.items[s->at], err));
        r->options = &s->options;
        lm_status status = next_of_file(s, row, more, err);
        if (status != LM_OK || *more) return status;
        close_file(s);
    }
    return LM_OK;
}

const char *lm_source_name(const lm_source *s) { return s->paths.n ? s->paths.items[0] : "no file"; }

void lm_source_stamp(const lm_source *s, lm_str *out)
{
    for (int i = 0; i < s->paths.n; i++) {
        struct stat info = {0};
        stat(s->paths.items[i], &info);
        lm_str_printf(out, "%s %lld %lld.%09ld\n", s->paths.items[i], (long long)info.st_size, (long long)info.st_mtim.tv_sec, (long)info.st_mtim.tv_nsec);
    }
}

void lm_source_close(lm_source *s)
{
    if (!s) return;
    close_file(s);
    lm_strings_free(&s->paths);
    free(s->formats);
    free(s);
}

/* ---- for formats ---- */

lm_status lm_row_line(lm_row_reader *r, bool *more, lm_err *err)
{
    bool eof;
    LM_TRY(lm_stream_line(r->stream, &r->line, &eof, err));
    *more = !eof;
    if (eof) return LM_OK;
    size_t valid = lm_utf8_valid(r->line.data, r->line.len);
    if (valid == r->line.len) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "%s:%lld: byte %zu of the line (0x%02x) is not UTF-8", lm_stream_name(r->stream),
                   (long long)lm_stream_number(r->stream), valid + 1, (unsigned char)r->line.data[valid]);
}

/* Takes over the names that were given, where a file has none of its own; the first line may repeat them. */
static void take_columns(lm_row_reader *r, const lm_strings *fields)
{
    const lm_strings *columns = r->options->columns;
    bool same = columns && fields->n == columns->n;
    if (!columns || r->header.items) return;
    for (int i = 0; i < columns->n && same; i++) same = !strcmp(fields->items[i], columns->items[i]);
    for (int i = 0; i < columns->n && !same; i++) lm_strings_push(&r->header, lm_strdup(columns->items[i]));
}

lm_status lm_row_from_fields(lm_row_reader *r, lm_row *row, lm_strings *fields, bool *header, lm_err *err)
{
    take_columns(r, fields);
    *header = !r->header.items;
    if (*header) {
        for (int i = 1; i < fields->n; i++)
            for (int j = 0; j < i; j++)
                if (!strcmp(fields->items[i], fields->items[j]))
                    return lm_fail(err, LM_E_FORMAT, "%s:%lld: two columns are called \"%s\"", row->path,
                                   (long long)row->line, fields->items[i]);
        r->header = *fields;
        *fields = (lm_strings){0};
        return LM_OK;
    }
    if (fields->n != r->header.n)
        lm_fail(err, LM_E_FORMAT, "%s:%lld: expected %d fields as %s, found %d", row->path,
                (long long)row->line, r->header.n, r->options->columns ? "there are columns named" : "in the first line", fields->n);
    else row->object = json_object();
    for (int i = 0; i < fields->n; i++) {
        if (row->object) json_object_set_new(row->object, r->header.items[i], json_string(fields->items[i]));
    }
    return row->object ? LM_OK : LM_E_FORMAT;
}
