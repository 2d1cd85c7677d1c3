/* Normal forms: Hangul by its arithmetic (The Unicode Standard, section 3.12), and what tokenizers make of it. */
#include "common/test.h"
#include "base/str.h"
#include "token/tokenizer.h"
#include "token/unicode.h"

#include <string.h>

#define GOLDEN "tests/golden/token/"

enum { SYLLABLES = 11172, VOWELS = 21, FINALS = 28, FIRST = 0x1100, VOWEL = 0x1161, FINAL = 0x11A7, SYLLABLE = 0xAC00 };

static void put_apart(lm_str *out, int syllable)
{
    int final = syllable % FINALS;
    lm_str_put_rune(out, (uint32_t)(FIRST + syllable / FINALS / VOWELS));
    lm_str_put_rune(out, (uint32_t)(VOWEL + syllable / FINALS % VOWELS));
    if (final) lm_str_put_rune(out, (uint32_t)(FINAL + final));
}

static void assert_form(lm_span text, lm_normal_form form, lm_span expected)
{
    lm_str found = {0};
    lm_unicode_normalise(&found, text, form);
    assert_int_equal(found.len, expected.len);
    assert_memory_equal(found.data, expected.data, expected.len);
    lm_str_free(&found);
}

static void every_syllable(void **state)
{
    (void)state;
    for (int i = 0; i < SYLLABLES; i++) {
        lm_str whole = {0}, apart = {0};
        lm_str_put_rune(&whole, (uint32_t)(SYLLABLE + i));
        put_apart(&apart, i);
        lm_span one = lm_span_of(whole.data, whole.len), jamo = lm_span_of(apart.data, apart.len);
        assert_form(jamo, LM_NFC, one);
        assert_form(jamo, LM_NFKC, one);
        assert_form(one, LM_NFD, jamo);
        assert_form(one, LM_NFKD, jamo);
        lm_str_free(&whole), lm_str_free(&apart);
    }
}

/* U+11A7 stands where a final consonant of number 0 would: it is a vowel, and stays. */
static void a_vowel_is_no_final(void **state)
{
    (void)state;
    static const char text[] = "\uAC00\u11A7\u11A8 \u1100\u1161\u11A7", composed[] = "\uAC00\u11A7\u11A8 \uAC00\u11A7";
    assert_form(lm_span_of(text, sizeof text - 1), LM_NFC, lm_span_of(composed, sizeof composed - 1));
    assert_form(lm_span_of(text, sizeof text - 1), LM_NFKC, lm_span_of(composed, sizeof composed - 1));
}

/* Whether a text has the same ids with its syllables whole and in jamo. */
static bool same_ids(const char *path)
{
    static const int text[] = { 5188, 10588, 3488, 840 };
    lm_err err = {0};
    lm_tokenizer *tk = NULL;
    lm_ids a = {0}, b = {0};
    lm_str whole = {0}, apart = {0};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        lm_str_put_rune(&whole, (uint32_t)(SYLLABLE + text[i]));
        put_apart(&apart, text[i]);
    }
    if (lm_tokenizer_load(&tk, path, &err)) fail_msg("%s", err.message);
    assert_int_equal(lm_encode(tk, &a, whole.data, whole.len, 0, &err), LM_OK);
    assert_int_equal(lm_encode(tk, &b, apart.data, apart.len, 0, &err), LM_OK);
    bool same = a.len == b.len && !memcmp(a.data, b.data, a.len * sizeof *a.data);
    lm_str_free(&whole), lm_str_free(&apart);
    lm_ids_free(&a), lm_ids_free(&b);
    lm_tokenizer_free(tk);
    return same;
}

static void both_forms_have_the_same_ids_where_the_model_says_so(void **state)
{
    (void)state;
    static const char *const composing[] = { GOLDEN "qwen2.json", GOLDEN "clip.json" };
    static const char *const plain[] = { GOLDEN "gpt2.json", GOLDEN "llama3.json", GOLDEN "llama2.json", GOLDEN "sp_bpe.model" };
    for (size_t i = 0; i < sizeof composing / sizeof *composing; i++)
        if (!same_ids(composing[i])) fail_msg("%s: other ids for Hangul in jamo", composing[i]);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (same_ids(plain[i])) fail_msg("%s: composes Hangul, which its normaliser does not", plain[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_syllable),
        cmocka_unit_test(a_vowel_is_no_final),
        cmocka_unit_test(both_forms_have_the_same_ids_where_the_model_says_so),
    };
    return cmocka_run_group_tests_name("unicode", tests, NULL, NULL);
}
