/* SentencePiece models (sentencepiece.c lists the fields).
 *
 * The pipeline must be SentencePiece's: a character map, spaces squeezed or not, a mark in front or not, marks
 * for spaces.  Unigram scores are single precision here.  BPE merges must be those that scores stand for, every
 * way to put a piece together, which the merges of other trainers are not. */
#include "base/file.h"
#include "token/charsmap.h"
#include "token/document.h"
#include "token/writer.h"

#include <stdlib.h>
#include <string.h>

static const char mark[] = "\xE2\x96\x81";               /* U+2581 */

typedef lm_sentence_model model;

/* ---- the pipeline -------------------------------------------------------------------------------- */

static const char *text_member(const lm_json *step, const char *key)
{
    const lm_json *value = lm_json_get(step, key);
    return json_is_string(value) ? json_string_value(value) : "";
}

static bool is_replace(const lm_json *step, const char *kind, const char *pattern, const char *content)
{
    return lm_step_is(step, "Replace") && !strcmp(text_member(lm_json_get(step, "pattern"), kind), pattern) && !strcmp(text_member(step, "content"), content);
}

static lm_status read_normaliser(model *m, const lm_json *step, bool *spaces, lm_err *err)
{
    if (lm_step_is(step, "Precompiled")) {
        const char *text = text_member(step, "precompiled_charsmap");
        lm_str_clear(&m->charsmap);
        lm_base64_decode(&m->charsmap, lm_span_of(text, strlen(text)));
    } else if (lm_step_is(step, "NFC") && !m->prefix && !m->squeeze) {
        m->composes = true;
    } else if (is_replace(step, "Regex", "\\A +| +\\z", "") || is_replace(step, "Regex", " {2,}", " ") || is_replace(step, "Regex", "\xE2\x96\x81+\\z", "")) {
        m->squeeze = true;
    } else if (lm_step_is(step, "Prepend") && !strcmp(text_member(step, "prepend"), mark)) {
        m->prefix = true;
    } else if (is_replace(step, "String", " ", mark)) {
        *spaces = true;
    } else {
        return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece has no counterpart of the normalizer %s", text_member(step, "type"));
    }
    return LM_OK;
}

static lm_status read_pretokeniser(model *m, const lm_json *step, bool *spaces, lm_err *err)
{
    bool idle = lm_step_is(step, "Split") && *spaces && !strcmp(text_member(lm_json_get(step, "pattern"), "String"), " ");
    if (idle) return LM_OK;                              /* no space is left to split at */
    if (lm_step_is(step, "WhitespaceSplit")) return m->squeeze = true, LM_OK;
    if (!lm_step_is(step, "Metaspace") || strcmp(text_member(step, "replacement"), mark))
        return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece has no counterpart of the pre_tokenizer %s", text_member(step, "type"));
    const char *scheme = text_member(step, "prepend_scheme");
    m->prefix = *scheme ? strcmp(scheme, "never") != 0 : lm_step_flag(step, "add_prefix_space", true);
    *spaces = true;
    return LM_OK;
}

/* A map of NFKC composes by itself: our trainers' NFC beside it is for other readers of tokenizer.json. */
static bool is_nfkc(lm_span charsmap)
{
    lm_str map = {0};
    bool same = false;
    for (int nmt = 0; nmt < 2 && !same; nmt++) {
        lm_str_clear(&map);
        lm_charsmap_nfkc(&map, nmt);
        same = map.len == charsmap.len && !memcmp(map.data, charsmap.data, map.len);
    }
    lm_str_free(&map);
    return same;
}

static lm_status read_pipeline(model *m, const lm_tokenizer *tk, lm_err *err)
{
    bool spaces = false;
    lm_status status = LM_OK;
    lm_json *normal = lm_document_steps(tk, "normalizer"), *pre = lm_document_steps(tk, "pre_tokenizer");
    for (size_t i = 0; i < json_array_size(normal) && !status; i++) status = read_normaliser(m, json_array_get(normal, i), &spaces, err);
    for (size_t i = 0; i < json_array_size(pre) && !status; i++) status = read_pretokeniser(m, json_array_get(pre, i), &spaces, err);
    json_decref(normal), json_decref(pre);
    if (!status && m->composes && !is_nfkc(lm_span_of(m->charsmap.data, m->charsmap.len)))
        status = lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece has no counterpart of the normalizer NFC, but for that beside a character map of NFKC");
    if (!status && !spaces) status = lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece marks spaces with U+2581, this tokenizer does not");
    return status;
}

/* ---- pieces --------------------------------------------------------------------------------------------- */

static lm_piece_type type_of(const model *m, const lm_tokenizer *tk, int32_t id)
{
    const lm_added_token *added = lm_added_of(tk, id);
    if (id == tk->unk) return LM_PIECE_UNKNOWN;
    if (added) return added->special ? LM_PIECE_CONTROL : LM_PIECE_USER;
    return m->byte_fallback && lm_piece_byte(tk->vocab.texts[id]) >= 0 ? LM_PIECE_BYTE : LM_PIECE_NORMAL;
}

static lm_status make_pieces(model *m, const lm_tokenizer *tk, lm_err *err)
{
    if (tk->unk < 0) return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece needs an unknown token, this tokenizer has none");
    m->pieces = lm_calloc((size_t)tk->vocab.n, sizeof *m->pieces);
    for (m->n = 0; m->n < tk->vocab.n; m->n++) {
        lm_span text = tk->vocab.texts[m->n];
        if (!text.len || memchr(text.data, 0, text.len)) return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece: no text for the id %d", m->n);
        m->pieces[m->n] = (lm_piece){ .text = text, .type = type_of(m, tk, m->n) };
    }
    return LM_OK;
}

static lm_status set_unigram_scores(model *m, const lm_tokenizer *tk, lm_err *err)
{
    for (int i = 0; i < m->n; i++) {
        double score = i < tk->vocab.n_scores ? tk->vocab.scores[i] : 0;
        m->pieces[i].score = (float)score;
        if ((double)m->pieces[i].score != score)
            return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece keeps scores in single precision, which the score %.17g of token %d does not fit", score, i);
    }
    return LM_OK;
}

/* The ids that the merges make; a merge in the vocabulary's own tokenizer always makes one. */
static int32_t *merged_ids(const lm_json *merges, const lm_tokenizer *tk)
{
    int32_t *ids = lm_calloc(json_array_size(merges) + 1, sizeof *ids);
    lm_str joined = {0};
    for (size_t i = 0; i < json_array_size(merges); i++) {
        lm_str_clear(&joined);
        lm_str_puts(&joined, json_string_value(json_array_get(json_array_get(merges, i), 0)));
        lm_str_puts(&joined, json_string_value(json_array_get(json_array_get(merges, i), 1)));
        ids[i] = lm_vocab_id(&tk->vocab, lm_span_of(joined.data, joined.len));
    }
    lm_str_free(&joined);
    return ids;
}

/* Merges stand in groups: from the first merge of a piece to its last, all pieces have one score, counted
 * down.  Pieces that nothing makes (single characters) come behind. */
static void count_down(model *m, const int32_t *ids, size_t n)
{
    size_t *last = lm_calloc((size_t)m->n, sizeof *last);
    for (size_t i = 0; i < n; i++) last[ids[i]] = i;
    for (int i = 0; i < m->n; i++) m->pieces[i].score = m->pieces[i].type == LM_PIECE_NORMAL ? -(float)(n + (size_t)i) : 0;
    for (size_t i = 0; i < n;) {
        float score = -(float)i;
        for (size_t end = last[ids[i]]; i <= end; i++) {
            if (last[ids[i]] > end) end = last[ids[i]];
            m->pieces[ids[i]].score = score;
        }
    }
    free(last);
}

static lm_status set_bpe_scores(model *m, const lm_tokenizer *tk, lm_err *err)
{
    lm_json *merges = lm_tokenizer_merges(tk);
    size_t n = json_array_size(merges);
    int32_t *ids = merged_ids(merges, tk);
    count_down(m, ids, n);
    free(ids);
    lm_json *implied = lm_document_merges(m->pieces, m->n);
    size_t at = 0;
    while (at < n && json_equal(json_array_get(merges, at), json_array_get(implied, at))) at++;
    lm_status status = at == n && json_array_size(implied) == n
                           ? LM_OK : lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece's scores cannot stand for these merges: they part at merge %zu", at);
    lm_json_free(merges), lm_json_free(implied);
    return status;
}

/* ---- protocol buffers --------------------------------------------------------------------------------------- */

static void put_varint(lm_str *out, uint64_t value)
{
    for (; value > 0x7F; value >>= 7) lm_str_putc(out, (char)(value | 0x80));
    lm_str_putc(out, (char)value);
}

static void put_number(lm_str *out, int field, int64_t value) { put_varint(out, (uint64_t)field << 3), put_varint(out, (uint64_t)value); }

static void put_bytes(lm_str *out, int field, lm_span bytes)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, bytes.len);
    lm_str_append(out, bytes.data, bytes.len);
}

static void put_message(lm_str *out, int field, lm_str *message)
{
    put_bytes(out, field, lm_span_of(message->data ? message->data : "", message->len));
    lm_str_clear(message);
}

static void put_piece(lm_str *out, const lm_piece *piece, lm_str *message)
{
    uint32_t bits;
    memcpy(&bits, &piece->score, sizeof bits);
    put_bytes(message, 1, piece->text);
    put_varint(message, 2 << 3 | 5);
    for (int i = 0; i < 4; i++) lm_str_putc(message, (char)(bits >> 8 * i));
    if (piece->type != LM_PIECE_NORMAL) put_number(message, 3, piece->type);
    put_message(out, 1, message);
}

static void put_special(lm_str *message, const lm_tokenizer *tk, int32_t id, int id_field, int text_field)
{
    put_number(message, id_field, id);
    if (id >= 0) put_bytes(message, text_field, tk->vocab.texts[id]);
}

static void put_model(lm_str *out, const model *m, const lm_tokenizer *tk)
{
    lm_str message = {0};
    for (int i = 0; i < m->n; i++) put_piece(out, &m->pieces[i], &message);
    put_number(&message, 3, m->bpe ? 2 : 1);
    put_number(&message, 4, m->n);
    put_number(&message, 35, m->byte_fallback);
    put_special(&message, tk, tk->unk, 40, 45);
    put_special(&message, tk, tk->bos, 41, 46);
    put_special(&message, tk, tk->eos, 42, 47);
    put_special(&message, tk, tk->pad, 43, 48);
    put_message(out, 2, &message);
    put_bytes(&message, 1, m->charsmap.len ? lm_span_of("user_defined", 12) : lm_span_of("identity", 8));
    put_bytes(&message, 2, lm_span_of(m->charsmap.data ? m->charsmap.data : "", m->charsmap.len));
    put_number(&message, 3, m->prefix);
    put_number(&message, 4, m->squeeze);
    put_number(&message, 5, 1);
    put_message(out, 3, &message);
    lm_str_free(&message);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

lm_status lm_sentence_model_make(lm_sentence_model *m, const lm_tokenizer *tk, lm_err *err)
{
    const lm_json *json = lm_json_get(tk->document.json, "model");
    m->bpe = !strcmp(tk->model->name, "BPE");
    if (tk->keeps_bytes || (!m->bpe && strcmp(tk->model->name, "Unigram")))
        return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece: expected a Unigram model or BPE of characters, found %s%s", tk->keeps_bytes ? "byte-level " : "", tk->model->name);
    m->byte_fallback = lm_step_flag(json, "byte_fallback", false);
    if (m->bpe && !lm_step_flag(json, "fuse_unk", false)) return lm_fail(err, LM_E_UNSUPPORTED, "SentencePiece fuses unknown characters (fuse_unk), this tokenizer does not");
    LM_TRY(read_pipeline(m, tk, err));
    LM_TRY(make_pieces(m, tk, err));
    return m->bpe ? set_bpe_scores(m, tk, err) : set_unigram_scores(m, tk, err);
}

void lm_sentence_model_free(lm_sentence_model *m)
{
    free(m->pieces);
    lm_str_free(&m->charsmap);
}

static lm_status write_sentencepiece(const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err)
{
    model m = {0};
    lm_str out = {0};
    lm_status status = lm_sentence_model_make(&m, tk, err);
    if (!status) put_model(&out, &m, tk);
    if (!status) status = lm_file_write(path, out.data, out.len, err);
    if (!status && (tk->before.len || tk->after.len)) lm_str_puts(note, "a SentencePiece model does not say which special tokens stand around a text");
    lm_sentence_model_free(&m);
    lm_str_free(&out);
    return status;
}

const lm_token_writer lm_token_writer_sentencepiece = {
    .name = "sentencepiece",
    .summary = "a SentencePiece model, BPE or Unigram",
    .file = ".model",
    .partial = true,
    .write = write_sentencepiece,
};
