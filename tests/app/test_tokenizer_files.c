/* tokenizer convert and tokenizer stats, through the program. */
#include "common/program.h"
#include "common/test.h"
#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/token/"

/* Converts and demands success, or with `reason` a refusal that gives it. */
static void convert(const char *in, const char *out, const char *reason)
{
    program p;
    lm_str line = {0};
    char *path = test_path(out);
    lm_str_printf(&line, "tokenizer convert %s %s", in, path);
    program_line(&p, NULL, line.data);
    if (!reason && p.code) fail_msg("%s to %s: %s", in, out, p.err.data);
    if (reason && (!p.code || !p.err.data || !strstr(p.err.data, reason))) fail_msg("%s to %s: exit %d, \"%s\" does not say \"%s\"", in, out, p.code, p.err.data, reason);
    program_free(&p);
    lm_str_free(&line);
    free(path);
}

static char *made(const char *name) { return test_path(name); }

static void converted(void **state)
{
    (void)state;
    convert(GOLDEN "sp_bpe.model", "bpe", NULL);
    convert(GOLDEN "sp_unigram_spaces.model", "unigram", NULL);
    convert(GOLDEN "vocab.txt", "bert", NULL);
    convert(GOLDEN "sp_unigram.model", "again.model", NULL);
    convert(GOLDEN "llama3.json", "llama3.tiktoken", NULL);
    char *bpe = made("bpe"), *unigram = made("unigram"), *bert = made("bert");
    convert(bpe, "bpe.model", NULL);
    convert(unigram, "unigram.model", NULL);
    convert(bert, "bert/vocab.txt", NULL);
    free(bpe), free(unigram), free(bert);
}

/* Each is loaded again by the program, and compared: cutting by name, words that are taken whole, pieces of BERT. */
static void converted_to_gguf(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt2", "llama3", "gpt4o", "tekken", "llama2", "bert_korean", "bert_uncased" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lm_str in = {0}, out = {0};
        lm_str_printf(&in, GOLDEN "%s.json", names[i]);
        lm_str_printf(&out, "%s.gguf", names[i]);
        convert(in.data, out.data, NULL);
        lm_str_free(&in), lm_str_free(&out);
    }
    convert(GOLDEN "vocab.txt", "vocab.gguf", NULL);
    convert(GOLDEN "sp_unigram_spaces.model", "unigram.gguf", NULL);
    convert(GOLDEN "qwen2.json", "x.gguf", "no name for how this tokenizer normalises");
    convert(GOLDEN "sp_bpe.model", "x.gguf", "--keep-spaces");
    convert(GOLDEN "word_level.json", "x.gguf", "found WordLevel");
}

static void refused(void **state)
{
    (void)state;
    convert(GOLDEN "gpt2.json", "x.model", "byte-level");
    convert(GOLDEN "qwen2.json", "x.tiktoken", "does not normalise");
    convert(GOLDEN "llama3.json", "x/vocab.json", "GPT-2's expression");
    convert(GOLDEN "llama2.json", "x/vocab.txt", "WordPiece");
    convert(GOLDEN "bert_korean.json", "x.model", "WordPiece");
    convert(GOLDEN "gpt2.json", "x.zip", "--to");
}

static double number(const lm_json *row, const char *key) { return json_number_value(lm_json_get(row, key)); }

/* Counted by hand: "가나 다" and "a  b" are four eojeol and eight characters, and bytes are what GPT-2 keeps. */
static void statistics(void **state)
{
    (void)state;
    char *text = test_path("text.jsonl"), *svg = test_path("plot.svg");
    lm_err err = {0};
    static const char lines[] = "{\"text\": \"\xEA\xB0\x80\xEB\x82\x98 \xEB\x8B\xA4\"}\na  b\n";
    assert_int_equal(lm_file_write(text, lines, sizeof lines - 1, &err), LM_OK);
    program p;
    lm_str line = {0};
    lm_str_printf(&line, "tokenizer stats " GOLDEN "gpt2.json " GOLDEN "word_level.json --data %s --json --plot %s", text, svg);
    program_line(&p, NULL, line.data);
    if (p.code) fail_msg("%s", p.err.data);
    lm_json *all = lm_json_parse(p.out.data, p.out.len, "out", &err);
    assert_int_equal(json_array_size(all), 2);
    const lm_json *bytes = json_array_get(all, 0), *words = json_array_get(all, 1);
    assert_int_equal(number(bytes, "eojeols"), 4);
    assert_int_equal(number(bytes, "characters"), 8);
    assert_int_equal(number(bytes, "bytes"), 14);
    assert_int_equal(number(bytes, "unknown"), 0);
    assert_int_equal(number(words, "tokens"), 4);
    assert_true(number(words, "unknown") >= 1 && number(words, "unknown_percent") >= 25);
    assert_float_equal(number(bytes, "tokens_per_eojeol"), number(bytes, "tokens") / 4, 1e-9);
    assert_float_equal(number(bytes, "bytes_per_token"), 14 / number(bytes, "tokens"), 1e-9);
    lm_json_free(all);
    lm_str picture = {0};
    assert_int_equal(lm_file_read(&picture, svg, 1 << 20, &err), LM_OK);
    assert_true(lm_starts_with(picture.data, "<svg ") && lm_ends_with(picture.data, "</svg>\n"));
    assert_non_null(strstr(picture.data, "token/gpt2.json"));
    lm_str_free(&picture);
    lm_str_free(&line);
    program_free(&p);
    free(text), free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(converted), cmocka_unit_test(converted_to_gguf), cmocka_unit_test(refused), cmocka_unit_test(statistics) };
    return cmocka_run_group_tests_name("tokenizer_files", tests, test_folder_make, test_folder_remove);
}
