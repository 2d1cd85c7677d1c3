/* The expressions that are rewritten by hand, against the same ones run by the matcher. */
#include "common/test.h"
#include "base/rng.h"
#include "token/replace.h"

#include <string.h>

static void load(void **step, const char *kind, const char *pattern, const char *content)
{
    lm_json *json = json_pack("{s:{s:s}, s:s}", "pattern", kind, pattern, "content", content);
    lm_err err = {0};
    assert_non_null(json);
    assert_int_equal(lm_replace_load(step, &(lm_step_source){ .json = json, .name = "test" }, &err), LM_OK);
    json_decref(json);
}

static void random_text(lm_rng *rng, lm_str *out)
{
    static const char *const parts[] = { " ", " ", "  ", "\xE2\x96\x81", "a", "\xEA\xB0\x80", "\n", "\xE2\x96" };
    lm_str_clear(out);
    lm_str_puts(out, "");
    for (uint64_t n = lm_rng_below(rng, 12); n > 0; n--) lm_str_puts(out, parts[lm_rng_below(rng, sizeof parts / sizeof *parts)]);
}

/* A group that nothing refers to keeps the matcher's way. */
static void by_hand(void **state)
{
    (void)state;
    static const struct { const char *kind, *pattern, *same, *content; } cases[] = {
        { "Regex", "\\A +| +\\z", "(?:\\A +| +\\z)", "" },
        { "Regex", " {2,}", "(?: {2,})", " " },
        { "Regex", " {2,}", "(?: {2,})", "\xE2\x96\x81" },
        { "Regex", "\xE2\x96\x81+\\z", "(?:\xE2\x96\x81+\\z)", "" },
        { "String", " ", "(?: )", "\xE2\x96\x81" },
        { "String", " ", "(?: )", "" },
    };
    lm_rng rng = { .seed = 5 };
    lm_str text = {0}, fast = {0}, slow = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *hand, *matcher;
        lm_err err = {0};
        load(&hand, cases[i].kind, cases[i].pattern, cases[i].content);
        load(&matcher, "Regex", cases[i].same, cases[i].content);
        for (int round = 0; round < 2000; round++) {
            random_text(&rng, &text);
            lm_str_clear(&fast), lm_str_clear(&slow);
            assert_int_equal(lm_replace(hand, &fast, lm_span_of(text.data, text.len), &err), LM_OK);
            assert_int_equal(lm_replace(matcher, &slow, lm_span_of(text.data, text.len), &err), LM_OK);
            assert_int_equal(fast.len, slow.len);
            assert_memory_equal(fast.data ? fast.data : "", slow.data ? slow.data : "", fast.len);
        }
        lm_replace_free(hand), lm_replace_free(matcher);
    }
    lm_str_free(&text), lm_str_free(&fast), lm_str_free(&slow);
}

static void says_what_no_result_holds(void **state)
{
    (void)state;
    static const struct { const char *kind, *pattern, *content; uint32_t removed; } cases[] = {
        { "String", " ", "\xE2\x96\x81", ' ' }, { "String", "\xE2\x96\x81", "", 0x2581 }, { "String", " ", "a b", 0 },
        { "String", "  ", "a", 0 }, { "Regex", " ", "a", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *step;
        load(&step, cases[i].kind, cases[i].pattern, cases[i].content);
        assert_int_equal(lm_replace_removes(step), cases[i].removed);
        lm_replace_free(step);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(by_hand), cmocka_unit_test(says_what_no_result_holds) };
    return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
