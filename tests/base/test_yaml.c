/* The entries of a flat YAML mapping, in order, with their lines; what is refused is in test_option.c. */
#include "common/test.h"
#include "base/str.h"
#include "base/yaml.h"

#include <string.h>

static lm_status note(const lm_yaml_entry *entry, void *context, lm_err *err)
{
    lm_str_printf(context, "%d %s%s%s:", entry->line, entry->key, entry->list ? " list" : "", entry->null ? " null" : "");
    for (int i = 0; i < entry->n; i++) lm_str_printf(context, " <%s>", entry->items[i]);
    lm_str_puts(context, "\n");
    return strcmp(entry->key, "stop") == 0 ? lm_fail(err, LM_E_USAGE, "stopped") : LM_OK;
}

static void check(const char *text, lm_status status, const char *want)
{
    lm_str got = {0};
    lm_err err = {0};
    assert_int_equal(lm_yaml_flat(text, strlen(text), "t", note, &got, &err), status);
    assert_int_equal(err.code, status);
    assert_string_equal(got.data ? got.data : "", want);
    lm_str_free(&got);
}

static void test_entries(void **state)
{
    (void)state;
    check("a: 1\n# gap\n\nb: [x, 'y z', \"말\\n\"]\nc: ~\nd:\ne: 'null'\nf: |\n  two\n  lines\ng: []\n", LM_OK,
          "1 a: <1>\n4 b list: <x> <y z> <말\n>\n5 c null: <~>\n6 d null: <>\n7 e: <null>\n8 f: <two\nlines\n>\n11 g list:\n");
    check("{a: 1, b: [2]}", LM_OK, "1 a: <1>\n1 b list: <2>\n");
    check("", LM_OK, "");
}

static void test_stops_at_the_first_failure(void **state)
{
    (void)state;
    check("a: 1\nstop: 2\nb: 3\n", LM_E_USAGE, "1 a: <1>\n2 stop: <2>\n");
    check("a: 1\nb: {c: d}\n", LM_E_FORMAT, "1 a: <1>\n");
}

static void document(const char *text, const char *want)
{
    lm_err err = { 0 };
    lm_json *doc = lm_yaml_document(text, strlen(text), "t", &err);
    lm_str got = { 0 };
    if (doc) lm_json_text(&got, doc, 0);
    assert_string_equal(doc ? got.data : err.message, want);
    lm_str_free(&got);
    lm_json_free(doc);
}

static void test_documents(void **state)
{
    (void)state;
    document("a: 1\nb:\n  - {c: yes, d: ~}\n  - [x, '']\ne: 말\n", "{\"a\": \"1\", \"b\": [{\"c\": \"yes\", \"d\": null}, [\"x\", \"\"]], \"e\": \"말\"}");
    document("", "null");
    document("a:\n  b: 1\n  b: 2\n", "t:3: b: stands there already");
    document("a: &x 1\nb: *x\n", "t:2: aliases are not read here");
    document("a: [1\n", "t:2: not YAML: did not find expected ',' or ']'");
    document("--- 1\n--- 2\n", "t:2: expected one document, found another");
    document("{? [1]: 2}", "t:1: expected a name, found a nested value");
    document("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "t:1: nested too deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_entries), cmocka_unit_test(test_stops_at_the_first_failure), cmocka_unit_test(test_documents) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
