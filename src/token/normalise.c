/* Normalisers: text to text, before anything looks for tokens. */
#include "token/pattern.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- without settings -------------------------------------------------------------- */

static lm_status nfc(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_unicode_normalise(out, text, LM_NFC);
    return LM_OK;
}

static lm_status nfd(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_unicode_normalise(out, text, LM_NFD);
    return LM_OK;
}

static lm_status nfkc(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_unicode_normalise(out, text, LM_NFKC);
    return LM_OK;
}

static lm_status nfkd(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_unicode_normalise(out, text, LM_NFKD);
    return LM_OK;
}

static lm_status lowercase(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_unicode_lower(out, text);
    return LM_OK;
}

static lm_status byte_level(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    lm_bytes_spell(out, text);
    return LM_OK;
}

/* Drops combining marks (all of category Mn and its kin). */
static lm_status strip_accents(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)state, (void)err;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (!lm_rune_in(rune, LM_MARKS)) lm_str_append(out, text.data + i, length);
        i += length;
    }
    return LM_OK;
}

const lm_normaliser lm_normaliser_nfc = { .name = "NFC", .apply = nfc };
const lm_normaliser lm_normaliser_nfd = { .name = "NFD", .apply = nfd };
const lm_normaliser lm_normaliser_nfkc = { .name = "NFKC", .apply = nfkc };
const lm_normaliser lm_normaliser_nfkd = { .name = "NFKD", .apply = nfkd };
const lm_normaliser lm_normaliser_lowercase = { .name = "Lowercase", .apply = lowercase };
const lm_normaliser lm_normaliser_strip_accents = { .name = "StripAccents", .apply = strip_accents };
const lm_normaliser lm_normaliser_byte_level = { .name = "ByteLevel", .apply = byte_level };

/* ---- Prepend: a text before any that is not empty ---------------------------------------- */

static lm_status prepend_load(void **state, const lm_step_source *source, lm_err *err)
{
    const char *text;
    LM_TRY(lm_json_need_str(source->json, "prepend", source->name, &text, err));
    *state = lm_strdup(text);
    return LM_OK;
}

static lm_status prepend(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)err;
    if (text.len) lm_str_puts(out, state);
    lm_str_append(out, text.data, text.len);
    return LM_OK;
}

const lm_normaliser lm_normaliser_prepend = { .name = "Prepend", .load = prepend_load, .apply = prepend, .free = free };

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

static lm_status strip(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    (void)err;
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

typedef struct replacement {
    lm_pattern *pattern;
    char *content;
} replacement;

static void replace_free(void *state)
{
    replacement *r = state;
    if (!r) return;
    lm_pattern_free(r->pattern);
    free(r->content);
    free(r);
}

static lm_status replace_load(void **state, const lm_step_source *source, lm_err *err)
{
    replacement *r = lm_calloc(1, sizeof *r);
    *state = r;
    const char *content;
    LM_TRY(lm_json_need_str(source->json, "content", source->name, &content, err));
    r->content = lm_strdup(content);
    return lm_pattern_read(&r->pattern, lm_json_get(source->json, "pattern"), source->name, err);
}

static lm_status replace(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    const replacement *r = state;
    size_t done = 0;
    lm_match match;
    lm_matcher matcher = lm_matcher_start(r->pattern, text);
    while (lm_matcher_next(&matcher, &match)) {
        lm_str_append(out, text.data + done, match.begin - done);
        lm_str_puts(out, r->content);
        done = match.end;
    }
    lm_str_append(out, text.data + done, text.len - done);
    return lm_matcher_end(&matcher, err);
}

const lm_normaliser lm_normaliser_replace = { .name = "Replace", .load = replace_load, .apply = replace, .free = replace_free };
