#include "token/sentence.h"
#include "token/charsmap.h"
#include "token/learn.h"
#include "token/unicode.h"
#include "token/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARK = 0x2581, MARK_BYTES = 3 };

/* ---- scripts ----------------------------------------------------------------------------- */

enum { COMMON, LATIN, GREEK, CYRILLIC, HANGUL, HAN, ANY = 255 };

/* Blocks whose letters are of one script, in order; a script without a name is known by its first block. */
static const struct block { uint32_t first, last; int script; } blocks[] = {
    { 0x0041, 0x02B8, LATIN },   { 0x0370, 0x03FF, GREEK },   { 0x0400, 0x052F, CYRILLIC }, { 0x0530, 0x058F, 10 },
    { 0x0590, 0x05FF, 11 },      { 0x0600, 0x06FF, 12 },      { 0x0700, 0x074F, 13 },       { 0x0750, 0x077F, 12 },
    { 0x0780, 0x07BF, 14 },      { 0x07C0, 0x07FF, 15 },      { 0x08A0, 0x08FF, 12 },       { 0x0900, 0x097F, 16 },
    { 0x0980, 0x09FF, 17 },      { 0x0A00, 0x0A7F, 18 },      { 0x0A80, 0x0AFF, 19 },       { 0x0B00, 0x0B7F, 20 },
    { 0x0B80, 0x0BFF, 21 },      { 0x0C00, 0x0C7F, 22 },      { 0x0C80, 0x0CFF, 23 },       { 0x0D00, 0x0D7F, 24 },
    { 0x0D80, 0x0DFF, 25 },      { 0x0E00, 0x0E7F, 26 },      { 0x0E80, 0x0EFF, 27 },       { 0x0F00, 0x0FFF, 28 },
    { 0x1000, 0x109F, 29 },      { 0x10A0, 0x10FF, 30 },      { 0x1100, 0x11FF, HANGUL },   { 0x1200, 0x139F, 31 },
    { 0x13A0, 0x13FF, 32 },      { 0x1400, 0x167F, 33 },      { 0x1780, 0x17FF, 34 },       { 0x1800, 0x18AF, 35 },
    { 0x1D00, 0x1DBF, LATIN },   { 0x1E00, 0x1EFF, LATIN },   { 0x1F00, 0x1FFF, GREEK },    { 0x2C60, 0x2C7F, LATIN },
    { 0x2D00, 0x2D2F, 30 },      { 0x2D80, 0x2DDF, 31 },      { 0x2DE0, 0x2DFF, CYRILLIC }, { 0x3005, 0x3007, HAN },
    { 0x3021, 0x312F, HAN },     { 0x3131, 0x318F, HANGUL },  { 0x31A0, 0x31FF, HAN },      { 0x3400, 0x9FFF, HAN },
    { 0xA640, 0xA69F, CYRILLIC }, { 0xA720, 0xA7FF, LATIN },  { 0xA960, 0xA97F, HANGUL },   { 0xAB30, 0xAB6F, LATIN },
    { 0xAC00, 0xD7FF, HANGUL },  { 0xF900, 0xFAFF, HAN },     { 0xFB00, 0xFB06, LATIN },    { 0xFB1D, 0xFB4F, 11 },
    { 0xFB50, 0xFDFF, 12 },      { 0xFE70, 0xFEFF, 12 },      { 0xFF21, 0xFF5A, LATIN },    { 0xFF66, 0xFF9F, HAN },
    { 0xFFA0, 0xFFDC, HANGUL },  { 0x20000, 0x3FFFF, HAN },
};

static int script_of(uint32_t rune)
{
    if (rune == MARK) return ANY;
    if (rune >= 0xAC00 && rune <= 0xD7A3) return HANGUL;
    if (!lm_rune_in(rune, LM_LETTERS | LM_MARKS) && rune != 0x3007) return COMMON;
    size_t low = 0, high = sizeof blocks / sizeof *blocks;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[middle].last < rune) low = middle + 1;
        else high = middle;
    }
    return low < sizeof blocks / sizeof *blocks && blocks[low].first <= rune ? blocks[low].script : COMMON;
}

/* ---- cutting ---------------------------------------------------------------------------------- */

int lm_sentence_longest(const lm_vocab_options *o) { return o->max_token_length ? (int)o->max_token_length : 16; }

static bool is_digit(uint32_t rune) { return (rune >= '0' && rune <= '9') || (rune >= 0xFF10 && rune <= 0xFF19); }

/* Whether a token may hold the two characters side by side. */
static bool joins(uint32_t left, uint32_t right, const lm_vocab_options *o)
{
    if (right == MARK) return false;
    if (o->split_digits && (is_digit(left) || is_digit(right))) return false;
    if (o->no_split_scripts) return true;
    int a = script_of(left), b = script_of(right);
    return a == b || a == ANY || b == ANY;
}

void lm_sentence_cut(lm_words *words, lm_span piece, const lm_vocab_options *o)
{
    size_t begin = 0;
    uint32_t last = MARK;
    for (size_t i = 0; i < piece.len;) {
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(piece.data + i, piece.len - i, &rune);
        if (i && !joins(last, rune, o)) {
            lm_words_add(words, lm_span_of(piece.data + begin, i - begin), 1);
            begin = i;
        }
        last = rune;
        i += n;
    }
    if (begin < piece.len) lm_words_add(words, lm_span_of(piece.data + begin, piece.len - begin), 1);
}

/* ---- pieces --------------------------------------------------------------------------------------- */

static void put(lm_pieces_made *made, lm_span text, float score, lm_piece_type type)
{
    if (made->n == made->cap) {
        made->cap = made->cap ? made->cap * 2 : 1024;
        made->items = lm_realloc(made->items, (size_t)made->cap * sizeof *made->items);
    }
    made->items[made->n++] = (lm_piece){ lm_span_of(lm_strndup(text.data, text.len), text.len), score, type };
}

void lm_sentence_put(lm_pieces_made *made, lm_span text, float score) { put(made, text, score, LM_PIECE_NORMAL); }

void lm_sentence_free(lm_pieces_made *made)
{
    for (int i = 0; i < made->n; i++) free((char *)made->items[i].text.data);
    free(made->items);
    *made = (lm_pieces_made){0};
}

void lm_sentence_begin(lm_pieces_made *made, const lm_vocab_options *o)
{
    for (int i = 0; i < o->specials.n; i++) {
        const char *text = o->specials.items[i];
        put(made, lm_span_of(text, strlen(text)), 0, strcmp(text, "<unk>") ? LM_PIECE_CONTROL : LM_PIECE_UNKNOWN);
    }
    for (unsigned byte = 0; byte < 256 && !o->no_byte_fallback; byte++) {
        char text[8];
        int n = snprintf(text, sizeof text, "<0x%02X>", byte);
        put(made, lm_span_of(text, (size_t)n), 0, LM_PIECE_BYTE);
    }
}

int lm_sentence_reserved(const lm_vocab_options *o) { return o->specials.n + (o->no_byte_fallback ? 0 : 256); }

bool lm_sentence_is_reserved(const lm_vocab_options *o, lm_span text)
{
    if (text.len == 6 && !memcmp(text.data, "<0x", 3) && text.data[5] == '>') return true;
    for (int i = 0; i < o->specials.n; i++)
        if (lm_span_eq(text, o->specials.items[i])) return true;
    return false;
}

/* ---- documents --------------------------------------------------------------------------------------- */

static lm_json *make_document(const lm_pieces_made *made, lm_span charsmap, const lm_vocab_options *o, bool unigram)
{
    int bos = lm_train_special(o, "<s>"), eos = lm_train_special(o, "</s>");
    lm_sentencepiece s = {
        .pieces = made->items, .n = made->n, .unk = lm_train_special(o, "<unk>"), .bos = bos, .eos = eos, .charsmap = charsmap,
        .byte_fallback = !o->no_byte_fallback, .prefix = true, .squeeze = !o->keep_spaces, .prefix_once = true,
        .add_bos = bos >= 0, .add_eos = bos < 0 && eos >= 0,           /* as sentencepiece.c reads a .model */
    };
    return unigram ? lm_document_unigram(&s) : lm_document_score_bpe(&s);
}

/* NFC beside the map: the Hugging Face library looks at one grapheme at a time, and would leave syllables in
 * pieces that the map of SentencePiece composes. */
static void put_composition(lm_json *normaliser)
{
    lm_json *steps = json_object_get(normaliser, "normalizers");
    json_array_insert_new(steps, 0, json_pack("{s:s}", "type", "NFC"));
    json_array_insert_new(steps, 2, json_pack("{s:s}", "type", "NFC"));
}

/* NFKC in SentencePiece's way is a character map, the other forms are a step of their own. */
static lm_json *first_document(const lm_pieces_made *made, const lm_vocab_options *o, bool unigram)
{
    const char *rule = o->normalizer ? o->normalizer : "nmt_nfkc";
    bool nmt = !strcmp(rule, "nmt_nfkc");
    lm_str map = {0};
    if (nmt || !strcmp(rule, "nfkc")) lm_charsmap_nfkc(&map, nmt);
    lm_json *document = make_document(made, lm_span_of(map.data, map.len), o, unigram), *normaliser = json_object_get(document, "normalizer");
    if (map.len) put_composition(normaliser);
    else if (strcmp(rule, "none") != 0) json_array_insert_new(json_object_get(normaliser, "normalizers"), 0, lm_train_normaliser(o));
    lm_str_free(&map);
    return document;
}

static lm_status pipeline(lm_json **document, const lm_vocab_options *o, bool unigram, lm_err *err)
{
    LM_TRY(lm_train_check(o, true, err));
    if (lm_train_special(o, "<unk>") < 0)
        return lm_fail(err, LM_E_USAGE, "the special tokens of SentencePiece: expected <unk> among them, for characters that are not covered");
    lm_pieces_made made = {0};
    lm_sentence_begin(&made, o);
    *document = first_document(&made, o, unigram);
    lm_sentence_free(&made);
    return LM_OK;
}

lm_status lm_sentence_bpe_pipeline(lm_json **document, const lm_vocab_options *o, lm_err *err) { return pipeline(document, o, false, err); }
lm_status lm_sentence_unigram_pipeline(lm_json **document, const lm_vocab_options *o, lm_err *err) { return pipeline(document, o, true, err); }

void lm_sentence_finish(lm_json *document, const lm_pieces_made *made, const lm_vocab_options *o, bool unigram)
{
    lm_json *whole = make_document(made, lm_span_of(NULL, 0), o, unigram);
    json_object_del(whole, "normalizer");                /* that of the pipeline stays */
    json_object_update(document, whole);
    json_decref(whole);
}
