/* Scanners against PCRE2: the same matches of the same expression on random text. */
#include "base/rng.h"
#include "token/pattern.h"
#include "token/unicode.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const names[] = { "gpt2", "llama3", "qwen2", "cl100k", "o200k", "tekken", "deepseek", "digits3" };

/* Characters on which the expressions turn, and some of any kind. */
static void random_text(lm_str *out, lm_rng *rng)
{
    static const char *const turns[] = { "'s", "'S", "'ll", "'Re", "'\xC5\xBF", "'", " ", "  ", "\n", "\r\n", "\t", "a", "B", "Dz", "\xC7\x85",
                                         "7", "12345", "/", "!?", "$", "\xCC\x81", "\xEA\xB0\x80", "\xE3\x80\x80", "\xC2\xA0", "\xC2\x85",
                                         "letters", "Capitals", "CAMELCaseOfWords", "@", "[", "`", "{", "z", "Z", "\xE1z\xFA", "\xE2\x85\xA7", "\xE1\xA0\x8E", "\xF0\x9F\x98\x80", "_", "\\", "^" };
    size_t n = (size_t)lm_rng_below(rng, 24);
    for (size_t i = 0; i < n; i++) {
        if (lm_rng_below(rng, 4)) lm_str_puts(out, turns[lm_rng_below(rng, sizeof turns / sizeof *turns)]);
        else if (lm_rng_below(rng, 2)) lm_str_put_rune(out, (uint32_t)(0x21 + lm_rng_below(rng, 0x2000)));
        else lm_str_put_rune(out, (uint32_t)(0xE000 + lm_rng_below(rng, 0x110000 - 0xE000)));
    }
}

static void scanners_match_pcre2(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 11 };
    int compared = 0;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *expression = lm_expression_named(names[k]);
        assert_non_null(expression);
        assert_non_null(lm_scanner_for(expression));
        lm_pattern *scanned = NULL, *compiled = NULL;
        lm_err err = {0};
        assert_int_equal(lm_pattern_regex(&scanned, expression, "test", &err), LM_OK);
        if (lm_pattern_compile(&compiled, expression, "test", &err)) fail_msg("%s", err.message);
        for (int round = 0; round < 3000; round++) {
            lm_str text = {0};
            random_text(&text, &rng);
            if (text.len) {
                lm_span span = lm_span_of(text.data, text.len);
                lm_matcher a = lm_matcher_start(scanned, span), b = lm_matcher_start(compiled, span);
                lm_match x, y;
                for (bool more = true; more;) {
                    more = lm_matcher_next(&b, &y);
                    assert_int_equal(lm_matcher_next(&a, &x), more);
                    if (more && (x.begin != y.begin || x.end != y.end))
                        fail_msg("%s: scanner %zu..%zu, PCRE2 %zu..%zu in \"%s\"", names[k], x.begin, x.end, y.begin, y.end, text.data);
                }
                assert_int_equal(lm_matcher_end(&a, &err), LM_OK);
                assert_int_equal(lm_matcher_end(&b, &err), LM_OK);
                compared++;
            }
            lm_str_free(&text);
        }
        lm_pattern_free(scanned);
        lm_pattern_free(compiled);
    }
    assert_true(compared > 10000);
}

static void bad_expressions(void **state)
{
    (void)state;
    lm_pattern *pattern = NULL;
    lm_err err = {0};
    assert_int_equal(lm_pattern_compile(&pattern, "(a", "here", &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "here"));
    lm_pattern_free(pattern);
    lm_err_clear(&err);
    assert_int_equal(lm_pattern_compile(&pattern, "a\\X", "here", &err), LM_E_UNSUPPORTED);
    lm_pattern_free(pattern);
    lm_err_clear(&err);

    assert_int_equal(lm_pattern_compile(&pattern, "(a+a+)+$", "here", &err), LM_OK);    /* explodes */
    lm_str text = {0};
    for (int i = 0; i < 60; i++) lm_str_putc(&text, 'a');
    lm_str_putc(&text, 'b');
    lm_matcher matcher = lm_matcher_start(pattern, lm_span_of(text.data, text.len));
    lm_match match;
    while (lm_matcher_next(&matcher, &match)) continue;
    assert_int_equal(lm_matcher_end(&matcher, &err), LM_E_FORMAT);
    lm_pattern_free(pattern);
    lm_str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(scanners_match_pcre2), cmocka_unit_test(bad_expressions) };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
