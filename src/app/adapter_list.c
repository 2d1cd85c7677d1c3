/* malmoi adapter list: the adapters below some folders. */
#include "app/adapter.h"

#include "base/file.h"
#include "base/log.h"
#include "base/table.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct list_options {
    bool json;
} list_options;

static const lm_option options[] = {
    LM_OPTION(FLAG, list_options, json, "json", .help = "one JSON object"),
    { 0 },
};

enum { DEEPEST = 32 };

typedef struct list {
    lm_table table;
    lm_json *found;
    int64_t n;
} list;

static void put_adapter(list *l, const char *folder)
{
    lm_err err = { 0 };
    lm_adapter_view v = { 0 };
    if (lm_adapter_view_open(&v, folder, &err) != LM_OK) {
        lm_log(LM_LOG_WARN, "%s", err.message);
    } else {
        char count[24], bytes[24];
        lm_table_put(&l->table, "%s", folder);
        lm_table_put(&l->table, "%s", v.method);
        lm_table_put(&l->table, "%s", lm_format_count(count, (double)v.trainable));
        lm_table_put(&l->table, "%s", lm_format_bytes(bytes, (double)v.file.mapping.size));
        lm_table_put(&l->table, "%s", v.base ? v.base : "-");
        json_array_append_new(l->found, json_pack("{s:o, s:s, s:I, s:I, s:s?, s:s?}", "folder", lm_json_utf8(folder, strlen(folder)), "method", v.method,
                                                  "trainable_parameters", (json_int_t)v.trainable, "bytes", (json_int_t)v.file.mapping.size,
                                                  "base", v.base, "fingerprint", v.fingerprint));
        l->n++;
    }
    lm_adapter_view_close(&v);
}

static int is_visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Links are not followed, so that no folder is its own parent. */
static bool is_own_folder(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static void walk(list *l, const char *folder, int depth)
{
    struct dirent **names;
    char *config = lm_path_join(folder, "adapter_config.json");
    if (lm_file_exists(config)) put_adapter(l, folder);
    free(config);
    int n = depth < DEEPEST ? scandir(folder, &names, is_visible, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        char *path = lm_path_join(folder, names[i]->d_name);
        if (is_own_folder(path)) walk(l, path, depth + 1);
        free(path);
        free(names[i]);
    }
    if (n > 0) free(names);
}

static lm_status check_folder(const char *folder, lm_err *err)
{
    return lm_is_dir(folder) ? LM_OK : lm_fail(err, LM_E_IO, "%s: no folder there", folder);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const list_options *o = call->values;
    list l = { .table = lm_table_start("llrrl"), .found = json_array() };
    lm_status status = LM_OK;
    lm_table_cells(&l.table, "folder", "method", "trains", "size", "base");
    lm_table_rule(&l.table);
    for (int i = 0; i < call->args.n && status == LM_OK; i++) {
        status = check_folder(call->args.items[i], err);
        if (status == LM_OK) walk(&l, call->args.items[i], 0);
    }
    if (!call->args.n) walk(&l, ".", 0);
    if (status == LM_OK && o->json) lm_print_json(json_pack("{s:O}", "adapters", l.found));
    else if (status == LM_OK && !l.n) printf("no adapter there\n");
    else if (status == LM_OK) {
        lm_str text = { 0 };
        lm_table_print(&l.table, &text);
        fwrite(text.data, 1, text.len, stdout);
        lm_str_free(&text);
    }
    lm_json_free(l.found);
    lm_table_free(&l.table);
    return status;
}

const lm_command lm_adapter_list = {
    .name = "list",
    .summary = "the adapters below some folders: method, size, base",
    .usage = "[FOLDER ..] [options]",
    .example = "malmoi adapter list runs",
    .options = options,
    .values_size = sizeof(list_options),
    .run = run,
};
