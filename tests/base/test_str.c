/* Strings, UTF-8 and near words. */
#include "common/test.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static void test_growth(void **state)
{
    (void)state;
    lm_str s = {0};
    for (int i = 0; i < 1000; i++) {
        lm_str_printf(&s, "%d,", i);
        assert_int_equal(strlen(s.data), s.len);
        assert_true(s.cap >= s.len);
    }
    assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
    lm_str_append(&s, "a\0b", 3);
    assert_memory_equal(s.data + s.len - 3, "a\0b", 4);
    lm_str_clear(&s);
    assert_string_equal(s.data, "");
    lm_str_puts(&s, "kept");
    char *text = lm_str_take(&s);
    assert_string_equal(text, "kept");
    assert_null(s.data);
    free(text);
    text = lm_str_take(&s);
    assert_string_equal(text, "");                     /* never NULL, so that a caller may print it */
    free(text);
    lm_str_free(&s);
    lm_str_free(NULL);
}

/* Every code point survives encode and decode; every surrogate is refused. */
static void test_utf8_every_code_point(void **state)
{
    (void)state;
    lm_str s = {0};
    for (uint32_t rune = 0; rune <= 0x10FFFF; rune++) {
        lm_str_clear(&s);
        lm_str_put_rune(&s, rune);
        uint32_t back = 0;
        int len = lm_utf8_decode(s.data, s.len, &back);
        if (rune >= 0xD800 && rune <= 0xDFFF) {
            if (len != 0) fail_msg("surrogate %x accepted", rune);
        } else if (len != (int)s.len || back != rune || (s.len > 1 && lm_utf8_decode(s.data, s.len - 1, &back))) {
            fail_msg("code point %x", rune);
        }
    }
    lm_str_free(&s);
}

/* Bad bytes of each sort, and where validation stops. */
static void test_utf8_invalid(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t n, bad; } cases[] = {
        { "", 0, 0 }, { "ascii only, longer than a word", 30, 30 }, { "\xEB\xA7\x90\xEB\xAA\xA8\xEC\x9D\xB4", 9, 9 },
        { "abcdefgh\x80", 9, 8 }, { "a\xC0\x80", 3, 1 }, { "a\xC1\xBF", 3, 1 }, { "\xE0\x9F\xBF", 3, 0 },
        { "\xED\xA0\x80", 3, 0 }, { "\xF0\x8F\xBF\xBF", 4, 0 }, { "\xF4\x90\x80\x80", 4, 0 }, { "\xF8\x88\x80\x80\x80", 5, 0 },
        { "\xFF", 1, 0 }, { "ab\xEB\xA7", 4, 2 }, { "\xEB\xA7zz", 4, 0 }, { "\xF4\x8F\xBF\xBF", 4, 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *exact = malloc(cases[i].n + !cases[i].n);   /* so that ASan sees a read past the end */
        memcpy(exact, cases[i].bytes, cases[i].n);
        assert_int_equal(lm_utf8_valid(exact, cases[i].n), cases[i].bad);
        free(exact);
    }
}

/* Character by character: what blocks of sixteen must find, too. */
static size_t valid_by_characters(const char *p, size_t n)
{
    size_t i = 0;
    for (uint32_t rune; i < n;) {
        int length = lm_utf8_decode(p + i, n - i, &rune);
        if (!length) break;
        i += (size_t)length;
    }
    return i;
}

/* Characters at the ends of their ranges, at every place of a block, some with a byte that does not belong. */
static void test_utf8_valid_in_long_texts(void **state)
{
    (void)state;
    static const uint32_t ends[] = { 0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xAC00, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF };
    static const unsigned char bad[] = { 0x00, 0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0xFF };
    lm_rng rng = { .seed = 17 };
    lm_str text = {0};
    int faults = 0;
    for (int round = 0; round < 20000; round++) {
        lm_str_clear(&text);
        for (uint64_t n = 1 + lm_rng_below(&rng, 40); n--;) lm_str_put_rune(&text, ends[lm_rng_below(&rng, sizeof ends / sizeof *ends)]);
        if (round & 1) text.data[lm_rng_below(&rng, text.len)] = (char)bad[lm_rng_below(&rng, sizeof bad)];
        size_t n = text.len - (round & 2 ? lm_rng_below(&rng, 4) % text.len : 0), valid = lm_utf8_valid(text.data, n);
        assert_int_equal(valid, valid_by_characters(text.data, n));
        faults += valid < n;
    }
    assert_true(faults > 5000);
    lm_str_free(&text);
}

static void test_spans_and_affixes(void **state)
{
    (void)state;
    assert_true(lm_span_eq(lm_span_of("learning", 5), "learn"));
    assert_false(lm_span_eq(lm_span_of("learning", 5), "learning"));
    assert_true(lm_span_eq(lm_span_of(NULL, 0), ""));
    assert_true(lm_starts_with("--name", "--") && !lm_starts_with("-", "--"));
    assert_true(lm_ends_with("a.json", ".json") && !lm_ends_with("json", ".json") && lm_ends_with("x", ""));
}

static void test_width(void **state)
{
    (void)state;
    static const struct { const char *text; size_t width; } cases[] = {
        { "", 0 }, { "abc", 3 }, { "말모이", 6 }, { "a말b", 4 }, { "e\u0301", 1 }, { "漢字", 4 }, { "\xFF\xFE", 2 }, { "\x01\n", 0 }, { "\u1112\u1161\u11AB", 2 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        if (lm_text_width(cases[i].text, n) != cases[i].width) fail_msg("case %zu: %zu", i, lm_text_width(cases[i].text, n));
        assert_int_equal(lm_text_fit(cases[i].text, n, cases[i].width), n);
    }
    assert_int_equal(lm_text_fit("말모이", 9, 5), 6);   /* half a character does not stand */
    assert_int_equal(lm_text_fit("말모이", 9, 0), 0);
    assert_int_equal(lm_text_fit("e\u0301x", 4, 1), 3); /* the accent stays with its letter */
}

static void test_one_line(void **state)
{
    (void)state;
    char text[] = "a\nb\r\t\033[31m\x7F|\xC2\x9B|\xC2\xA0\xEB\xA7\x90";
    lm_one_line(text);
    assert_string_equal(text, "a?b???[31m?|\?\?|\xC2\xA0\xEB\xA7\x90");
    char cut[] = "x\xC2";
    lm_one_line(cut);
    assert_string_equal(cut, "x\xC2");
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const words[] = { "batch-size", "learning-rate", "epochs", "seed", "lr", NULL };
    assert_string_equal(lm_nearest("learning-rat", words), "learning-rate");
    assert_string_equal(lm_nearest("laerning-rate", words), "learning-rate");
    assert_string_equal(lm_nearest("epcohs", words), "epochs");
    assert_string_equal(lm_nearest("seeed", words), "seed");
    assert_string_equal(lm_nearest("lx", words), "lr");
    assert_null(lm_nearest("temperature", words));
    assert_null(lm_nearest("q", words));
    assert_null(lm_nearest("", words));
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(lm_nearest(longest, words));
    const char *const long_words[] = { longest, NULL };
    assert_null(lm_nearest("aaaa", long_words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth), cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_utf8_invalid), cmocka_unit_test(test_utf8_valid_in_long_texts), cmocka_unit_test(test_spans_and_affixes), cmocka_unit_test(test_width),
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
