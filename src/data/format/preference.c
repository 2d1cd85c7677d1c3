/* Two answers, of which one was chosen.  A prompt may be missing: then both are whole, and what they share is the prompt. Transcripts
 * of "\n\nHuman: ..\n\nAssistant: .." (Bai et al. 2022) become messages; other text is kept. */
#define _GNU_SOURCE                          /* memmem */
#include "data/format.h"

#include <string.h>

enum { PROMPT, CHOSEN, REJECTED, INPUT, TOOLS, MARGIN };

/* ---- transcripts ---- */

static const char human[] = "\n\nHuman:", assistant[] = "\n\nAssistant:";

static const char *next_turn(const char *at, const char *end)
{
    const char *a = memmem(at, (size_t)(end - at), human, strlen(human)), *b = memmem(at, (size_t)(end - at), assistant, strlen(assistant));
    return !a ? b : !b ? a : a < b ? a : b;
}

static void put_turn(lm_json *messages, const char *role, const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\n')) from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\n')) to--;
    json_array_append_new(messages, json_pack("{s:s, s:s%}", "role", role, "content", from, (size_t)(to - from)));
}

/* The messages of a transcript, or NULL where the text is none. */
static lm_json *transcript(const lm_json *text)
{
    const char *at = json_string_value(text), *end = at ? at + json_string_length(text) : NULL;
    if (!at || strncmp(at, human, strlen(human))) return NULL;
    lm_json *messages = json_array();
    for (const char *next; at; at = next) {
        bool user = !strncmp(at, human, strlen(human));
        const char *begin = at + (user ? strlen(human) : strlen(assistant));
        next = next_turn(begin, end);
        put_turn(messages, user ? "user" : "assistant", begin, next ? next : end);
    }
    return messages;
}

/* ---- what two conversations share ---- */

static size_t shared(const lm_json *a, const lm_json *b)
{
    size_t n = 0;
    while (n < json_array_size(a) && n < json_array_size(b) && json_equal(json_array_get(a, n), json_array_get(b, n))) n++;
    return n;
}

static lm_status divide(lm_sample *out, lm_json *chosen, lm_json *rejected, const lm_kind_row *row, lm_err *err)
{
    size_t n = shared(chosen, rejected);
    lm_json *prompt = lm_list_slice(chosen, 0, n), *better = lm_list_slice(chosen, n, json_array_size(chosen)), *worse = lm_list_slice(rejected, n, json_array_size(rejected));
    lm_status status = LM_OK;
    if (!json_array_size(better) || !json_array_size(worse))
        status = lm_fail(err, LM_E_FORMAT, "fields \"%s\" and \"%s\": one is the other's beginning: nothing to prefer", row->name[CHOSEN], row->name[REJECTED]);
    else if (!(out->prompt = lm_messages_read(prompt, row->name[CHOSEN], false, err))) status = err->code;
    if (status == LM_OK) status = lm_kind_answer(out, better, row->name[CHOSEN], err);
    if (status == LM_OK) status = lm_kind_answer(out, worse, row->name[REJECTED], err);
    lm_json_free(prompt), lm_json_free(better), lm_json_free(worse);
    return status;
}

/* Both answers whole, with the prompt in front. */
static lm_status read_whole(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const lm_json *chosen = row->value[CHOSEN], *rejected = row->value[REJECTED];
    lm_json *a = json_is_array(chosen) ? json_incref((json_t *)(uintptr_t)chosen) : transcript(chosen);
    lm_json *b = json_is_array(rejected) ? json_incref((json_t *)(uintptr_t)rejected) : transcript(rejected);
    lm_status status;
    if (a && b) status = divide(out, a, b, row, err);
    else {
        status = lm_kind_answer(out, chosen, row->name[CHOSEN], err);
        if (status == LM_OK) status = lm_kind_answer(out, rejected, row->name[REJECTED], err);
    }
    lm_json_free(a);
    lm_json_free(b);
    return status;
}

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    bool asked = row->value[PROMPT], only_input = !asked && row->value[INPUT];
    if (json_equal(row->value[CHOSEN], row->value[REJECTED]))
        return lm_fail(err, LM_E_FORMAT, "fields \"%s\" and \"%s\" are the same: nothing to prefer", row->name[CHOSEN], row->name[REJECTED]);
    out->margin = json_incref((json_t *)(uintptr_t)row->value[MARGIN]);
    LM_TRY(lm_kind_tools(out, row, TOOLS, err));
    if (!asked && !only_input) return read_whole(out, row, err);
    LM_TRY(lm_kind_prompt(out, row, asked ? PROMPT : INPUT, asked ? INPUT : -1, err));
    LM_TRY(lm_kind_answer(out, row->value[CHOSEN], row->name[CHOSEN], err));
    return lm_kind_answer(out, row->value[REJECTED], row->name[REJECTED], err);
}

const lm_row_kind lm_row_kind_preference = {
    .name = "preference", .help = "chosen, rejected: text or messages; prompt (question, instruction), input, tools, margin",
    .fields = {
        { .role = "prompt", .names = { "prompt", "question", "instruction", "query" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES, .optional = true },
        { .role = "chosen", .names = { "chosen" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "rejected", .names = { "rejected" }, .types = LM_FIELD_TEXT | LM_FIELD_ROLES },
        { .role = "input", .names = { "input" }, .types = LM_FIELD_TEXT, .optional = true },
        { .role = "tools", .names = { "tools" }, .types = LM_FIELD_LIST | LM_FIELD_TEXT, .optional = true },
        { .role = "margin", .names = { "margin" }, .types = LM_FIELD_NUMBER, .optional = true },
    },
    .shape = LM_SHAPE_PREFERENCE, .usual = LM_SHAPE_PREFERENCE, .read = read,
};
