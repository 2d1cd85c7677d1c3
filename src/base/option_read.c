/* Options from the command line, from YAML and from JSON. */
#include "base/option.h"
#include "base/file.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- command line ------------------------------------------------------------ */

typedef struct command_line {
    const lm_option_set *sets;
    int argc, next;
    char **argv;
    const lm_option **lists;    /* the lists that this command line has set so far: they grow now */
    int n_lists;
    lm_err *err;
} command_line;

static lm_status assign(command_line *line, lm_option_at at, const char *text, const char *label)
{
    bool again = false;
    for (int i = 0; i < line->n_lists; i++) again |= line->lists[i] == at.option;
    LM_TRY(lm_option_assign(at, text, again, label, line->err));
    if (!again && at.option->type == LM_OPT_LIST) {
        line->lists = lm_realloc(line->lists, (size_t)(line->n_lists + 1) * sizeof *line->lists);
        line->lists[line->n_lists++] = at.option;
    }
    return LM_OK;
}

/* The next argument as a value; another option in its place means that the value was forgotten. */
static lm_status assign_next(command_line *line, lm_option_at at, const char *label)
{
    const char *text = line->next < line->argc ? line->argv[line->next] : NULL;
    bool option = text && lm_starts_with(text, "--") && lm_option_find(line->sets, text + 2).option;
    if (option) return lm_fail(line->err, LM_E_USAGE, "%s: expected a value, found %s", label, text);
    if (!text) return lm_fail(line->err, LM_E_USAGE, "%s: expected a value, found the end of the line", label);
    line->next++;
    return assign(line, at, text, label);
}

/* --name, --name=value, --no-name: `argument` is what follows the hyphens. */
static lm_status parse_long(command_line *line, const char *argument)
{
    const char *equals = strchr(argument, '=');
    char *name = equals ? lm_strndup(argument, (size_t)(equals - argument)) : lm_strdup(argument);
    lm_str label = {0};
    lm_str_printf(&label, "--%s", name);
    lm_option_at at = lm_option_find(line->sets, name);
    lm_option_at negated = !at.option && lm_starts_with(name, "no-") ? lm_option_find(line->sets, name + 3) : (lm_option_at){0};
    lm_status status;
    if (at.option && equals) status = assign(line, at, equals + 1, label.data);
    else if (at.option && at.option->type == LM_OPT_FLAG) status = assign(line, at, "true", label.data);
    else if (at.option) status = assign_next(line, at, label.data);
    else if (!negated.option || negated.option->type != LM_OPT_FLAG) status = lm_option_unknown(line->sets, name, label.data, line->err);
    else if (equals) status = lm_fail(line->err, LM_E_USAGE, "%s: takes no value, found \"%s\"", label.data, equals + 1);
    else status = assign(line, negated, "false", label.data);
    lm_str_free(&label);
    free(name);
    return status;
}

static lm_option_at find_letter(const lm_option_set *sets, char letter)
{
    for (const lm_option_set *set = sets; set->options; set++)
        for (const lm_option *option = set->options; option->name; option++)
            if (option->letter && option->letter == letter) return (lm_option_at){ option, set };
    return (lm_option_at){0};
}

/* -abc: flags up to the first letter that takes a value, which is the rest or the next argument. */
static lm_status parse_letters(command_line *line, const char *letters)
{
    for (; *letters; letters++) {
        char label[] = { '-', *letters, '\0' };
        lm_option_at at = find_letter(line->sets, *letters);
        if (!at.option) return lm_fail(line->err, LM_E_USAGE, "-%s: no such option", letters);
        if (at.option->type == LM_OPT_FLAG) LM_TRY(assign(line, at, "true", label));
        else return letters[1] ? assign(line, at, letters + 1, label) : assign_next(line, at, label);
    }
    return LM_OK;
}

static lm_status parse_positional(char *argument, lm_strings *positional, lm_err *err)
{
    if (!positional) return lm_fail(err, LM_E_USAGE, "%s: expected an option, found an argument", argument);
    lm_strings_push(positional, argument);
    return LM_OK;
}

lm_status lm_options_parse(const lm_option_set *sets, int argc, char **argv, lm_strings *positional, lm_err *err)
{
    command_line line = { .sets = sets, .argc = argc, .argv = argv, .err = err };
    if (positional) *positional = (lm_strings){0};
    lm_status status = LM_OK;
    bool options = true;
    while (status == LM_OK && line.next < argc) {
        char *argument = argv[line.next++];
        if (options && strcmp(argument, "--") == 0) options = false;
        else if (options && lm_starts_with(argument, "--")) status = parse_long(&line, argument + 2);
        else if (options && argument[0] == '-' && argument[1]) status = parse_letters(&line, argument + 1);
        else status = parse_positional(argument, positional, err);
    }
    free(line.lists);
    return status;
}

/* ---- YAML -------------------------------------------------------------------- */

typedef struct yaml_target {
    const lm_option_set *sets;
    const char *name;
} yaml_target;

static lm_status visit_yaml(const lm_yaml_entry *entry, void *context, lm_err *err)
{
    const yaml_target *target = context;
    lm_str label = {0};
    lm_str_printf(&label, "%s:%d: %s", target->name, entry->line, entry->key);
    lm_option_at at = lm_option_find(target->sets, entry->key);
    lm_status status = LM_OK;
    if (!at.option) status = lm_option_unknown(target->sets, entry->key, label.data, err);
    else if (entry->list) status = lm_option_assign_items(at, entry->items, entry->n, label.data, err);
    else if (!entry->null) status = lm_option_assign(at, entry->items[0], false, label.data, err);
    lm_str_free(&label);
    return status;
}

lm_status lm_options_yaml_text(const lm_option_set *sets, const char *text, size_t n, const char *name, lm_err *err)
{
    yaml_target target = { .sets = sets, .name = name };
    return lm_yaml_flat(text, n, name, visit_yaml, &target, err);
}

lm_status lm_options_yaml(const lm_option_set *sets, const char *path, lm_err *err)
{
    lm_str text;
    LM_TRY(lm_file_read(&text, path, (size_t)1 << 20, err));
    lm_status status = lm_options_yaml_text(sets, text.data, text.len, path, err);
    lm_str_free(&text);
    return status;
}

/* ---- JSON -------------------------------------------------------------------- */

/* A scalar as a user would type it; false for an object, a list or a string with a zero byte. */
static bool scalar_text(const lm_json *v, lm_str *out)
{
    switch (json_typeof(v)) {
    case JSON_TRUE:    lm_str_puts(out, "true"); return true;
    case JSON_FALSE:   lm_str_puts(out, "false"); return true;
    case JSON_INTEGER: lm_str_printf(out, "%" PRId64, (int64_t)json_integer_value(v)); return true;
    case JSON_REAL:    lm_str_printf(out, "%.17g", json_real_value(v)); return true;
    case JSON_STRING:  lm_str_puts(out, json_string_value(v)); return out->len == json_string_length(v);
    default:           return false;
    }
}

static lm_status assign_array(lm_option_at at, const lm_json *array, const char *label, lm_err *err)
{
    size_t n = json_array_size(array);
    lm_status status = LM_OK;
    if (n > 1u << 20) return lm_fail(err, LM_E_USAGE, "%s: a list of %zu items", label, n);
    char **items = lm_calloc(n, sizeof *items);
    for (size_t i = 0; i < n && status == LM_OK; i++) {
        lm_str text = {0};
        if (!scalar_text(json_array_get(array, i), &text))
            status = lm_fail(err, LM_E_USAGE, "%s: item %zu: expected text or a number", label, i);
        items[i] = lm_str_take(&text);
    }
    if (status == LM_OK) status = lm_option_assign_items(at, items, (int)n, label, err);
    for (size_t i = 0; i < n; i++) free(items[i]);
    free(items);
    return status;
}

static lm_status assign_json(const lm_option_set *sets, const char *key, const lm_json *v, const char *label, lm_err *err)
{
    lm_option_at at = lm_option_find(sets, key);
    if (!at.option) return lm_option_unknown(sets, key, label, err);
    if (json_is_null(v)) return LM_OK;
    if (json_is_array(v)) return assign_array(at, v, label, err);
    lm_str text = {0};
    lm_status status = scalar_text(v, &text) ? lm_option_assign(at, text.data, false, label, err)
                                             : lm_fail(err, LM_E_USAGE, "%s: expected a plain value", label);
    lm_str_free(&text);
    return status;
}

lm_status lm_options_json(const lm_option_set *sets, const lm_json *object, const char *where, lm_err *err)
{
    if (!json_is_object(object)) return lm_fail(err, LM_E_USAGE, "%s: expected an object of options", where);
    const char *key;
    lm_json *v;
    json_object_foreach((lm_json *)(uintptr_t)object, key, v) {
        lm_str label = {0};
        lm_str_printf(&label, "%s: %s", where, key);
        lm_status status = assign_json(sets, key, v, label.data, err);
        lm_str_free(&label);
        LM_TRY(status);
    }
    return LM_OK;
}
