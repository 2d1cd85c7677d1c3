/* tiktoken files: base64 of the bytes of each token, and its rank.
 *
 * The ranks must stand for the merges: a token's two parts are those into which the lower ranks merge its
 * bytes, and merges are listed by rank.  The expression and the special tokens stand in no tiktoken file:
 * the note gives them. */
#include "base/file.h"
#include "token/charsmap.h"
#include "token/writer.h"

#include <stdlib.h>
#include <string.h>

/* The bytes of every token that is not added, by rank; the ids of others are holes. */
static lm_status collect(lm_vocab *ranks, const lm_tokenizer *tk, lm_err *err)
{
    lm_str bytes = {0};
    lm_status status = LM_OK;
    for (int32_t id = 0; id < tk->vocab.n && !status; id++) {
        lm_span text = tk->vocab.texts[id];
        if (!text.data || lm_added_of(tk, id)) continue;
        lm_str_clear(&bytes);
        if (!lm_bytes_unspell(&bytes, text)) status = lm_fail(err, LM_E_UNSUPPORTED, "tiktoken: token %d spells no bytes", id);
        else status = lm_vocab_add(ranks, lm_span_of(bytes.data, bytes.len), id, "tiktoken", err);
    }
    lm_str_free(&bytes);
    return status;
}

static bool is_part(const lm_json *spelled, lm_span bytes)
{
    lm_str own = {0};
    bool same = lm_bytes_unspell(&own, lm_span_of(json_string_value(spelled), json_string_length(spelled))) && own.len == bytes.len && !memcmp(own.data, bytes.data, own.len);
    lm_str_free(&own);
    return same;
}

static lm_status check_merges(const lm_tokenizer *tk, const lm_vocab *ranks, lm_err *err)
{
    lm_json *merges = lm_tokenizer_merges(tk);
    bool whole = lm_step_flag(lm_json_get(tk->document.json, "model"), "ignore_merges", false);
    size_t n = 0, cut;
    lm_status status = LM_OK;
    for (int32_t id = 0; id < ranks->n && !status; id++) {
        lm_span text = ranks->texts[id];
        if (text.len < 2) continue;
        bool parts = lm_ranks_take_apart(ranks, id, &cut);
        const lm_json *merge = json_array_get(merges, n);
        if (!parts && whole) continue;
        if (!parts || !is_part(json_array_get(merge, 0), lm_span_of(text.data, cut)) || !is_part(json_array_get(merge, 1), lm_span_of(text.data + cut, text.len - cut)))
            status = lm_fail(err, LM_E_UNSUPPORTED, "tiktoken: token %d: the ranks stand for other merges than these (merge %zu)", id, n);
        n++;
    }
    if (!status && n != json_array_size(merges)) status = lm_fail(err, LM_E_UNSUPPORTED, "tiktoken: %zu merges, the ranks stand for %zu", json_array_size(merges), n);
    lm_json_free(merges);
    return status;
}

static void note_rest(lm_str *note, const lm_tokenizer *tk, const char *expression)
{
    lm_str_printf(note, "the file holds neither of these: pat_str = %s; special_tokens =", expression);
    for (int i = 0; i < tk->n_added; i++) lm_str_printf(note, " %.*s %d%s", (int)tk->added[i].text.len, tk->added[i].text.data, tk->added[i].id, i + 1 < tk->n_added ? "," : "");
}

static lm_status write_tiktoken(const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err)
{
    const char *expression = tk->byte_level ? lm_byte_level_expression(tk) : NULL;
    if (!expression) return lm_fail(err, LM_E_UNSUPPORTED, "tiktoken: expected byte-level BPE that cuts texts by one expression and does not normalise them");
    lm_vocab ranks = {0};
    lm_str text = {0};
    lm_status status = collect(&ranks, tk, err);
    if (!status) status = check_merges(tk, &ranks, err);
    for (int32_t id = 0; id < ranks.n && !status; id++) {
        if (!ranks.texts[id].data) continue;
        lm_base64_encode(&text, ranks.texts[id]);
        lm_str_printf(&text, " %d\n", id);
    }
    if (!status) status = lm_file_write(path, text.data, text.len, err);
    if (!status) note_rest(note, tk, expression);
    lm_vocab_free(&ranks);
    lm_str_free(&text);
    return status;
}

const lm_token_writer lm_token_writer_tiktoken = {
    .name = "tiktoken",
    .summary = "ranks of byte-level BPE",
    .file = ".tiktoken",
    .partial = true,
    .write = write_tiktoken,
};
