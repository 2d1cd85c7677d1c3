#include "token/writer.h"
#include "base/file.h"
#include "token/document.h"
#include "token/pattern.h"

#include <string.h>

/* ---- the pipeline, read again ------------------------------------------------------------------- */

bool lm_step_is(const lm_json *step, const char *type)
{
    const lm_json *name = lm_json_get(step, "type");
    return json_is_string(name) && !strcmp(json_string_value(name), type);
}

bool lm_step_flag(const lm_json *step, const char *key, bool missing)
{
    const lm_json *value = lm_json_get(step, key);
    return json_is_boolean(value) ? json_is_true(value) : missing;
}

static void flatten(lm_json *list, const lm_json *step)
{
    static const char *const members[] = { "normalizers", "pretokenizers", "decoders" };
    if (!json_is_object(step)) return;
    if (!lm_step_is(step, "Sequence")) {
        json_array_append(list, (lm_json *)(uintptr_t)step);
        return;
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const lm_json *steps = lm_json_get(step, members[i]);
        for (size_t j = 0; j < json_array_size(steps); j++) flatten(list, json_array_get(steps, j));
    }
}

lm_json *lm_document_steps(const lm_tokenizer *tk, const char *key)
{
    lm_json *list = json_array();
    flatten(list, lm_json_get(tk->document.json, key));
    return list;
}

/* The expression of a Split at matches that stand for themselves, or NULL. */
static const char *split_expression(const lm_json *step)
{
    const lm_json *behaviour = lm_json_get(step, "behavior");
    bool isolated = lm_step_is(step, "Split") && json_is_string(behaviour) && !strcmp(json_string_value(behaviour), "Isolated");
    return isolated && !lm_step_flag(step, "invert", false) ? json_string_value(lm_json_get(lm_json_get(step, "pattern"), "Regex")) : NULL;
}

const char *lm_byte_level_expression(const lm_tokenizer *tk)
{
    lm_json *normal = lm_document_steps(tk, "normalizer"), *pre = lm_document_steps(tk, "pre_tokenizer");
    const lm_json *last = json_array_get(pre, json_array_size(pre) - 1);
    bool whole = lm_step_flag(last, "use_regex", true);
    const char *expression = NULL;
    if (json_array_size(normal) == 0 && lm_step_is(last, "ByteLevel") && !lm_step_flag(last, "add_prefix_space", true)) {
        if (json_array_size(pre) == 1 && whole) expression = lm_gpt2_expression;
        if (json_array_size(pre) == 2 && !whole) expression = split_expression(json_array_get(pre, 0));
    }
    json_decref(normal), json_decref(pre);                /* the document keeps the text */
    return expression;
}

lm_json *lm_tokenizer_merges(const lm_tokenizer *tk)
{
    lm_err err = {0};
    lm_span text = tk->document.merges;
    lm_json *list = text.data ? lm_json_parse(text.data, text.len, "merges", &err) : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const lm_json *entry = json_array_get(list, i);
        if (!json_is_string(entry)) continue;
        const char *both = json_string_value(entry), *space = strchr(both, ' ');
        size_t n = (size_t)(space - both);
        json_array_set_new(list, i, json_pack("[o, o]", lm_document_text(lm_span_of(both, n)),
                                              lm_document_text(lm_span_of(space + 1, json_string_length(entry) - n - 1))));
    }
    return list;
}

const lm_added_token *lm_added_of(const lm_tokenizer *tk, int32_t id)
{
    for (int i = 0; i < tk->n_added; i++)
        if (tk->added[i].id == id) return &tk->added[i];
    return NULL;
}

/* ---- writing, and reading back -------------------------------------------------------------------- */

/* Of everything something: scripts, jamo, digits, spaces, marks, what tokenizers treat in special ways. */
static const char sample[] =
    "The quick brown fox, it's 12,345.67 o'clock;  two  spaces.\n\tif (x[i] != 0) { return y->z; }\r\n\n"
    "\xEB\x8C\x80\xED\x95\x9C\xEB\xAF\xBC\xEA\xB5\xAD\xEC\x9D\x98 \xEC\xA3\xBC\xEA\xB6\x8C\xEC\x9D\x80 \xEA\xB5\xAD\xEB\xAF\xBC\xEC\x97\x90\xEA\xB2\x8C \xEC\x9E\x88\xEA\xB3\xA0, "
    "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB\xE1\x84\x80\xE1\x85\xB3\xE1\x86\xAF \xE3\x84\xB1\xE3\x85\x8B\xE3\x85\x8B "
    "\xE4\xB8\xAD\xE6\x96\x87 \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x82\xAB\xE3\x82\xBF caf\xC3\xA9 cafe\xCC\x81 \xC3\x9F\xC4\xB0 \xEF\xAC\x81 \xEF\xBC\xA1\xEF\xBC\x91 \xC2\xBD "
    "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xD8\xA7\xD9\x84\xD8\xB9\xD8\xB1 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 \xF0\x9F\x87\xB0\xF0\x9F\x87\xB7 "
    "\xE2\x96\x81 <s> <unk> [UNK] <|endoftext|> ## </w> \xE2\x80\x99 -- ... !!! ===== 2026-11-21 \xC2\xA0 \xE3\x80\x80 end ";

static lm_status compare_ids(const lm_tokenizer *a, const lm_tokenizer *b, unsigned flags, const char *path, lm_err *err)
{
    lm_ids before = {0}, after = {0};
    lm_status status = lm_encode(a, &before, sample, sizeof sample - 1, flags, err);
    if (!status) status = lm_encode(b, &after, sample, sizeof sample - 1, flags, err);
    size_t i = 0;
    while (i < before.len && i < after.len && before.data[i] == after.data[i]) i++;
    if (!status && (i < before.len || i < after.len))
        status = lm_fail(err, LM_E_MISMATCH, "%s: not lossless: token %zu of a sample text was %d and is %d now", path, i,
                         i < before.len ? before.data[i] : -1, i < after.len ? after.data[i] : -1);
    lm_ids_free(&before), lm_ids_free(&after);
    return status;
}

/* Every token's text alone: where merges do not lead to it, a model that takes whole words differs. */
static lm_status compare_tokens(const lm_tokenizer *a, const lm_tokenizer *b, const char *path, lm_err *err)
{
    lm_encoder *x = lm_encoder_new(a), *y = lm_encoder_new(b);
    lm_ids before = {0}, after = {0};
    lm_str text = {0};
    lm_status status = LM_OK;
    for (int32_t id = 0; id < a->vocab.n && !status; id++) {
        if (!a->vocab.texts[id].data || a->special[id]) continue;
        lm_str_clear(&text), lm_ids_clear(&before), lm_ids_clear(&after);
        status = lm_decode(a, &text, &id, 1, 0, err);
        if (!status) status = lm_encoder_run(x, &before, text.data ? text.data : "", text.len, 0, err);
        if (!status) status = lm_encoder_run(y, &after, text.data ? text.data : "", text.len, 0, err);
        if (!status && (before.len != after.len || (before.len && memcmp(before.data, after.data, before.len * sizeof *after.data))))
            status = lm_fail(err, LM_E_MISMATCH, "%s: not lossless: the text of token %d has other ids now", path, id);
    }
    lm_str_free(&text);
    lm_ids_free(&before), lm_ids_free(&after);
    lm_encoder_free(x), lm_encoder_free(y);
    return status;
}

/* `partial`: the note says what has to be told besides, or what special tokens change. */
static lm_status compare(const lm_tokenizer *a, const lm_tokenizer *b, bool partial, const char *path, lm_err *err)
{
    for (int32_t id = 0; id < a->vocab.n || id < b->vocab.n; id++) {
        lm_span x = lm_token_text(a, id), y = lm_token_text(b, id);
        if (partial && (lm_added_of(a, id) || lm_added_of(b, id))) continue;
        if (x.len != y.len || !x.data != !y.data || (x.len && memcmp(x.data, y.data, x.len)))
            return lm_fail(err, LM_E_MISMATCH, "%s: not lossless: token %d was \"%.*s\" and is \"%.*s\" now", path, id,
                           (int)(x.len < 60 ? x.len : 60), x.data ? x.data : "", (int)(y.len < 60 ? y.len : 60), y.data ? y.data : "");
    }
    LM_TRY(compare_ids(a, b, 0, path, err));
    LM_TRY(compare_tokens(a, b, path, err));
    if (partial) return LM_OK;
    LM_TRY(compare_ids(a, b, LM_ENCODE_ALLOW_SPECIAL, path, err));
    return compare_ids(a, b, LM_ENCODE_SPECIAL, path, err);
}

lm_status lm_tokenizer_write(const lm_token_writer *writer, const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err)
{
    lm_tokenizer *back = NULL;
    lm_err loading = {0};
    LM_TRY(writer->write(tk, path, note, err));
    lm_status status = lm_tokenizer_load(&back, path, &loading);
    if (status == LM_E_UNSUPPORTED && writer->partial) return LM_OK;   /* nobody can read it who is not told the rest */
    if (status) lm_fail(err, status, "%s", loading.message);
    else status = compare(tk, back, writer->partial || note->len, path, err);
    lm_tokenizer_free(back);
    return status;
}
