/* The program on files: a llama2.c model made here is converted and looked into; what is refused leaves
 * nothing behind. */
#include "common/program.h"
#include "io/temp.h"

#include "base/json.h"
#include "io/checkpoint.h"

enum { C = 4, F = 6, L = 1, H = 2, BYTES = 256, V = 3 + BYTES + 2, T = 16 };
static const int32_t header[7] = { C, F, L, H, H, V, T };
static const size_t n_floats = V * C + L * (2 * C + 4 * C * C + 3 * F * C) + C + T * (C / H);

static void put_model(void **state)
{
    lm_str s = {0};
    lm_str_append(&s, header, sizeof header);
    for (size_t i = 0; i < n_floats; i++) lm_str_append(&s, &(float){ 0.01f * (float)(i % 13) }, sizeof(float));
    free(temp_put(state, "m.bin", s.data, s.len));
    lm_str_free(&s);
}

static void put_token(lm_str *s, float score, const char *text)
{
    int32_t len = (int32_t)strlen(text);
    lm_str_append(s, &score, sizeof score);
    lm_str_append(s, &len, sizeof len);
    lm_str_append(s, text, (size_t)len);
}

/* <unk>, <s>, </s>, the bytes, " " and `more` letters. */
static void put_tokenizer(void **state, const char *name, const char *more)
{
    lm_str s = {0};
    char text[16];
    lm_str_append(&s, &(int32_t){ 6 }, 4);
    put_token(&s, 0, "<unk>"), put_token(&s, 0, "\n<s>\n"), put_token(&s, 0, "\n</s>\n");
    for (int i = 0; i < BYTES; i++) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        put_token(&s, 0, text);
    }
    put_token(&s, -1, " ");
    for (; *more; more++) put_token(&s, -2, (char[]){ *more, 0 });
    free(temp_put(state, name, s.data, s.len));
    lm_str_free(&s);
}

/* Runs the line with every @ replaced by the folder. */
static program run(void **state, const char *line)
{
    program p;
    lm_str text = {0};
    for (; *line; line++) {
        if (*line == '@') lm_str_puts(&text, *state);
        else lm_str_putc(&text, *line);
    }
    program_line(&p, NULL, text.data);
    lm_str_free(&text);
    return p;
}

static void refused(void **state, const char *line, int code, const char *words)
{
    program p = run(state, line);
    if (p.code != code || !strstr(p.err.data, words)) fail_msg("%s: exit %d: %s", line, p.code, p.err.data);
    assert_int_equal(p.out.len, 0);
    assert_ptr_equal(strchr(p.err.data, '\n'), p.err.data + p.err.len - 1);     /* one line */
    program_free(&p);
}

static lm_json *json_of(void **state, const char *line)
{
    lm_err err = {0};
    program p = run(state, line);
    if (p.code) fail_msg("%s: %s", line, p.err.data);
    lm_json *doc = lm_json_parse(p.out.data, p.out.len, "stdout", &err);
    assert_non_null(doc);
    program_free(&p);
    return doc;
}

static int64_t number(const lm_json *doc, const char *key) { return json_integer_value(lm_json_get(doc, key)); }

static int make(void **state)
{
    if (temp_make(state)) return -1;
    put_model(state);
    put_tokenizer(state, "tok.bin", "a");
    return 0;
}

static void test_convert(void **state)
{
    lm_json_free(json_of(state, "convert @/m.bin --from llama2c --tokenizer @/tok.bin --out @/out/m --json"));
    lm_json *doc = json_of(state, "inspect @/out/m --json");
    assert_string_equal(json_string_value(lm_json_get(doc, "kind")), "model folder");
    assert_int_equal(number(doc, "parameters"), n_floats - T * (C / H));
    assert_int_equal(number(doc, "stored_numbers"), n_floats - T * (C / H));
    assert_int_equal(number(doc, "vocab_size"), V);
    assert_int_equal(number(lm_json_get(doc, "tokenizer"), "ids"), V);
    assert_true(json_is_true(lm_json_get(doc, "tied_embeddings")));
    lm_json_free(doc);

    doc = json_of(state, "inspect @/out/m/model.safetensors --tensors --json");
    assert_int_equal(json_array_size(lm_json_get(doc, "tensors")), 2 + 9 * L);
    lm_json_free(doc);
    doc = json_of(state, "inspect @/m.bin --json");
    assert_string_equal(json_string_value(lm_json_get(doc, "kind")), "llama2.c model");
    assert_int_equal(number(doc, "context"), T);
    lm_json_free(doc);
}

static void test_convert_refuses(void **state)
{
    put_tokenizer(state, "small.bin", "");
    lm_json_free(json_of(state, "convert @/m.bin --out @/m --json --quiet"));
    int before = test_count_entries(*state);
    refused(state, "convert @/m.bin --tokenizer @/tok.bin --out @/m", 2, "m: exists already");
    refused(state, "convert @/m.bin --tokenizer @/small.bin --out @/n", 1, "small.bin: vocabulary of 260 tokens, the model has 261");
    refused(state, "convert @/m.bin --tokenizer @/none.bin --out @/n", 1, "none.bin");
    refused(state, "convert @/tok.bin --out @/n", 1, "convert reads llama2.c models");
    refused(state, "convert @/tok.bin --from llama2c --out @/n", 1, "llama2.c header");
    refused(state, "convert @/none --out @/n", 1, "No such file");
    refused(state, "convert @/m.bin --force --out @", 2, "--force replaces a model folder");
    refused(state, "convert @/m.bin", 2, "--out");
    refused(state, "convert --out @/n", 2, "FILE");
    assert_int_equal(test_count_entries(*state), before);
    lm_json_free(json_of(state, "convert @/m.bin --tokenizer @/tok.bin --force --out @/m --json"));
    assert_int_equal(test_count_entries(*state), before);
}

static const char rows[] = "{\"prompt\": \"aa\", \"completion\": \" b\"}\n{\"text\": \"aaaaaaaaaaaaaaaaaaaaaaa\"}\n";

/* What is learnt: the answer and the end of an sft row, all but the first token of a text. */
static void test_training_data(void **state)
{
    free(temp_put(state, "d.jsonl", rows, sizeof rows - 1));
    lm_json_free(json_of(state, "convert @/m.bin --tokenizer @/tok.bin --out @/m --json"));
    lm_json *doc = json_of(state, "inspect @/d.jsonl --model @/m --rows 1 --json");
    assert_string_equal(json_string_value(lm_json_get(doc, "objective")), "sft");
    const lm_json *row = json_array_get(lm_json_get(doc, "examples"), 0), *mask = lm_json_get(row, "mask");
    const lm_json *ids = lm_json_get(row, "ids");
    size_t n = json_array_size(ids);
    assert_int_equal(json_array_size(mask), n);
    assert_int_equal(json_integer_value(json_array_get(ids, 0)), 1);
    assert_int_equal(json_integer_value(json_array_get(ids, n - 1)), 2);
    assert_int_equal(number(row, "learnt"), 3);                     /* " ", "b" as a byte, </s> */
    for (size_t i = 0; i < n; i++) assert_int_equal(json_integer_value(json_array_get(mask, i)), i + 3 >= n);
    lm_json_free(doc);

    doc = json_of(state, "inspect @/d.jsonl --model @/m --row 2 --objective clm --json");
    row = json_array_get(lm_json_get(doc, "examples"), 0);
    assert_int_equal(json_array_size(lm_json_get(doc, "examples")), 1);
    assert_int_equal(number(row, "line"), 2);
    assert_int_equal(number(row, "learnt"), number(row, "tokens") - 1);
    lm_json_free(doc);

    program p = run(state, "inspect @/d.jsonl --model @/m --rows 1 --context 5");
    assert_int_equal(p.code, 0);
    assert_non_null(strstr(p.out.data, "2 beyond the context of 5"));
    assert_non_null(strstr(p.out.data, "aa[ ]~b</s>~"));
    program_free(&p);
    doc = json_of(state, "inspect @/d.jsonl --json");
    assert_int_equal(number(doc, "rows"), 2);
    assert_int_equal(number(doc, "bytes"), sizeof rows - 1);
    assert_int_equal(number(lm_json_get(doc, "fields"), "prompt"), 1);
    assert_int_equal(number(lm_json_get(doc, "fields"), "text"), 1);
    lm_json_free(doc);
    refused(state, "inspect @/d.jsonl --model @/m --row 3", 1, "has 2 rows");
    refused(state, "inspect @/d.jsonl --model @/m --objective sft --row 2", 1, "d.jsonl:2: ");
    refused(state, "inspect @/d.jsonl --model @/m --objective sfd", 2, "no such objective");
}

static void test_inspect_refuses(void **state)
{
    refused(state, "inspect @/none", 1, "none: cannot open: No such file");
    free(temp_put(state, "bad", "\2\0\0\0\0\0\0\0{]", 10));
    refused(state, "inspect @/bad", 1, "bad: column 2");
    free(temp_put(state, "gguf", "GGUF\3\0\0\0", 8));
    refused(state, "inspect @/gguf", 1, "gguf: a GGUF file");
    free(temp_put(state, "bytes", "\377\376\0\1", 4));
    refused(state, "inspect @/bytes", 1, "bytes: neither a model");
}

static void test_inspect_checkpoint(void **state)
{
    lm_err err = {0};
    lm_checkpoint_writer w;
    char *path = lm_path_join(*state, "run");
    lm_json *kept = json_pack("{s:i}", "seed", 7);
    assert_ok(lm_checkpoint_begin(&w, path, 12, &err));
    assert_ok(lm_checkpoint_state(&w, kept, &err));
    assert_ok(lm_checkpoint_commit(&w, 0, &err));
    lm_json *doc = json_of(state, "inspect @/run --json");
    assert_string_equal(json_string_value(lm_json_get(doc, "kind")), "training run");
    assert_int_equal(json_integer_value(json_array_get(lm_json_get(doc, "checkpoints"), 0)), 12);
    lm_json_free(doc);
    doc = json_of(state, "inspect @/run/step-000012 --json");
    assert_int_equal(number(doc, "step"), 12);
    assert_int_equal(number(lm_json_get(doc, "state"), "seed"), 7);
    lm_json_free(doc);
    free(temp_put(state, "run/step-000012/state.json", "{}", 2));
    refused(state, "inspect @/run/step-000012", 1, "state.json: damaged");
    lm_json_free(kept);
    free(path);
}

#define file_test(f) cmocka_unit_test_setup_teardown(f, make, temp_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        file_test(test_convert),       file_test(test_convert_refuses),    file_test(test_training_data),
        file_test(test_inspect_refuses), file_test(test_inspect_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
