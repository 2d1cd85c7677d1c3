#include "data/mix.h"

#include "base/file.h"
#include "base/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 20 };                      /* bytes of a file */

static const char *const rules[] = { "auto", "weights", "sizes", NULL };

static const lm_option source_options[] = {
    LM_OPTION(STRING, lm_mix_source, name, "name"),
    LM_OPTION(LIST, lm_mix_source, files, "file"),
    LM_OPTION(STRING, lm_mix_source, format, "format"),
    LM_OPTION(STRING, lm_mix_source, separator, "separator"),
    LM_OPTION(REAL, lm_mix_source, weight, "weight", .min = 1e-9, .max = 1e9),
    LM_OPTION(REAL, lm_mix_source, share, "share", .min = 1e-9, .max = 1),
    LM_OPTION(STRING, lm_mix_source, topic, "topic"),
    LM_OPTION(STRING, lm_mix_source, difficulty, "difficulty"),
    LM_OPTION(INT, lm_mix_source, bins, "bins", .fallback = "5", .min = 2, .max = 1000),
    { 0 },
};

static const lm_option stage_options[] = {
    LM_OPTION(STRING, lm_mix_stage, name, "name"),
    LM_OPTION(INT, lm_mix_stage, rows, "rows", .min = 1, .max = 1e12),
    LM_OPTION(CHOICE, lm_mix_stage, rule, "rates", .choices = rules, .fallback = "auto"),
    LM_OPTION(REAL, lm_mix_stage, temperature, "temperature", .fallback = "1", .min = 0.01, .max = 1e6),
    LM_OPTION(INT, lm_mix_stage, cap, "cap", .min = 1, .max = 1e15),
    { 0 },
};

static void set_text(const lm_option *options, void *values, const char *name, const char *text)
{
    lm_option_set sets[2] = { { .options = options, .values = values } };
    if (lm_option_set_text(sets, name, text, "", NULL) != LM_OK) LM_BUG("option %s", name);
}

static lm_mix_source *add_source(lm_mix *m, const char *name)
{
    m->sources = lm_realloc(m->sources, (size_t)(m->n_sources + 1) * sizeof *m->sources);
    lm_mix_source *s = &m->sources[m->n_sources++];
    *s = (lm_mix_source){0};
    lm_options_defaults((lm_option_set[]){ { .options = source_options, .values = s }, {0} });
    set_text(source_options, s, "name", name);
    return s;
}

void lm_mix_source_set(lm_mix_source *s, const char *format, const char *separator, const char *topic, const char *difficulty, int64_t bins)
{
    if (format) set_text(source_options, s, "format", format);
    if (separator) set_text(source_options, s, "separator", separator);
    if (topic) set_text(source_options, s, "topic", topic);
    if (difficulty) set_text(source_options, s, "difficulty", difficulty);
    s->bins = bins;
}

lm_mix_stage *lm_mix_add_stage(lm_mix *m)
{
    m->stages = lm_realloc(m->stages, (size_t)(m->n_stages + 1) * sizeof *m->stages);
    lm_mix_stage *s = &m->stages[m->n_stages++];
    *s = (lm_mix_stage){0};
    lm_options_defaults((lm_option_set[]){ { .options = stage_options, .values = s }, {0} });
    lm_str name = {0};
    lm_str_printf(&name, "%d", m->n_stages);
    set_text(stage_options, s, "name", name.data);
    lm_str_free(&name);
    return s;
}

void lm_mix_free(lm_mix *m)
{
    for (int i = 0; i < m->n_sources; i++) lm_options_free((lm_option_set[]){ { .options = source_options, .values = &m->sources[i] }, {0} });
    for (int i = 0; i < m->n_stages; i++) {
        lm_options_free((lm_option_set[]){ { .options = stage_options, .values = &m->stages[i] }, {0} });
        free(m->stages[i].weights);
    }
    free(m->sources);
    free(m->stages);
    *m = (lm_mix){0};
}

/* ---- the command line ---------------------------------------------------------- */

/* A colon in a name that is a file's is part of the name. */
lm_status lm_mix_add(lm_mix *m, const char *text, lm_err *err)
{
    const char *colon = lm_file_exists(text) ? NULL : strrchr(text, ':');
    char *file = colon ? lm_strndup(text, (size_t)(colon - text)) : lm_strdup(text), *end = NULL;
    lm_mix_source *s = add_source(m, file);
    lm_strings_push(&s->files, file);
    if (!colon) return LM_OK;
    double number = strtod(colon + 1, &end);
    bool share = *end == '%' && !end[1], good = end > colon + 1 && (share || !*end) && isfinite(number) && number > 0 && number <= (share ? 100 : 1e9);
    if (!good) return lm_fail(err, LM_E_USAGE, "%s: expected a weight above 0 behind the colon, or a share of all rows up to 100%%, found \"%s\"", file, colon + 1);
    if (share) s->share = number / 100;
    else s->weight = number;
    return LM_OK;
}

lm_status lm_mix_files_of(lm_strings *out, const lm_strings *texts, lm_err *err)
{
    lm_mix m = {0};
    lm_status status = LM_OK;
    for (int i = 0; i < texts->n && status == LM_OK; i++) status = lm_mix_add(&m, texts->items[i], err);
    for (int i = 0; i < m.n_sources; i++) lm_strings_push(out, lm_strdup(m.sources[i].files.items[0]));
    lm_mix_free(&m);
    return status;
}

/* ---- a file -------------------------------------------------------------------- */

static lm_status read_source(lm_mix *m, const char *name, const lm_json *node, const char *where, lm_err *err)
{
    lm_str place = {0};
    lm_str_printf(&place, "%s: sources: %s", where, name);
    lm_mix_source *s = add_source(m, name);
    lm_status status = lm_options_json((lm_option_set[]){ { .options = source_options, .values = s }, {0} }, node, place.data, err);
    if (status == LM_OK && !s->files.n) status = lm_fail(err, LM_E_USAGE, "%s: expected a file", place.data);
    if (status == LM_OK && s->weight > 0 && s->share > 0) status = lm_fail(err, LM_E_USAGE, "%s: has a weight and a fixed share, of which one can be", place.data);
    lm_str_free(&place);
    return status;
}

/* A source that is not named takes no part. */
static lm_status read_weights(const lm_mix *m, lm_mix_stage *stage, const lm_json *node, const char *place, lm_err *err)
{
    if (!json_is_object(node)) return lm_fail(err, LM_E_USAGE, "%s: weights: expected a mapping of sources to numbers", place);
    stage->weights = lm_calloc((size_t)m->n_sources, sizeof *stage->weights);
    const char *name;
    lm_json *value;
    json_object_foreach((lm_json *)(uintptr_t)node, name, value) {
        int i = 0;
        while (i < m->n_sources && strcmp(m->sources[i].name, name)) i++;
        if (i == m->n_sources) return lm_fail(err, LM_E_USAGE, "%s: weights: no source is called \"%s\"", place, name);
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        char *end;
        double number = strtod(text, &end);
        if (!*text || *end || !isfinite(number) || number < 0) return lm_fail(err, LM_E_USAGE, "%s: weights: %s: expected a number that is not negative, found \"%s\"", place, name, text);
        stage->weights[i] = number;
    }
    return LM_OK;
}

static lm_status read_stage(lm_mix *m, lm_json *node, const char *where, lm_err *err)
{
    lm_str place = {0};
    lm_mix_stage *stage = lm_mix_add_stage(m);
    lm_str_printf(&place, "%s: stage %d", where, m->n_stages);
    lm_json *weights = json_incref(json_object_get(node, "weights"));
    if (weights) json_object_del(node, "weights");
    lm_status status = lm_options_json((lm_option_set[]){ { .options = stage_options, .values = stage }, {0} }, node, place.data, err);
    if (status == LM_OK && weights) status = read_weights(m, stage, weights, place.data, err);
    json_decref(weights);
    lm_str_free(&place);
    return status;
}

static lm_status read_document(lm_mix *m, lm_json *doc, const char *path, lm_err *err)
{
    lm_json *sources = json_object_get(doc, "sources"), *stages = json_object_get(doc, "stages"), *node;
    const char *key;
    size_t i;
    if (!json_is_object(sources) || !json_object_size(sources)) return lm_fail(err, LM_E_USAGE, "%s: expected a mapping \"sources\" of names to files", path);
    json_object_foreach(doc, key, node)
        if (strcmp(key, "sources") && strcmp(key, "stages")) return lm_fail(err, LM_E_USAGE, "%s: expected \"sources\" and \"stages\", found \"%s\"", path, key);
    json_object_foreach(sources, key, node) LM_TRY(read_source(m, key, node, path, err));
    if (stages && (!json_is_array(stages) || !json_array_size(stages))) return lm_fail(err, LM_E_USAGE, "%s: stages: expected a list", path);
    json_array_foreach(stages, i, node) {
        if (!json_is_object(node)) return lm_fail(err, LM_E_USAGE, "%s: stage %zu: expected a mapping", path, i + 1);
        LM_TRY(read_stage(m, node, path, err));
    }
    return LM_OK;
}

lm_status lm_mix_read(lm_mix *m, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, LARGEST, err));
    lm_json *doc = lm_yaml_document(text.data, text.len, path, err);
    lm_status status = doc ? read_document(m, doc, path, err) : err->code;
    lm_json_free(doc);
    lm_str_free(&text);
    return status;
}

/* ---- what can be said before a row is read --------------------------------------- */

lm_status lm_mix_check(const lm_mix *m, lm_err *err)
{
    int standard = 0;
    if (!m->n_sources) return lm_fail(err, LM_E_USAGE, "expected a source: FILE, FILE:WEIGHT or FILE:SHARE%%");
    for (int i = 0; i < m->n_sources; i++) {
        const lm_mix_source *s = &m->sources[i];
        if (s->topic && s->difficulty && !strcmp(s->topic, s->difficulty)) return lm_fail(err, LM_E_USAGE, "%s: \"%s\" is its topic and its difficulty, of which one can be", s->name, s->topic);
        for (int k = 0; k < m->sources[i].files.n; k++) standard += !strcmp(m->sources[i].files.items[k], "-");
        for (int k = 0; k < i; k++)
            if (!strcmp(m->sources[i].name, m->sources[k].name)) return lm_fail(err, LM_E_USAGE, "%s: is given twice", m->sources[i].name);
    }
    if (standard > 1) return lm_fail(err, LM_E_USAGE, "standard input is given twice, and can be read once");
    for (int i = 0; i < m->n_stages; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(m->stages[i].name, m->stages[k].name)) return lm_fail(err, LM_E_USAGE, "two stages are called %s", m->stages[i].name);
    return LM_OK;
}
