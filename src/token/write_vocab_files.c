/* vocab.json with merges.txt (GPT-2), and vocab.txt (BERT): vocabularies without their pipeline, so that only
 * the pipeline that their readers take for granted can be written. */
#include "base/file.h"
#include "token/pattern.h"
#include "token/writer.h"

#include <stdlib.h>
#include <string.h>

static lm_status write_in(const char *folder, const char *name, const lm_str *text, lm_err *err)
{
    char *path = lm_path_join(folder, name);
    lm_status status = lm_file_write(path, text->data ? text->data : "", text->len, err);
    free(path);
    return status;
}

/* ---- vocab.json with merges.txt ------------------------------------------------------------------------ */

static lm_status put_vocab(lm_str *out, const lm_tokenizer *tk, lm_err *err)
{
    lm_str_puts(out, "{");
    for (int32_t id = 0; id < tk->vocab.n; id++) {
        lm_span text = tk->vocab.texts[id];
        if (!text.data) continue;
        lm_json *string = json_stringn(text.data, text.len);
        char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
        if (!quoted) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.json: token %d is not UTF-8", id);
        lm_str_printf(out, "%s%s: %d", out->len > 1 ? ", " : "", quoted, id);
        free(quoted);
        json_decref(string);
    }
    lm_str_puts(out, "}\n");
    return LM_OK;
}

static lm_status put_merges(lm_str *out, const lm_json *merges, lm_err *err)
{
    lm_str_puts(out, "#version: 0.2\n");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *left = json_string_value(json_array_get(json_array_get(merges, i), 0)), *right = json_string_value(json_array_get(json_array_get(merges, i), 1));
        if (strpbrk(left, " \r\n") || strpbrk(right, " \r\n")) return lm_fail(err, LM_E_UNSUPPORTED, "merges.txt: merge %zu: a token with white space cannot stand in a line", i);
        lm_str_printf(out, "%s %s\n", left, right);
    }
    return LM_OK;
}

static lm_status check_gpt2(const lm_tokenizer *tk, lm_err *err)
{
    const char *expression = tk->byte_level ? lm_byte_level_expression(tk) : NULL;
    if (!expression || strcmp(expression, lm_gpt2_expression))
        return lm_fail(err, LM_E_UNSUPPORTED, "vocab.json with merges.txt does not say how texts are cut: only byte-level BPE with GPT-2's expression can be written");
    for (int i = 0; i < tk->n_added; i++)
        if (tk->added[i].lstrip || tk->added[i].rstrip || tk->added[i].single_word)
            return lm_fail(err, LM_E_UNSUPPORTED, "vocab.json cannot say how the token %.*s strips the text beside it", (int)tk->added[i].text.len, tk->added[i].text.data);
    return LM_OK;
}

static lm_status write_vocab_merges(const lm_tokenizer *tk, const char *folder, lm_str *note, lm_err *err)
{
    (void)note;
    LM_TRY(check_gpt2(tk, err));
    LM_TRY(lm_make_dirs(folder, err));
    lm_str vocab = {0}, lines = {0};
    lm_json *merges = lm_tokenizer_merges(tk);
    lm_status status = put_vocab(&vocab, tk, err);
    if (!status) status = put_merges(&lines, merges, err);
    if (!status) status = write_in(folder, "vocab.json", &vocab, err);
    if (!status) status = write_in(folder, "merges.txt", &lines, err);
    lm_str_free(&vocab), lm_str_free(&lines);
    lm_json_free(merges);
    return status;
}

const lm_token_writer lm_token_writer_vocab_merges = {
    .name = "vocab-merges",
    .summary = "vocab.json and merges.txt, as GPT-2 has them",
    .file = "vocab.json",
    .folder = true,
    .write = write_vocab_merges,
};

/* ---- vocab.txt ---------------------------------------------------------------------------------------------- */

static lm_status check_bert(const lm_tokenizer *tk, const lm_json *normal, const lm_json *pre, lm_err *err)
{
    const lm_json *model = lm_json_get(tk->document.json, "model"), *prefix = lm_json_get(model, "continuing_subword_prefix");
    if (!lm_step_is(model, "WordPiece")) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt: expected a WordPiece model, found %s", tk->model->name);
    if (json_is_string(prefix) && strcmp(json_string_value(prefix), "##")) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt: expected pieces inside a word to begin with ##");
    if (json_array_size(normal) != 1 || !lm_step_is(json_array_get(normal, 0), "BertNormalizer") || json_array_size(pre) != 1 ||
        !lm_step_is(json_array_get(pre, 0), "BertPreTokenizer"))
        return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt does not say how texts are normalised and cut: only BertNormalizer and BertPreTokenizer can be written");
    if (lm_token_id(tk, "[UNK]") < 0 || lm_token_id(tk, "[UNK]") != tk->unk) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt: expected the unknown token to be [UNK]");
    for (int32_t id = 0; id < tk->vocab.n; id++) {
        lm_span text = tk->vocab.texts[id];
        if (!text.data) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt: no token has the id %d, and a line cannot be left out", id);
        if (memchr(text.data, '\n', text.len) || (text.len && text.data[text.len - 1] == '\r')) return lm_fail(err, LM_E_UNSUPPORTED, "vocab.txt: token %d holds a newline", id);
    }
    return LM_OK;
}

static lm_status write_bert(const lm_tokenizer *tk, const lm_json *normaliser, const char *folder, lm_err *err)
{
    bool lower = lm_step_flag(normaliser, "lowercase", true);
    lm_str lines = {0}, text = {0};
    lm_json *config = json_pack("{s:s, s:b, s:b}", "tokenizer_class", "BertTokenizer", "do_lower_case", (int)lower,
                                "tokenize_chinese_chars", (int)lm_step_flag(normaliser, "handle_chinese_chars", true));
    json_object_set_new(config, "strip_accents", json_boolean(lm_step_flag(normaliser, "strip_accents", lower)));
    for (int32_t id = 0; id < tk->vocab.n; id++) {
        lm_str_append(&lines, tk->vocab.texts[id].data, tk->vocab.texts[id].len);
        lm_str_putc(&lines, '\n');
    }
    lm_json_text(&text, config, 2);
    lm_json_free(config);
    lm_status status = lm_make_dirs(folder, err);
    if (!status) status = write_in(folder, "vocab.txt", &lines, err);
    if (!status) status = write_in(folder, "tokenizer_config.json", &text, err);
    lm_str_free(&lines), lm_str_free(&text);
    return status;
}

static lm_status write_vocab_txt(const lm_tokenizer *tk, const char *folder, lm_str *note, lm_err *err)
{
    (void)note;
    lm_json *normal = lm_document_steps(tk, "normalizer"), *pre = lm_document_steps(tk, "pre_tokenizer");
    lm_status status = check_bert(tk, normal, pre, err);
    if (!status) status = write_bert(tk, json_array_get(normal, 0), folder, err);
    json_decref(normal), json_decref(pre);
    return status;
}

const lm_token_writer lm_token_writer_vocab_txt = {
    .name = "vocab.txt",
    .summary = "vocab.txt and tokenizer_config.json, as BERT has them",
    .file = "vocab.txt",
    .folder = true,
    .write = write_vocab_txt,
};
