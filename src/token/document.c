#include "token/document.h"
#include "base/err.h"
#include "base/map.h"
#include "token/charsmap.h"

#include <stdlib.h>
#include <string.h>

static const char mark[] = "\xE2\x96\x81";               /* U+2581 */

static lm_json *must(lm_json *node)
{
    if (!node) LM_BUG("a JSON node could not be made");
    return node;
}

lm_json *lm_document_text(lm_span text) { return must(json_stringn(text.data, text.len)); }

lm_json *lm_document_new(void)
{
    return must(json_pack("{s:s, s:n, s:n, s:[], s:n, s:n, s:n, s:n, s:n}", "version", "1.0", "truncation", "padding", "added_tokens",
                          "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"));
}

lm_json *lm_document_added(int64_t id, lm_span text, bool special, bool normalized)
{
    return must(json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id, "content", lm_document_text(text), "single_word", 0,
                          "lstrip", 0, "rstrip", 0, "normalized", (int)normalized, "special", (int)special));
}

lm_json *lm_document_sequence(const char *members, lm_json *list)
{
    return must(json_pack("{s:s, s:o}", "type", "Sequence", members, list));
}

static void template_add(lm_json *single, lm_json *pair, lm_json *specials, const char *text, int64_t id, int at)
{
    if (!text) return;
    lm_json *piece = must(json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text, "type_id", 0));
    lm_json *second = must(json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text, "type_id", 1));
    json_array_insert(single, at ? json_array_size(single) : 0, piece);
    json_array_insert(pair, at ? json_array_size(pair) - 1 : 0, piece);
    json_array_insert_new(pair, at ? json_array_size(pair) : json_array_size(pair) - 1, second);
    json_decref(piece);
    json_object_set_new(specials, text, must(json_pack("{s:s, s:[I], s:[s]}", "id", text, "ids", (json_int_t)id, "tokens", text)));
}

lm_json *lm_document_template(const char *bos, int64_t bos_id, const char *eos, int64_t eos_id)
{
    lm_json *single = must(json_pack("[{s:{s:s, s:i}}]", "Sequence", "id", "A", "type_id", 0));
    lm_json *pair = must(json_pack("[{s:{s:s, s:i}}, {s:{s:s, s:i}}]", "Sequence", "id", "A", "type_id", 0, "Sequence", "id", "B", "type_id", 1));
    lm_json *specials = must(json_object());
    template_add(single, pair, specials, bos, bos_id, 0);
    template_add(single, pair, specials, eos, eos_id, 1);
    return must(json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair, "special_tokens", specials));
}

lm_json *lm_document_template_pair(const char *cls, int64_t cls_id, const char *sep, int64_t sep_id)
{
    lm_json *document = lm_document_template(cls, cls_id, sep, sep_id);
    json_object_set_new(document, "pair", must(json_pack("[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}]",
        "SpecialToken", "id", cls, "type_id", 0, "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id", sep, "type_id", 0,
        "Sequence", "id", "B", "type_id", 1, "SpecialToken", "id", sep, "type_id", 1)));
    return document;
}

lm_json *lm_document_byte_level(bool add_prefix_space, bool use_regex)
{
    return must(json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", (int)add_prefix_space, "trim_offsets", 1,
                          "use_regex", (int)use_regex));
}

lm_json *lm_document_byte_split(const char *expression)
{
    lm_json *split = must(json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", expression, "behavior", "Isolated", "invert", 0));
    return lm_document_sequence("pretokenizers", must(json_pack("[o, o]", split, lm_document_byte_level(false, false))));
}

lm_json *lm_document_byte_bpe(lm_json *vocab, lm_json *merges, lm_json *pretokeniser)
{
    lm_json *document = lm_document_new();
    json_object_set_new(document, "pre_tokenizer", pretokeniser);
    json_object_set_new(document, "post_processor", lm_document_byte_level(true, true));
    json_object_set_new(document, "decoder", lm_document_byte_level(true, true));
    json_object_set_new(document, "model",
                        must(json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                                       "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                                       "ignore_merges", 0, "vocab", vocab, "merges", merges)));
    return document;
}

/* ---- merges from scores -------------------------------------------------------------------- */

typedef struct score_merge {
    lm_span left, right;
    float score;
    size_t order;                    /* in which it was found: makes the sort stable */
} score_merge;

static size_t runes_in(lm_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    return n;
}

static int by_score(const void *a, const void *b)
{
    const score_merge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    size_t xl = runes_in(x->left), yl = runes_in(y->left), xr = runes_in(x->right), yr = runes_in(y->right);
    if (xl != yl) return xl > yl ? -1 : 1;
    if (xr != yr) return xr > yr ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static bool mergeable(const lm_piece *piece) { return piece->type == LM_PIECE_NORMAL; }

lm_json *lm_document_merges(const lm_piece *pieces, int n)
{
    lm_map *known = lm_map_new((size_t)n);
    for (int i = 0; i < n; i++)
        if (mergeable(&pieces[i])) lm_map_put(known, pieces[i].text.data, pieces[i].text.len, i);
    score_merge *found = NULL;
    size_t count = 0, cap = 0;
    for (int i = 0; i < n; i++) {
        lm_span text = pieces[i].text;
        for (size_t at = 1; mergeable(&pieces[i]) && at < text.len; at++) {
            if (((uint8_t)text.data[at] & 0xC0) == 0x80) continue;
            lm_span left = lm_span_of(text.data, at), right = lm_span_of(text.data + at, text.len - at);
            if (lm_map_get(known, left.data, left.len, -1) < 0 || lm_map_get(known, right.data, right.len, -1) < 0) continue;
            if (count == cap) {
                cap = cap ? cap * 2 : 1024;
                found = lm_realloc(found, cap * sizeof *found);
            }
            found[count] = (score_merge){ left, right, pieces[i].score, count };
            count++;
        }
    }
    if (count) qsort(found, count, sizeof *found, by_score);
    lm_json *list = must(json_array());
    for (size_t i = 0; i < count; i++) {
        lm_json *pair = must(json_array());
        json_array_append_new(pair, lm_document_text(found[i].left));
        json_array_append_new(pair, lm_document_text(found[i].right));
        json_array_append_new(list, pair);
    }
    free(found);
    lm_map_free(known);
    return list;
}

/* ---- SentencePiece ------------------------------------------------------------------------------ */

static lm_json *replace_node(const char *kind, const char *pattern, const char *content)
{
    return must(json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, pattern, "content", content));
}

int lm_piece_byte(lm_span text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.len != 6 || memcmp(text.data, "<0x", 3) || text.data[5] != '>') return -1;
    const char *high = memchr(digits, text.data[3], 16), *low = memchr(digits, text.data[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}

lm_status lm_pieces_check_bytes(const lm_piece *pieces, int n, const char *path, lm_err *err)
{
    bool found[256] = {0};
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (pieces[i].type != LM_PIECE_BYTE) continue;
        int byte = lm_piece_byte(pieces[i].text);
        if (byte < 0) return lm_fail(err, LM_E_FORMAT, "%s: byte piece %d: expected <0x00> to <0xFF>, found %.*s", path, i, (int)pieces[i].text.len, pieces[i].text.data);
        count += !found[byte];
        found[byte] = true;
    }
    for (int byte = 0; byte < 256 && count; byte++)
        if (!found[byte]) return lm_fail(err, LM_E_FORMAT, "%s: expected a piece for each byte, or for none: <0x%02X> is missing", path, (unsigned)byte);
    return LM_OK;
}

/* The user-defined symbols, which the character map leaves alone. */
static lm_json *symbols(const lm_sentencepiece *s)
{
    lm_json *list = must(json_array());
    for (int i = 0; i < s->n; i++)
        if (s->pieces[i].type == LM_PIECE_USER) json_array_append_new(list, lm_document_text(s->pieces[i].text));
    return list;
}

/* Character map, spaces at the ends, runs of spaces, a mark in front, marks for spaces: in this order. */
static lm_json *normaliser(const lm_sentencepiece *s)
{
    lm_json *list = must(json_array());
    if (s->charsmap.len) {
        lm_str text = {0};
        lm_base64_encode(&text, s->charsmap);
        json_array_append_new(list, must(json_pack("{s:s, s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", text.data, "exact", "sentencepiece")));
        lm_str_free(&text);
        if (s->symbols) json_object_set_new(json_array_get(list, 0), "symbols", symbols(s));
    }
    if (s->squeeze) {
        json_array_append_new(list, replace_node("Regex", "\\A +| +\\z", ""));
        json_array_append_new(list, replace_node("Regex", " {2,}", " "));
    }
    if (s->prefix) {
        lm_json *prepend = must(json_pack("{s:s, s:s}", "type", "Prepend", "prepend", mark));
        if (s->prefix_once) json_object_set_new(prepend, "exact", json_string("sentencepiece"));
        json_array_append_new(list, prepend);
    }
    json_array_append_new(list, replace_node("String", " ", mark));
    if (s->squeeze) json_array_append_new(list, replace_node("Regex", "\xE2\x96\x81+\\z", ""));   /* also those that were typed */
    return lm_document_sequence("normalizers", list);
}

static lm_json *decoder(const lm_sentencepiece *s)
{
    lm_json *list = must(json_pack("[o, {s:s}, {s:s}]", replace_node("String", mark, " "), "type", "ByteFallback", "type", "Fuse"));
    if (s->prefix) json_array_append_new(list, must(json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0)));
    return lm_document_sequence("decoders", list);
}

/* The text of a piece, NUL-terminated, for the caller to free; NULL for none. */
static char *piece_name(const lm_sentencepiece *s, int id)
{
    return id >= 0 ? lm_strndup(s->pieces[id].text.data, s->pieces[id].text.len) : NULL;
}

/* Everything but the model.  `user`: how user-defined symbols are found, see lm_added_token. */
static lm_json *surroundings(const lm_sentencepiece *s, const char *user)
{
    lm_json *document = lm_document_new(), *added = json_object_get(document, "added_tokens");
    for (int i = 0; i < s->n; i++) {
        bool special = s->pieces[i].type == LM_PIECE_CONTROL || s->pieces[i].type == LM_PIECE_UNKNOWN;
        if (!special && s->pieces[i].type != LM_PIECE_USER) continue;
        lm_json *token = lm_document_added(i, s->pieces[i].text, special, false);
        if (!special && s->symbols) json_object_set_new(token, "exact", json_string(user));
        json_array_append_new(added, token);
    }
    json_object_set_new(document, "exact", json_string("sentencepiece"));     /* how bytes that are not UTF-8 are read */
    json_object_set_new(document, "normalizer", normaliser(s));
    json_object_set_new(document, "decoder", decoder(s));
    char *bos = piece_name(s, s->add_bos ? s->bos : -1), *eos = piece_name(s, s->add_eos ? s->eos : -1);
    if (bos || eos) json_object_set_new(document, "post_processor", lm_document_template(bos, s->bos, eos, s->eos));
    free(bos);
    free(eos);
    return document;
}

lm_json *lm_document_score_bpe(const lm_sentencepiece *s)
{
    lm_json *document = surroundings(s, "literal"), *vocab = must(json_object());
    for (int i = 0; i < s->n; i++) json_object_setn_new(vocab, s->pieces[i].text.data, s->pieces[i].text.len, must(json_integer(i)));
    lm_json *model = must(json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                                    "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 1, "byte_fallback", (int)s->byte_fallback,
                                    "ignore_merges", 0, "vocab", vocab, "merges", lm_document_merges(s->pieces, s->n)));
    if (s->unk >= 0) json_object_set_new(model, "unk_token", lm_document_text(s->pieces[s->unk].text));
    json_object_set_new(document, "model", model);
    return document;
}

lm_json *lm_document_unigram(const lm_sentencepiece *s)
{
    lm_json *document = surroundings(s, "piece"), *vocab = must(json_array());
    for (int i = 0; i < s->n; i++)
        json_array_append_new(vocab, must(json_pack("[o, f]", lm_document_text(s->pieces[i].text), (double)s->pieces[i].score)));
    json_object_set_new(document, "model",
                        must(json_pack("{s:s, s:i, s:o, s:b, s:s}", "type", "Unigram", "unk_id", s->unk, "vocab", vocab,
                                       "byte_fallback", (int)s->byte_fallback, "exact", "sentencepiece")));
    return document;
}

lm_json *lm_document_specials(const lm_sentencepiece *s, int pad)
{
    lm_json *config = must(json_object());
    const char *const keys[] = { "bos_token", "eos_token", "unk_token", "pad_token" };
    const int ids[] = { s->bos, s->eos, s->unk, pad };
    for (int i = 0; i < 4; i++)
        if (ids[i] >= 0) json_object_set_new(config, keys[i], lm_document_text(s->pieces[ids[i]].text));
    return config;
}
