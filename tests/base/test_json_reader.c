/* The JSON cursor: walks by hand, refusals with their place, and against jansson's own parser. */
#include "common/test.h"
#include "base/json_reader.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_json_reader over(const char *text, lm_err *err)
{
    lm_json_reader r;
    lm_json_reader_init(&r, lm_span_of(text, strlen(text)), "x.json", err);
    return r;
}

static void test_walk(void **state)
{
    (void)state;
    lm_err err = {0};
    lm_json_reader r = over("\xEF\xBB\xBF {\"a\": [1, -20 , 300], \"b\\n\": {}, \"c\": [], \"d\": 1.5e1}\n", &err);
    lm_str buffer = {0};
    lm_span key;
    int64_t i, sum = 0;
    double real;
    assert_true(lm_json_open(&r, '{'));
    assert_true(lm_json_key(&r, &buffer, &key) && lm_span_eq(key, "a"));
    assert_true(lm_json_open(&r, '['));
    while (lm_json_item(&r) && lm_json_integer(&r, &i)) sum += i;
    assert_int_equal(sum, 281);
    assert_true(lm_json_key(&r, &buffer, &key) && lm_span_eq(key, "b\n"));
    assert_true(lm_json_open(&r, '{') && !lm_json_key(&r, &buffer, &key));
    assert_true(lm_json_key(&r, &buffer, &key) && lm_span_eq(key, "c"));
    assert_int_equal(lm_json_peek(&r), '[');
    assert_true(lm_json_open(&r, '[') && !lm_json_item(&r));
    assert_true(lm_json_key(&r, &buffer, &key) && lm_json_number(&r, &real) && real == 15);
    assert_false(lm_json_key(&r, &buffer, &key));
    assert_int_equal(lm_json_reader_end(&r), LM_OK);
    lm_str_free(&buffer);
}

/* A run of items without its brackets ends where the text does; lists inside it have theirs. */
static void test_items(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t sum; bool good; } cases[] = {
        { "1, 2 ,3", 6, true }, { "", 0, true }, { " \n", 0, true }, { "1, [2, 3],\n4 ", 10, true },
        { "1,", 1, false }, { "1 2", 1, false }, { ",1", 0, false }, { "1]", 1, false }, { "1, [2", 3, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        lm_json_reader r;
        int64_t sum = 0, value;
        lm_json_reader_items(&r, lm_span_of(cases[i].text, strlen(cases[i].text)), "x.json", &err);
        while (lm_json_item(&r)) {
            if (lm_json_peek(&r) != '[') sum += lm_json_integer(&r, &value) ? value : 0;
            else for (lm_json_open(&r, '['); lm_json_item(&r) && lm_json_integer(&r, &value);) sum += value;
            if (r.status) break;
        }
        assert_int_equal(r.status == LM_OK, cases[i].good);
        assert_int_equal(sum, cases[i].sum);
    }
}

/* A string without escapes is a part of the text; runs of every length meet the word-wise search. */
static void test_strings(void **state)
{
    (void)state;
    static const struct { const char *text, *meant; size_t n; } cases[] = {
        { "\"\"", "", 0 }, { "\"\\u0120hello\"", "\xC4\xA0hello", 7 }, { "\"\\ud83d\\uDE00\"", "\xF0\x9F\x98\x80", 4 },
        { "\"a\\u0000b\"", "a\0b", 3 }, { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
        { "\"\x7F\xC2\x80\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\"", "\x7F\xC2\x80\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", 13 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        lm_json_reader r = over(cases[i].text, &err);
        lm_str buffer = {0};
        lm_span out;
        if (!lm_json_string(&r, &buffer, &out)) fail_msg("%s", err.message);
        assert_int_equal(out.len, cases[i].n);
        assert_memory_equal(out.data, cases[i].meant, cases[i].n);
        lm_str_free(&buffer);
    }
    for (size_t n = 0; n < 40; n++)
        for (size_t at = 0; at <= n; at++) {               /* a two-byte character at each place */
            lm_str text = {0}, buffer = {0};
            lm_span out;
            lm_str_putc(&text, '"');
            for (size_t i = 0; i < n; i++) i == at ? lm_str_puts(&text, "\xC4\xA0") : lm_str_putc(&text, 'x');
            lm_str_puts(&text, "\", \"y\"");
            char *exact = lm_malloc(text.len);              /* one byte too many would be seen */
            memcpy(exact, text.data, text.len);
            lm_json_reader r;
            lm_json_reader_init(&r, lm_span_of(exact, text.len), "x", NULL);
            assert_true(lm_json_string(&r, &buffer, &out));
            assert_ptr_equal(out.data, exact + 1);
            assert_int_equal(out.len, n + (at < n));
            free(exact);
            lm_str_free(&text), lm_str_free(&buffer);
        }
}

static void test_integers(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t value; bool fits; } cases[] = {
        { "0", 0, true }, { "-0", 0, true }, { "7", 7, true }, { "-1", -1, true }, { "999999999999999999", 999999999999999999, true },
        { "9223372036854775807", INT64_MAX, true }, { "-9223372036854775808", INT64_MIN, true }, { "9223372036854775808", 0, false },
        { "1.0", 0, false }, { "1e2", 0, false }, { "01", 0, false }, { "-", 0, false }, { "+1", 0, false }, { "\"1\"", 0, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        lm_json_reader r = over(cases[i].text, &err);
        int64_t value = 0;
        assert_int_equal(lm_json_integer(&r, &value), cases[i].fits);
        if (cases[i].fits) assert_int_equal(value, cases[i].value);
        assert_int_equal(lm_json_reader_end(&r), cases[i].fits ? LM_OK : LM_E_FORMAT);
    }
}

/* The first failure stays, says where it is, and stops everything after it. */
static void test_failures(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } cases[] = {
        { "[1,\n  2 3]", "x.json: line 2, column 5: not JSON: expected ',' or ']', found '3'" },
        { "{\"가\": 1 \"나\"", "x.json: column 9: not JSON: expected ',' or '}', found '\"'" },
        { "[1, ]", "x.json: column 5: not JSON: expected a value, found ']'" },
        { "[\"\x01\"]", "x.json: column 3: not JSON: expected valid UTF-8 without control characters, found byte 0x01" },
        { "[\"abcdefghij\xED\xA0\x80\"]", "x.json: column 13: not JSON: expected valid UTF-8 without control characters, found byte 0xED" },
        { "[\"\\ud800\"]", "x.json: column 4: not JSON: half of a surrogate pair \\uD800" },
        { "[\"\\ud800\\ud800\"]", "x.json: column 4: not JSON: half of a surrogate pair \\uD800" },
        { "[\"\\udc00\"]", "x.json: column 4: not JSON: half of a surrogate pair \\uDC00" },
        { "[\"\\u12g4\"]", "x.json: column 4: not JSON: expected four hexadecimal digits behind \\u" },
        { "[\"\\x\"]", "x.json: column 4: not JSON: expected one of \"\\/bfnrtu behind \\, found 'x'" },
        { "{\"a\\u0000\": 1}", "x.json: column 11: not JSON: a key with a zero byte" },
        { "[\"a", "x.json: column 3: not JSON: expected '\"', found the end" },
        { "{\"a\": 1, \"a\": 2}", "x.json: column 14: not JSON: duplicate key \"a\"" },
        { "[1] 2", "x.json: column 5: not JSON: expected the end, found '2'" },
        { "[truth]", "x.json: column 2: not JSON: expected a value, found 't'" },
        { "[1}", "x.json: column 3: not JSON: expected ',' or ']', found '}'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        lm_json_reader r = over(cases[i].text, &err);
        lm_json *doc = lm_json_take(&r);
        assert_int_equal(lm_json_reader_end(&r), LM_E_FORMAT);
        assert_string_equal(err.message, cases[i].message);
        lm_json_free(doc);

        lm_str buffer = {0};
        lm_span text;
        int64_t value;
        double real;
        assert_false(r.status == LM_OK || lm_json_open(&r, '[') || lm_json_item(&r) || lm_json_key(&r, &buffer, &text) ||
                     lm_json_string(&r, &buffer, &text) || lm_json_integer(&r, &value) || lm_json_number(&r, &real));
        assert_null(lm_json_skip(&r).data);
        assert_null(lm_json_take(&r));
        assert_string_equal(err.message, cases[i].message);
        lm_str_free(&buffer);
    }
}

/* As many levels as are allowed, and one more, without a deep stack. */
static void test_depth(void **state)
{
    (void)state;
    for (int levels = 2048; levels <= 2049; levels++) {
        lm_str text = {0};
        for (int i = 0; i < levels; i++) lm_str_puts(&text, i % 2 ? "[" : "{\"a\":");
        for (int i = levels; i-- > 0;) lm_str_puts(&text, i % 2 ? "]" : i == levels - 1 ? "0}" : "}");
        lm_json_reader r;
        lm_json_reader_init(&r, lm_span_of(text.data, text.len), "x", NULL);
        lm_json_skip(&r);
        assert_int_equal(lm_json_reader_end(&r), levels == 2048 ? LM_OK : LM_E_FORMAT);
        lm_json_free(lm_json_parse(text.data, text.len, "x", NULL));
        lm_str_free(&text);
    }
}

/* The end of a list by its brackets: brackets, quotes and escapes at every place of the blocks of 64 bytes. */
static void test_balance(void **state)
{
    (void)state;
    static const char *const traps[] = { "\"]\"", "\"\\\"]\"", "\"\\\\\"", "[]", "{\"}\": [[]]}", "\"[[{\"", "\"\\u005d\"" };
    for (size_t t = 0; t < sizeof traps / sizeof *traps; t++)
        for (int before = 0; before < 140; before++) {
            lm_str text = {0};
            lm_str_puts(&text, " [");
            for (int i = 0; i < before; i++) lm_str_putc(&text, ' ');
            lm_str_puts(&text, traps[t]);
            for (int i = 0; i < 70; i++) lm_str_puts(&text, ", 1");
            lm_str_puts(&text, "], [\"behind\"]");
            lm_json_reader r;
            lm_json_reader_init(&r, lm_span_of(text.data, text.len), "x", NULL);
            lm_span list = lm_json_balance(&r);
            assert_ptr_equal(list.data, text.data + 1);
            assert_int_equal(list.len, text.len - 1 - strlen(", [\"behind\"]"));
            assert_int_equal(lm_json_peek(&r), ',');
            lm_str_free(&text);
        }
    lm_err err = {0};
    lm_json_reader r = over("{\"a\": [1, 2}", &err);
    assert_null(lm_json_balance(&r).data);
    assert_string_equal(err.message, "x.json: column 1: not JSON: a list that does not end");
}

/* ---- against jansson ------------------------------------------------------------------------ */

/* Text that is JSON most of the time. */
static void draw_value(lm_str *out, lm_rng *rng, int depth)
{
    static const char *const scalars[] = { "0", "-1", "12.5", "-0.0", "1e-7", "3E+4", "123456789012345678", "true", "false", "null", "\"\"",
        "\"plain text of some length\"", "\"\\u00e9\\n\"", "\"\xEA\xB0\x80\xEB\x82\x98\"", "\"\xF0\x9F\x98\x80\"", "\"\\ud83d\\ude00\"", "01", "nul", "\"\\ud800\"" };
    static const char *const blanks[] = { "", " ", "\n", "\t", "  \r\n  " };
    lm_str_puts(out, blanks[lm_rng_below(rng, 5)]);
    uint64_t kind = depth < 5 ? lm_rng_below(rng, 4) : 0;
    if (kind < 2) {
        lm_str_puts(out, scalars[lm_rng_below(rng, lm_rng_below(rng, 8) ? 16 : 19)]);
    } else {
        lm_str_putc(out, kind == 2 ? '[' : '{');
        for (uint64_t i = 0, n = lm_rng_below(rng, 5); i < n; i++) {
            if (i) lm_str_putc(out, ',');
            if (kind == 3) lm_str_printf(out, "%s\"k%llu\"%s:", blanks[lm_rng_below(rng, 5)], (unsigned long long)(lm_rng_below(rng, 20) ? i : 0), blanks[lm_rng_below(rng, 5)]);
            draw_value(out, rng, depth + 1);
        }
        lm_str_putc(out, kind == 2 ? ']' : '}');
    }
    lm_str_puts(out, blanks[lm_rng_below(rng, 5)]);
}

/* Both accept the text, as the same document, or neither does.  jansson has no number past 64 bits. */
static bool agree(const lm_str *text)
{
    json_error_t where;
    lm_json *theirs = json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    lm_json *ours = lm_json_parse(text->data, text->len, "x", NULL);
    bool overflow = !theirs && json_error_code(&where) == json_error_numeric_overflow;
    if (!overflow && (!ours != !theirs || (ours && !json_equal(ours, theirs)))) fail_msg("%s: %s", text->data, theirs ? "refused" : where.text);
    bool accepted = ours != NULL;

    lm_json_reader r;                                       /* a walk that makes nothing only misses duplicates */
    lm_json_reader_init(&r, lm_span_of(text->data, text->len), "x", NULL);
    lm_json_skip(&r);
    bool skipped = lm_json_reader_end(&r) == LM_OK;
    if (accepted) assert_true(skipped);
    else if (skipped) assert_true(overflow || json_error_code(&where) == json_error_duplicate_key);
    lm_json_free(theirs), lm_json_free(ours);
    return accepted;
}

static void test_against_jansson(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 3 };
    int accepted = 0, n = 0;
    for (int i = 0; i < 4000; i++) {
        lm_str text = {0};
        draw_value(&text, &rng, 0);
        accepted += agree(&text);
        n++;
        for (int j = 0; j < 4; j++) {
            static const char marks[] = "{}[]\",:\\u0-.eE \n\x01\x80\xC3";
            if (text.len) text.data[lm_rng_below(&rng, text.len)] = marks[lm_rng_below(&rng, sizeof marks - 1)];
            accepted += agree(&text);
            n++;
        }
        lm_str_free(&text);
    }
    assert_in_range(accepted, n / 5, n * 4 / 5);            /* both kinds were seen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk), cmocka_unit_test(test_items), cmocka_unit_test(test_strings), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_depth), cmocka_unit_test(test_balance), cmocka_unit_test(test_against_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
