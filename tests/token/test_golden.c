/* Golden tokenizers (tools/golden/vocabularies.py): the ids and texts of the reference libraries. */
#include "common/test.h"
#include "base/json.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/token/"

static lm_span text_of(const lm_json *string) { return lm_span_of(json_string_value(string), json_string_length(string)); }

static void check_ids(const lm_ids *found, const lm_json *expected, const char *what, const char *name, size_t number)
{
    bool same = found->len == json_array_size(expected);
    for (size_t i = 0; i < found->len && same; i++) same = found->data[i] == json_integer_value(json_array_get(expected, i));
    if (same) return;
    lm_str shown = {0};
    for (size_t i = 0; i < found->len; i++) lm_str_printf(&shown, " %d", found->data[i]);
    fail_msg("%s: text %zu: %s: expected %s, found%s", name, number, what, json_dumps(expected, JSON_COMPACT), shown.data ? shown.data : "");
}

static void check_text(const lm_tokenizer *tk, const lm_ids *ids, const lm_json *expected, const char *name, size_t number)
{
    lm_str found = {0};
    lm_err err = {0};
    if (lm_decode(tk, &found, ids->data, ids->len, 0, &err)) fail_msg("%s", err.message);
    lm_span text = text_of(expected);
    if (found.len != text.len || (text.len && memcmp(found.data, text.data, text.len)))
        fail_msg("%s: text %zu: decoded: expected \"%s\", found \"%s\"", name, number, text.data, found.data ? found.data : "");
    lm_str_free(&found);
}

/* The case's `key` ids under `flags`, and under `decoded` their text, where it has them. */
static int check(lm_encoder *encoder, const lm_tokenizer *tk, const lm_json *one, const char *key, const char *decoded, unsigned flags, const char *name, size_t number)
{
    const lm_json *expected = lm_json_get(one, key), *back = lm_json_get(one, decoded);
    if (!expected) return 0;
    lm_span text = text_of(lm_json_get(one, "text"));
    lm_ids ids = {0};
    lm_err err = {0};
    if (lm_encoder_run(encoder, &ids, text.data, text.len, flags, &err)) fail_msg("%s: %s", name, err.message);
    check_ids(&ids, expected, key, name, number);
    if (back) check_text(tk, &ids, back, name, number);
    lm_ids_free(&ids);
    return 1;
}

static void golden(void **state)
{
    (void)state;
    lm_err err = {0};
    lm_json *all = lm_json_read(GOLDEN "expect.json", &err);
    if (!all) fail_msg("%s", err.message);
    const char *name;
    lm_json *cases;
    int checked = 0;
    json_object_foreach(all, name, cases) {
        lm_str path = {0};
        lm_tokenizer *tk;
        lm_str_printf(&path, GOLDEN "%s", name);
        if (lm_tokenizer_load(&tk, path.data, &err)) fail_msg("%s", err.message);
        lm_encoder *encoder = lm_encoder_new(tk);
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const lm_json *one = json_array_get(cases, i);
            checked += check(encoder, tk, one, "plain", "decoded_plain", 0, name, i);
            checked += check(encoder, tk, one, "ids", "decoded", LM_ENCODE_SPECIAL | LM_ENCODE_ALLOW_SPECIAL, name, i);
        }
        lm_encoder_free(encoder);
        lm_tokenizer_free(tk);
        lm_str_free(&path);
    }
    lm_json_free(all);
    assert_true(checked > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden) };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
