/* Bad input: files that contradict themselves are refused in one line that says what is wrong and where;
 * texts that are no text have exact results. */
#include "common/test.h"
#include "base/file.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define BPE(vocab, merges) "{\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}}"
#define BYTES_OF(steps) "{\"pre_tokenizer\":" steps ",\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"

static char *write_file(const char *name, const char *bytes, size_t n)
{
    char *path = test_path(name);
    lm_err err = {0};
    if (lm_file_write(path, bytes, n, &err)) fail_msg("%s", err.message);
    return path;
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says, *also;           /* the message holds both, and the name */
    } cases[] = {
        { "dangling.json", BPE("{\"a\":0,\"b\":1}", "[\"a b\"]"), "merges: entry 0", "\"ab\"" },
        { "dangling_left.json", BPE("{\"ab\":0,\"b\":1}", "[\"a b\"]"), "merges: entry 0", "\"a\"" },
        { "three.json", BPE("{\"a\":0}", "[\"a a a\"]"), "merges: entry 0", "expected two tokens" },
        { "merge_number.json", BPE("{\"a\":0}", "[7]"), "merges", "expected two tokens" },
        { "duplicate_id.json", BPE("{\"a\":0,\"b\":0}", "[]"), "id 0 is both", "\"b\"" },
        { "duplicate_token.json", BPE("{\"a\":0,\"a\":1}", "[]"), "\"a\"", "" },
        { "negative.json", BPE("{\"a\":-1}", "[]"), "id -1", "outside 0..16777215" },
        { "huge_id.json", BPE("{\"a\":4294967296}", "[]"), "4294967296", "outside 0..16777215" },
        { "text_id.json", BPE("{\"a\":\"0\"}", "[]"), "\"a\"", "expected an integer" },
        { "no_vocab.json", "{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", "vocab", "" },
        { "added_clash.json", "{\"added_tokens\":[{\"id\":0,\"content\":\"b\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", "id 0 is both", "\"b\"" },
        { "added_range.json", "{\"added_tokens\":[{\"id\":1e9,\"content\":\"b\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", "id", "" },
        { "unk.json", "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0},\"merges\":[]}}", "unk_token", "\"?\"" },
        { "unk_id.json", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",-1]]}}", "unk_id 1", "1 pieces" },
        { "hole.json", "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\",1],\"cls\":[\"y\",0]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"y\":0,\"z\":2},\"merges\":[]}}",
          "post_processor", "id 1" },
        { "fixed.json", BYTES_OF("{\"type\":\"FixedLength\",\"length\":0}"), "FixedLength", "found 0" },
        { "regex.json", BYTES_OF("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Isolated\"}"), "\"(a\"", "does not compile" },
        { "charsmap.json", "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////w==\"},\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
          "precompiled_charsmap", "4 bytes" },
        { "base64.json", "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?\"},\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
          "precompiled_charsmap", "not base64" },
        { "cut.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0", "not JSON", "column 32" },
        { "twice.txt", "[UNK]\na\na\n", "line 3", "twice" },
        { "latin.txt", "[UNK]\ncaf\xE9\n", "line 2", "UTF-8" },
        { "gap.tiktoken", "YQ== 0\nYg== 2\n", "rank 1", "" },
        { "bytes.tiktoken", "YQ== 0\nYg== 1\n", "byte 0x00", "no token" },
        { "rank.tiktoken", "YQ== 0\nYg== -1\n", "line 2", "expected base64 and a rank" },
        { "byte.model", "\x0A\x09\x0A\x05<unk>\x18\x02\x0A\x0B\x0A\x07<0x1FF>\x18\x06\x12\x03\x98\x02\x01", "byte piece 1", "<0x1FF>" },
        { "one_byte.model", "\x0A\x09\x0A\x05<unk>\x18\x02\x0A\x0A\x0A\x06<0x01>\x18\x06\x12\x03\x98\x02\x01", "for each byte", "<0x00> is missing" },
        { "byte_off.model", "\x0A\x09\x0A\x05<unk>\x18\x02\x0A\x0A\x0A\x06<0x01>\x18\x06", "piece 1 is a byte", "" },
        { "no_bytes.model", "\x0A\x09\x0A\x05<unk>\x18\x02\x12\x03\x98\x02\x01", "no piece is a byte", "" },
        { "same.tiktoken", "YQ== 0\nYQ== 1\n", "has the ids 0 and 1", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = write_file(cases[i].name, cases[i].text, strlen(cases[i].text));
        lm_tokenizer *tk = NULL;
        lm_err err = {0};
        if (!lm_tokenizer_load(&tk, path, &err)) fail_msg("%s: accepted", cases[i].name);
        assert_null(tk);
        if (!strstr(err.message, cases[i].says) || !strstr(err.message, cases[i].also) || !strstr(err.message, cases[i].name))
            fail_msg("%s: the message is \"%s\"", cases[i].name, err.message);
        if (strpbrk(err.message, "\n\r")) fail_msg("%s: the message has several lines: %s", cases[i].name, err.message);
        free(path);
    }
}

static void gguf_key_twice(void **state)
{
    (void)state;
    static const char bytes[] = "GGUF\3\0\0\0" "\0\0\0\0\0\0\0\0" "\2\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0k\7\0\0\0\1" "\1\0\0\0\0\0\0\0k\7\0\0\0\1";
    char *path = write_file("twice.gguf", bytes, sizeof bytes - 1);
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    assert_int_equal(lm_tokenizer_load(&tk, path, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "entry 1: the key k stands twice"));
    free(path);
}

static lm_tokenizer *load(const char *name, const char *text)
{
    char *path = write_file(name, text, strlen(text));
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    if (lm_tokenizer_load(&tk, path, &err)) fail_msg("%s", err.message);
    free(path);
    return tk;
}

/* The ids of text as a list of digits, and how many bytes were replaced. */
static void expect(const lm_tokenizer *tk, const char *text, size_t n, const char *digits, size_t replaced)
{
    lm_ids ids = {0};
    lm_str shown = {0};
    lm_err err = {0};
    if (lm_encode(tk, &ids, text, n, 0, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < ids.len; i++) lm_str_printf(&shown, "%s%d", i ? " " : "", ids.data[i]);
    assert_string_equal(shown.data ? shown.data : "", digits);
    assert_int_equal(ids.replaced, replaced);
    lm_str_free(&shown);
    lm_ids_free(&ids);
}

/* Byte-level keeps the bytes; the others read U+FFFD for each and count them. */
static void invalid_utf8(void **state)
{
    (void)state;
    /* U+0135 spells 0x95, U+0143 0xAD, U+00FF itself */
    lm_tokenizer *bytes = load("bytes.json", "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},\"decoder\":{\"type\":\"ByteLevel\"},"
                                             "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\xC3\xBF\":1,\"\xC4\x80\":2,\"a\xC3\xBF\":3,\"\xC3\xAD\":4},\"merges\":[\"a \xC3\xBF\"]}}");
    expect(bytes, "a\xFF\xFF", 3, "3 1", 0);
    expect(bytes, "a\0\xED", 3, "0 2 4", 0);
    lm_tokenizer_free(bytes);

    lm_tokenizer *characters = load("characters.json", "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"?\":1,\"\xEF\xBF\xBD\":2},\"merges\":[]}}");
    expect(characters, "a\xFF\xC3", 3, "0 2 2", 2);
    expect(characters, "a\xED\xA0\x80" "a", 5, "0 2 2 2 0", 3);              /* a surrogate: three bytes, none a character */
    expect(characters, "a\xE4\xB8" "a", 4, "0 2 0", 2);                   /* what begins one character is one */
    expect(characters, "\xF0\x9F\x98\xE1\x80", 5, "2 2", 5);
    expect(characters, "\xE0\x80\xF4\x90\xC0\x80\xF8\x88", 8, "2 2 2 2 2 2 2 2", 8);   /* too long, beyond Unicode: nothing begins there */
    expect(characters, "a\0b", 3, "0 1 1", 0);
    lm_tokenizer_free(characters);

    lm_tokenizer *pieces = load("pieces.json", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"?\",0],[\"a\",-1],[\"\xEF\xBF\xBD\",-2]]}}");
    expect(pieces, "a\xFF" "a", 3, "1 2 1", 1);
    lm_tokenizer_free(pieces);

    lm_tokenizer *words = load("words.json", "{\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"a\":1,\"##\xEF\xBF\xBD\":2}}}");
    expect(words, "a\xFF a", 4, "1 2 1", 1);
    lm_tokenizer_free(words);
}

/* Nmt makes spaces of tab, zero-width space and byte order mark, and drops what else is no text. */
static void control_characters(void **state)
{
    (void)state;
    lm_tokenizer *tk = load("nmt.json", "{\"normalizer\":{\"type\":\"Nmt\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"?\":1,\" \":2},\"merges\":[]}}");
    static const char text[] = "a\001\ta\xE2\x80\x8B\x7F\v\xC2\x9F" "a\xEF\xBB\xBF\xC2\x85";
    expect(tk, text, sizeof text - 1, "0 2 0 2 0 2 1", 0);
    lm_tokenizer_free(tk);
}

/* Stretches are counted in characters, one broken byte among them; the last may be short. */
static void stretches(void **state)
{
    (void)state;
    lm_tokenizer *tk = load("two.json", "{\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":2},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\","
                                        "\"vocab\":{\"?\":0,\"ab\":1,\"\xEA\xB0\x80 \":2,\"c\":3,\"\xEF\xBF\xBD" "a\":4}}}");
    static const char text[] = "ab\xEA\xB0\x80 \xFF" "abac";
    expect(tk, text, sizeof text - 1, "1 2 4 0 3", 1);
    expect(tk, "", 0, "", 0);
    lm_tokenizer_free(tk);
}

/* An expression that explodes ends at the match limit with an error that says where. */
static void exploding_expression(void **state)
{
    (void)state;
    lm_tokenizer *tk = load("exploding.json", "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+a+)+[bc]\"},\"behavior\":\"Isolated\"},"
                                              "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
    lm_ids ids = {0};
    lm_err err = {0};
    assert_int_equal(lm_encode(tk, &ids, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40, 0, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "at byte 0"));
    lm_ids_free(&ids);
    lm_tokenizer_free(tk);
}

/* One line of eight megabytes, without an end, with NUL bytes: every byte comes back. */
static void long_line(void **state)
{
    (void)state;
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    if (lm_tokenizer_load(&tk, "tests/golden/token/gpt2.json", &err)) fail_msg("%s", err.message);
    lm_str text = {0}, back = {0};
    for (int i = 0; text.len < (size_t)8 << 20; i++) lm_str_append(&text, i % 3 ? "a long line \xEA\xB0\x80" : "\0\xFF", i % 3 ? 15 : 2);
    lm_ids ids = {0};
    if (lm_encode(tk, &ids, text.data, text.len, 0, &err) || lm_decode(tk, &back, ids.data, ids.len, 0, &err)) fail_msg("%s", err.message);
    assert_int_equal(back.len, text.len);
    assert_memory_equal(back.data, text.data, text.len);
    lm_ids_free(&ids);
    lm_str_free(&text), lm_str_free(&back);
    lm_tokenizer_free(tk);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(refusals), cmocka_unit_test(gguf_key_twice), cmocka_unit_test(invalid_utf8), cmocka_unit_test(control_characters), cmocka_unit_test(stretches),
                                        cmocka_unit_test(exploding_expression), cmocka_unit_test(long_line) };
    return cmocka_run_group_tests_name("bad_files", tests, test_folder_make, test_folder_remove);
}
