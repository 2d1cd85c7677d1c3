/* Regular expressions through PCRE2, translated from Oniguruma's syntax (expression.c). */
#define _GNU_SOURCE
#define PCRE2_CODE_UNIT_WIDTH 8
#include "token/pattern.h"
#include "token/expression.h"
#include "token/unicode.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MATCH_LIMIT = 5000000 };

struct lm_pattern {
    lm_scanner scan;
    pcre2_code *code;
    pcre2_match_context *limits;
    lm_str literal;
};

/* ---- compiling ----------------------------------------------------------------------- */

static lm_status compile(lm_pattern *pattern, const lm_str *translated, const char *expression, const char *name, lm_err *err)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    LM_ASSERT(context);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)(translated->data ? translated->data : ""), translated->len, PCRE2_UTF | PCRE2_UCP, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!pattern->code) {
        PCRE2_UCHAR reason[120];
        pcre2_get_error_message(code, reason, sizeof reason);
        return lm_fail(err, LM_E_FORMAT, "%s: pattern \"%.200s\" does not compile: %s", name, expression, (char *)reason);
    }
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    pattern->limits = pcre2_match_context_create(NULL);
    LM_ASSERT(pattern->limits);
    pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    return LM_OK;
}

lm_status lm_pattern_compile(lm_pattern **out, const char *expression, const char *name, lm_err *err)
{
    *out = lm_calloc(1, sizeof **out);
    lm_str translated = {0};
    lm_status status = lm_expression_translate(&translated, expression, name, err);
    if (!status) status = compile(*out, &translated, expression, name, err);
    lm_str_free(&translated);
    return status;
}

lm_status lm_pattern_regex(lm_pattern **out, const char *expression, const char *name, lm_err *err)
{
    lm_scanner scan = lm_scanner_for(expression);
    if (!scan) return lm_pattern_compile(out, expression, name, err);
    *out = lm_calloc(1, sizeof **out);
    (*out)->scan = scan;
    return LM_OK;
}

lm_status lm_pattern_literal(lm_pattern **out, lm_span text, const char *name, lm_err *err)
{
    *out = NULL;
    if (!text.len) return lm_fail(err, LM_E_FORMAT, "%s: an empty pattern", name);
    *out = lm_calloc(1, sizeof **out);
    lm_str_append(&(*out)->literal, text.data, text.len);
    return LM_OK;
}

lm_status lm_pattern_read(lm_pattern **out, const lm_json *json, const char *name, lm_err *err)
{
    *out = NULL;
    const lm_json *literal = lm_json_get(json, "String"), *regex = lm_json_get(json, "Regex");
    if (json_is_string(regex)) return lm_pattern_regex(out, json_string_value(regex), name, err);
    if (json_is_string(literal))
        return lm_pattern_literal(out, lm_span_of(json_string_value(literal), json_string_length(literal)), name, err);
    return lm_fail(err, LM_E_FORMAT, "%s: pattern: expected {\"String\": ...} or {\"Regex\": ...}", name);
}

lm_scanner lm_pattern_scanner(const lm_pattern *pattern) { return pattern->scan; }

uint32_t lm_pattern_character(const lm_pattern *pattern)
{
    uint32_t rune;
    const lm_str *literal = &pattern->literal;
    return literal->len && (size_t)lm_utf8_decode(literal->data, literal->len, &rune) == literal->len ? rune : 0;
}

bool lm_pattern_cut(const lm_pattern *pattern, uint32_t rune, bool loose, bool *divides)
{
    *divides = false;
    if (pattern->scan) return lm_scanner_cut(pattern->scan, rune, loose, divides);
    uint32_t character = lm_pattern_character(pattern);
    *divides = character == rune;
    return character != 0;
}

void lm_pattern_free(lm_pattern *pattern)
{
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    pcre2_match_context_free(pattern->limits);
    lm_str_free(&pattern->literal);
    free(pattern);
}

/* ---- matching -------------------------------------------------------------------------- */

/* PCRE2 wants valid UTF-8: each offending byte becomes U+FFFD, and `origin` leads back. */
static void repair(lm_matcher *m)
{
    lm_unicode_repair(&m->repaired, m->text, true);
    m->origin = lm_malloc((m->repaired.len + 1) * sizeof *m->origin);
    size_t from = 0;
    for (size_t to = 0; to < m->repaired.len;) {
        uint32_t rune;
        bool broken = lm_utf8_decode(m->text.data + from, m->text.len - from, &rune) == 0;
        int length = lm_utf8_decode(m->repaired.data + to, m->repaired.len - to, &rune);
        for (int i = 0; i < length; i++) m->origin[to + (size_t)i] = from + (broken ? 0 : (size_t)i);
        to += (size_t)length;
        from += broken ? 1 : (size_t)length;
    }
    m->origin[m->repaired.len] = m->text.len;
}

lm_matcher lm_matcher_start(const lm_pattern *pattern, lm_span text)
{
    lm_matcher m = { .pattern = pattern, .text = text, .last_end = SIZE_MAX };
    if (!pattern->code) return m;
    if (lm_utf8_valid(text.data, text.len) < text.len) {
        repair(&m);
        m.text = lm_span_of(m.repaired.data, m.repaired.len);
    }
    m.match_data = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    LM_ASSERT(m.match_data);
    return m;
}

/* JIT code may run out of its stack where the interpreter does not. */
static int search(const lm_matcher *m)
{
    PCRE2_SPTR text = (PCRE2_SPTR)(m->text.data ? m->text.data : "");
    int rc = pcre2_match(m->pattern->code, text, m->text.len, m->at, PCRE2_NO_UTF_CHECK, m->match_data, m->pattern->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(m->pattern->code, text, m->text.len, m->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->match_data, m->pattern->limits);
    return rc;
}

/* An empty match right behind the match before does not count. */
static bool next_regex(lm_matcher *m, lm_match *match)
{
    while (m->at <= m->text.len) {
        int rc = search(m);
        if (rc == PCRE2_ERROR_NOMATCH) return false;
        if (rc < 0) return m->failed = true, false;
        PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(m->match_data);
        size_t begin = offsets[0], end = offsets[1];
        bool again = begin == end && begin == m->last_end;
        m->at = end;
        if (begin == end) {
            uint32_t rune;
            m->at += end < m->text.len ? (size_t)lm_rune_at(m->text.data + end, m->text.len - end, &rune) : 1;
        }
        if (again) continue;
        m->last_end = end;
        *match = m->origin ? (lm_match){ m->origin[begin], m->origin[end] } : (lm_match){ begin, end };
        return true;
    }
    return false;
}

static bool next_scanned(lm_matcher *m, lm_match *match)
{
    for (size_t at = m->at; at < m->text.len;) {
        size_t end = m->pattern->scan(m->text, at);
        if (end > at) {
            *match = (lm_match){ at, m->at = end };
            return true;
        }
        uint32_t rune;
        at += (size_t)lm_rune_at(m->text.data + at, m->text.len - at, &rune);
    }
    m->at = m->text.len;
    return false;
}

static bool next_literal(lm_matcher *m, lm_match *match)
{
    const lm_str *literal = &m->pattern->literal;
    const char *found = m->at < m->text.len ? memmem(m->text.data + m->at, m->text.len - m->at, literal->data, literal->len) : NULL;
    if (!found) return false;
    match->begin = (size_t)(found - m->text.data);
    match->end = m->at = match->begin + literal->len;
    return true;
}

bool lm_matcher_next(lm_matcher *m, lm_match *match)
{
    if (m->pattern->code) return next_regex(m, match);
    return m->pattern->scan ? next_scanned(m, match) : next_literal(m, match);
}

lm_status lm_matcher_end(lm_matcher *m, lm_err *err)
{
    pcre2_match_data_free(m->match_data);
    lm_str_free(&m->repaired);
    free(m->origin);
    if (!m->failed) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "the pre-tokeniser's pattern needs more than %d steps at byte %zu of the text", MATCH_LIMIT, m->at);
}
