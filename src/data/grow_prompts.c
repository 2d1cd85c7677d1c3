#define _GNU_SOURCE                                          /* memmem */
#include "data/grow_prompts.h"

#include "base/file.h"
#include "base/map.h"
#include "base/yaml.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { SELF = LM_GROW_FOR_SELF_INSTRUCT, EVOL = LM_GROW_FOR_EVOL_INSTRUCT, LARGEST = 1 << 20, PLACES = 3 };

static const struct {
    const char *key, *places[PLACES + 1];
    unsigned needed;                                         /* by methods; 0: may be missing */
} texts[LM_GROW_TEXTS] = {
    [LM_GROW_SYSTEM] = { "system", {0}, 0 },
    [LM_GROW_DIFFICULTY] = { "difficulty", { "{prompt}" }, SELF | EVOL },
    [LM_GROW_TASK] = { "task", { "{number}" }, SELF },
    [LM_GROW_GENERATE] = { "generate", { "{tasks}", "{count}", "{first}" }, SELF },
    [LM_GROW_CLASSIFY] = { "classify", { "{instruction}" }, SELF },
    [LM_GROW_YES] = { "yes", {0}, SELF },
    [LM_GROW_NO] = { "no", {0}, SELF },
    [LM_GROW_INPUT_FIRST] = { "input_first", { "{instruction}", "{count}" }, SELF },
    [LM_GROW_OUTPUT_FIRST] = { "output_first", { "{instruction}", "{count}" }, SELF },
    [LM_GROW_INPUT] = { "input", {0}, SELF },
    [LM_GROW_OUTPUT] = { "output", {0}, SELF },
    [LM_GROW_LABEL] = { "label", {0}, SELF },
    [LM_GROW_NONE] = { "none", {0}, SELF },
    [LM_GROW_CONSTRAINTS] = { "constraints", { "{prompt}" }, EVOL },
    [LM_GROW_DEEPEN] = { "deepen", { "{prompt}" }, EVOL },
    [LM_GROW_CONCRETISE] = { "concretise", { "{prompt}" }, EVOL },
    [LM_GROW_REASONING] = { "reasoning", { "{prompt}" }, EVOL },
    [LM_GROW_COMPLICATE] = { "complicate", { "{prompt}" }, EVOL },
    [LM_GROW_BREADTH] = { "breadth", { "{prompt}" }, EVOL },
    [LM_GROW_EVOLVED] = { "evolved", {0}, EVOL },
    [LM_GROW_GAIN] = { "gain", { "{first}", "{second}" }, 0 },
    [LM_GROW_SAME] = { "same", {0}, EVOL },
    [LM_GROW_DIFFERENT] = { "different", {0}, EVOL },
};

static const char *const lists[LM_GROW_LISTS] = { "refusals", "keywords", "copied", "stop_words" };

/* ---- the file ---- */

static int text_named(const char *key)
{
    for (int i = 0; i < LM_GROW_TEXTS; i++)
        if (!strcmp(texts[i].key, key)) return i;
    return -1;
}

static int list_named(const char *key)
{
    for (int i = 0; i < LM_GROW_LISTS; i++)
        if (!strcmp(lists[i], key)) return i;
    return -1;
}

static lm_status unknown_key(const lm_yaml_entry *entry, lm_err *err)
{
    const char *keys[LM_GROW_TEXTS + LM_GROW_LISTS + 1] = {0};
    for (int i = 0; i < LM_GROW_TEXTS; i++) keys[i] = texts[i].key;
    for (int i = 0; i < LM_GROW_LISTS; i++) keys[LM_GROW_TEXTS + i] = lists[i];
    const char *nearest = lm_nearest(entry->key, keys);
    return lm_fail(err, LM_E_FORMAT, "line %d: \"%s\" is no key of prompts%s%s", entry->line, entry->key, nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static lm_status keep(const lm_yaml_entry *entry, void *context, lm_err *err)
{
    lm_grow_prompts *p = context;
    int text = text_named(entry->key), list = list_named(entry->key);
    if (text < 0 && list < 0) return unknown_key(entry, err);
    if (text >= 0 && (entry->list || entry->null || !*entry->items[0])) return lm_fail(err, LM_E_FORMAT, "line %d: %s: expected a text", entry->line, entry->key);
    if (list >= 0 && !entry->list) return lm_fail(err, LM_E_FORMAT, "line %d: %s: expected a list of words", entry->line, entry->key);
    if (text >= 0) p->text[text] = lm_strdup(entry->items[0]);
    for (int i = 0; list >= 0 && i < entry->n; i++) {
        if (!*entry->items[i]) return lm_fail(err, LM_E_FORMAT, "line %d: %s: an empty word", entry->line, entry->key);
        lm_strings_push(&p->list[list], lm_strdup(entry->items[i]));
    }
    return LM_OK;
}

/* ---- its places ---- */

/* A place in braces, lower-case letters only: {json: 1} is none.  Its length, or 0. */
static size_t place_length(const char *at)
{
    size_t n = *at == '{' ? 1 : 0;
    while (n && at[n] >= 'a' && at[n] <= 'z') n++;
    return n > 1 && at[n] == '}' ? n + 1 : 0;
}

static lm_status check_places(int text, const char *value, lm_err *err)
{
    const char *const *places = texts[text].places;
    for (int i = 0; places[i]; i++)
        if (!strstr(value, places[i])) return lm_fail(err, LM_E_FORMAT, "%s: nowhere says %s", texts[text].key, places[i]);
    for (const char *at = value; *at; at++) {
        size_t n = place_length(at);
        int i = 0;
        while (places[i] && (strlen(places[i]) != n || strncmp(at, places[i], n))) i++;
        if (n && !places[i]) return lm_fail(err, LM_E_FORMAT, "%s: has no place %.*s", texts[text].key, (int)n, at);
    }
    return LM_OK;
}

static lm_status check(const lm_grow_prompts *p, unsigned needs, lm_err *err)
{
    for (int i = 0; i < LM_GROW_TEXTS; i++) {
        if (!p->text[i] && (texts[i].needed & needs)) return lm_fail(err, LM_E_FORMAT, "\"%s\" is missing", texts[i].key);
        if (p->text[i]) LM_TRY(check_places(i, p->text[i], err));
    }
    return LM_OK;
}

lm_status lm_grow_prompts_read(lm_grow_prompts *p, const char *path, unsigned needs, lm_err *err)
{
    lm_str text = {0};
    *p = (lm_grow_prompts){0};
    LM_TRY(lm_file_read(&text, path, LARGEST, err));
    p->hash = lm_hash(text.data ? text.data : "", text.len, 0);
    lm_status status = lm_yaml_flat(text.data ? text.data : "", text.len, path, keep, p, err);
    if (status == LM_OK) status = check(p, needs, err);
    if (status != LM_OK && !strstr(err->message, path)) lm_context(err, "%s", path);
    lm_str_free(&text);
    return status;
}

void lm_grow_prompts_free(lm_grow_prompts *p)
{
    for (int i = 0; i < LM_GROW_TEXTS; i++) free(p->text[i]);
    for (int i = 0; i < LM_GROW_LISTS; i++) lm_strings_free(&p->list[i]);
    *p = (lm_grow_prompts){0};
}

/* ---- its words ---- */

static bool is_latin(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/* Particles may follow a Korean word; letters that a Latin one would go on with may not. */
static bool stands_in(lm_span text, lm_span word, bool whole)
{
    const char *end = text.data + text.len;
    for (const char *at = text.data; (at = memmem(at, (size_t)(end - at), word.data, word.len)); at++) {
        const char *after = at + word.len;
        bool begins = at == text.data || !is_latin(at[-1]) || !is_latin(*at);
        bool ends = after == end || !is_latin(*after) || !is_latin(after[-1]);
        if (!whole || (begins && ends)) return true;
    }
    return false;
}

const char *lm_grow_says(const lm_strings *list, lm_span text, bool whole)
{
    const char *found = NULL;
    lm_str lower = {0}, word = {0};
    lm_unicode_lower(&lower, text);
    for (int i = 0; i < list->n && !found && lower.len; i++) {
        lm_str_clear(&word);
        lm_unicode_lower(&word, lm_span_of(list->items[i], strlen(list->items[i])));
        if (stands_in(lm_span_of(lower.data, lower.len), lm_span_of(word.data, word.len), whole)) found = list->items[i];
    }
    lm_str_free(&lower);
    lm_str_free(&word);
    return found;
}
