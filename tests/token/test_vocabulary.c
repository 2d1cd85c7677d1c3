/* tokenizer.json into tables: spellings and orders of the two large members, what is refused, saving. */
#include "common/test.h"
#include "base/file.h"
#include "base/map.h"
#include "base/rng.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define LEVEL "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"decoder\": {\"type\": \"ByteLevel\"}"

static lm_status load(lm_tokenizer **tk, const char *text, size_t n, lm_err *err)
{
    char *path = test_path("tokenizer.json");
    lm_err writing = {0};
    assert_int_equal(lm_file_write(path, text, n, &writing), LM_OK);
    lm_status status = lm_tokenizer_load(tk, path, err);
    free(path);
    return status;
}

static void expect_ids(const lm_tokenizer *tk, const char *text, const char *expected)
{
    lm_ids ids = {0};
    lm_str shown = {0};
    assert_int_equal(lm_encode(tk, &ids, text, strlen(text), 0, NULL), LM_OK);
    for (size_t i = 0; i < ids.len; i++) lm_str_printf(&shown, i ? " %d" : "%d", ids.data[i]);
    assert_string_equal(shown.data, expected);
    lm_ids_free(&ids);
    lm_str_free(&shown);
}

/* One vocabulary, written in different ways: " ab" is 4 everywhere, "ba" stays apart. */
static void test_spellings(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"\xC4\xA0\": 2, \"ab\": 3, \"\xC4\xA0" "ab\": 4}, \"merges\": [\"a b\", \"\xC4\xA0 ab\"]}, " LEVEL "}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"a\\u0062\":3,\"\\u0120ab\":4},\"merges\":[[\"a\",\"b\"],[\"\\u0120\",\"\\u0061b\"]]}," LEVEL "}",
        "{" LEVEL ", \"model\": {\"merges\": [\"a\\u0020b\", [\"\xC4\xA0\", \"ab\"]],\n\n \"vocab\": {\"\xC4\xA0" "ab\": 4, \"ab\": 3, \"\xC4\xA0\": 2, \"b\": 1, \"a\": 0}}}",
        "\xEF\xBB\xBF{" LEVEL ", \"model\": {\"vocab\": {\"\xC4\xA0" "ab\": 4, \"ab\": 3, \"\xC4\xA0\": 2, \"b\": 1, \"a\": 0}, \"merges\": [\"a b\", \"\xC4\xA0 ab\"]}}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        lm_tokenizer *tk;
        lm_err err = {0};
        if (load(&tk, documents[i], strlen(documents[i]), &err)) fail_msg("%s", err.message);
        assert_int_equal(lm_tokenizer_vocab_size(tk), 5);
        expect_ids(tk, "ab ab ba", "3 4 2 1 0");
        lm_tokenizer_free(tk);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } cases[] = {
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"a\": 2}, \"merges\": []}}", "token \"a\" has the ids 0 and 2" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"\\u0061\": 1}, \"merges\": []}}", "token \"a\" has the ids 0 and 1" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"long token a\": 0, \"long token b\": 0}, \"merges\": []}}", "id 0 is both \"long token a\" and \"long token b\"" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": \"0\"}, \"merges\": []}}", "model.vocab: token \"a\": expected an integer id" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0.5}, \"merges\": []}}", "model.vocab: token \"a\": expected an integer id" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": [\"a\"], \"merges\": []}}", "model.vocab: expected an object" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": null, \"merges\": []}}", "model.vocab: expected an object" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}", "model.merges: expected an array" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [\"a a\", \"aa\"]}}", "model.merges: entry 1: expected two tokens" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [\"a a a\"]}}", "model.merges: entry 0: expected two tokens" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [[\"a\", \"a\", \"a\"]]}}", "model.merges: entry 0: expected two tokens" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [[\"a\"]]}}", "model.merges: entry 0: expected two tokens" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [7]}}", "model.merges: entry 0: expected two tokens" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [\"a a\", \"a aa\"]}}", "model.merges: entry 1: token \"aaa\" is not in the vocabulary" },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": [\"a c\"]}}", "model.merges: entry 0: token \"c\" is not in the vocabulary" },
        { "{\"model\": {\"vocab\": {\"a\": 0}, \"vocab\": {\"a\": 0}}}", "column 39: not JSON: duplicate key \"vocab\"" },
        { "{\"model\": {\"vocab\": {\"a\": 0}},\n \"model\": {}}", "line 2, column 11: not JSON: duplicate key \"model\"" },
        { "{\"model\": {\"vocab\": {\"a\": 0,\n\"b\" 1}}}", "line 2, column 5: not JSON: expected ':', found '1'" },
        { "{\"model\": {\"vocab\": {\"a\": 0,\n\n\"b\": 1]}}", "line 3, column 7: not JSON: expected ',' or '}', found ']'" },
        { "{\"model\": {\"vocab\": {\"a\": 0},\n\"merges\": [\"a a\" 1]}}", "model.merges: entry 0: token \"aa\"" },
        { "{\"model\": {\"vocab\": {\"a\": 0, \"aa\": 1},\n\"merges\": [\"a a\" 1]}}", "line 2, column 18: not JSON: expected ',' or ']', found '1'" },
        { "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"a\", \"vocab\": {\"a\": 0}, \"merges\": [1,]}}", "not JSON: expected a value, found ']'" },
        { "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0], [\"b\", \"c\"]]}}", "model.vocab: entry 1: expected [piece, score]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_tokenizer *tk;
        lm_err err = {0};
        assert_int_equal(load(&tk, cases[i].text, strlen(cases[i].text), &err), LM_E_FORMAT);
        assert_null(tk);
        if (!strstr(err.message, cases[i].message)) fail_msg("expected \"%s\", found \"%s\"", cases[i].message, err.message);
    }
}

/* Tables that grow, with holes: every text finds its id, tokens of every length beside 8 among them, and a
 * merge is what its line in the list says. */
static void test_large(void **state)
{
    (void)state;
    enum { N = 70000 };
    lm_str text = {0}, merges = {0};
    lm_str_puts(&text, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}, \"model\": {\"type\": \"BPE\", \"ignore_merges\": true, \"vocab\": {\"x\": 0");
    for (int i = 1; i < N; i++) {
        lm_str_printf(&text, ", \"%x\": %d, \"x%x\": %d", i, 4 * i, i, 4 * i + 1);
        lm_str_printf(&merges, i > 1 ? ", \"x %x\"" : "\"x %x\"", i);
    }
    lm_str_printf(&text, "}, \"merges\": [%s]}}", merges.data);
    lm_tokenizer *tk;
    lm_err err = {0};
    if (load(&tk, text.data, text.len, &err)) fail_msg("%s", err.message);
    assert_int_equal(lm_tokenizer_vocab_size(tk), 4 * (N - 1) + 2);
    for (int i = 1; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%x", i);
        assert_int_equal(lm_token_id(tk, name), 4 * i + 1);
        assert_int_equal(lm_token_id(tk, name + 1), 4 * i);
        assert_string_equal(lm_token_text(tk, 4 * i + 1).data, name);
        assert_null(lm_token_text(tk, 4 * i + 2).data);
    }
    assert_int_equal(lm_token_id(tk, "xx"), -1);
    expect_ids(tk, "x1116f", "279997");
    lm_tokenizer_free(tk);
    lm_str_free(&text), lm_str_free(&merges);
}

/* A list of merges of some size, whose parts several threads read: random tokens of letters, two of which make
 * the next, so that the order of the list decides every id. */
enum { LETTERS = 26, JOINS = 25000, LONGEST = 12, BROKEN = 14000 };

typedef struct grown {
    char texts[LETTERS + JOINS][LONGEST + 1];
    int left[JOINS], right[JOINS];
} grown;

static grown *grow(lm_map *ids)
{
    grown *g = lm_calloc(1, sizeof *g);
    lm_rng rng = { .seed = 7 };
    for (int i = 0; i < LETTERS; i++) g->texts[i][0] = (char)('a' + i);
    for (int i = 0; i < LETTERS; i++) lm_map_put(ids, g->texts[i], 1, i);
    for (int i = 0; i < JOINS;) {
        char text[2 * LONGEST + 1];
        int known = LETTERS + i, left = (int)lm_rng_below(&rng, (uint64_t)known), right = (int)lm_rng_below(&rng, (uint64_t)known);
        int n = snprintf(text, sizeof text, "%s%s", g->texts[left], g->texts[right]);
        if (n > LONGEST || !lm_map_put(ids, text, (size_t)n, known)) continue;
        strcpy(g->texts[known], text);
        g->left[i] = left, g->right[i++] = right;
    }
    return g;
}

/* `entry` writes a merge from its two sides, `broken` the merge BROKEN, where it is given; `gap` stands between two. */
static lm_status load_grown(lm_tokenizer **tk, const grown *g, const char *entry, const char *gap, const char *broken, lm_err *err)
{
    lm_str text = {0};
    lm_str_puts(&text, "{" LEVEL ", \"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int i = 0; i < LETTERS + JOINS; i++) lm_str_printf(&text, i ? ", \"%s\": %d" : "\"%s\": %d", g->texts[i], i);
    lm_str_puts(&text, "}, \"merges\": [");
    for (int i = 0; i < JOINS; i++) {
        if (i) lm_str_puts(&text, gap);
        lm_str_printf(&text, i == BROKEN && broken ? broken : entry, g->texts[g->left[i]], g->texts[g->right[i]]);
    }
    lm_str_puts(&text, "]}}");
    lm_status status = load(tk, text.data, text.len, err);
    lm_str_free(&text);
    return status;
}

static void test_divided(void **state)
{
    (void)state;
    static const char string[] = "\"%s %s\"", pair[] = "[\n        \"%s\",\n        \"%s\"\n      ]", lines[] = ",\n      ";
    static const struct { const char *entry, *gap; } layouts[] = { { string, "    ,    " }, { string, lines }, { pair, lines }, { "[\"%s\", \"%s\"]", ",\n" } };
    static const struct { const char *broken, *message; } cases[] = {
        { "\"a b c\"", "model.merges: entry 14000: expected two tokens" },
        { "[\"%s\",\n\"%s\"]", NULL },
        { "\"a \xFF\"", "model.merges: entry 14000: expected two tokens" },
        { "\"a A\"", "model.merges: entry 14000: token \"A\" is not in the vocabulary" },
        { "\"%s %s\" 7", "line 14001, column 23: not JSON: expected ',' or ']', found '7'" },
        { "", "model.merges: entry 14000: expected two tokens" },
        { "\"%s %s\"],\n \"x\": [7", NULL },
    };
    lm_map *ids = lm_map_new(JOINS);
    grown *g = grow(ids);
    lm_rng rng = { .seed = 8 };
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 9 == 0 ? ' ' : (char)('a' + lm_rng_below(&rng, LETTERS));
    lm_ids expected = {0};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        lm_tokenizer *tk;
        lm_ids found = {0};
        lm_err err = {0};
        if (load_grown(&tk, g, layouts[i].entry, layouts[i].gap, NULL, &err)) fail_msg("%s", err.message);
        assert_int_equal(lm_encode(tk, i ? &found : &expected, text, sizeof text, 0, &err), LM_OK);
        if (i) assert_int_equal(found.len, expected.len);
        if (i) assert_memory_equal(found.data, expected.data, found.len * sizeof *found.data);
        lm_tokenizer_free(tk);
        lm_ids_free(&found);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_tokenizer *tk = NULL;
        lm_err err = {0};
        lm_status status = load_grown(&tk, g, string, lines, cases[i].broken, &err);
        if (status != (cases[i].message ? LM_E_FORMAT : LM_OK)) fail_msg("case %zu: %s", i, status ? err.message : "no error");
        if (status && !strstr(err.message, cases[i].message)) fail_msg("expected \"%s\", found \"%s\"", cases[i].message, err.message);
        lm_tokenizer_free(tk);
    }
    lm_ids_free(&expected);
    lm_map_free(ids);
    free(g);
}

/* Prefixes of one text: lengths 0 to 40, found by their bytes and nothing else. */
static void test_lengths(void **state)
{
    (void)state;
    static const char digits[] = "0123456789012345678901234567890123456789";
    lm_str text = {0};
    lm_str_puts(&text, "{\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"\", \"vocab\": {");
    for (int n = 0; n <= 40; n++) lm_str_printf(&text, "%s\"%.*s\": %d", n ? ", " : "", n, digits, n);
    lm_str_puts(&text, "}}}");
    lm_tokenizer *tk;
    lm_err err = {0};
    if (load(&tk, text.data, text.len, &err)) fail_msg("%s", err.message);
    for (int n = 0; n <= 40; n++) {
        char name[48];
        snprintf(name, sizeof name, "%.*s", n, digits);
        assert_int_equal(lm_token_id(tk, name), n);
        if (n) name[n - 1] = 'x';
        assert_int_equal(lm_token_id(tk, name), n ? -1 : 0);
        if (n) name[n - 1] = digits[n - 1], name[0] = 'x';
        assert_int_equal(lm_token_id(tk, name), n ? -1 : 0);
    }
    lm_tokenizer_free(tk);
    lm_str_free(&text);
}

/* What was read is written back byte for byte. */
static void test_saving(void **state)
{
    (void)state;
    static const char text[] = "{ \"model\" : {\"type\":\"BPE\", \"vocab\":{\"\\u0061\":0,\"b\":1 ,\"ab\":2},\"merges\":[ \"a b\"]},\n\"extra\": [1.50]}";
    lm_tokenizer *tk;
    lm_err err = {0};
    if (load(&tk, text, strlen(text), &err)) fail_msg("%s", err.message);
    char *folder = test_path("saved"), *path = test_path("saved/tokenizer.json");
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    if (lm_tokenizer_save(tk, folder, &err)) fail_msg("%s", err.message);
    lm_str back;
    assert_int_equal(lm_file_read(&back, path, 1 << 20, &err), LM_OK);
    assert_string_equal(back.data, text);
    lm_str_free(&back);
    lm_tokenizer_free(tk);
    free(folder), free(path);
}

/* A post-processor that the settings ask for is put into what is saved, with the large members as they were. */
static void test_saving_changed(void **state)
{
    (void)state;
    static const char text[] = "{\"added_tokens\": [{\"id\": 3, \"content\": \"<s>\", \"special\": true}], \"model\":"
                               " {\"type\": \"BPE\", \"vocab\": {\"\\u0061\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [[\"a\", \"b\"]]}}";
    static const char settings[] = "{\"tokenizer_class\": \"LlamaTokenizer\", \"bos_token\": \"<s>\", \"add_bos_token\": true}";
    char *folder = test_path("changed"), *path = test_path("changed/tokenizer.json"), *beside = test_path("changed/tokenizer_config.json");
    lm_tokenizer *tk;
    lm_err err = {0};
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    assert_int_equal(lm_file_write(path, text, strlen(text), &err), LM_OK);
    assert_int_equal(lm_file_write(beside, settings, strlen(settings), &err), LM_OK);
    for (int round = 0; round < 2; round++) {                /* as given, then as saved */
        if (lm_tokenizer_load(&tk, folder, &err)) fail_msg("%s", err.message);
        lm_ids ids = {0};
        assert_int_equal(lm_encode(tk, &ids, "ab", 2, LM_ENCODE_SPECIAL, &err), LM_OK);
        assert_true(ids.len == 2 && ids.data[0] == 3 && ids.data[1] == 2);
        lm_ids_free(&ids);
        if (lm_tokenizer_save(tk, folder, &err)) fail_msg("%s", err.message);
        lm_tokenizer_free(tk);
    }
    free(folder), free(path), free(beside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_refused), cmocka_unit_test(test_large), cmocka_unit_test(test_divided),
        cmocka_unit_test(test_lengths), cmocka_unit_test(test_saving), cmocka_unit_test(test_saving_changed),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
