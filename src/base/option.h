/* Options: one table that serves the command line, YAML files, --help and checkpoint metadata.
 *
 * A command, objective or adapter describes each of its settings once; everything that
 * reads, prints or stores the setting walks the table.  Option names are written with
 * hyphens ("max-new-tokens"); YAML and JSON accept underscores for them as well. */
#ifndef LM_BASE_OPTION_H
#define LM_BASE_OPTION_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lm_option_type {
    LM_OPT_FLAG,       /* bool;        --name, --no-name */
    LM_OPT_INT,        /* int64_t;     1_000, 4k, 1.5M, 7B, 8Ki, 1e6 accepted */
    LM_OPT_REAL,       /* double;      finite */
    LM_OPT_STRING,     /* const char*; NULL when not given and no default */
    LM_OPT_CHOICE,     /* int;         index into choices */
    LM_OPT_LIST,       /* lm_strings;  a,b,c, or the option repeated; \, is a comma in an item */
} lm_option_type;

typedef struct lm_strings {
    char **items;
    int n;
} lm_strings;

void lm_strings_push(lm_strings *list, char *item);      /* takes the item over */
void lm_strings_free(lm_strings *list);                  /* with its items; takes {0} and leaves it */

typedef struct lm_option {
    const char *name;
    lm_option_type type;
    size_t offset;                   /* of the field in the values struct */
    const char *fallback;            /* default, as a user would type it; NULL for none */
    const char *help;                /* one line, lower case, no full stop */
    const char *metavar;             /* "N", "FILE"; NULL: from the type */
    const char *const *choices;      /* NULL-terminated, for LM_OPT_CHOICE */
    double min, max;                 /* inclusive, INFINITY for no bound; both 0: unbounded */
    bool required;
    char letter;                     /* short form, or 0 */
} lm_option;

/* A group of options over one values struct, printed under `title` by --help.
 * A command passes a NULL-terminated-by-{0} array of them. */
typedef struct lm_option_set {
    const char *title;               /* NULL for the command's own */
    const lm_option *options;        /* ends with name == NULL */
    void *values;
} lm_option_set;

#define LM_OPTION(kind, struct_type, field, option_name, ...) \
    { .name = option_name, .type = LM_OPT_##kind, .offset = offsetof(struct_type, field), __VA_ARGS__ }

/* Writes every default, over whatever the structs hold.  Without a fallback a field is 0, false,
 * NULL or empty.  Strings and lists set through this module are owned by it and released by
 * lm_options_free.  A fallback that its own option refuses is a bug and aborts. */
void lm_options_defaults(const lm_option_set *sets);

/* Parses argv[0..argc) (no program or command name): --name value, --name=value, --flag, --no-flag,
 * -n value, -nvalue, bundled flags -abc, and -- before what is not an option.  The last of repeated
 * scalars wins; a repeated list grows, after dropping what it held before.  Positional arguments are
 * collected in *positional (pointers into argv; the caller frees its `items` only); NULL refuses
 * them.  LM_E_USAGE names the option, what was expected and found, and the nearest known name for an
 * unknown one. */
lm_status lm_options_parse(const lm_option_set *sets, int argc, char **argv, lm_strings *positional, lm_err *err);

/* Sets one option from text, a whole YAML mapping file, or a JSON object; `where` heads messages.
 * YAML values are scalars, or sequences for lists; nested mappings, aliases and repeated keys are
 * refused with file:line.  A null leaves the option as it is.  What stands before an error stays set. */
lm_status lm_option_set_text(const lm_option_set *sets, const char *name, const char *text, const char *where, lm_err *err);
lm_status lm_options_yaml(const lm_option_set *sets, const char *path, lm_err *err);
lm_status lm_options_yaml_text(const lm_option_set *sets, const char *text, size_t n, const char *name, lm_err *err);
lm_status lm_options_json(const lm_option_set *sets, const lm_json *object, const char *where, lm_err *err);

/* The current values as a JSON object (caller frees), keys with underscores; only options that
 * differ from their default when `changed_only`.  lm_options_json reads it back to the same values.
 * Strings that are NULL and required options that were not given are left out. */
lm_json *lm_options_dump(const lm_option_set *sets, bool changed_only);

/* LM_E_USAGE with the names of required options that have no fallback and were not given. */
lm_status lm_options_check(const lm_option_set *sets, lm_err *err);

/* The option of that name (hyphens and underscores are equal), or {0}. */
typedef struct lm_option_at {
    const lm_option *option;
    const lm_option_set *set;
} lm_option_at;
lm_option_at lm_option_find(const lm_option_set *sets, const char *name);

/* The error for a name that is no option, with the nearest that is; `label` heads the message. */
lm_status lm_option_unknown(const lm_option_set *sets, const char *name, const char *label, lm_err *err);

/* Sets one option from text or, for a list, from items as they are; `label` names it in messages.
 * `append` makes a list grow instead. */
lm_status lm_option_assign(lm_option_at at, const char *text, bool append, const char *label, lm_err *err);
lm_status lm_option_assign_items(lm_option_at at, char *const *items, int n, const char *label, lm_err *err);

/* The --help text of the sets, appended to out: at most 96 columns, help text wrapped. */
void lm_options_help(const lm_option_set *sets, lm_str *out);
void lm_options_free(const lm_option_set *sets);

#endif
