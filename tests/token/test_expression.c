/* Expressions in Oniguruma's syntax, and grapheme clusters: cases from their documents, worked by hand. */
#include "common/test.h"
#include "token/expression.h"
#include "token/grapheme.h"
#include "token/pattern.h"

#include <string.h>

/* The matches of an expression in a text, each in brackets. */
static void find(lm_str *out, const char *expression, lm_span text)
{
    lm_pattern *pattern = NULL;
    lm_err err = {0};
    if (lm_pattern_compile(&pattern, expression, "here", &err)) fail_msg("%s", err.message);
    lm_matcher matcher = lm_matcher_start(pattern, text);
    for (lm_match m; lm_matcher_next(&matcher, &m);) lm_str_printf(out, "[%.*s]", (int)(m.end - m.begin), text.data + m.begin);
    assert_int_equal(lm_matcher_end(&matcher, &err), LM_OK);
    lm_pattern_free(pattern);
}

static void translated(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *text, *found;
    } cases[] = {
        { "a{1,2}+", "aaaaa", "[aaaaa]" },               /* not possessive: repeated */
        { "a{,2}", "aaaaa", "[aa][aa][a]" },
        { "a{2}?b", "aabb", "[aab][b]" },                /* optional, not lazy */
        { "a+?", "aa", "[a][a]" },
        { "a{", "a{", "[a{]" },
        { "a+$", "aa\naa", "[aa][aa]" },                 /* every line */
        { "^.", "ab\ncd", "[a][c]" },
        { ".+", "ab\r\ncd", "[ab\r][cd]" },
        { "(?m:.+)", "ab\ncd", "[ab\ncd]" },
        { "x(?i)b|c", "xB xC C", "[xB][xC]" },           /* the option holds for what follows, alternatives included */
        { "[a-z&&[^b]]+", "abcd", "[a][cd]" },
        { "[^[b-c]x]", "abcdx", "[a][d]" },
        { "[^a-c&&b-d]", "abcd", "[a][d]" },
        { "[]a]", "]a", "[]][a]" },
        { "[a-]", "-a", "[-][a]" },
        { "\\h+", "xyz09Af", "[09Af]" },
        { "[\\W]", "a b", "[ ]" },
        { "\\ba", "a ba a", "[a][a]" },
        { "\\p{Han}+|\\p{Hangul}", "a\xE4\xB8\xAD\xE6\x96\x87\xEA\xB0\x80", "[\xE4\xB8\xAD\xE6\x96\x87][\xEA\xB0\x80]" },
        { "\\p{^L}", "a1", "[1]" },
        { "\\P{Lu}", "aB", "[a]" },
        { "\\p{uppercase letter}", "aB", "[B]" },
        { "\\p{L}", "\xF0\xB1\x8D\x90", "[\xF0\xB1\x8D\x90]" },              /* U+31350, of Unicode 15.0 */
        { "\\w+", "\xC2\xB2" "a\xE2\x80\x8D", "[\xC2\xB2" "a]" },               /* superscript two is, the joiner is not */
        { "\\x41|\\x{42}|\\u0043|\\t", "ABC\t", "[A][B][C][\t]" },
        { "\\R", "\r\n\n", "[\r\n][\n]" },
        { "(a|b)\\1", "aabab", "[aa]" },
        { "(?#note)a", "a", "[a]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_str found = {0};
        find(&found, cases[i].expression, lm_span_of(cases[i].text, strlen(cases[i].text)));
        if (strcmp(found.data ? found.data : "", cases[i].found)) fail_msg("%s: expected %s, found %s", cases[i].expression, cases[i].found, found.data);
        lm_str_free(&found);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *says;
        lm_status status;
    } cases[] = {
        { "(a", "expected )", LM_E_FORMAT }, { "a)", "( at byte 1", LM_E_FORMAT }, { "[a", "expected ]", LM_E_FORMAT }, { "*a", "repeat", LM_E_FORMAT },
        { "a\\", "behind the backslash", LM_E_FORMAT }, { "[b-a]", "ascending", LM_E_FORMAT }, { "[a-\\d]", "ascending", LM_E_FORMAT }, { "\\p{L", "}", LM_E_FORMAT },
        { "\\pL", "{", LM_E_FORMAT }, { "\\x{110000}", "code point", LM_E_FORMAT }, { "\\p{Klingon}", "\\p{Klingon}", LM_E_UNSUPPORTED },
        { "\\X", "\\X", LM_E_UNSUPPORTED }, { "(?<n>a)", "name", LM_E_UNSUPPORTED }, { "(?x: a)", "group", LM_E_UNSUPPORTED },
        { "[[:alpha:]]", "POSIX", LM_E_UNSUPPORTED }, { "(?<=a*)b", "does not compile", LM_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_pattern *pattern = NULL;
        lm_err err = {0};
        lm_status status = lm_pattern_compile(&pattern, cases[i].expression, "here", &err);
        if (status != cases[i].status) fail_msg("%s: status %d, \"%s\"", cases[i].expression, status, err.message);
        if (status && (!strstr(err.message, cases[i].says) || !strstr(err.message, "here"))) fail_msg("%s: \"%s\"", cases[i].expression, err.message);
        lm_pattern_free(pattern);
    }
    lm_str deep = {0};
    for (int i = 0; i < 100000; i++) lm_str_putc(&deep, i < 50000 ? '(' : ')');
    lm_pattern *pattern = NULL;
    lm_err err = {0};
    assert_int_equal(lm_pattern_compile(&pattern, deep.data, "here", &err), LM_E_UNSUPPORTED);
    lm_pattern_free(pattern);
    lm_str_free(&deep);
}

static void clusters(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        { "ab", 1 }, { "a\xCC\x81" "b", 3 }, { "\r\n", 2 }, { "\n\r", 1 }, { "a\r", 1 },
        { "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8x", 9 },                          /* jamo: L V T */
        { "\xEA\xB0\x80\xE1\x86\xA8", 6 }, { "\xEA\xB0\x81\xE1\x85\xA1", 3 },    /* LV T; LVT, V */
        { "\xF0\x9F\x87\xB0\xF0\x9F\x87\xB7\xF0\x9F\x87\xBA", 8 },               /* three regional indicators */
        { "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", 11 },                  /* woman, joiner, girl */
        { "a\xE2\x80\x8D\xF0\x9F\x91\xA7", 4 },                                    /* no picture before the joiner */
        { "\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\xB7", 9 },                           /* KA, virama, SSA */
        { "\xD8\x80" "a", 3 },                                                     /* a prepended sign */
        { "a\xE1\xAB\x8F", 4 },                                                    /* a mark of Unicode 17.0 */
        { "\xFF\xFE", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = lm_grapheme_length(lm_span_of(cases[i].text, strlen(cases[i].text)));
        if (length != cases[i].length) fail_msg("\"%s\": expected %zu bytes, found %zu", cases[i].text, cases[i].length, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(translated), cmocka_unit_test(refused), cmocka_unit_test(clusters) };
    return cmocka_run_group_tests_name("expression", tests, NULL, NULL);
}
