/* The vocabulary, and the spelling of bytes as characters.
 *
 * Ids by text: open addressing with linear probing over a power of two of slots, at most half full.  Most
 * tokens have at most eight bytes; those stand in their slots, so that finding one touches one line of the
 * cache.  Of a longer one the slot has the hash.  Either is seeded, so that a hostile vocabulary cannot be
 * made to collide.
 *
 * Byte-level BPE (Radford et al. 2019, GPT-2) spells each byte as a printable character: those of
 * Latin-1 that print as themselves, the other 68 as U+0100 and up, in order. */
#include "token/pipeline.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- ids by text ------------------------------------------------------------------------ */

enum {
    SHORT = 8,
    AHEAD = 16,                      /* slots that are on their way from memory at once */
};

typedef struct lm_vocab_slot {
    uint64_t key;                    /* the bytes of a text of at most SHORT, else its hash */
    uint32_t len;
    int32_t id;                      /* and 1; 0: free */
} slot;

static inline uint32_t four_bytes(const char *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return bytes;
}

/* Up to eight bytes as a number.  Reads overlap, and agree where they do. */
static inline uint64_t pack(lm_span text)
{
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = text.len;
    if (n >= 4) return four_bytes(text.data) | (uint64_t)four_bytes(text.data + n - 4) << (8 * (n - 4));
    if (n == 0) return 0;
    return p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
}

/* Both halves of a product of 128 bits. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t key_of(const lm_vocab *vocab, lm_span text)
{
    return text.len <= SHORT ? pack(text) : lm_hash(text.data, text.len, vocab->seed);
}

static inline size_t place_of(const lm_vocab *vocab, uint64_t key, size_t len)
{
    return mix(key ^ vocab->seed, 0x9E3779B97F4A7C15u + 2 * (uint64_t)len) & vocab->mask;
}

/* The slot of a text, or the free one where it belongs. */
static inline slot *find_slot(const lm_vocab *vocab, uint64_t key, lm_span text)
{
    for (size_t i = place_of(vocab, key, text.len);; i = (i + 1) & vocab->mask) {
        slot *s = &vocab->slots[i];
        if (!s->id) return s;
        if (s->key != key || s->len != text.len) continue;
        if (text.len <= SHORT || !memcmp(vocab->texts[s->id - 1].data, text.data, text.len)) return s;
    }
}

static void resize(lm_vocab *vocab, size_t size)
{
    slot *old = vocab->slots;
    size_t n = old ? vocab->mask + 1 : 0;
    if (!old) vocab->seed = lm_hash_seed();
    vocab->slots = lm_memory_table(size, sizeof *vocab->slots);
    vocab->mask = size - 1;
    for (size_t i = 0; i < n; i++) {
        if (!old[i].id) continue;
        size_t j = place_of(vocab, old[i].key, old[i].len);
        while (vocab->slots[j].id) j = (j + 1) & vocab->mask;
        vocab->slots[j] = old[i];
    }
    free(old);
}

int32_t lm_vocab_id(const lm_vocab *vocab, lm_span text)
{
    return vocab->slots ? find_slot(vocab, key_of(vocab, text), text)->id - 1 : -1;
}

lm_vocab_query lm_vocab_ask(const lm_vocab *vocab, lm_span text)
{
    lm_vocab_query query = { .text = text, .key = key_of(vocab, text) };
    if (vocab->slots) __builtin_prefetch(&vocab->slots[place_of(vocab, query.key, text.len)]);
    return query;
}

int32_t lm_vocab_answer(const lm_vocab *vocab, const lm_vocab_query *query)
{
    return vocab->slots ? find_slot(vocab, query->key, query->text)->id - 1 : -1;
}

/* ---- texts -------------------------------------------------------------------------------- */

typedef struct lm_vocab_block {
    struct lm_vocab_block *next;
    size_t used, size;
    char bytes[];
} block;

enum { BLOCK = 1 << 18 };

static lm_span keep_text(lm_vocab *vocab, lm_span text)
{
    block *b = vocab->blocks;
    if (!b || b->size - b->used <= text.len) {
        size_t size = text.len < BLOCK ? BLOCK : text.len + 1;
        b = lm_malloc(sizeof *b + size);
        *b = (block){ .next = vocab->blocks, .size = size };
        vocab->blocks = b;
    }
    char *copy = b->bytes + b->used;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    b->used += text.len + 1;
    return lm_span_of(copy, text.len);
}

static void reserve_ids(lm_vocab *vocab, int n)
{
    if (n <= vocab->cap) return;
    int cap = vocab->cap * 2 > n ? vocab->cap * 2 : n < 1024 ? 1024 : n;
    lm_span *texts = lm_memory_table((size_t)cap, sizeof *texts);
    if (vocab->n) memcpy(texts, vocab->texts, (size_t)vocab->n * sizeof *texts);
    free(vocab->texts);
    vocab->texts = texts;
    vocab->cap = cap;
}

/* ---- vocabulary ---------------------------------------------------------------------- */

static int shown(lm_span text) { return text.len < 60 ? (int)text.len : 60; }

/* Keeps the text of an id; finding it is another matter. */
static lm_status set_text(lm_vocab *vocab, lm_span text, int64_t id, const char *where, lm_err *err)
{
    if (id < 0 || id >= LM_MAX_TOKENS)
        return lm_fail(err, LM_E_FORMAT, "%s: token \"%.*s\": id %lld is outside 0..%d", where, shown(text), text.data, (long long)id, LM_MAX_TOKENS - 1);
    if (text.len > INT32_MAX) return lm_fail(err, LM_E_FORMAT, "%s: token \"%.*s\" of %zu bytes", where, shown(text), text.data, text.len);
    reserve_ids(vocab, (int)id + 1);
    lm_span *taken = &vocab->texts[id];
    if (taken->data)
        return lm_fail(err, LM_E_FORMAT, "%s: id %d is both \"%.*s\" and \"%.*s\"", where, (int)id, shown(*taken), taken->data, shown(text), text.data);
    *taken = keep_text(vocab, text);
    vocab->count++;
    if (id >= vocab->n) vocab->n = (int)id + 1;
    return LM_OK;
}

/* Makes an id findable by its text. */
static lm_status index_id(lm_vocab *vocab, int32_t id, const char *where, lm_err *err)
{
    lm_span text = vocab->texts[id];
    uint64_t key = key_of(vocab, text);
    slot *s = find_slot(vocab, key, text);
    if (s->id) return lm_fail(err, LM_E_FORMAT, "%s: token \"%.*s\" has the ids %d and %d", where, shown(text), text.data, s->id - 1, id);
    *s = (slot){ .key = key, .len = (uint32_t)text.len, .id = id + 1 };
    return LM_OK;
}

static void reserve_slots(lm_vocab *vocab, size_t n)
{
    size_t size = vocab->slots ? vocab->mask + 1 : 2048;
    while (size < 2 * n) size *= 2;
    if (!vocab->slots || size > vocab->mask + 1) resize(vocab, size);
}

lm_status lm_vocab_add(lm_vocab *vocab, lm_span text, int64_t id, const char *where, lm_err *err)
{
    LM_TRY(set_text(vocab, text, id, where, err));
    reserve_slots(vocab, vocab->count);
    return index_id(vocab, (int32_t)id, where, err);
}

static lm_status read_texts(lm_vocab *vocab, const lm_token_document *document, const char *name, lm_err *err)
{
    lm_json_reader r;
    lm_str buffer = {0};
    lm_span token;
    lm_status status = LM_OK;
    lm_err broken = {0};
    lm_token_document_reader(&r, document, document->vocab, name, &broken);
    lm_json_open(&r, '{');
    while (!status && lm_json_key(&r, &buffer, &token)) {
        int64_t id;
        if (lm_json_integer(&r, &id)) status = set_text(vocab, token, id, name, err);
        else status = lm_fail(err, LM_E_FORMAT, "%s: model.vocab: token \"%.*s\": expected an integer id", name, shown(token), token.data);
    }
    lm_str_free(&buffer);
    return status || !r.status ? status : lm_fail(err, broken.code, "%s", broken.message);
}

/* All texts first, so that slots can be fetched ahead of their turn. */
lm_status lm_vocab_read(lm_vocab *vocab, const lm_token_document *document, const char *name, lm_err *err)
{
    if (!document->vocab.data || *document->vocab.data != '{') return lm_fail(err, LM_E_FORMAT, "%s: model.vocab: expected an object", name);
    LM_ASSERT(!vocab->n);
    LM_TRY(read_texts(vocab, document, name, err));
    reserve_slots(vocab, vocab->count);
    for (int id = 0; id < vocab->n; id++) {
        if (id + AHEAD < vocab->n && vocab->texts[id + AHEAD].data) lm_vocab_ask(vocab, vocab->texts[id + AHEAD]);
        if (vocab->texts[id].data) LM_TRY(index_id(vocab, id, name, err));
    }
    return LM_OK;
}

void lm_vocab_free(lm_vocab *vocab)
{
    for (block *b = vocab->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(vocab->texts);
    free(vocab->scores);
    free(vocab->slots);
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
    uint8_t *p = (uint8_t *)out->data + out->len;
    for (size_t i = 0; i < bytes.len; i++) {             /* each is of one byte of UTF-8, or two */
        uint32_t rune = lm_byte_spell((uint8_t)bytes.data[i]);
        bool two = rune >= 0x80;
        p[0] = (uint8_t)(two ? 0xC0 | rune >> 6 : rune);
        p[1] = (uint8_t)(0x80 | (rune & 0x3F));
        p += 1 + two;
    }
    *p = '\0';
    out->len = (size_t)((char *)p - out->data);
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
