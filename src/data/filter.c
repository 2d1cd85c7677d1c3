#include "data/filter.h"

#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

const lm_filter *lm_filter_find(const char *name)
{
    for (const lm_filter *const *f = lm_filter_registry; *f; f++)
        if (!strcmp((*f)->name, name)) return *f;
    return NULL;
}

/* ---- a filter ---------------------------------------------------------------- */

typedef struct use_sets {
    lm_option_set sets[2];
} use_sets;

static use_sets sets_of(const lm_filter_use *use) { return (use_sets){ { { .options = use->filter->options, .values = use->options } } }; }

static lm_status unknown(const char *name, size_t n, lm_err *err)
{
    const char *names[64] = {0};
    for (int i = 0; lm_filter_registry[i] && i < 63; i++) names[i] = lm_filter_registry[i]->name;
    char *word = lm_strndup(name, n);
    const char *near = lm_nearest(word, names);
    lm_fail(err, LM_E_USAGE, near ? "there is no filter '%.100s'; did you mean %s?" : "there is no filter '%.100s'; malmoi data clean --help lists them", word, near);
    free(word);
    return LM_E_USAGE;
}

static lm_status begin_filter(lm_pipeline *p, const char *name, size_t n, lm_err *err)
{
    char *word = lm_strndup(name, n);
    const lm_filter *filter = lm_filter_find(word);
    free(word);
    if (!filter) return unknown(name, n, err);
    p->items = lm_realloc(p->items, (size_t)(p->n + 1) * sizeof *p->items);
    lm_filter_use *use = &p->items[p->n++];
    *use = (lm_filter_use){ .filter = filter, .options = lm_calloc(1, filter->options_size + 1) };
    use_sets s = sets_of(use);
    if (filter->options) lm_options_defaults(s.sets);
    return LM_OK;
}

/* "key=value" for the filter that was begun last. */
static lm_status set_option(lm_pipeline *p, const char *setting, size_t n, lm_err *err)
{
    const lm_filter_use *use = &p->items[p->n - 1];
    char *text = lm_strndup(setting, n), *equals = strchr(text, '=');
    use_sets s = sets_of(use);
    lm_status status;
    if (!equals || equals == text) status = lm_fail(err, LM_E_USAGE, "filter %s: expected key=value, found \"%.100s\"", use->filter->name, text);
    else if (!use->filter->options) status = lm_fail(err, LM_E_USAGE, "filter %s has no settings; found \"%.100s\"", use->filter->name, text);
    else {
        lm_str where = {0};
        lm_str_printf(&where, "filter %s", use->filter->name);
        *equals = '\0';
        const lm_option *option = lm_option_find(s.sets, text).option;
        for (char *c = equals + 1; *c && option && option->type == LM_OPT_LIST; c++) *c = *c == '+' ? ',' : *c;
        status = lm_option_set_text(s.sets, text, equals + 1, where.data, err);
        lm_str_free(&where);
    }
    free(text);
    return status;
}

static lm_status add_spec(lm_pipeline *p, const char *spec, lm_err *err)
{
    size_t name = strcspn(spec, ":=");
    bool goes_on = spec[name] == '=';
    if (goes_on && !p->n) return lm_fail(err, LM_E_USAGE, "\"%.100s\": expected the name of a filter before its settings", spec);
    if (!goes_on) LM_TRY(begin_filter(p, spec, name, err));
    const char *at = goes_on ? spec : spec + name + (spec[name] == ':');
    while (*at) {
        size_t n = strcspn(at, ",");
        LM_TRY(set_option(p, at, n, err));
        at += n + (at[n] == ',');
    }
    return LM_OK;
}

lm_status lm_pipeline_add(lm_pipeline *p, const lm_strings *specs, lm_err *err)
{
    for (int i = 0; i < specs->n; i++) LM_TRY(add_spec(p, specs->items[i], err));
    return LM_OK;
}

lm_status lm_pipeline_preset(lm_pipeline *p, const char *name, lm_err *err)
{
    for (const lm_preset *preset = lm_presets; preset->name; preset++) {
        if (strcmp(preset->name, name)) continue;
        for (const char *const *spec = preset->specs; *spec; spec++) LM_TRY(add_spec(p, *spec, err));
        return LM_OK;
    }
    return lm_fail(err, LM_E_USAGE, "there is no preset '%.100s'; malmoi data clean --help lists them", name);
}

static lm_status visit_entry(const lm_yaml_entry *entry, void *context, lm_err *err)
{
    lm_pipeline *p = context;
    lm_status status = begin_filter(p, entry->key, strlen(entry->key), err);
    for (int i = 0; i < entry->n && !entry->null && status == LM_OK; i++) status = set_option(p, entry->items[i], strlen(entry->items[i]), err);
    return status == LM_OK ? LM_OK : lm_context(err, "line %d", entry->line);
}

lm_status lm_pipeline_yaml(lm_pipeline *p, const char *text, size_t n, const char *name, lm_err *err)
{
    return lm_yaml_flat(text, n, name, visit_entry, p, err);
}

/* ---- a pipeline -------------------------------------------------------------- */

lm_status lm_pipeline_open(lm_pipeline *p, lm_err *err)
{
    for (; p->opened < p->n; p->opened++) {
        lm_filter_use *use = &p->items[p->opened];
        use_sets s = sets_of(use);
        if (use->filter->options && lm_options_check(s.sets, err) != LM_OK) return lm_context(err, "filter %s", use->filter->name);
        if (use->filter->open && use->filter->open(use, err) != LM_OK) return lm_context(err, "filter %s", use->filter->name);
    }
    return LM_OK;
}

void lm_pipeline_free(lm_pipeline *p)
{
    for (int i = 0; i < p->n; i++) {
        lm_filter_use *use = &p->items[i];
        use_sets s = sets_of(use);
        if (use->state) use->filter->close(use->state);
        if (use->filter->options) lm_options_free(s.sets);
        free(use->options);
    }
    free(p->items);
    *p = (lm_pipeline){0};
}

bool lm_pipeline_apply(const lm_pipeline *p, lm_doc *doc, int *by, const bool *quiet, lm_pipeline_each each, void *context)
{
    for (*by = 0; *by < p->n; ++*by) {
        const lm_filter_use *use = &p->items[*by];
        const char *before = doc->text.data;
        bool edited = doc->edited;
        doc->quiet = quiet && quiet[*by];
        doc->kind = -1;
        if (use->filter->tallies) memset(doc->tallies, 0, sizeof doc->tallies);
        bool kept = use->filter->apply(use, doc);
        if (each) each(context, *by, doc, kept, doc->text.data != before || doc->edited != edited);
        if (!kept) return false;
    }
    return true;
}
