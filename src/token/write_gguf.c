/* A GGUF file that holds a vocabulary and no tensors; gguf_vocab.c reads it.
 *
 * llama.cpp knows how a text is cut by a name ("pre"), so that byte-level BPE is written only where its expression
 * has one; a "llama" vocabulary is neither normalised nor squeezed there, and so is not written from one that is.
 * A "bert" vocabulary always stands between [CLS] and [SEP], and its words begin with U+2581 where BERT's go on
 * with "##". */
#include "io/gguf_write.h"
#include "token/pattern.h"
#include "token/writer.h"

#include <string.h>

static void put_id(lm_gguf_writer *g, const char *key, int32_t id)
{
    if (id >= 0) lm_gguf_put_u32(g, key, (uint32_t)id);
}

/* ---- what every kind has ---------------------------------------------------------------------------- */

static void put_kind(lm_gguf_writer *g, const char *kind)
{
    lm_gguf_put_string(g, "general.architecture", "llama");
    lm_gguf_put_string(g, "tokenizer.ggml.model", kind);
}

/* One token, or none, stands on each side of a text, and it is the one that BOS or EOS names. */
static lm_status check_side(const lm_ids *side, int32_t id, const char *name, lm_err *err)
{
    if (!side->len || (side->len == 1 && side->data[0] == id)) return LM_OK;
    return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: what stands %s a text: expected the %s token or nothing", *name == 'B' ? "before" : "after", name);
}

static lm_status put_specials(lm_gguf_writer *g, const lm_tokenizer *tk, lm_err *err)
{
    LM_TRY(check_side(&tk->before, tk->bos, "BOS", err));
    LM_TRY(check_side(&tk->after, tk->eos, "EOS", err));
    put_id(g, "tokenizer.ggml.bos_token_id", tk->bos);
    put_id(g, "tokenizer.ggml.eos_token_id", tk->eos);
    put_id(g, "tokenizer.ggml.unknown_token_id", tk->unk);
    put_id(g, "tokenizer.ggml.padding_token_id", tk->pad);
    lm_gguf_put_flag(g, "tokenizer.ggml.add_bos_token", tk->before.len);
    lm_gguf_put_flag(g, "tokenizer.ggml.add_eos_token", tk->after.len);
    if (tk->chat_template) lm_gguf_put_string(g, "tokenizer.chat_template", tk->chat_template);
    return LM_OK;
}

static lm_status check_added(const lm_tokenizer *tk, lm_err *err)
{
    for (int i = 0; i < tk->n_added; i++)
        if (tk->added[i].lstrip || tk->added[i].rstrip || tk->added[i].single_word)
            return lm_fail(err, LM_E_UNSUPPORTED, "GGUF cannot say how the token %.*s strips the text beside it", (int)tk->added[i].text.len, tk->added[i].text.data);
    return LM_OK;
}

static void put_types(lm_gguf_writer *g, const lm_tokenizer *tk)
{
    lm_gguf_put_list(g, "tokenizer.ggml.token_type", LM_GGUF_I32, (size_t)tk->vocab.n);
    for (int32_t id = 0; id < tk->vocab.n; id++) {
        const lm_added_token *added = lm_added_of(tk, id);
        lm_gguf_put_number(g, !added ? LM_PIECE_NORMAL : added->special ? LM_PIECE_CONTROL : LM_PIECE_USER, 4);
    }
}

/* ---- byte-level BPE --------------------------------------------------------------------------------------- */

/* The name that llama.cpp has for how texts are cut, or NULL.  The name also says whether a whole word that is a
 * token is taken before any merge. */
static const char *pre_of(const lm_tokenizer *tk)
{
    static const struct {
        const char *expression, *pre;
        bool whole;
    } names[] = {
        { "gpt2", "gpt-2", false }, { "llama3", "llama-bpe", true }, { "llama3", "smaug-bpe", false }, { "qwen2", "qwen2", false },
        { "o200k", "gpt-4o", false }, { "tekken", "tekken", true },
    };
    const char *expression = tk->byte_level ? lm_byte_level_expression(tk) : NULL;
    bool whole = lm_step_flag(lm_json_get(tk->document.json, "model"), "ignore_merges", false);
    for (size_t i = 0; i < sizeof names / sizeof *names && expression; i++)
        if (whole == names[i].whole && !strcmp(expression, lm_expression_named(names[i].expression))) return names[i].pre;
    return NULL;
}

static void put_merges(lm_gguf_writer *g, const lm_json *merges)
{
    lm_str line = {0};
    lm_gguf_put_list(g, "tokenizer.ggml.merges", LM_GGUF_STRING, json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const lm_json *pair = json_array_get(merges, i);
        lm_str_clear(&line);
        lm_str_printf(&line, "%s %s", json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1)));
        lm_gguf_put_text(g, lm_span_of(line.data, line.len));
    }
    lm_str_free(&line);
}

static lm_status put_byte_level(lm_gguf_writer *g, const lm_tokenizer *tk, lm_err *err)
{
    const char *pre = pre_of(tk);
    if (!pre) return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: llama.cpp has no name for how this tokenizer normalises and cuts texts");
    put_kind(g, "gpt2");
    lm_gguf_put_string(g, "tokenizer.ggml.pre", pre);
    lm_gguf_put_list(g, "tokenizer.ggml.tokens", LM_GGUF_STRING, (size_t)tk->vocab.n);
    for (int32_t id = 0; id < tk->vocab.n; id++) {
        if (!tk->vocab.texts[id].data) return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: no token has the id %d", id);
        lm_gguf_put_text(g, tk->vocab.texts[id]);
    }
    put_types(g, tk);
    lm_json *merges = lm_tokenizer_merges(tk);
    put_merges(g, merges);
    lm_json_free(merges);
    return LM_OK;
}

/* ---- SentencePiece ------------------------------------------------------------------------------------------- */

static void put_pieces(lm_gguf_writer *g, const lm_sentence_model *m)
{
    lm_gguf_put_list(g, "tokenizer.ggml.tokens", LM_GGUF_STRING, (size_t)m->n);
    for (int i = 0; i < m->n; i++) lm_gguf_put_text(g, m->pieces[i].text);
    lm_gguf_put_list(g, "tokenizer.ggml.scores", LM_GGUF_F32, (size_t)m->n);
    for (int i = 0; i < m->n; i++) {
        uint32_t bits;
        memcpy(&bits, &m->pieces[i].score, sizeof bits);
        lm_gguf_put_number(g, bits, 4);
    }
    lm_gguf_put_list(g, "tokenizer.ggml.token_type", LM_GGUF_I32, (size_t)m->n);
    for (int i = 0; i < m->n; i++) lm_gguf_put_number(g, m->pieces[i].type, 4);
}

static lm_status put_sentencepiece(lm_gguf_writer *g, const lm_sentence_model *m, lm_str *note, lm_err *err)
{
    if (m->bpe && (m->charsmap.len || m->squeeze))
        return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: llama.cpp neither normalises nor squeezes spaces before BPE of SentencePiece, this tokenizer does (train with --normalizer none --keep-spaces)");
    if (!m->bpe && m->squeeze && !m->prefix)
        return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: llama.cpp marks the beginning of a text wherever it squeezes spaces, this tokenizer does not");
    if (!m->bpe && m->byte_fallback) lm_str_puts(note, "llama.cpp has no bytes in a Unigram vocabulary: a character that is no piece is unknown there; ");
    if (m->prefix) lm_str_puts(note, "a GGUF vocabulary marks the beginning of a text behind special tokens too: ids there may differ");
    put_kind(g, m->bpe ? "llama" : "t5");
    lm_gguf_put_string(g, "tokenizer.ggml.pre", "default");
    put_pieces(g, m);
    lm_gguf_put_flag(g, "tokenizer.ggml.add_space_prefix", m->prefix);
    lm_gguf_put_flag(g, "tokenizer.ggml.remove_extra_whitespaces", m->squeeze);
    if (m->charsmap.len) {
        lm_gguf_put_list(g, "tokenizer.ggml.precompiled_charsmap", LM_GGUF_U8, m->charsmap.len);
        lm_gguf_put_bytes(g, m->charsmap.data, m->charsmap.len);
    }
    return LM_OK;
}

/* ---- WordPiece ----------------------------------------------------------------------------------------------- */

static lm_status check_bert(const lm_tokenizer *tk, const lm_json *normal, const lm_json *pre, lm_err *err)
{
    const lm_json *bert = json_array_get(normal, 0);
    if (json_array_size(normal) != 1 || !lm_step_is(bert, "BertNormalizer") || json_array_size(pre) != 1 || !lm_step_is(json_array_get(pre, 0), "BertPreTokenizer"))
        return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: before WordPiece only BertNormalizer and BertPreTokenizer can be written");
    if (!lm_step_flag(bert, "clean_text", true) || !lm_step_flag(bert, "handle_chinese_chars", true))
        return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: llama.cpp cleans texts and cuts around Chinese characters, this tokenizer does not");
    if (tk->before.len != 1 || tk->after.len != 1)
        return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: a WordPiece text stands between [CLS] and [SEP], here between %zu and %zu tokens", tk->before.len, tk->after.len);
    if (tk->unk < 0) return lm_fail(err, LM_E_UNSUPPORTED, "GGUF: WordPiece without a token for what is unknown");
    return LM_OK;
}

/* Pieces as llama.cpp has them: the mark of a word's beginning instead of that of its continuation. */
static lm_status put_bert_tokens(lm_gguf_writer *g, const lm_tokenizer *tk, lm_err *err)
{
    lm_str text = {0};
    lm_status status = LM_OK;
    lm_gguf_put_list(g, "tokenizer.ggml.tokens", LM_GGUF_STRING, (size_t)tk->vocab.n);
    for (int32_t id = 0; id < tk->vocab.n && !status; id++) {
        lm_span t = tk->vocab.texts[id];
        if (!t.data) status = lm_fail(err, LM_E_UNSUPPORTED, "GGUF: no token has the id %d", id);
        bool inside = t.len > 2 && !memcmp(t.data, "##", 2), special = t.len > 1 && t.data[0] == '[' && t.data[t.len - 1] == ']';
        lm_str_clear(&text);
        if (!inside && !special) lm_str_puts(&text, "\xE2\x96\x81");
        if (t.len) lm_str_append(&text, t.data + 2 * inside, t.len - 2 * inside);
        lm_gguf_put_text(g, lm_span_of(text.data, text.len));
    }
    lm_str_free(&text);
    return status;
}

static lm_status put_wordpiece(lm_gguf_writer *g, const lm_tokenizer *tk, lm_str *note, lm_err *err)
{
    lm_json *normal = lm_document_steps(tk, "normalizer"), *pre = lm_document_steps(tk, "pre_tokenizer");
    lm_status status = check_bert(tk, normal, pre, err);
    bool lower = lm_step_flag(json_array_get(normal, 0), "lowercase", true);
    bool strip = lm_step_flag(json_array_get(normal, 0), "strip_accents", lower);
    json_decref(normal), json_decref(pre);
    LM_TRY(status);
    if (strip) lm_str_puts(note, "where accents are stripped, llama.cpp keeps the first letter of a Hangul syllable: ids of Korean texts differ there");
    put_kind(g, "bert");
    lm_gguf_put_string(g, "tokenizer.ggml.pre", "default");
    LM_TRY(put_bert_tokens(g, tk, err));
    put_types(g, tk);
    lm_gguf_put_flag(g, "tokenizer.ggml.normalizer.lowercase", lower);
    lm_gguf_put_flag(g, "tokenizer.ggml.normalizer.strip_accents", strip);
    put_id(g, "tokenizer.ggml.bos_token_id", tk->before.data[0]);
    put_id(g, "tokenizer.ggml.cls_token_id", tk->before.data[0]);
    put_id(g, "tokenizer.ggml.seperator_token_id", tk->after.data[0]);     /* so it is spelt there */
    put_id(g, "tokenizer.ggml.unknown_token_id", tk->unk);
    put_id(g, "tokenizer.ggml.padding_token_id", tk->pad);
    put_id(g, "tokenizer.ggml.mask_token_id", lm_token_id(tk, "[MASK]"));
    return LM_OK;
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

static lm_status put_vocabulary(lm_gguf_writer *g, const lm_tokenizer *tk, lm_str *note, lm_err *err)
{
    LM_TRY(check_added(tk, err));
    if (lm_step_is(lm_json_get(tk->document.json, "model"), "WordPiece")) return put_wordpiece(g, tk, note, err);
    lm_sentence_model m = {0};
    lm_status status = tk->byte_level ? put_byte_level(g, tk, err) : lm_sentence_model_make(&m, tk, err);
    if (!status && !tk->byte_level) status = put_sentencepiece(g, &m, note, err);
    if (!status) status = put_specials(g, tk, err);
    lm_sentence_model_free(&m);
    return status;
}

static lm_status write_gguf(const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err)
{
    lm_gguf_writer g = {0};
    lm_status status = put_vocabulary(&g, tk, note, err);
    if (!status) status = lm_gguf_write(&g, path, err);
    lm_gguf_writer_free(&g);
    return status;
}

const lm_token_writer lm_token_writer_gguf = {
    .name = "gguf",
    .summary = "a GGUF file with a vocabulary alone, as llama.cpp has them",
    .file = ".gguf",
    .write = write_gguf,
};
