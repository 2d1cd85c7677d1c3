/* The BPE model of tokenizer.json: byte-level (GPT-2, LLaMA-3, Qwen2) and character-level with byte
 * fallback (LLaMA-2, Gemma).
 *
 * A piece becomes symbols, one for each byte or character, and the merges do the rest.  A character
 * outside the vocabulary becomes its bytes' tokens <0xXX> (byte_fallback), else the unknown token
 * (neighbours fused with fuse_unk), else nothing, as in the Hugging Face library.
 *
 * Left out: dropout, which makes encoding random; a file that sets it is refused. */
#define _GNU_SOURCE
#include "token/characters.h"
#include "token/merge_list.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "\xE2\x96\x81";               /* U+2581, the front of a word */
enum { MARK = 3, SYMBOLS = 1 << 16 };

typedef struct bpe {
    lm_merges merges;
    const lm_vocab *vocab;
    int32_t byte_id[256];            /* byte level: the symbol of each byte */
    int32_t fallback[256];           /* <0xXX> */
    int32_t *symbols;                /* of the characters below SYMBOLS, -1 for none; NULL: to be sought by their text */
    int32_t unk;                     /* or -1 */
    lm_span prefix, suffix;          /* continuing_subword_prefix, end_of_word_suffix */
    bool byte_level, byte_fallback, fuse_unk, ignore_merges;
    bool every_byte;                 /* has a symbol */
    bool divides;                    /* no token reaches across the front of a word (see divide) */
    char *affixes;                   /* memory of the two */
} bpe;

typedef struct bpe_work {
    lm_merge_work merge;
    lm_str text;
    size_t n;
    lm_characters *characters;       /* once there were so many that they pay; NULL before */
    int n_characters;                /* seen until then */
} bpe_work;

/* ---- reading --------------------------------------------------------------------- */

static void find_bytes(bpe *m)
{
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        m->fallback[byte] = lm_vocab_id(m->vocab, lm_span_of(name, (size_t)n));
        lm_str spelled = {0};
        lm_str_put_rune(&spelled, lm_byte_spell((uint8_t)byte));
        m->byte_id[byte] = lm_vocab_id(m->vocab, lm_span_of(spelled.data, spelled.len));
        lm_str_free(&spelled);
    }
}

/* The symbols of bytes are mostly 256 ids in a row. */
static void tabulate_bytes(bpe *m)
{
    int32_t low = INT32_MAX, high = -1;
    for (int byte = 0; byte < 256; byte++) {
        if (m->byte_id[byte] < low) low = m->byte_id[byte];
        if (m->byte_id[byte] > high) high = m->byte_id[byte];
    }
    m->every_byte = low >= 0;
    if (low >= 0 && high - low < 256) lm_merges_bytes(&m->merges, low);
}

/* The tokens of one character, by that character. */
static int32_t *tabulate_symbols(const lm_vocab *vocab)
{
    int32_t *symbols = lm_malloc(SYMBOLS * sizeof *symbols);
    memset(symbols, 0xFF, SYMBOLS * sizeof *symbols);
    for (int id = 0; id < vocab->n; id++) {
        lm_span text = vocab->texts[id];
        uint32_t rune;
        if (text.len && text.len <= 3 && (size_t)lm_utf8_decode(text.data, text.len, &rune) == text.len) symbols[rune] = id;
    }
    return symbols;
}

/* Whether a character is a token and stands in every token only in front. */
static bool begins_tokens(const lm_vocab *vocab, lm_span character)
{
    if (lm_vocab_id(vocab, character) < 0) return false;
    for (int id = 0; id < vocab->n; id++) {
        lm_span text = vocab->texts[id];
        bool behind = false;         /* something else came before */
        for (size_t i = 0; i < text.len;) {
            bool here = text.len - i >= character.len && !memcmp(text.data + i, character.data, character.len);
            if (here && behind) return false;
            behind |= !here;
            i += here ? character.len : 1;
        }
    }
    return true;
}

static void release(void *state)
{
    bpe *m = state;
    if (!m) return;
    lm_merges_free(&m->merges);
    free(m->affixes);
    free(m->symbols);
    free(m);
}

static lm_status read_settings(bpe *m, const lm_step_source *source, lm_err *err)
{
    const lm_json *json = source->json;
    const char *name = source->name, *unk = NULL, *prefix = "", *suffix = "";
    double dropout = 0;
    LM_TRY(lm_json_opt_real(json, "dropout", name, &dropout, err));
    if (dropout != 0) return lm_fail(err, LM_E_UNSUPPORTED, "%s: model.dropout: BPE with dropout is not supported", name);
    LM_TRY(lm_json_opt_bool(json, "byte_fallback", name, &m->byte_fallback, err));
    LM_TRY(lm_json_opt_bool(json, "fuse_unk", name, &m->fuse_unk, err));
    LM_TRY(lm_json_opt_bool(json, "ignore_merges", name, &m->ignore_merges, err));
    LM_TRY(lm_json_opt_str(json, "unk_token", name, &unk, err));
    LM_TRY(lm_json_opt_str(json, "continuing_subword_prefix", name, &prefix, err));
    LM_TRY(lm_json_opt_str(json, "end_of_word_suffix", name, &suffix, err));
    if (unk && *unk) {
        m->unk = lm_vocab_id(m->vocab, lm_span_of(unk, strlen(unk)));
        if (m->unk < 0) return lm_fail(err, LM_E_FORMAT, "%s: model.unk_token \"%s\" is not in the vocabulary", name, unk);
        source->tk->unk = m->unk;
    }
    size_t n = strlen(prefix);
    m->affixes = lm_malloc(n + strlen(suffix) + 1);
    memcpy(m->affixes, prefix, n);
    strcpy(m->affixes + n, suffix);
    m->prefix = lm_span_of(m->affixes, n);
    m->suffix = lm_span_of(m->affixes + n, strlen(suffix));
    return LM_OK;
}

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    bpe *m = lm_calloc(1, sizeof *m);
    *state = m;
    m->vocab = &source->tk->vocab;
    m->unk = -1;
    LM_TRY(read_settings(m, source, err));
    m->byte_level = source->tk->byte_level && !m->prefix.len && !m->suffix.len && !m->byte_fallback;
    source->tk->byte_level = m->byte_level;
    LM_TRY(lm_merges_read(&m->merges, m->vocab, m->prefix.len, &source->tk->document, source->name, err));
    find_bytes(m);
    if (m->byte_level) tabulate_bytes(m);
    else if (!m->prefix.len && !m->suffix.len) m->symbols = tabulate_symbols(m->vocab);
    m->divides = !m->byte_level && !m->ignore_merges && !m->prefix.len && !m->suffix.len && begins_tokens(m->vocab, lm_span_of(mark, MARK));
    return LM_OK;
}

/* ---- encoding --------------------------------------------------------------------- */

/* A piece has no more symbols than bytes, for which there is room. */
static inline void add_symbol(bpe_work *w, int32_t id) { w->merge.id[w->n++] = id; }

/* One character of the piece, decorated with the prefix or suffix that its place asks for.  U+FFFD may stand
 * for a byte that is none. */
static int32_t symbol_of(const bpe *m, bpe_work *w, uint32_t rune, lm_span character, bool first, bool last)
{
    if (m->symbols && rune < SYMBOLS && rune != LM_REPLACEMENT) return m->symbols[rune];
    if ((first || !m->prefix.len) && (!last || !m->suffix.len)) return lm_vocab_id(m->vocab, character);
    lm_str_clear(&w->text);
    if (!first) lm_str_append(&w->text, m->prefix.data, m->prefix.len);
    lm_str_append(&w->text, character.data, character.len);
    if (last) lm_str_append(&w->text, m->suffix.data, m->suffix.len);
    return lm_vocab_id(m->vocab, lm_span_of(w->text.data, w->text.len));
}

static bool add_bytes(const bpe *m, bpe_work *w, lm_span character)
{
    for (size_t i = 0; i < character.len; i++)
        if (m->fallback[(uint8_t)character.data[i]] < 0) return false;
    for (size_t i = 0; i < character.len; i++) add_symbol(w, m->fallback[(uint8_t)character.data[i]]);
    return true;
}

/* Unknown characters wait in `unknown` until a known one follows, so that a run can fuse; bytes of the
 * fallback do not end the run (the reference does the same). */
static void add_characters(const bpe *m, bpe_work *w, lm_span piece)
{
    bool unknown = false;
    lm_merge_work_reserve(&w->merge, piece.len);
    for (size_t i = 0; i < piece.len;) {
        uint32_t rune;
        size_t len = (size_t)lm_rune_at(piece.data + i, piece.len - i, &rune);
        lm_span character = lm_span_of(piece.data + i, len);
        int32_t id = symbol_of(m, w, rune, character, i == 0, i + len == piece.len);
        if (id >= 0) {
            if (unknown) add_symbol(w, m->unk);
            unknown = false;
            add_symbol(w, id);
        } else if (!(m->byte_fallback && add_bytes(m, w, character)) && m->unk >= 0) {
            if (unknown && !m->fuse_unk) add_symbol(w, m->unk);
            unknown = true;
        }
        i += len;
    }
    if (unknown) add_symbol(w, m->unk);
}

/* A piece whose bytes all have symbols, characters of three bytes at once where that comes to the same. */
static void add_known_bytes(const bpe *m, bpe_work *w, lm_span piece)
{
    enum { PAYS = 2000 };
    const uint8_t *text = (const uint8_t *)piece.data;
    lm_merge_work_reserve(&w->merge, piece.len);
    if (!w->characters && w->n_characters > PAYS) w->characters = lm_characters_new(m->vocab, &m->merges, m->byte_id);
    int32_t *id = w->merge.id, whole;
    size_t n = 0;
    for (size_t i = 0; i < piece.len;) {
        if (text[i] >= 0xE0 && w->characters && (whole = lm_character_at(w->characters, text, piece.len, i)) >= 0) {
            id[n++] = whole;
            i += 3;
        } else {
            id[n++] = m->byte_id[text[i]];
            w->n_characters += text[i++] >= 0xE0 && !w->characters;
        }
    }
    w->n = n;
}

static void add_piece_bytes(const bpe *m, bpe_work *w, lm_span piece)
{
    bool unknown = false;
    lm_merge_work_reserve(&w->merge, piece.len);
    for (size_t i = 0; i < piece.len; i++) {
        int32_t id = m->byte_id[(uint8_t)piece.data[i]];
        if (id < 0 && m->unk < 0) continue;
        if (unknown && (id >= 0 || !m->fuse_unk)) add_symbol(w, m->unk);
        unknown = id < 0;
        if (!unknown) add_symbol(w, id);
    }
    if (unknown) add_symbol(w, m->unk);
}

/* With ignore_merges a piece that is a token as a whole is that token; the vocabulary spells bytes. */
static int32_t whole_piece(const bpe *m, bpe_work *w, lm_span piece)
{
    if (!m->byte_level) return lm_vocab_id(m->vocab, piece);
    lm_str_clear(&w->text);
    lm_bytes_spell(&w->text, piece);
    return lm_vocab_id(m->vocab, lm_span_of(w->text.data, w->text.len));
}

static void encode(const void *state, void **work, lm_ids *out, lm_span piece)
{
    const bpe *m = state;
    if (!*work) *work = lm_calloc(1, sizeof(bpe_work));
    bpe_work *w = *work;
    if (m->ignore_merges) {
        int32_t id = whole_piece(m, w, piece);
        if (id >= 0) {
            lm_ids_push(out, id);
            return;
        }
    }
    w->n = 0;
    if (m->every_byte) add_known_bytes(m, w, piece);
    else if (m->byte_level) add_piece_bytes(m, w, piece);
    else add_characters(m, w, piece);
    lm_ids_append(out, w->merge.id, lm_merge_all(&m->merges, &w->merge, w->n));
}

/* A text without pre-tokeniser is one piece.  Where no token has a mark behind another character, none
 * is merged across the front of a word, and words can be encoded one by one. */
static size_t divide(const void *state, lm_span piece)
{
    const bpe *m = state;
    if (!m->divides) return piece.len;
    size_t at = 0;
    while (piece.len - at >= MARK && !memcmp(piece.data + at, mark, MARK)) at += MARK;
    for (const char *next; at < piece.len && (next = memchr(piece.data + at, *mark, piece.len - at)) != NULL; at++) {
        at = (size_t)(next - piece.data);
        if (piece.len - at >= MARK && !memcmp(next, mark, MARK)) return at;
    }
    return piece.len;
}

static bool is_merged(const bpe *m, int32_t id)
{
    for (size_t i = 0; i <= m->merges.mask; i++) {
        uint64_t pair = m->merges.slots[i].pair;
        if (pair && ((int32_t)(pair >> 32) - 1 == id || (int32_t)pair == id)) return true;
    }
    return false;
}

/* Without pre-tokeniser: a newline is often no token but a byte, and then nothing is merged with it. */
static bool opens(const void *state, uint32_t rune)
{
    const bpe *m = state;
    if (m->byte_level || m->ignore_merges || m->prefix.len || m->suffix.len) return false;
    lm_str character = {0};
    lm_str_put_rune(&character, rune);
    lm_span text = lm_span_of(character.data, character.len);
    bool alone = m->byte_fallback && rune < 0x80 && lm_vocab_id(m->vocab, text) < 0 && m->fallback[rune] >= 0 && !is_merged(m, m->fallback[rune]);
    for (int byte = 0; byte < 256 && alone; byte++) alone = m->fallback[byte] >= 0;      /* else unknown ones beside it might fuse */
    bool result = alone || begins_tokens(m->vocab, text);
    lm_str_free(&character);
    return result;
}

static void work_free(void *work)
{
    bpe_work *w = work;
    if (!w) return;
    lm_merge_work_free(&w->merge);
    lm_str_free(&w->text);
    free(w->characters);
    free(w);
}

const lm_token_model lm_token_model_bpe = {
    .name = "BPE",
    .merges = true,
    .vocab = lm_vocab_read,
    .load = load,
    .encode = encode,
    .work_free = work_free,
    .free = release,
    .cache = true,
    .divide = divide,
    .opens = opens,
};
