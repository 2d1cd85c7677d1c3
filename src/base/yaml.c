#include "base/yaml.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    const char *name;
    lm_map *lines;                       /* of a document's nodes; NULL: nobody asks */
    lm_err *err;
} reader;

static int line_of(const reader *r)
{
    return (int)r->event.start_mark.line + 1;
}

static lm_status refuse(const reader *r, const char *what)
{
    return lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s", r->name, line_of(r), what);
}

/* The next event replaces the last. */
static lm_status advance(reader *r)
{
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        const yaml_parser_t *p = &r->parser;
        memset(&r->event, 0, sizeof r->event);
        return lm_fail(r->err, LM_E_FORMAT, "%s:%d: not YAML: %s", r->name, (int)p->problem_mark.line + 1,
                       p->problem ? p->problem : "unreadable");
    }
    if (r->event.type == YAML_ALIAS_EVENT) return refuse(r, "aliases are not read here");
    return LM_OK;
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
        && (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static lm_status take_scalar(const reader *r, char **out)
{
    const char *text = (const char *)r->event.data.scalar.value;
    if (strlen(text) != r->event.data.scalar.length) return refuse(r, "expected text, found a zero byte");
    *out = lm_strdup(text);
    return LM_OK;
}

static void push(lm_yaml_entry *entry, char *item)
{
    entry->items = lm_realloc(entry->items, (size_t)(entry->n + 1) * sizeof *entry->items);
    entry->items[entry->n++] = item;
}

/* The value of an entry, whose first event is current. */
static lm_status read_value(reader *r, lm_yaml_entry *entry)
{
    char *item;
    if (r->event.type == YAML_SCALAR_EVENT) {
        entry->null = is_null(&r->event);
        LM_TRY(take_scalar(r, &item));
        push(entry, item);
        return LM_OK;
    }
    if (r->event.type != YAML_SEQUENCE_START_EVENT) return refuse(r, "expected a value or a list, found a nested mapping");
    entry->list = true;
    for (;;) {
        LM_TRY(advance(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return LM_OK;
        if (r->event.type != YAML_SCALAR_EVENT) return refuse(r, "expected a plain value in the list, found a nested one");
        LM_TRY(take_scalar(r, &item));
        push(entry, item);
    }
}

static lm_status read_entry(reader *r, lm_map *seen, lm_yaml_visit visit, void *context)
{
    lm_yaml_entry entry = { .line = line_of(r) };
    char *key = NULL;
    lm_status status = r->event.type == YAML_SCALAR_EVENT ? take_scalar(r, &key) : refuse(r, "expected a name, found a nested value");
    if (status == LM_OK && !lm_map_put(seen, key, strlen(key), entry.line))
        status = lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: stands in line %d already", r->name, entry.line, key,
                         (int)lm_map_get(seen, key, strlen(key), 0));
    entry.key = key;
    if (status == LM_OK) status = advance(r);
    if (status == LM_OK) status = read_value(r, &entry);
    if (status == LM_OK) status = visit(&entry, context, r->err);
    for (int i = 0; i < entry.n; i++) free(entry.items[i]);
    free(entry.items);
    free(key);
    return status;
}

static bool is_nothing(const reader *r) { return r->event.type == YAML_SCALAR_EVENT && is_null(&r->event); }

static lm_status read_entries(reader *r, lm_map *seen, lm_yaml_visit visit, void *context)
{
    if (is_nothing(r)) return LM_OK;                                      /* only comments, or "---" */
    if (r->event.type != YAML_MAPPING_START_EVENT) return refuse(r, "expected lines of the form name: value");
    for (;;) {
        LM_TRY(advance(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) return LM_OK;
        LM_TRY(read_entry(r, seen, visit, context));
    }
}

/* ---- any shape ---- */

enum { DEEPEST = 32 };

static lm_status read_node(reader *r, int depth, lm_json **out);

static lm_status read_sequence(reader *r, int depth, lm_json *list)
{
    for (;;) {
        lm_json *item;
        LM_TRY(advance(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return LM_OK;
        LM_TRY(read_node(r, depth, &item));
        json_array_append_new(list, item);
    }
}

static lm_status read_member(reader *r, int depth, lm_json *object)
{
    char *key = NULL;
    lm_json *value;
    LM_TRY(r->event.type == YAML_SCALAR_EVENT ? take_scalar(r, &key) : refuse(r, "expected a name, found a nested value"));
    lm_status status = json_object_get(object, key) ? lm_fail(r->err, LM_E_FORMAT, "%s:%d: %s: stands there already", r->name, line_of(r), key) : LM_OK;
    if (status == LM_OK) status = advance(r);
    if (status == LM_OK) status = read_node(r, depth, &value);
    if (status == LM_OK && json_object_set_new(object, key, value)) status = refuse(r, "expected UTF-8");
    free(key);
    return status;
}

static lm_status read_mapping(reader *r, int depth, lm_json *object)
{
    for (;;) {
        LM_TRY(advance(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) return LM_OK;
        LM_TRY(read_member(r, depth, object));
    }
}

static void note_line(const reader *r, int line, const lm_json *node)
{
    if (r->lines && !json_is_null(node)) lm_map_put(r->lines, &node, sizeof node, line);
}

/* The node whose first event is current. */
static lm_status read_node(reader *r, int depth, lm_json **out)
{
    lm_status status = LM_OK;
    int line = line_of(r);
    if (depth > DEEPEST) return refuse(r, "nested too deep");
    if (r->event.type == YAML_SCALAR_EVENT) {
        char *text;
        LM_TRY(take_scalar(r, &text));
        *out = is_null(&r->event) ? json_null() : json_string(text);
        free(text);
        note_line(r, line, *out);
        return *out ? LM_OK : refuse(r, "expected UTF-8");
    }
    bool list = r->event.type == YAML_SEQUENCE_START_EVENT;
    *out = list ? json_array() : json_object();
    note_line(r, line, *out);
    status = list ? read_sequence(r, depth + 1, *out) : read_mapping(r, depth + 1, *out);
    if (status == LM_OK) return LM_OK;
    lm_json_free(*out);
    *out = NULL;
    return status;
}

/* ---- one document ---- */

typedef struct wanted {
    lm_yaml_visit visit;                 /* NULL: the document */
    void *context;
    lm_map *seen, *lines;
    lm_json *document;
} wanted;

/* STREAM-START, then nothing or DOCUMENT-START, a node, DOCUMENT-END, then STREAM-END. */
static lm_status read_stream(reader *r, wanted *w)
{
    LM_TRY(advance(r));
    LM_TRY(advance(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return LM_OK;
    LM_TRY(advance(r));
    LM_TRY(w->visit ? read_entries(r, w->seen, w->visit, w->context) : read_node(r, 0, &w->document));
    LM_TRY(advance(r));
    LM_TRY(advance(r));
    return r->event.type == YAML_STREAM_END_EVENT ? LM_OK : refuse(r, "expected one document, found another");
}

static lm_status read_text(wanted *w, const char *text, size_t n, const char *name, lm_err *err)
{
    reader r = { .name = name, .lines = w->lines, .err = err };
    if (!yaml_parser_initialize(&r.parser)) LM_BUG("out of memory: a YAML parser");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(n ? text : ""), n);
    lm_status status = read_stream(&r, w);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}

lm_status lm_yaml_flat(const char *text, size_t n, const char *name, lm_yaml_visit visit, void *context, lm_err *err)
{
    wanted w = { .visit = visit, .context = context, .seen = lm_map_new(0) };
    lm_status status = read_text(&w, text, n, name, err);
    lm_map_free(w.seen);
    return status;
}

lm_json *lm_yaml_document(const char *text, size_t n, const char *name, lm_err *err)
{
    return lm_yaml_document_lines(text, n, name, NULL, err);
}

lm_json *lm_yaml_document_lines(const char *text, size_t n, const char *name, lm_map *lines, lm_err *err)
{
    wanted w = { .lines = lines };
    if (read_text(&w, text, n, name, err) == LM_OK) return w.document ? w.document : json_null();
    lm_json_free(w.document);
    return NULL;
}
