/* SentencePiece model files: a protocol buffer, of which these fields count.
 *
 *     1 pieces (repeated)    1 text, 2 score (float), 3 type
 *     2 trainer              3 model type, 24 treat_whitespace_as_suffix, 35 byte_fallback,
 *                            40 unk_id, 46 bos_piece, 47 eos_piece, 48 pad_piece
 *     3 normalizer           2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
 *                            5 escape_whitespaces
 *
 * Left out: WORD and CHAR models, white space as a suffix, unescaped white space, unused pieces, and
 * user-defined pieces with white space: these are refused. */
#define _GNU_SOURCE
#include "base/file.h"
#include "token/charsmap.h"
#include "token/document.h"
#include "token/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNIGRAM = 1, BPE = 2 };

typedef struct model {
    lm_piece *pieces;
    int n, cap;
    int64_t type, unk_id;
    lm_span bos_piece, eos_piece, pad_piece, charsmap;
    bool whitespace_as_suffix, byte_fallback, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
} model;

/* ---- protocol buffers --------------------------------------------------------------------------- */

/* One field: a number (varint, fixed 32 or 64 bits) or bytes. */
typedef struct field {
    uint32_t number;
    int wire;
    uint64_t value;
    lm_span bytes;
} field;

static bool take_varint(lm_span *rest, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && rest->len; shift += 7) {
        uint8_t byte = (uint8_t)*rest->data;
        *rest = lm_span_of(rest->data + 1, rest->len - 1);
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool take_bytes(lm_span *rest, uint64_t n, lm_span *bytes)
{
    if (n > rest->len) return false;
    *bytes = lm_span_of(rest->data, (size_t)n);
    *rest = lm_span_of(rest->data + n, rest->len - (size_t)n);
    return true;
}

static bool take_field(lm_span *rest, field *f)
{
    uint64_t tag, n;
    *f = (field){0};
    if (!take_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) return false;
    f->number = (uint32_t)(tag >> 3);
    f->wire = (int)(tag & 7);
    switch (f->wire) {
    case 0: return take_varint(rest, &f->value);
    case 1: return take_bytes(rest, 8, &f->bytes);
    case 2: return take_varint(rest, &n) && take_bytes(rest, n, &f->bytes);
    case 5:
        if (!take_bytes(rest, 4, &f->bytes)) return false;
        for (int i = 3; i >= 0; i--) f->value = f->value << 8 | (uint8_t)f->bytes.data[i];
        return true;
    default: return false;
    }
}

/* ---- the model's messages --------------------------------------------------------------------------- */

static bool read_piece(model *m, lm_span message)
{
    lm_piece piece = { .text = { "", 0 }, .type = LM_PIECE_NORMAL };
    for (field f; message.len;) {
        if (!take_field(&message, &f)) return false;
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.wire == 2) piece.text = f.bytes;
        else if (f.number == 2 && f.wire == 5) memcpy(&piece.score, &bits, sizeof bits);
        else if (f.number == 3 && f.wire == 0) piece.type = f.value >= 1 && f.value <= 6 ? (lm_piece_type)f.value : LM_PIECE_UNUSED;
    }
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 1024;
        m->pieces = lm_realloc(m->pieces, (size_t)m->cap * sizeof *m->pieces);
    }
    m->pieces[m->n++] = piece;
    return m->n < LM_MAX_TOKENS;
}

static bool read_trainer(model *m, lm_span message)
{
    for (field f; message.len;) {
        if (!take_field(&message, &f)) return false;
        switch (f.number) {
        case 3: m->type = (int64_t)f.value; break;
        case 24: m->whitespace_as_suffix = f.value; break;
        case 35: m->byte_fallback = f.value; break;
        case 40: m->unk_id = (int32_t)f.value; break;
        case 46: m->bos_piece = f.bytes; break;
        case 47: m->eos_piece = f.bytes; break;
        case 48: m->pad_piece = f.bytes; break;
        default: break;
        }
    }
    return true;
}

static bool read_normaliser(model *m, lm_span message)
{
    for (field f; message.len;) {
        if (!take_field(&message, &f)) return false;
        switch (f.number) {
        case 2: m->charsmap = f.bytes; break;
        case 3: m->add_dummy_prefix = f.value; break;
        case 4: m->remove_extra_whitespaces = f.value; break;
        case 5: m->escape_whitespaces = f.value; break;
        default: break;
        }
    }
    return true;
}

static bool read_model(model *m, lm_span message)
{
    *m = (model){
        .type = UNIGRAM, .bos_piece = { "<s>", 3 }, .eos_piece = { "</s>", 4 }, .pad_piece = { "<pad>", 5 },
        .add_dummy_prefix = true, .remove_extra_whitespaces = true, .escape_whitespaces = true,
    };
    for (field f; message.len;) {
        if (!take_field(&message, &f)) return false;
        if (f.number == 1 && f.wire == 2 && !read_piece(m, f.bytes)) return false;
        if (f.number == 2 && f.wire == 2 && !read_trainer(m, f.bytes)) return false;
        if (f.number == 3 && f.wire == 2 && !read_normaliser(m, f.bytes)) return false;
    }
    return true;
}

/* ---- into a document ------------------------------------------------------------------------------------ */

static int find_control(const model *m, lm_span name)
{
    for (int i = 0; i < m->n; i++)
        if (m->pieces[i].type == LM_PIECE_CONTROL && m->pieces[i].text.len == name.len && !memcmp(m->pieces[i].text.data, name.data, name.len)) return i;
    return -1;
}

static lm_status check(const model *m, const char *path, lm_err *err)
{
    if (m->type != UNIGRAM && m->type != BPE)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: SentencePiece model type %lld is not supported (1 is Unigram, 2 BPE)", path, (long long)m->type);
    if (m->whitespace_as_suffix) return lm_fail(err, LM_E_UNSUPPORTED, "%s: treat_whitespace_as_suffix is not supported", path);
    if (!m->escape_whitespaces) return lm_fail(err, LM_E_UNSUPPORTED, "%s: escape_whitespaces = false is not supported", path);
    if (m->unk_id < 0 || m->unk_id >= m->n) return lm_fail(err, LM_E_FORMAT, "%s: unk_id %lld, there are %d pieces", path, (long long)m->unk_id, m->n);
    int bytes = 0;
    for (int i = 0; i < m->n; i++) {
        lm_span text = m->pieces[i].text;
        if (m->pieces[i].type == LM_PIECE_UNUSED) return lm_fail(err, LM_E_UNSUPPORTED, "%s: piece %d: unused pieces are not supported", path, i);
        bool spaced = text.len && (memmem(text.data, text.len, "\xE2\x96\x81", 3) || memchr(text.data, ' ', text.len));
        if (m->pieces[i].type == LM_PIECE_USER && spaced)
            return lm_fail(err, LM_E_UNSUPPORTED, "%s: piece %d: user-defined pieces with white space are not supported", path, i);
        if (!text.len || lm_utf8_valid(text.data, text.len) < text.len || memchr(text.data, 0, text.len))
            return lm_fail(err, LM_E_FORMAT, "%s: piece %d: expected a text in UTF-8", path, i);
        if (!isfinite(m->pieces[i].score)) return lm_fail(err, LM_E_FORMAT, "%s: piece %d: its score is %f", path, i, (double)m->pieces[i].score);
        if (m->pieces[i].type == LM_PIECE_BYTE && !m->byte_fallback)
            return lm_fail(err, LM_E_FORMAT, "%s: piece %d is a byte, though byte_fallback is off", path, i);
        bytes += m->pieces[i].type == LM_PIECE_BYTE;
    }
    if (m->byte_fallback && !bytes) return lm_fail(err, LM_E_FORMAT, "%s: byte_fallback is on, but no piece is a byte", path);
    return lm_pieces_check_bytes(m->pieces, m->n, path, err);
}

static lm_status read_sentencepiece(lm_json **document, lm_json **config, const char *path, lm_err *err)
{
    lm_mapping file;
    LM_TRY(lm_file_map(&file, path, err));
    model m;
    lm_status status = read_model(&m, lm_span_of((const char *)file.data, file.size))
                           ? check(&m, path, err) : lm_fail(err, LM_E_FORMAT, "%s: damaged, or not a SentencePiece model", path);
    if (!status) {
        int bos = find_control(&m, m.bos_piece), eos = find_control(&m, m.eos_piece), pad = find_control(&m, m.pad_piece);
        lm_sentencepiece s = {
            .pieces = m.pieces, .n = m.n, .unk = (int)m.unk_id, .bos = bos, .eos = eos, .byte_fallback = m.byte_fallback,
            .charsmap = m.charsmap, .prefix = m.add_dummy_prefix, .squeeze = m.remove_extra_whitespaces, .prefix_once = true, .symbols = true,
            .add_bos = bos >= 0, .add_eos = bos < 0 && eos >= 0,       /* LLaMA begins texts, T5 ends them */
        };
        *document = m.type == BPE ? lm_document_score_bpe(&s) : lm_document_unigram(&s);
        *config = lm_document_specials(&s, pad);
    }
    free(m.pieces);
    lm_mapping_free(&file);
    return status;
}

/* The first field is a piece: tag 0x0A, its length, then its text with tag 0x0A again. */
static bool is_sentencepiece(lm_span head, size_t size)
{
    (void)size;
    return head.len > 8 && head.data[0] == 0x0A && head.data[2] == 0x0A && (uint8_t)head.data[1] < 0x80;
}

const lm_token_format lm_token_format_sentencepiece = {
    .name = "SentencePiece model",
    .order = 1,
    .is = is_sentencepiece,
    .read = read_sentencepiece,
};
