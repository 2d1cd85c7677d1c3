#define _GNU_SOURCE
#include "token/replace.h"

#include "token/pattern.h"

#include <stdlib.h>
#include <string.h>

static const char mark[] = "\xE2\x96\x81";               /* U+2581, SentencePiece's space */
enum { MARK = 3 };

typedef struct replacement replacement;
typedef void (*rewriter)(const replacement *r, lm_str *out, lm_span text);

struct replacement {
    lm_pattern *pattern;
    char *content;
    size_t n_content;
    char single;                     /* the byte that is replaced, if it is one; else NUL */
    rewriter rewrite;                /* a published expression, by hand; NULL: the pattern */
};

/* ---- what every SentencePiece model asks for, without a matcher --------------------------------------- */

/* "\A +| +\z" with nothing in its place. */
static void trim_spaces(const replacement *r, lm_str *out, lm_span text)
{
    (void)r;
    size_t begin = 0, end = text.len;
    while (begin < end && text.data[begin] == ' ') begin++;
    while (end > begin && text.data[end - 1] == ' ') end--;
    if (end > begin) lm_str_append(out, text.data + begin, end - begin);
}

/* " {2,}" */
static void squeeze_spaces(const replacement *r, lm_str *out, lm_span text)
{
    size_t done = 0;
    for (const char *two; (two = memmem(text.data + done, text.len - done, "  ", 2)) != NULL;) {
        size_t at = (size_t)(two - text.data), end = at + 2;
        while (end < text.len && text.data[end] == ' ') end++;
        lm_str_append(out, text.data + done, at - done);
        lm_str_append(out, r->content, r->n_content);
        done = end;
    }
    lm_str_append(out, text.data + done, text.len - done);
}

/* U+2581 "+\z" with nothing in its place. */
static void trim_marks(const replacement *r, lm_str *out, lm_span text)
{
    (void)r;
    while (text.len >= MARK && !memcmp(text.data + text.len - MARK, mark, MARK)) text.len -= MARK;
    lm_str_append(out, text.data, text.len);
}

static const struct {
    const char *expression;
    bool deletes;
    rewriter rewrite;
} published[] = {
    { "\\A +| +\\z", true, trim_spaces },
    { " {2,}", false, squeeze_spaces },
    { "\xE2\x96\x81+\\z", true, trim_marks },
};

/* One byte: mostly spaces, with a word between two of them. */
static void replace_byte(const replacement *r, lm_str *out, lm_span text)
{
    lm_str_reserve(out, out->len + text.len + text.len / 2);
    for (size_t at = 0; at < text.len;) {
        const char *found = memchr(text.data + at, r->single, text.len - at);
        size_t end = found ? (size_t)(found - text.data) : text.len;
        lm_str_append(out, text.data + at, end - at);
        if (found) lm_str_append(out, r->content, r->n_content);
        at = end + (found != NULL);
    }
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static rewriter find_rewriter(const replacement *r, const lm_json *pattern)
{
    const char *expression = json_string_value(lm_json_get(pattern, "Regex"));
    for (size_t i = 0; expression && i < sizeof published / sizeof *published; i++)
        if (!strcmp(published[i].expression, expression) && (!published[i].deletes || !r->n_content)) return published[i].rewrite;
    return r->single ? replace_byte : NULL;
}

void lm_replace_free(void *state)
{
    replacement *r = state;
    if (!r) return;
    lm_pattern_free(r->pattern);
    free(r->content);
    free(r);
}

lm_status lm_replace_load(void **state, const lm_step_source *source, lm_err *err)
{
    replacement *r = lm_calloc(1, sizeof *r);
    *state = r;
    const char *content;
    LM_TRY(lm_json_need_str(source->json, "content", source->name, &content, err));
    r->content = lm_strdup(content);
    r->n_content = strlen(content);
    const lm_json *pattern = lm_json_get(source->json, "pattern");
    LM_TRY(lm_pattern_read(&r->pattern, pattern, source->name, err));
    uint32_t character = lm_pattern_character(r->pattern);
    if (character < 0x80) r->single = (char)character;
    r->rewrite = find_rewriter(r, pattern);
    return LM_OK;
}

lm_status lm_replace(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    const replacement *r = state;
    if (r->rewrite) return r->rewrite(r, out, text), LM_OK;
    size_t done = 0;
    lm_match match;
    lm_matcher matcher = lm_matcher_start(r->pattern, text);
    while (lm_matcher_next(&matcher, &match)) {
        lm_str_append(out, text.data + done, match.begin - done);
        lm_str_append(out, r->content, r->n_content);
        done = match.end;
    }
    lm_str_append(out, text.data + done, text.len - done);
    return lm_matcher_end(&matcher, err);
}

bool lm_replace_cut(const void *state, lm_cut *cut)
{
    const replacement *r = state;
    uint32_t from = lm_pattern_character(r->pattern), to;
    if (!from || lm_is_settled(from)) return false;
    if (from != cut->rune) return true;
    size_t n = strlen(r->content);
    if (!n || (size_t)lm_utf8_decode(r->content, n, &to) != n) return false;
    cut->rune = to;
    return true;
}

uint32_t lm_replace_removes(const void *state)
{
    const replacement *r = state;
    uint32_t rune = lm_pattern_character(r->pattern);
    lm_str character = {0};
    if (rune) lm_str_put_rune(&character, rune);
    bool removed = rune && !strstr(r->content, character.data);
    lm_str_free(&character);
    return removed ? rune : 0;
}
