/* tokenizer.bin of llama2.c: a SentencePiece BPE vocabulary without its types.
 *
 *     int32 longest token in bytes, then until the end of the file for each token
 *     float32 score, int32 length, bytes (U+2581 written as a space)
 *
 * Little-endian.  Ids 0, 1, 2 are <unk>, <s>, </s> and 3..258 the bytes, by convention.  A literal
 * U+2581 in a text means a space here, as in SentencePiece; llama2.c itself would spell its bytes. */
#include "base/file.h"
#include "token/document.h"
#include "token/pipeline.h"

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNK, BOS, EOS, FIRST_BYTE, FIRST_PIECE = FIRST_BYTE + 256, MAX_LENGTH = 1 << 16 };

static uint32_t u32_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static float f32_at(const uint8_t *p)
{
    uint32_t bits = u32_at(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The first token is the unknown one, in plain sight. */
static bool is_llama2c(lm_span head, size_t size)
{
    const uint8_t *p = (const uint8_t *)head.data;
    return size >= 17 && head.len >= 17 && u32_at(p) <= MAX_LENGTH && u32_at(p + 8) == 5 && !memcmp(p + 12, "<unk>", 5);
}

/* Fills pieces; their texts are made in `texts`, by offset first since it moves as it grows. */
static lm_status read_pieces(lm_piece **pieces, int *n, lm_str *texts, const uint8_t *p, size_t size, const char *path, lm_err *err)
{
    size_t at = 4, cap = 0, *offsets = NULL;
    lm_status status = LM_OK;
    while (at < size && !status) {
        size_t length = size - at >= 8 ? u32_at(p + at + 4) : 0;
        if (size - at < 8 || length > size - at - 8 || *n >= LM_MAX_TOKENS) {
            status = lm_fail(err, LM_E_FORMAT, "%s: token %d at byte %zu: expected a score, a length and that many bytes, %zu bytes remain", path, *n, at, size - at);
            break;
        }
        if (!isfinite(f32_at(p + at))) {
            status = lm_fail(err, LM_E_FORMAT, "%s: token %d at byte %zu: its score is %f", path, *n, at, (double)f32_at(p + at));
            break;
        }
        if ((size_t)*n == cap) {
            cap = cap ? cap * 2 : 1024;
            *pieces = lm_realloc(*pieces, cap * sizeof **pieces);
            offsets = lm_realloc(offsets, cap * sizeof *offsets);
        }
        const char *text = (const char *)p + at + 8;
        lm_piece *piece = &(*pieces)[*n];
        offsets[*n] = texts->len;
        *piece = (lm_piece){ .score = f32_at(p + at), .type = LM_PIECE_NORMAL };
        if (*n < FIRST_PIECE) {
            piece->type = *n == UNK ? LM_PIECE_UNKNOWN : *n < FIRST_BYTE ? LM_PIECE_CONTROL : LM_PIECE_BYTE;
            if (*n < FIRST_BYTE) lm_str_puts(texts, *n == UNK ? "<unk>" : *n == BOS ? "<s>" : "</s>");
            else lm_str_printf(texts, "<0x%02X>", (unsigned)(*n - FIRST_BYTE));
        } else {
            if (lm_utf8_valid(text, length) < length)
                status = lm_fail(err, LM_E_FORMAT, "%s: token %d at byte %zu: not valid UTF-8", path, *n, at);
            for (size_t i = 0; i < length; i++) {
                if (text[i] == ' ') lm_str_puts(texts, "\xE2\x96\x81");
                else lm_str_putc(texts, text[i]);
            }
        }
        piece->text.len = texts->len - offsets[*n];
        lm_str_putc(texts, '\0');
        ++*n;
        at += 8 + length;
    }
    for (int i = 0; i < *n; i++) (*pieces)[i].text.data = texts->data + offsets[i];
    free(offsets);
    if (!status && *n < FIRST_PIECE)
        status = lm_fail(err, LM_E_FORMAT, "%s: %d tokens, expected at least %d (3 special ones and 256 bytes)", path, *n, FIRST_PIECE);
    return status;
}

static lm_status read_llama2c(lm_json **document, lm_json **config, const char *path, lm_err *err)
{
    lm_mapping file;
    LM_TRY(lm_file_map(&file, path, err));
    lm_piece *pieces = NULL;
    lm_str texts = {0};
    int n = 0;
    lm_status status = read_pieces(&pieces, &n, &texts, file.data, file.size, path, err);
    lm_sentencepiece s = { .pieces = pieces, .n = n, .unk = UNK, .bos = BOS, .eos = EOS, .byte_fallback = true, .prefix = true, .add_bos = true };
    if (!status) *document = lm_document_score_bpe(&s);
    if (!status) *config = lm_document_specials(&s, -1);
    free(pieces);
    lm_str_free(&texts);
    lm_mapping_free(&file);
    return status;
}

const lm_token_format lm_token_format_llama2c = {
    .name = "llama2.c tokenizer",
    .order = 2,
    .is = is_llama2c,
    .read = read_llama2c,
};
