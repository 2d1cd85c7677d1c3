/* Normalisers: text to text, before anything looks for tokens. */
#include "token/pipeline.h"
#include "token/replace.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- without settings -------------------------------------------------------------- */

static lm_status nfc(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_unicode_normalise(out, text, LM_NFC);
    return LM_OK;
}

static lm_status nfd(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_unicode_normalise(out, text, LM_NFD);
    return LM_OK;
}

static lm_status nfkc(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_unicode_normalise(out, text, LM_NFKC);
    return LM_OK;
}

static lm_status nfkd(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_unicode_normalise(out, text, LM_NFKD);
    return LM_OK;
}

static lm_status lowercase(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_unicode_lower(out, text);
    return LM_OK;
}

static lm_status byte_level(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    lm_bytes_spell(out, text);
    return LM_OK;
}

static lm_status strip_accents(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (!lm_rune_is(rune, LM_RUNE_MARK)) lm_str_append(out, text.data + i, length);
        i += length;
    }
    return LM_OK;
}

/* What SentencePiece's rules for translation drop, and what they make a space. */
static bool nmt_drops(uint32_t rune) { return (rune >= 1 && rune <= 8) || rune == 0xB || (rune >= 0xE && rune <= 0x1F) || rune == 0x7F || rune == 0x8F || rune == 0x9F; }

static bool nmt_is_space(uint32_t rune)
{
    static const uint32_t spaces[] = { 0x9, 0xA, 0xC, 0xD, 0x1680, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD };
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (rune == spaces[i]) return true;
    return false;
}

static lm_status nmt(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)state, (void)place, (void)err;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (nmt_is_space(rune)) lm_str_putc(out, ' ');
        else if (!nmt_drops(rune)) lm_str_append(out, text.data + i, length);
        i += length;
    }
    return LM_OK;
}

/* White characters stay, and nothing composes with one or across it. */
static bool cut_stays(const void *state, lm_cut *cut)
{
    (void)state, (void)cut;
    return true;
}

const lm_normaliser lm_normaliser_nfc = { .name = "NFC", .apply = nfc, .cut = cut_stays, .quick = true };
const lm_normaliser lm_normaliser_nfd = { .name = "NFD", .apply = nfd, .cut = cut_stays, .quick = true };
const lm_normaliser lm_normaliser_nfkc = { .name = "NFKC", .apply = nfkc, .cut = cut_stays, .quick = true };
const lm_normaliser lm_normaliser_nfkd = { .name = "NFKD", .apply = nfkd, .cut = cut_stays, .quick = true };
const lm_normaliser lm_normaliser_lowercase = { .name = "Lowercase", .apply = lowercase, .cut = cut_stays };
const lm_normaliser lm_normaliser_strip_accents = { .name = "StripAccents", .apply = strip_accents, .cut = cut_stays };
const lm_normaliser lm_normaliser_nmt = { .name = "Nmt", .apply = nmt };
const lm_normaliser lm_normaliser_byte_level = { .name = "ByteLevel", .apply = byte_level };

/* ---- Prepend: a text before any that is not empty ---------------------------------------- */

typedef struct prefix {
    char *text;
    bool once;                       /* SentencePiece's way ("exact"): not behind an added token */
} prefix;

static void prepend_free(void *state)
{
    prefix *p = state;
    if (p) free(p->text);
    free(p);
}

static lm_status prepend_load(void **state, const lm_step_source *source, lm_err *err)
{
    prefix *p = lm_calloc(1, sizeof *p);
    *state = p;
    const char *text, *exact = NULL;
    LM_TRY(lm_json_need_str(source->json, "prepend", source->name, &text, err));
    LM_TRY(lm_json_opt_str(source->json, "exact", source->name, &exact, err));
    p->text = lm_strdup(text);
    p->once = exact != NULL;
    return LM_OK;
}

static lm_status prepend(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)err;
    const prefix *p = state;
    if (text.len && (place == LM_PLACE_FIRST || (place == LM_PLACE_BEHIND && !p->once))) lm_str_puts(out, p->text);
    lm_str_append(out, text.data, text.len);
    return LM_OK;
}

const lm_normaliser lm_normaliser_prepend = { .name = "Prepend", .load = prepend_load, .apply = prepend, .cut = cut_stays, .free = prepend_free };

/* ---- Strip: white space at the ends ------------------------------------------------------- */

typedef struct strip_ends {
    bool left, right;
} strip_ends;

static lm_status strip_load(void **state, const lm_step_source *source, lm_err *err)
{
    strip_ends *s = lm_calloc(1, sizeof *s);
    *state = s;
    LM_TRY(lm_json_opt_bool(source->json, "strip_left", source->name, &s->left, err));
    return lm_json_opt_bool(source->json, "strip_right", source->name, &s->right, err);
}

static lm_status strip(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)place, (void)err;
    const strip_ends *s = state;
    size_t begin = 0, end = 0;       /* end: behind the last character that stays */
    bool leading = s->left;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        i += length;
        bool space = lm_rune_is_space(rune);
        if (leading && space) begin = i;
        else leading = false;
        if (!space || !s->right) end = i;
    }
    if (end > begin) lm_str_append(out, text.data + begin, end - begin);
    return LM_OK;
}

const lm_normaliser lm_normaliser_strip = { .name = "Strip", .load = strip_load, .apply = strip, .free = free };

/* ---- Replace: every match of a pattern ------------------------------------------------------ */

static lm_status replace(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)place;
    return lm_replace(state, out, text, err);
}

const lm_normaliser lm_normaliser_replace = {
    .name = "Replace",
    .apply = replace,
    .cut = lm_replace_cut,
    .free = lm_replace_free,
    .load = lm_replace_load,
    .removes = lm_replace_removes,
};

/* ---- BertNormalizer: clean, set Chinese characters apart, strip accents, lower case -------------- */

typedef struct bert {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
} bert;

/* strip_accents: null means as lowercase says. */
static lm_status bert_load(void **state, const lm_step_source *source, lm_err *err)
{
    bert *b = lm_calloc(1, sizeof *b);
    *state = b;
    b->clean_text = b->handle_chinese_chars = b->lowercase = true;
    LM_TRY(lm_json_opt_bool(source->json, "clean_text", source->name, &b->clean_text, err));
    LM_TRY(lm_json_opt_bool(source->json, "handle_chinese_chars", source->name, &b->handle_chinese_chars, err));
    LM_TRY(lm_json_opt_bool(source->json, "lowercase", source->name, &b->lowercase, err));
    b->strip_accents = b->lowercase;
    return lm_json_opt_bool(source->json, "strip_accents", source->name, &b->strip_accents, err);
}

/* The blocks of Han characters, as BERT's authors listed them. */
static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F)
           || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* Hangul and most of ASCII, which is in none of the classes. */
static bool is_ordinary(uint32_t rune) { return (rune >= ' ' && rune < 0x7F) || (rune >= 0xAC00 && rune <= 0xD7A3); }

static lm_span bert_clean(const bert *b, lm_str *out, lm_span text)
{
    size_t begin = 0;                /* of what is the same and not copied yet */
    for (size_t i = 0, length; i < text.len; i += length) {
        uint32_t rune;
        length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (is_ordinary(rune)) continue;
        bool chinese = b->handle_chinese_chars && is_chinese(rune);
        bool control = b->clean_text && lm_rune_is(rune, LM_RUNE_CONTROL), space = b->clean_text && !control && lm_rune_is_space(rune);
        if (!chinese && !control && !space) continue;
        lm_str_append(out, text.data + begin, i - begin);
        if (space || chinese) lm_str_putc(out, ' ');
        if (chinese) lm_str_append(out, text.data + i, length);
        if (chinese) lm_str_putc(out, ' ');
        begin = i + length;
    }
    if (!begin) return text;
    lm_str_append(out, text.data + begin, text.len - begin);
    return lm_span_of(out->data, out->len);
}

static lm_span bert_strip(lm_str *apart, lm_str *out, lm_span text)
{
    lm_unicode_normalise(apart, text, LM_NFD);
    size_t begin = 0;
    for (size_t i = 0, length; i < apart->len; i += length) {
        uint32_t rune;
        length = (size_t)lm_rune_at(apart->data + i, apart->len - i, &rune);
        if (rune < 0x80 || !lm_rune_is(rune, LM_RUNE_ACCENT)) continue;
        lm_str_append(out, apart->data + begin, i - begin);
        begin = i + length;
    }
    if (!begin) return lm_span_of(apart->data, apart->len);
    lm_str_append(out, apart->data + begin, apart->len - begin);
    return lm_span_of(out->data, out->len);
}

static lm_status bert_apply(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)place, (void)err;
    const bert *b = state;
    lm_str clean = {0}, apart = {0}, bare = {0};
    text = bert_clean(b, &clean, text);
    if (b->strip_accents) text = bert_strip(&apart, &bare, text);
    if (b->lowercase) lm_unicode_lower(out, text);
    else lm_str_append(out, text.data, text.len);
    lm_str_free(&clean), lm_str_free(&apart), lm_str_free(&bare);
    return LM_OK;
}

/* A space behind a Chinese character is white space before the cut. */
static bool bert_cut(const void *state, lm_cut *cut)
{
    const bert *b = state;
    if (b->clean_text) cut->rune = ' ';
    cut->loose = true;
    return true;
}

const lm_normaliser lm_normaliser_bert = { .name = "BertNormalizer", .load = bert_load, .apply = bert_apply, .cut = bert_cut, .free = free };
