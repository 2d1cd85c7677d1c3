#include "app/recipe.h"

#include "app/command.h"
#include "base/file.h"
#include "base/yaml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 20 };                      /* bytes of a recipe */

/* ---- values ---- */

typedef struct reader {
    const char *path;
    char *place;                                 /* "recipe.yaml: step 2 (tuned)", for messages */
    lm_json *values;
    lm_err *err;
} reader;

static lm_status refuse(const reader *r, const char *key, const char *what)
{
    return lm_fail(r->err, LM_E_FORMAT, "%s: %s: %s", r->place, key, what);
}

/* The text with its values put in; the caller frees. */
static lm_status expand(const reader *r, const char *key, const char *text, char **out)
{
    lm_str s = { 0 };
    lm_str_puts(&s, "");
    while (*text) {
        size_t plain = strcspn(text, "$");
        lm_str_append(&s, text, plain);
        text += plain;
        if (!strncmp(text, "$${", 3)) { lm_str_puts(&s, "${"); text += 3; continue; }
        if (strncmp(text, "${", 2)) { if (*text) lm_str_putc(&s, *text++); continue; }
        size_t n = strcspn(text, "}");
        char *name = lm_strndup(text + 2, n - 2);
        const char *value = json_string_value(json_object_get(r->values, name));
        lm_status status = LM_OK;
        if (!text[n]) status = refuse(r, key, "expected a } behind ${");
        else if (!value) status = lm_fail(r->err, LM_E_FORMAT, "%s: %s: no value is called \"%s\"", r->place, key, name);
        else lm_str_puts(&s, value);
        free(name);
        if (status != LM_OK) return lm_str_free(&s), status;
        text += n + 1;
    }
    *out = lm_str_take(&s);
    return LM_OK;
}

static lm_status expand_value(reader *r, const char *key, const lm_json *node)
{
    char *text;
    if (!json_is_string(node)) return refuse(r, key, "expected a plain value");
    LM_TRY(expand(r, key, json_string_value(node), &text));
    json_object_set_new(r->values, key, json_string(text));
    free(text);
    return LM_OK;
}

/* Those of the command line first, so that values below them see them. */
static lm_status read_values(reader *r, const lm_json *values, const lm_strings *set)
{
    const char *key;
    lm_json *node;
    if (values && !json_is_object(values)) return refuse(r, "values", "expected names with values");
    for (int i = 0; i < set->n; i++) {
        const char *equals = strchr(set->items[i], '=');
        if (!equals || equals == set->items[i]) return lm_fail(r->err, LM_E_USAGE, "--set %s: expected NAME=VALUE", set->items[i]);
        char *name = lm_strndup(set->items[i], (size_t)(equals - set->items[i]));
        bool known = json_object_get(values, name);
        if (known) json_object_set_new(r->values, name, json_string(equals + 1));
        lm_status status = known ? LM_OK : lm_fail(r->err, LM_E_USAGE, "--set %s: %s has no such value", set->items[i], r->path);
        free(name);
        LM_TRY(status);
    }
    json_object_foreach((lm_json *)values, key, node)
        if (!json_object_get(r->values, key)) LM_TRY(expand_value(r, key, node));
    return LM_OK;
}

/* ---- steps ---- */

static lm_status take_text(const reader *r, const char *key, const lm_json *node, char **out)
{
    return json_is_string(node) ? expand(r, key, json_string_value(node), out) : refuse(r, key, "expected a plain value");
}

/* "train sft" or [train, sft]. */
static lm_status read_run(const reader *r, const lm_json *node, lm_recipe_step *s)
{
    char *text, *word, *rest = NULL;
    for (size_t i = 0; i < json_array_size(node); i++) {
        LM_TRY(take_text(r, "run", json_array_get(node, i), &text));
        lm_strings_push(&s->arguments, text);
    }
    if (!json_is_array(node)) {
        LM_TRY(take_text(r, "run", node, &text));
        for (word = strtok_r(text, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest)) lm_strings_push(&s->arguments, lm_strdup(word));
        free(text);
    }
    if (!s->arguments.n) return refuse(r, "run", "expected a command");
    for (int i = 0; lm_command_registry[i]; i++)
        if (!strcmp(lm_command_registry[i]->name, s->arguments.items[0])) {
            for (int k = 1; k < s->arguments.n; k++) lm_strings_push(&s->paths, lm_strdup(s->arguments.items[k]));
            return LM_OK;
        }
    return lm_fail(r->err, LM_E_FORMAT, "%s: run: malmoi has no command \"%s\"", r->place, s->arguments.items[0]);
}

static void put_option(lm_recipe_step *s, const char *key, char *value)
{
    char *name = lm_malloc(strlen(key) + 3);
    sprintf(name, "--%s", key);
    for (char *c = name; *c; c++) *c = *c == '_' ? '-' : *c;
    lm_strings_push(&s->arguments, name);
    if (value) lm_strings_push(&s->arguments, value);
}

static lm_status read_option(const reader *r, lm_recipe_step *s, const char *key, const lm_json *node)
{
    char *text;
    if (json_is_null(node)) return put_option(s, key, NULL), LM_OK;
    if (json_is_object(node)) return refuse(r, key, "expected a value or a list");
    size_t n = json_is_array(node) ? json_array_size(node) : 1;
    for (size_t i = 0; i < n; i++) {
        LM_TRY(take_text(r, key, json_is_array(node) ? json_array_get(node, i) : node, &text));
        if (!strcmp(text, "true")) { free(text); put_option(s, key, NULL); continue; }
        if (!strcmp(key, "out")) s->out = lm_strdup(text);
        else lm_strings_push(&s->paths, lm_strdup(text));
        put_option(s, key, text);
    }
    return LM_OK;
}

static bool is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') return false;
    return *text;
}

static lm_status read_step(reader *r, lm_recipe_step *s, const lm_json *node)
{
    const char *key;
    lm_json *value, *name = json_object_get(node, "name"), *run = json_object_get(node, "run"), *save = json_object_get(node, "stdout");
    if (!json_is_object(node)) return refuse(r, "steps", "expected \"name\", \"run\" and options");
    if (!name || !run) return refuse(r, name ? "run" : "name", "is missing");
    LM_TRY(take_text(r, "name", name, &s->name));
    if (!is_name(s->name)) return refuse(r, "name", "expected letters, digits, - and _");
    LM_TRY(read_run(r, run, s));
    if (save) LM_TRY(take_text(r, "stdout", save, &s->save));
    json_object_foreach((lm_json *)node, key, value)
        if (value != name && value != run && value != save) LM_TRY(read_option(r, s, key, value));
    return LM_OK;
}

static lm_status read_steps(reader *r, lm_recipe *out, const lm_json *steps)
{
    size_t n = json_array_size(steps);
    if (!n) return refuse(r, "steps", "expected a list of steps");
    out->steps = lm_calloc(n, sizeof *out->steps);
    for (size_t i = 0; i < n; i++) {
        lm_recipe_step *s = &out->steps[out->n++];
        const lm_json *node = json_array_get(steps, i);
        const char *name = json_string_value(json_object_get(node, "name"));
        lm_str place = { 0 };
        lm_str_printf(&place, "%s: step %zu%s%s%s", r->path, i + 1, name ? " (" : "", name ? name : "", name ? ")" : "");
        free(r->place);
        r->place = lm_str_take(&place);
        LM_TRY(read_step(r, s, node));
        for (int k = 0; k < out->n - 1; k++)
            if (!strcmp(out->steps[k].name, s->name)) return refuse(r, "name", "another step has it already");
    }
    return LM_OK;
}

static lm_status read_document(reader *r, lm_recipe *out, const lm_json *doc, const lm_strings *set)
{
    const char *key;
    lm_json *node;
    json_object_foreach((lm_json *)doc, key, node)
        if (strcmp(key, "values") && strcmp(key, "steps")) return refuse(r, key, "expected \"values\" and \"steps\"");
    LM_TRY(read_values(r, lm_json_get(doc, "values"), set));
    return read_steps(r, out, json_object_get(doc, "steps"));
}

lm_status lm_recipe_read(lm_recipe *out, const char *path, const lm_strings *set, lm_err *err)
{
    lm_str text = { 0 };
    *out = (lm_recipe){ 0 };
    LM_TRY(lm_file_read(&text, path, LARGEST, err));
    lm_json *doc = lm_yaml_document(text.data, text.len, path, err);
    lm_str_free(&text);
    if (!doc) return err->code;
    reader r = { .path = path, .place = lm_strdup(path), .values = json_object(), .err = err };
    lm_status status = read_document(&r, out, doc, set);
    if (status != LM_OK) lm_recipe_free(out);
    free(r.place);
    lm_json_free(r.values);
    lm_json_free(doc);
    return status;
}

void lm_recipe_free(lm_recipe *r)
{
    for (int i = 0; i < r->n; i++) {
        lm_strings_free(&r->steps[i].arguments);
        lm_strings_free(&r->steps[i].paths);
        free(r->steps[i].name);
        free(r->steps[i].out);
        free(r->steps[i].save);
    }
    free(r->steps);
    *r = (lm_recipe){ 0 };
}
