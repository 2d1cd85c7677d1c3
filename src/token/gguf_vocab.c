/* The vocabulary inside a GGUF file (keys tokenizer.ggml.*): byte-level BPE ("gpt2"), SentencePiece BPE
 * ("llama"), WordPiece ("bert") and Unigram ("t5").
 *
 * Byte-level vocabularies name their pre-tokeniser ("pre"); a name that is not known here is refused,
 * because its expression stands in llama.cpp's source and not in the file. */
#include "io/gguf.h"
#include "token/document.h"
#include "token/pattern.h"
#include "token/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct vocabulary {
    lm_gguf file;
    const char *path;
    lm_piece *pieces;
    int n;
} vocabulary;

/* ---- reading -------------------------------------------------------------------------------------- */

static lm_status read_pieces(vocabulary *v, lm_err *err)
{
    lm_span *texts = NULL;
    int32_t *types = NULL;
    float *scores = NULL;
    uint64_t n = 0, n_types = 0, n_scores = 0;
    lm_status status = lm_gguf_strings(&v->file, "tokenizer.ggml.tokens", &texts, &n, err);
    if (!status && lm_gguf_find(&v->file, "tokenizer.ggml.token_type")) status = lm_gguf_ints(&v->file, "tokenizer.ggml.token_type", &types, &n_types, err);
    if (!status && lm_gguf_find(&v->file, "tokenizer.ggml.scores")) status = lm_gguf_floats(&v->file, "tokenizer.ggml.scores", &scores, &n_scores, err);
    if (!status && (n == 0 || n >= LM_MAX_TOKENS || (types && n_types != n) || (scores && n_scores != n)))
        status = lm_fail(err, LM_E_FORMAT, "%s: %llu tokens, %llu types, %llu scores: expected as many of each", v->path,
                         (unsigned long long)n, (unsigned long long)n_types, (unsigned long long)n_scores);
    if (!status) v->pieces = lm_calloc((size_t)n, sizeof *v->pieces);
    for (uint64_t i = 0; i < n && !status; i++) {
        if (!texts[i].len || lm_utf8_valid(texts[i].data, texts[i].len) < texts[i].len || memchr(texts[i].data, 0, texts[i].len))
            status = lm_fail(err, LM_E_FORMAT, "%s: token %llu: expected a text in UTF-8", v->path, (unsigned long long)i);
        else if (scores && !isfinite(scores[i])) status = lm_fail(err, LM_E_FORMAT, "%s: token %llu: its score is %f", v->path, (unsigned long long)i, (double)scores[i]);
        int32_t type = types ? types[i] : LM_PIECE_NORMAL;
        v->pieces[i] = (lm_piece){ texts[i], scores ? scores[i] : 0, type >= 1 && type <= 6 ? (lm_piece_type)type : LM_PIECE_NORMAL };
        v->n = (int)i + 1;
    }
    if (!status) status = lm_pieces_check_bytes(v->pieces, v->n, v->path, err);
    free(texts), free(types), free(scores);
    return status;
}

/* The token that a key names by its id, or -1. */
static int token_at(const vocabulary *v, const char *key)
{
    int64_t id = lm_gguf_int(&v->file, key, -1);
    return id >= 0 && id < v->n ? (int)id : -1;
}

static bool flag(const vocabulary *v, const char *key, bool missing) { return lm_gguf_int(&v->file, key, missing) != 0; }

static void add_tokens(const vocabulary *v, lm_json *document)
{
    lm_json *added = json_object_get(document, "added_tokens");
    for (int i = 0; i < v->n; i++) {
        bool special = v->pieces[i].type == LM_PIECE_CONTROL || v->pieces[i].type == LM_PIECE_UNKNOWN;
        if (special || v->pieces[i].type == LM_PIECE_USER) json_array_append_new(added, lm_document_added(i, v->pieces[i].text, special, false));
    }
}

static lm_json *vocab_object(const vocabulary *v)
{
    lm_json *vocab = json_object();
    for (int i = 0; i < v->n; i++) json_object_setn_new(vocab, v->pieces[i].text.data, v->pieces[i].text.len, json_integer(i));
    return vocab;
}

static char *name_of(const vocabulary *v, int id) { return id >= 0 ? lm_strndup(v->pieces[id].text.data, v->pieces[id].text.len) : NULL; }

/* ---- byte-level BPE ------------------------------------------------------------------------------------ */

static lm_json *pretokeniser_named(lm_span pre)
{
    static const struct {
        const char *pre, *expression;
    } known[] = {
        { "default", "gpt2" }, { "gpt-2", "gpt2" }, { "phi-2", "gpt2" }, { "jina-es", "gpt2" }, { "jina-de", "gpt2" }, { "mpt", "gpt2" },
        { "olmo", "gpt2" }, { "roberta-bpe", "gpt2" }, { "exaone", "gpt2" }, { "llama-bpe", "llama3" }, { "llama3", "llama3" },
        { "llama-v3", "llama3" }, { "falcon3", "llama3" }, { "smaug-bpe", "llama3" }, { "qwen2", "qwen2" }, { "deepseek-r1-qwen", "qwen2" },
        { "stablelm2", "qwen2" }, { "gpt-4o", "o200k" }, { "llama4", "o200k" }, { "tekken", "tekken" },
    };
    if (!pre.len) pre = lm_span_of("default", 7);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (lm_span_eq(pre, known[i].pre))
            return strcmp(known[i].expression, "gpt2") ? lm_document_byte_split(lm_expression_named(known[i].expression)) : lm_document_byte_level(false, true);
    if (lm_span_eq(pre, "starcoder") || lm_span_eq(pre, "refact") || lm_span_eq(pre, "command-r") || lm_span_eq(pre, "smollm"))
        return lm_document_sequence("pretokenizers", json_pack("[{s:s, s:b}, o]", "type", "Digits", "individual_digits", 1, lm_document_byte_level(false, true)));
    if (lm_span_eq(pre, "falcon"))
        return lm_document_sequence("pretokenizers", json_pack("[{s:s, s:s}, o, {s:s, s:b}, {s:s, s:{s:s}, s:s, s:b}]", "type", "Punctuation",
                                    "behavior", "Contiguous", lm_document_byte_level(false, true), "type", "Digits", "individual_digits", 0,
                                    "type", "Split", "pattern", "Regex", "[0-9][0-9][0-9]", "behavior", "Isolated", "invert", 0));
    return NULL;
}

static lm_status read_merges(lm_json **out, const vocabulary *v, lm_err *err)
{
    lm_span *merges;
    uint64_t n;
    LM_TRY(lm_gguf_strings(&v->file, "tokenizer.ggml.merges", &merges, &n, err));
    lm_json *list = *out = json_array();
    lm_status status = LM_OK;
    for (uint64_t i = 0; i < n && !status; i++) {
        lm_json *entry = merges[i].data ? json_stringn(merges[i].data, merges[i].len) : NULL;
        if (entry) json_array_append_new(list, entry);
        else status = lm_fail(err, LM_E_FORMAT, "%s: merge %llu: not valid UTF-8", v->path, (unsigned long long)i);
    }
    free(merges);
    return status;
}

/* Whether llama.cpp takes a word that is a token before any merge. */
static bool takes_whole_words(lm_span pre)
{
    static const char *const names[] = { "llama-bpe", "llama3", "llama-v3", "falcon3", "tekken" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lm_span_eq(pre, names[i])) return true;
    return false;
}

static lm_status byte_bpe(lm_json **document, const vocabulary *v, lm_err *err)
{
    lm_span pre = lm_gguf_text(&v->file, "tokenizer.ggml.pre");
    lm_json *pretokeniser = pretokeniser_named(pre), *merges = NULL;
    if (!pretokeniser) return lm_fail(err, LM_E_UNSUPPORTED, "%s: tokenizer.ggml.pre \"%.*s\" is not supported", v->path, (int)pre.len, pre.data);
    lm_status status = read_merges(&merges, v, err);
    *document = lm_document_byte_bpe(vocab_object(v), merges ? merges : json_array(), pretokeniser);
    if (takes_whole_words(pre)) json_object_set_new(json_object_get(*document, "model"), "ignore_merges", json_true());
    add_tokens(v, *document);
    int bos = flag(v, "tokenizer.ggml.add_bos_token", false) ? token_at(v, "tokenizer.ggml.bos_token_id") : -1;
    int eos = flag(v, "tokenizer.ggml.add_eos_token", false) ? token_at(v, "tokenizer.ggml.eos_token_id") : -1;
    char *before = name_of(v, bos), *after = name_of(v, eos);
    if (before || after) json_object_set_new(*document, "post_processor", lm_document_template(before, bos, after, eos));
    free(before);
    free(after);
    return status;
}

/* ---- SentencePiece ---------------------------------------------------------------------------------------- */

static void sentencepiece(lm_json **document, const vocabulary *v, bool unigram)
{
    const lm_gguf_entry *map = lm_gguf_find(&v->file, "tokenizer.ggml.precompiled_charsmap");
    lm_sentencepiece s = {
        .pieces = v->pieces, .n = v->n, .unk = token_at(v, "tokenizer.ggml.unknown_token_id"), .bos = token_at(v, "tokenizer.ggml.bos_token_id"),
        .eos = token_at(v, "tokenizer.ggml.eos_token_id"), .prefix = flag(v, "tokenizer.ggml.add_space_prefix", true),
        .squeeze = flag(v, "tokenizer.ggml.remove_extra_whitespaces", false),
        .add_bos = flag(v, "tokenizer.ggml.add_bos_token", !unigram), .add_eos = flag(v, "tokenizer.ggml.add_eos_token", unigram),
    };
    if (map && map->type == LM_GGUF_ARRAY && (map->item == LM_GGUF_U8 || map->item == LM_GGUF_I8)) s.charsmap = lm_span_of((const char *)map->data, (size_t)map->n);
    for (int i = 0; i < v->n; i++) s.byte_fallback |= v->pieces[i].type == LM_PIECE_BYTE;
    s.add_bos = s.add_bos && s.bos >= 0;
    s.add_eos = s.add_eos && s.eos >= 0;
    *document = unigram ? lm_document_unigram(&s) : lm_document_score_bpe(&s);
}

/* ---- WordPiece ---------------------------------------------------------------------------------------------- */

/* llama.cpp marks the beginning of a word (U+2581) instead of its continuation ("##"). */
static lm_status wordpiece(lm_json **document, const vocabulary *v, lm_err *err)
{
    static const char mark[] = "\xE2\x96\x81";
    lm_json *vocab = json_object();
    bool capitals = false;
    lm_str text = {0};
    for (int i = 0; i < v->n; i++) {
        lm_span t = v->pieces[i].text;
        bool word = t.len > 3 && !memcmp(t.data, mark, 3), special = t.data[0] == '[' && t.data[t.len - 1] == ']';
        lm_str_clear(&text);
        if (!word && !special) lm_str_puts(&text, "##");
        if (word) t = lm_span_of(t.data + 3, t.len - 3);
        lm_str_append(&text, t.data, t.len);
        json_object_setn_new(vocab, text.data, text.len, json_integer(i));
        for (size_t j = 0; j < t.len && !special; j++) capitals |= t.data[j] >= 'A' && t.data[j] <= 'Z';
    }
    lm_str_free(&text);
    int unk = token_at(v, "tokenizer.ggml.unknown_token_id"), cls = token_at(v, "tokenizer.ggml.cls_token_id");
    int sep = token_at(v, "tokenizer.ggml.seperator_token_id");
    if (cls < 0) cls = token_at(v, "tokenizer.ggml.bos_token_id");
    if (sep < 0) sep = token_at(v, "tokenizer.ggml.eos_token_id");
    if (unk < 0 || json_object_size(vocab) != (size_t)v->n) {
        lm_json_free(vocab);
        return lm_fail(err, LM_E_FORMAT, "%s: a WordPiece vocabulary without unknown token, or with one token twice", v->path);
    }
    lm_json *d = *document = lm_document_new();
    char *unk_name = name_of(v, unk), *cls_name = name_of(v, cls), *sep_name = name_of(v, sep);
    json_object_set_new(d, "normalizer", json_pack("{s:s, s:b, s:b, s:n, s:b}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1,
                                                   "strip_accents", "lowercase", (int)flag(v, "tokenizer.ggml.normalizer.lowercase", !capitals)));
    if (lm_gguf_find(&v->file, "tokenizer.ggml.normalizer.strip_accents"))
        json_object_set_new(json_object_get(d, "normalizer"), "strip_accents", json_boolean(flag(v, "tokenizer.ggml.normalizer.strip_accents", false)));
    json_object_set_new(d, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
    json_object_set_new(d, "decoder", json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1));
    json_object_set_new(d, "model", json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "WordPiece", "unk_token", unk_name,
                                              "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab", vocab));
    if (cls_name && sep_name) json_object_set_new(d, "post_processor", lm_document_template_pair(cls_name, cls, sep_name, sep));
    add_tokens(v, d);
    free(unk_name), free(cls_name), free(sep_name);
    return LM_OK;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static lm_json *settings(const vocabulary *v)
{
    static const char *const keys[][2] = {
        { "bos_token", "tokenizer.ggml.bos_token_id" }, { "eos_token", "tokenizer.ggml.eos_token_id" },
        { "unk_token", "tokenizer.ggml.unknown_token_id" }, { "pad_token", "tokenizer.ggml.padding_token_id" },
    };
    lm_json *config = json_object();
    for (int i = 0; i < 4; i++) {
        int id = token_at(v, keys[i][1]);
        if (id >= 0) json_object_set_new(config, keys[i][0], lm_document_text(v->pieces[id].text));
    }
    lm_span chat = lm_gguf_text(&v->file, "tokenizer.chat_template");
    lm_json *text = chat.data ? json_stringn(chat.data, chat.len) : NULL;
    if (text) json_object_set_new(config, "chat_template", text);
    return config;
}

static lm_status read_vocabulary(lm_json **document, const vocabulary *v, lm_err *err)
{
    lm_span kind = lm_gguf_text(&v->file, "tokenizer.ggml.model");
    if (!kind.data) return lm_fail(err, LM_E_FORMAT, "%s: no tokenizer in this GGUF (tokenizer.ggml.model is missing)", v->path);
    if (lm_span_eq(kind, "gpt2")) return byte_bpe(document, v, err);
    if (lm_span_eq(kind, "llama")) return sentencepiece(document, v, false), LM_OK;
    if (lm_span_eq(kind, "t5")) return sentencepiece(document, v, true), LM_OK;
    if (lm_span_eq(kind, "bert")) return wordpiece(document, v, err);
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: tokenizer.ggml.model \"%.*s\" is not supported", v->path, (int)kind.len, kind.data);
}

static lm_status read_gguf(lm_json **document, lm_json **config, const char *path, lm_err *err)
{
    vocabulary v = { .path = path };
    LM_TRY(lm_gguf_open(&v.file, path, err));
    lm_status status = read_pieces(&v, err);
    if (!status) status = read_vocabulary(document, &v, err);
    if (!status) *config = settings(&v);
    free(v.pieces);
    lm_gguf_close(&v.file);
    return status;
}

static bool is_gguf(lm_span head, size_t size)
{
    (void)size;
    return lm_gguf_is(head);
}

const lm_token_format lm_token_format_gguf = { .name = "GGUF", .order = 0, .is = is_gguf, .read = read_gguf };
