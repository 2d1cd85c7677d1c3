/* YAML (libyaml behind one file): one document, whose aliases, repeated keys and zero bytes are refused with
 * file:line. */
#ifndef LM_BASE_YAML_H
#define LM_BASE_YAML_H

#include "base/json.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lm_yaml_entry {
    const char *key;
    int line;                /* of the key, from 1 */
    bool list, null;         /* a sequence; a plain null, ~ or nothing */
    char **items;            /* one for a scalar; alive during the visit */
    int n;
} lm_yaml_entry;

/* Settings: a flat mapping of scalars and sequences of scalars; a nested mapping is refused.
 * Calls visit for each entry in order; stops at its first failure.  An empty text has none. */
typedef lm_status (*lm_yaml_visit)(const lm_yaml_entry *entry, void *context, lm_err *err);
lm_status lm_yaml_flat(const char *text, size_t n, const char *name, lm_yaml_visit visit, void *context, lm_err *err);

/* The document, whatever its shape, as JSON: scalars are strings as they were written, and null where nothing,
 * ~ or null stands unquoted.  An empty text is null.  NULL on failure; nested more than 32 deep is one. */
lm_json *lm_yaml_document(const char *text, size_t n, const char *name, lm_err *err);

/* The same, and the line, from 1, of every value that is not null: its key is the node's address. */
lm_json *lm_yaml_document_lines(const char *text, size_t n, const char *name, lm_map *lines, lm_err *err);
static inline int lm_yaml_line(const lm_map *lines, const lm_json *node) { return (int)lm_map_get(lines, &node, sizeof node, 0); }

#endif
