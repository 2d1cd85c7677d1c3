/* JSON: what is read, what is refused and with which words, and that writing loses nothing. */
#include "common/test.h"
#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_json *parse(const char *text)
{
    lm_err err = {0};
    lm_json *doc = lm_json_parse(text, strlen(text), "config.json", &err);
    if (!doc) fail_msg("%s", err.message);
    return doc;
}

static void test_typed(void **state)
{
    (void)state;
    lm_json *doc = parse("\xEF\xBB\xBF{\"hidden_size\": 64, \"rope_theta\": 1e4, \"tie\": true, \"type\": \"llama\","
                         " \"whole\": 32.0, \"part\": 0.5, \"none\": null, \"list\": [1]}");
    lm_err err = {0};
    int64_t i = -1;
    double r = -1;
    bool b = false;
    const char *s = NULL;
    assert_int_equal(lm_json_need_int(doc, "hidden_size", "c", &i, &err), LM_OK);
    assert_int_equal(i, 64);
    assert_int_equal(lm_json_opt_int(doc, "whole", "c", &i, &err), LM_OK);
    assert_int_equal(i, 32);
    assert_int_equal(lm_json_opt_real(doc, "rope_theta", "c", &r, &err), LM_OK);
    assert_true(r == 10000);
    assert_int_equal(lm_json_opt_real(doc, "hidden_size", "c", &r, &err), LM_OK);
    assert_true(r == 64);
    assert_int_equal(lm_json_opt_bool(doc, "tie", "c", &b, &err), LM_OK);
    assert_true(b);
    assert_int_equal(lm_json_need_str(doc, "type", "c", &s, &err), LM_OK);
    assert_string_equal(s, "llama");
    i = 5;
    assert_int_equal(lm_json_opt_int(doc, "absent", "c", &i, &err), LM_OK);
    assert_int_equal(lm_json_opt_int(doc, "none", "c", &i, &err), LM_OK);
    assert_int_equal(i, 5);
    assert_null(lm_json_get(doc, "none"));
    assert_null(lm_json_get(NULL, "x"));
    lm_json_free(doc);
    lm_json_free(NULL);
}

static void test_type_messages(void **state)
{
    (void)state;
    lm_json *doc = parse("{\"hidden_size\": \"64\", \"x\": 0.5, \"big\": 1e30, \"s\": \"a\\u0000b\", \"n\": 3}");
    const char *s;
    int64_t i;
    double r;
    bool b;
#define EXPECT(call, text)                              \
    do {                                                \
        lm_err err = {0};                               \
        assert_int_equal(call, LM_E_FORMAT);            \
        assert_string_equal(err.message, text);         \
    } while (0)
    EXPECT(lm_json_need_int(doc, "hidden_size", "config.json", &i, &err), "config.json: hidden_size: expected an integer, found a string");
    EXPECT(lm_json_need_int(doc, "layers", "config.json", &i, &err), "config.json: layers: missing, expected an integer");
    EXPECT(lm_json_opt_int(doc, "x", "c", &i, &err), "c: x: expected a 64-bit integer, found 0.5");
    EXPECT(lm_json_opt_int(doc, "big", "c", &i, &err), "c: big: expected a 64-bit integer, found 1e+30");
    EXPECT(lm_json_opt_real(doc, "hidden_size", "c", &r, &err), "c: hidden_size: expected a number, found a string");
    EXPECT(lm_json_opt_bool(doc, "n", "c", &b, &err), "c: n: expected true or false, found an integer");
    EXPECT(lm_json_opt_str(doc, "n", "c", &s, &err), "c: n: expected a string, found an integer");
    EXPECT(lm_json_opt_str(doc, "s", "c", &s, &err), "c: s: expected text, found a string with a zero byte");
    EXPECT(lm_json_opt_str(NULL, "s", "c", &s, &err), "c: expected an object with s, found nothing");
    EXPECT(lm_json_opt_str(lm_json_get(doc, "n"), "s", "c", &s, &err), "c: expected an object with s, found an integer");
    lm_json_free(doc);
}

/* What is not JSON is refused with its place, and the message is one printable line. */
static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *place; } cases[] = {
        { "", "column 0" }, { "{\"a\": 1,\n \"b\" 2}", "line 2, column 6" }, { "{\"a\": 1, \"a\": 2}", "duplicate" },
        { "{} {}", "x.json: column " }, { "[1, 2", "x.json: column " }, { "{\"a\": \"\xC3\x28\"}", "x.json: column " }, { "\"\xED\xA0\x80\"", "x.json: column " },
        { "{\"a\": \"\x01\"}", "x.json: column " }, { "nul", "x.json: column " }, { "1e999", "x.json: column " }, { "[1e999, 99999999999999999999]", "x.json: column " },
        { "{\"k\": 01}", "x.json: column " }, { "[NaN]", "x.json: column " },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_err err = {0};
        assert_null(lm_json_parse(cases[i].text, strlen(cases[i].text), "x.json", &err));
        assert_int_equal(err.code, LM_E_FORMAT);
        if (!strstr(err.message, cases[i].place) || strncmp(err.message, "x.json: ", 8)) fail_msg("%s", err.message);
        assert_int_equal(lm_utf8_valid(err.message, strlen(err.message)), strlen(err.message));
        for (const char *p = err.message; *p; p++) assert_true((unsigned char)*p >= 0x20);
    }
    lm_str deep = {0};                                  /* a million open brackets */
    for (int i = 0; i < 1000000; i++) lm_str_putc(&deep, '[');
    assert_null(lm_json_parse(deep.data, deep.len, "x", NULL));
    lm_str_free(&deep);
}

/* Integers past 64 bits become reals, and nothing else in the text moves. */
static void test_large_integers(void **state)
{
    (void)state;
    lm_json *doc = parse("{\"model_max_length\": 1000000000000000019884624838656, \"s\": \"12345678901234567890 \\\" 1\","
                         "\"ok\": 9223372036854775807, \"neg\": -99999999999999999999, \"f\": 1.00000000000000000000001,"
                         "\"e\": 10000000000000000000000e2, \"x\": 1e-00000000000000000000002, \"list\": [98765432109876543210]}");
    assert_true(json_real_value(lm_json_get(doc, "model_max_length")) == 1e30);
    assert_string_equal(json_string_value(lm_json_get(doc, "s")), "12345678901234567890 \" 1");
    assert_true(json_number_value(lm_json_get(doc, "ok")) == 0x1p63);
    assert_true(json_real_value(lm_json_get(doc, "neg")) == -1e20);
    assert_true(json_real_value(lm_json_get(doc, "f")) == 1.0);
    assert_true(json_real_value(lm_json_get(doc, "e")) == 1e24);
    assert_true(json_real_value(lm_json_get(doc, "x")) == 0.01);
    assert_true(json_real_value(json_array_get(lm_json_get(doc, "list"), 0)) == 98765432109876543210.0);
    lm_json_free(doc);
}

/* Reals keep every bit, keys keep their order, Hangul stays Hangul. */
static void test_round_trip(void **state)
{
    (void)state;
    char *path = test_path("doc.json");
    lm_err err = {0};
    static const double reals[] = { 0.1, 1.0 / 3, 3e-4, 5e-324, 1.7976931348623157e308, -0.0, 123456789.125, 1e22 };
    lm_json *doc = json_pack("{s:s, s:i, s:[], s:{}}", "말모이", "낱말\n\"x\"", "a", 1, "list", "object");
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) json_array_append_new(lm_json_get(doc, "list"), json_real(reals[i]));
    assert_int_equal(lm_json_write(doc, path, &err), LM_OK);
    lm_json *back = lm_json_read(path, &err);
    assert_non_null(back);
    assert_true(json_equal(doc, back));
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double x = json_real_value(json_array_get(lm_json_get(back, "list"), i));
        assert_memory_equal(&x, &reals[i], sizeof x);
    }
    lm_str text;
    assert_int_equal(lm_file_read(&text, path, 1 << 20, &err), LM_OK);
    assert_non_null(strstr(text.data, "\"말모이\": \"낱말\\n\\\"x\\\"\""));
    assert_true(strstr(text.data, "\"list\"") < strstr(text.data, "\"object\""));
    assert_int_equal(text.data[text.len - 1], '\n');
    lm_str_free(&text);
    lm_json_free(doc), lm_json_free(back);
    assert_null(lm_json_read("/nowhere.json", &err));
    assert_int_equal(err.code, LM_E_IO);
    lm_json *full = json_object();
    assert_int_equal(lm_json_write(full, "/dev/full", NULL), LM_E_IO);
    lm_json_free(full);
    free(path);
}

static void test_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\": [1, -2, 0.1, 1.0, 1e+30, 5e-324], \"b\": {}, \"c\": [], \"d\": [true, false, null], \"e\": \"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u0000/말\"}",
        "\"scalar\"", "[]", "0.0003", "-0.0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lm_json *doc = parse(texts[i]);
        lm_str out = {0};
        lm_json_text(&out, doc, 0);
        assert_string_equal(out.data, texts[i]);
        lm_str_free(&out);
        lm_json_free(doc);
    }
    lm_json *doc = parse("{\"a\": [1, {\"b\": 2}], \"c\": {}}");
    lm_str out = {0};
    lm_json_text(&out, doc, 2);
    assert_string_equal(out.data, "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {}\n}");
    lm_str_free(&out);
    lm_json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typed), cmocka_unit_test(test_type_messages), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large_integers), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
