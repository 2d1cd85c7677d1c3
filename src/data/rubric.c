#include "data/rubric.h"

#include "base/file.h"
#include "base/yaml.h"
#include "data/asking.h"

#include <stdlib.h>
#include <string.h>

const char *const lm_verdict_names[] = { "none", "first", "second", "tie", NULL };

static const char *const places[] = { "{prompt}", "{first}", "{second}" };
enum { PLACES = 3 };

/* Where the file's keys go. */
static char **slot_of(lm_rubric *r, const char *key)
{
    const struct { const char *key; char **slot; } slots[] = {
        { "name", &r->name }, { "system", &r->system }, { "ask", &r->ask }, { "first", &r->word[LM_VERDICT_FIRST] },
        { "second", &r->word[LM_VERDICT_SECOND] }, { "tie", &r->word[LM_VERDICT_TIE] } };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (!strcmp(slots[i].key, key)) return slots[i].slot;
    return NULL;
}

static lm_status keep(const lm_yaml_entry *entry, void *context, lm_err *err)
{
    char **slot = slot_of(context, entry->key);
    if (!slot) return lm_fail(err, LM_E_FORMAT, "line %d: \"%s\" is no key of a rubric (name, system, ask, first, second, tie)", entry->line, entry->key);
    if (entry->list || entry->null || !*entry->items[0]) return lm_fail(err, LM_E_FORMAT, "line %d: %s: expected a text", entry->line, entry->key);
    *slot = lm_strdup(entry->items[0]);
    return LM_OK;
}

static lm_status check(lm_rubric *r, lm_err *err)
{
    for (const char *const *key = (const char *const[]){ "name", "ask", "first", "second", "tie", NULL }; *key; key++)
        if (!*slot_of(r, *key)) return lm_fail(err, LM_E_FORMAT, "\"%s\" is missing", *key);
    for (int i = 0; i < PLACES; i++)
        if (!strstr(r->ask, places[i])) return lm_fail(err, LM_E_FORMAT, "ask: nowhere says %s", places[i]);
    for (int i = 1; i < 4; i++)
        for (int j = 1; j < i; j++)
            if (!strcmp(r->word[i], r->word[j])) return lm_fail(err, LM_E_FORMAT, "%s and %s are the same word", lm_verdict_names[j], lm_verdict_names[i]);
    return LM_OK;
}

lm_status lm_rubric_read(lm_rubric *r, const char *path, lm_err *err)
{
    lm_str text = {0};
    *r = (lm_rubric){0};
    LM_TRY(lm_file_read(&text, path, 1 << 20, err));
    lm_status status = lm_yaml_flat(text.data ? text.data : "", text.len, path, keep, r, err);
    if (status == LM_OK) status = check(r, err);
    if (status != LM_OK && !strstr(err->message, path)) lm_context(err, "%s", path);
    lm_str_free(&text);
    return status;
}

void lm_rubric_free(lm_rubric *r)
{
    free(r->name), free(r->system), free(r->ask);
    for (int i = 1; i < 4; i++) free(r->word[i]);
    *r = (lm_rubric){0};
}

void lm_rubric_question(lm_str *out, const lm_rubric *r, lm_span prompt, lm_span first, lm_span second)
{
    const lm_filling fillings[PLACES] = { { places[0], prompt }, { places[1], first }, { places[2], second } };
    lm_asking_fill(out, r->ask, fillings, PLACES);
}

lm_verdict lm_rubric_verdict(const lm_rubric *r, lm_span answer)
{
    int found = lm_asking_mark(answer, (const char *const *)r->word, 4);
    return found < 0 ? LM_VERDICT_NONE : (lm_verdict)found;
}
