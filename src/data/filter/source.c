/* Where a document comes from: lists of what is allowed and what is denied.
 *
 * The field holds an address or any other name.  An entry matches the whole field, or the host of an address
 * and every host below it ("example.com" also www.example.com), or, ending in "*", whatever begins with it.
 * Denied goes before allowed; without an allow list everything is allowed. */
#define _GNU_SOURCE
#include "data/filter.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct settings {
    const char *field, *allow, *deny;
    bool missing;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, field, "field", .fallback = "url", .metavar = "NAME", .help = "of the row that says where it comes from"),
    LM_OPTION(STRING, settings, allow, "allow", .metavar = "FILE", .help = "entries, one a line; # begins a remark"),
    LM_OPTION(STRING, settings, deny, "deny", .metavar = "FILE", .help = "entries, one a line"),
    LM_OPTION(FLAG, settings, missing, "missing", .fallback = "true", .help = "rows without the field are kept"),
    { 0 },
};

typedef struct lists {
    lm_strings allow, deny;
} lists;

static lm_status read_list(lm_strings *out, const char *path, lm_err *err)
{
    lm_str text = {0};
    if (!path) return LM_OK;
    LM_TRY(lm_file_read(&text, path, (size_t)1 << 28, err));
    for (char *rest = text.data, *line; rest && (line = strsep(&rest, "\n"));) {
        line[strcspn(line, "#\r")] = '\0';
        line += strspn(line, " \t");
        for (size_t n = strlen(line); n && strchr(" \t", line[n - 1]);) line[--n] = '\0';
        if (*line) lm_strings_push(out, lm_strdup(line));
    }
    lm_str_free(&text);
    return LM_OK;
}

static int by_bytes(const void *a, const void *b) { return strcasecmp(*(char *const *)a, *(char *const *)b); }

static lm_status open_lists(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    lists *l = use->state = lm_calloc(1, sizeof *l);
    if (!o->allow && !o->deny) return lm_fail(err, LM_E_USAGE, "expected allow=FILE or deny=FILE");
    LM_TRY(read_list(&l->allow, o->allow, err));
    LM_TRY(read_list(&l->deny, o->deny, err));
    if (l->allow.n) qsort(l->allow.items, (size_t)l->allow.n, sizeof *l->allow.items, by_bytes);
    if (l->deny.n) qsort(l->deny.items, (size_t)l->deny.n, sizeof *l->deny.items, by_bytes);
    return LM_OK;
}

static void close_lists(void *state)
{
    lists *l = state;
    lm_strings_free(&l->allow);
    lm_strings_free(&l->deny);
    free(l);
}

static bool stands(const lm_strings *list, const char *text)
{
    return list->n && bsearch(&text, list->items, (size_t)list->n, sizeof *list->items, by_bytes);
}

/* "www.example.com" of "https://user@www.example.com:80/x", or the text itself. */
static char *host_of(const char *text)
{
    const char *begin = strstr(text, "://");
    begin = begin ? begin + 3 : text;
    size_t n = strcspn(begin, "/?#");
    const char *user = memchr(begin, '@', n);
    if (user) n -= (size_t)(user + 1 - begin), begin = user + 1;
    const char *port = memchr(begin, ':', n);
    return lm_strndup(begin, port ? (size_t)(port - begin) : n);
}

static bool matches(const lm_strings *list, const char *text)
{
    if (stands(list, text)) return true;
    char *host = host_of(text);
    bool found = false;
    for (const char *part = host; part && *part && !found; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) found = stands(list, part);
    free(host);
    for (int i = 0; i < list->n && !found; i++) {
        size_t n = strlen(list->items[i]);
        found = n && list->items[i][n - 1] == '*' && !strncasecmp(list->items[i], text, n - 1);
    }
    return found;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const lists *l = use->state;
    const lm_json *value = doc->row->object ? lm_json_get(doc->row->object, o->field) : NULL;
    if (!json_is_string(value)) return o->missing ? true : lm_reject(doc, "has no field \"%s\"", o->field);
    const char *text = json_string_value(value);
    if (matches(&l->deny, text)) return lm_reject(doc, "denied: %.150s", text);
    return !o->allow || matches(&l->allow, text) ? true : lm_reject(doc, "not allowed: %.150s", text);
}

const lm_filter lm_filter_source = {
    .name = "source", .source = "lists of one's own",
    .help = "sources that are allowed or denied",
    .options = options, .options_size = sizeof(settings), .reads_row = true, .open = open_lists, .close = close_lists, .apply = apply,
};
