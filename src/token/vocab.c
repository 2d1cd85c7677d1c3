/* The vocabulary, and the spelling of bytes as characters.
 *
 * Byte-level BPE (Radford et al. 2019, GPT-2) spells each byte as a printable character: those of
 * Latin-1 that print as themselves, the other 68 as U+0100 and up, in order. */
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

/* ---- vocabulary ---------------------------------------------------------------------- */

lm_status lm_vocab_add(lm_vocab *vocab, lm_span text, int64_t id, const char *where, lm_err *err)
{
    int shown = (int)(text.len < 60 ? text.len : 60);
    if (id < 0 || id >= LM_MAX_TOKENS)
        return lm_fail(err, LM_E_FORMAT, "%s: token \"%.*s\": id %lld is outside 0..%d", where, shown, text.data, (long long)id, LM_MAX_TOKENS - 1);
    if (!vocab->ids) vocab->ids = lm_map_new(1024);
    if (id >= vocab->cap) {
        int cap = vocab->cap * 2 > (int)id + 1 ? vocab->cap * 2 : (int)id + 1;
        vocab->texts = lm_realloc(vocab->texts, (size_t)cap * sizeof *vocab->texts);
        memset(vocab->texts + vocab->cap, 0, (size_t)(cap - vocab->cap) * sizeof *vocab->texts);
        vocab->cap = cap;
    }
    lm_span *slot = &vocab->texts[id];
    if (slot->data)
        return lm_fail(err, LM_E_FORMAT, "%s: id %d is both \"%.*s\" and \"%.*s\"", where, (int)id,
                       (int)(slot->len < 60 ? slot->len : 60), slot->data, shown, text.data);
    if (!lm_map_put(vocab->ids, text.data, text.len, id))
        return lm_fail(err, LM_E_FORMAT, "%s: token \"%.*s\" has the ids %lld and %lld", where, shown, text.data,
                       (long long)lm_map_get(vocab->ids, text.data, text.len, -1), (long long)id);
    char *copy = lm_malloc(text.len + 1);
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *slot = lm_span_of(copy, text.len);
    if (id >= vocab->n) vocab->n = (int)id + 1;
    return LM_OK;
}

lm_status lm_vocab_read(lm_vocab *vocab, const lm_json *object, const char *name, lm_err *err)
{
    if (!json_is_object(object)) return lm_fail(err, LM_E_FORMAT, "%s: model.vocab: expected an object", name);
    const char *key;
    size_t len;
    lm_json *value;
    json_object_keylen_foreach((lm_json *)object, key, len, value) {
        if (!json_is_integer(value))
            return lm_fail(err, LM_E_FORMAT, "%s: model.vocab: token \"%.60s\": expected an integer id", name, key);
        LM_TRY(lm_vocab_add(vocab, lm_span_of(key, len), json_integer_value(value), name, err));
    }
    return LM_OK;
}

int32_t lm_vocab_id(const lm_vocab *vocab, lm_span text)
{
    return vocab->ids ? (int32_t)lm_map_get(vocab->ids, text.data, text.len, -1) : -1;
}

void lm_vocab_free(lm_vocab *vocab)
{
    for (int i = 0; i < vocab->n; i++) free((char *)vocab->texts[i].data);
    free(vocab->texts);
    lm_map_free(vocab->ids);
    *vocab = (lm_vocab){0};
}

/* ---- bytes as characters ------------------------------------------------------------------ */

/* 0x21..0x7E, 0xA1..0xAC and 0xAE..0xFF stand for themselves. */
uint32_t lm_byte_spell(uint8_t byte)
{
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143u : byte;
}

int lm_byte_unspell(uint32_t rune)
{
    if (rune >= 0x100 && rune <= 0x120) return (int)(rune - 0x100);
    if (rune >= 0x121 && rune <= 0x142) return (int)(rune - 0x121 + 0x7F);
    if (rune == 0x143) return 0xAD;
    bool itself = (rune >= 0x21 && rune <= 0x7E) || (rune >= 0xA1 && rune <= 0xFF && rune != 0xAD);
    return itself ? (int)rune : -1;
}

void lm_bytes_spell(lm_str *out, lm_span bytes)
{
    lm_str_reserve(out, out->len + 2 * bytes.len);
    for (size_t i = 0; i < bytes.len; i++) lm_str_put_rune(out, lm_byte_spell((uint8_t)bytes.data[i]));
}

bool lm_bytes_unspell(lm_str *out, lm_span text)
{
    size_t start = out->len;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        int length = lm_utf8_decode(text.data + i, text.len - i, &rune), byte = length ? lm_byte_unspell(rune) : -1;
        if (byte < 0) {
            out->len = start;
            if (out->data) out->data[start] = '\0';
            return false;
        }
        lm_str_putc(out, (char)byte);
        i += (size_t)length;
    }
    return true;
}
