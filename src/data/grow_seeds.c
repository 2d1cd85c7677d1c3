/* The tasks that growing begins with, from the rows of files. */
#include "data/format.h"
#include "data/grow.h"
#include "data/labelled.h"
#include "token/unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add(lm_grow_seeds *seeds, const lm_row *row, const char *instruction, const char *input)
{
    lm_str id = {0};
    if (seeds->n == seeds->cap) {
        seeds->cap = seeds->cap ? 2 * seeds->cap : 64;
        seeds->tasks = lm_realloc(seeds->tasks, (size_t)seeds->cap * sizeof *seeds->tasks);
    }
    lm_str_printf(&id, "%s:%" PRId64, lm_path_name(row->path), row->line);
    seeds->tasks[seeds->n++] = (lm_grow_task){ .id = lm_str_take(&id), .instruction = lm_strdup(instruction), .input = lm_strdup(input), .parent = -1, .seed = true };
}

/* ---- one row ---- */

static lm_status need_text(const lm_json *row, const char *key, const char **out, lm_err *err)
{
    LM_TRY(lm_json_need_str(row, key, NULL, out, err));
    if (strlen(*out) != json_string_length(json_object_get(row, key))) return lm_fail(err, LM_E_FORMAT, "field \"%s\": expected text, found a zero byte", key);
    if (lm_is_blank(lm_span_of(*out, strlen(*out)))) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty", key);
    return LM_OK;
}

/* What is asked in a sample: of a conversation the first question. */
static lm_status question_of(const char **out, const lm_sample *s, lm_err *err)
{
    *out = json_string_value(s->prompt);
    for (size_t i = 0; i < json_array_size(s->prompt) && !*out; i++) {
        const lm_json *message = json_array_get(s->prompt, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role && !strcmp(role, "user")) *out = json_string_value(json_object_get(message, "content"));
    }
    return *out ? LM_OK : lm_fail(err, LM_E_FORMAT, "expected a question, found none");
}

static lm_status by_kind(lm_grow_seeds *seeds, const lm_row *row, lm_err *err)
{
    const lm_row_kind *kind;
    lm_kind_row fields;
    lm_sample sample = {0};
    const char *question = NULL;
    LM_TRY(lm_kind_detect(&kind, NULL, row, err));
    LM_TRY(lm_kind_match(&fields, kind, NULL, row->object, err));
    lm_status status = kind->read(&sample, &fields, err);
    if (status == LM_OK) status = question_of(&question, &sample, err);
    if (status == LM_OK) add(seeds, row, question, "");
    lm_sample_free(&sample);
    return status;
}

/* The input of Alpaca, or of the first instance of Self-Instruct. */
static const char *input_of(const lm_json *row)
{
    const lm_json *first = json_array_get(json_object_get(row, "instances"), 0);
    const char *input = json_string_value(json_object_get(first ? first : row, "input"));
    return input ? input : "";
}

static lm_status read_row(lm_grow_seeds *seeds, const lm_row *row, lm_err *err)
{
    static const char *const alone[] = { "prompt", "question", "text", NULL };
    const char *text = NULL;
    if (!row->object) {
        lm_str copy = {0};
        lm_str_append(&copy, row->text.data ? row->text.data : "", row->text.len);
        add(seeds, row, copy.data ? copy.data : "", "");
        lm_str_free(&copy);
        return LM_OK;
    }
    if (json_object_get(row->object, "instruction")) {
        LM_TRY(need_text(row->object, "instruction", &text, err));
        add(seeds, row, text, input_of(row->object));
        return LM_OK;
    }
    for (int i = 0; alone[i]; i++)
        if (json_object_size(row->object) == 1 && json_object_get(row->object, alone[i])) {
            LM_TRY(need_text(row->object, alone[i], &text, err));
            add(seeds, row, text, "");
            return LM_OK;
        }
    return by_kind(seeds, row, err);
}

/* ---- all rows ---- */

static double share_of_hangul(const lm_grow_seeds *seeds)
{
    double hangul = 0, letters = 0;
    for (int64_t i = 0; i < seeds->n; i++) {
        const char *text = seeds->tasks[i].instruction, *end = text + strlen(text);
        for (uint32_t rune; text < end;) {
            hangul += lm_is_syllable(text, (size_t)(end - text));
            text += lm_rune_at(text, (size_t)(end - text), &rune);
            letters += lm_rune_in(rune, LM_LETTERS);
        }
    }
    return letters > 0 ? hangul / letters : 0;
}

static uint64_t hash_of(const lm_grow_seeds *seeds)
{
    lm_str all = {0};
    for (int64_t i = 0; i < seeds->n; i++) lm_str_printf(&all, "%s\n%s\n%s\n", seeds->tasks[i].id, seeds->tasks[i].instruction, seeds->tasks[i].input);
    uint64_t hash = lm_hash(all.data, all.len, 0);
    lm_str_free(&all);
    return hash;
}

lm_status lm_grow_seeds_read(lm_grow_seeds *out, const lm_strings *paths, const char *format, bool skip, lm_err *err)
{
    lm_source *source;
    *out = (lm_grow_seeds){0};
    LM_TRY(lm_source_open(&source, paths, &(lm_source_options){ .format = format, .skipped = skip ? &out->skipped : NULL }, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        lm_err own = {0};
        status = read_row(out, &row, &own);
        if (status == LM_E_FORMAT) lm_context(&own, "%s:%" PRId64, row.path, row.line);
        if (status != LM_OK && (status = lm_source_pass_over(source, &own)) != LM_OK) lm_fail(err, status, "%s", own.message);
        lm_row_free(&row);
    }
    if (status == LM_OK && !out->n) status = lm_fail(err, LM_E_FORMAT, "%s: no seed in it", lm_source_name(source));
    lm_source_close(source);
    out->hangul = share_of_hangul(out);
    out->hash = hash_of(out);
    return status;
}

void lm_grow_seeds_free(lm_grow_seeds *seeds)
{
    for (int64_t i = 0; i < seeds->n; i++) free(seeds->tasks[i].id), free(seeds->tasks[i].instruction), free(seeds->tasks[i].input);
    free(seeds->tasks);
    lm_skipped_free(&seeds->skipped);
    *seeds = (lm_grow_seeds){0};
}
