/* The plain vocabularies: vocab.json with merges.txt (GPT-2), and vocab.txt (BERT). */
#define _GNU_SOURCE
#include "base/file.h"
#include "token/document.h"
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

static const size_t text_limit = (size_t)1 << 30;

/* The next line of text, without its end; false when there is none. */
static bool next_line(lm_span *rest, lm_span *line)
{
    if (!rest->len) return false;
    const char *newline = memchr(rest->data, '\n', rest->len);
    size_t n = newline ? (size_t)(newline - rest->data) : rest->len, used = newline ? n + 1 : n;
    *line = lm_span_of(rest->data, n && rest->data[n - 1] == '\r' ? n - 1 : n);
    *rest = lm_span_of(rest->data + used, rest->len - used);
    return true;
}

/* ---- vocab.json with merges.txt ------------------------------------------------------------ */

/* ".../gpt2_vocab.json" to ".../gpt2_merges.txt"; NULL when the name is not made so. */
static char *merges_path(const char *path)
{
    static const char ending[] = "vocab.json";
    size_t n = strlen(path);
    if (!lm_ends_with(path, ending)) return NULL;
    lm_str out = {0};
    lm_str_append(&out, path, n - strlen(ending));
    lm_str_puts(&out, "merges.txt");
    return lm_str_take(&out);
}

static lm_status read_merges(lm_json *list, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, text_limit, err));
    lm_span rest = lm_span_of(text.data, text.len), line;
    lm_status status = LM_OK;
    for (int number = 1; next_line(&rest, &line) && !status; number++) {
        bool version = number == 1 && line.len > 8 && !memcmp(line.data, "#version", 8);
        if (!line.len || version) continue;
        lm_json *entry = json_stringn(line.data, line.len);
        if (entry) json_array_append_new(list, entry);
        else status = lm_fail(err, LM_E_FORMAT, "%s: line %d: not valid UTF-8", path, number);
    }
    lm_str_free(&text);
    return status;
}

lm_status lm_read_vocab_merges(lm_json **document, const lm_json *vocab, const char *path, lm_err *err)
{
    *document = NULL;
    if (!json_is_object(vocab) || !json_is_integer(json_object_iter_value(json_object_iter((lm_json *)vocab))))
        return lm_fail(err, LM_E_FORMAT, "%s: expected an object with a \"model\" (tokenizer.json), or one of tokens and ids (vocab.json)", path);
    char *beside = merges_path(path);
    if (!beside) return lm_fail(err, LM_E_FORMAT, "%s: a vocabulary without merges: expected a name that ends in vocab.json, with merges.txt beside it", path);
    lm_json *merges = json_array();
    lm_status status = read_merges(merges, beside, err);
    free(beside);
    if (status) {
        lm_json_free(merges);
        return status;
    }
    *document = lm_document_byte_bpe(json_deep_copy(vocab), merges, lm_document_byte_level(false, true));
    static const char *const specials[] = { "<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>", NULL };
    for (const char *const *name = specials; *name; name++) {
        const lm_json *id = json_object_get(vocab, *name);
        if (json_is_integer(id))
            json_array_append_new(json_object_get(*document, "added_tokens"),
                                  lm_document_added(json_integer_value(id), lm_span_of(*name, strlen(*name)), true, false));
    }
    return LM_OK;
}

/* ---- vocab.txt --------------------------------------------------------------------------------- */

static bool is_vocab_txt(lm_span head, size_t size)
{
    (void)size;
    return memmem(head.data, head.len, "[UNK]\n", 6) || memmem(head.data, head.len, "[UNK]\r\n", 7);
}

static bool is_special(lm_span line)
{
    static const char *const names[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lm_span_eq(line, names[i])) return true;
    return false;
}

static lm_status read_lines(lm_json *vocab, lm_json *added, bool *capitals, const lm_str *text, const char *path, lm_err *err)
{
    lm_span rest = lm_span_of(text->data, text->len), line;
    for (int id = 0; next_line(&rest, &line); id++) {
        if (lm_utf8_valid(line.data, line.len) < line.len) return lm_fail(err, LM_E_FORMAT, "%s: line %d: not valid UTF-8", path, id + 1);
        lm_json *number = json_integer(id);
        if (json_object_getn(vocab, line.data, line.len)) {
            lm_json_free(number);
            return lm_fail(err, LM_E_FORMAT, "%s: line %d: the token \"%.*s\" stands there twice", path, id + 1, (int)(line.len < 60 ? line.len : 60), line.data);
        }
        json_object_setn_new(vocab, line.data, line.len, number);
        if (is_special(line)) json_array_append_new(added, lm_document_added(id, line, true, false));
        else if (line.len && line.data[0] != '[')
            for (size_t i = 0; i < line.len; i++) *capitals |= line.data[i] >= 'A' && line.data[i] <= 'Z';
    }
    return LM_OK;
}

/* tokenizer_config.json beside the file says how text is normalised; without it a vocabulary that has
 * no capital letter is one of lower case. */
static lm_status read_normaliser(lm_json **out, const char *path, bool capitals, lm_err *err)
{
    bool lower = !capitals, chinese = true, accents = false;
    char *folder = lm_strndup(path, (size_t)(lm_path_name(path) - path));
    char *beside = lm_path_join(*folder ? folder : ".", "tokenizer_config.json");
    lm_json *config = lm_file_exists(beside) ? lm_json_read(beside, err) : NULL;
    bool told = config && lm_json_get(config, "strip_accents");
    lm_status status = lm_file_exists(beside) && !config ? LM_E_FORMAT : LM_OK;
    if (config) {
        status = lm_json_opt_bool(config, "do_lower_case", beside, &lower, err);
        if (!status) status = lm_json_opt_bool(config, "tokenize_chinese_chars", beside, &chinese, err);
        if (!status) status = lm_json_opt_bool(config, "strip_accents", beside, &accents, err);
    }
    free(folder);
    free(beside);
    lm_json_free(config);
    *out = json_pack("{s:s, s:b, s:b, s:n, s:b}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", (int)chinese, "strip_accents", "lowercase", (int)lower);
    if (told) json_object_set_new(*out, "strip_accents", json_boolean(accents));
    return status;
}

static lm_json *bert_template(const lm_json *vocab)
{
    const lm_json *cls = json_object_get(vocab, "[CLS]"), *sep = json_object_get(vocab, "[SEP]");
    if (!cls || !sep) return json_null();
    return lm_document_template_pair("[CLS]", json_integer_value(cls), "[SEP]", json_integer_value(sep));
}

static lm_status read_vocab_txt(lm_json **document, lm_json **config, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, text_limit, err));
    lm_json *d = lm_document_new(), *vocab = json_object(), *normaliser = NULL;
    bool capitals = false;
    lm_status status = read_lines(vocab, json_object_get(d, "added_tokens"), &capitals, &text, path, err);
    if (!status) status = read_normaliser(&normaliser, path, capitals, err);
    json_object_set_new(d, "normalizer", normaliser ? normaliser : json_null());
    json_object_set_new(d, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
    json_object_set_new(d, "post_processor", bert_template(vocab));
    json_object_set_new(d, "decoder", json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1));
    json_object_set_new(d, "model", json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "WordPiece", "unk_token", "[UNK]",
                                              "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab", vocab));
    *config = json_pack("{s:s, s:s, s:s, s:s, s:s}", "unk_token", "[UNK]", "pad_token", "[PAD]", "cls_token", "[CLS]", "sep_token", "[SEP]", "mask_token", "[MASK]");
    *document = d;
    lm_str_free(&text);
    return status;
}

const lm_token_format lm_token_format_vocab_txt = {
    .name = "vocab.txt",
    .order = 4,
    .is = is_vocab_txt,
    .read = read_vocab_txt,
};
