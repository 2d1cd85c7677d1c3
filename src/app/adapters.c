#include "app/adapters.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* "NAME=FOLDER", unless that is a folder's name itself. */
static size_t name_length(const char *given)
{
    const char *equals = strchr(given, '=');
    return equals && equals > given && !memchr(given, '/', (size_t)(equals - given)) && !lm_is_dir(given) ? (size_t)(equals - given) : 0;
}

static const lm_opened_adapter *find(const lm_adapters *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (s->items[i].name && !strcmp(s->items[i].name, name)) return &s->items[i];
    return NULL;
}

static lm_status open_one(lm_adapters *s, lm_model *m, const char *given, lm_foreign foreign, lm_err *err)
{
    size_t n = name_length(given);
    char *name = n ? lm_strndup(given, n) : NULL;
    bool twice = name && find(s, name);
    lm_opened_adapter *o = &s->items[s->n++];
    *o = (lm_opened_adapter){ .name = name, .folder = lm_strdup(given + (n ? n + 1 : 0)) };
    if (twice) return lm_fail(err, LM_E_USAGE, "--adapter: the name %s is given twice", name);
    LM_TRY(lm_adapter_load_on(&o->a, m, o->folder, foreign, err));
    if (name && o->a->n_saved)
        return lm_fail(err, LM_E_UNSUPPORTED, "--adapter %s: it replaces weights of the model (%s), which cannot be chosen for each prompt; "
                       "give it without a name, or merge it", given, o->a->saved[0].copy->t.name);
    return LM_OK;
}

lm_status lm_adapters_open(lm_adapters *s, lm_model *m, const lm_strings *given, lm_foreign foreign, lm_err *err)
{
    s->items = lm_calloc((size_t)given->n + 1, sizeof *s->items);
    for (int i = 0; i < given->n; i++) LM_TRY(open_one(s, m, given->items[i], foreign, err));
    return LM_OK;
}

void lm_adapters_close(lm_adapters *s)
{
    for (int i = 0; i < s->n; i++) {
        lm_adapter_free(s->items[i].a);
        free(s->items[i].name);
        free(s->items[i].folder);
    }
    free(s->items);
    *s = (lm_adapters){ 0 };
}

static lm_status no_such_name(const lm_adapters *s, const char *asked, lm_err *err)
{
    lm_str names = { 0 };
    for (int i = 0; i < s->n; i++)
        if (s->items[i].name) lm_str_printf(&names, "%s%s", names.len ? ", " : "", s->items[i].name);
    lm_status status = names.len ? lm_fail(err, LM_E_USAGE, "adapter: found \"%s\", --adapter has %s", asked, names.data)
                                 : lm_fail(err, LM_E_USAGE, "adapter: found \"%s\", but no --adapter NAME=FOLDER is given", asked);
    lm_str_free(&names);
    return status;
}

lm_status lm_adapters_off(uint64_t *off, const lm_adapters *s, const lm_json *asked, lm_err *err)
{
    size_t n = json_is_array(asked) ? json_array_size(asked) : asked ? 1 : 0;
    *off = 0;
    for (int i = 0; i < s->n; i++)
        if (s->items[i].name) *off |= (uint64_t)1 << s->items[i].a->slot;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_is_array(asked) ? json_array_get(asked, i) : asked);
        if (!name) return lm_fail(err, LM_E_FORMAT, "adapter: expected a name or a list of names");
        const lm_opened_adapter *o = find(s, name);
        if (!o) return no_such_name(s, name, err);
        *off &= ~((uint64_t)1 << o->a->slot);
    }
    return LM_OK;
}

/* The text of an adapter's own template; empty when it has none. */
static lm_status read_template(lm_str *out, char **path, const char *folder, lm_err *err)
{
    *path = lm_path_join(folder, "chat_template.jinja");
    return lm_file_exists(*path) ? lm_file_read(out, *path, (size_t)16 << 20, err) : LM_OK;
}

lm_status lm_adapters_template(char **out, const lm_adapters *s, lm_err *err)
{
    lm_str first = { 0 };
    lm_status status = LM_OK;
    *out = NULL;
    for (int i = 0; i < s->n && status == LM_OK; i++) {
        lm_str text = { 0 };
        char *path;
        status = read_template(&text, &path, s->items[i].folder, err);
        bool same = text.len == first.len && (!text.len || !memcmp(text.data, first.data, text.len));
        if (status == LM_OK && i && !same)
            status = lm_fail(err, LM_E_USAGE, "%s and %s were trained on different chat templates: --chat-template FILE says which to use",
                             s->items[0].folder, s->items[i].folder);
        if (i == 0) first = text, *out = text.len ? path : NULL;
        else lm_str_free(&text);
        if (i || !*out) free(path);
    }
    lm_str_free(&first);
    if (status != LM_OK) free(*out), *out = NULL;
    return status;
}
