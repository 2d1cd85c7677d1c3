/* Readers of vocabularies: llama.cpp's test vectors where they are present, and damaged files. */
#include "base/file.h"
#include "base/rng.h"
#include "token/tokenizer.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define VOCABULARIES "../shared/data/tokenizers/gguf_vocab/ggml-vocab-"

/* .inp has texts between separators, .out one line of ids for each. */
static void check_vectors(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    lm_err err = {0};
    lm_tokenizer *tk = NULL;
    lm_str path = {0}, texts = {0}, expected = {0};
    lm_str_printf(&path, VOCABULARIES "%s.gguf", name);
    if (lm_tokenizer_load(&tk, path.data, &err)) fail_msg("%s", err.message);
    lm_str_puts(&path, ".inp");
    assert_int_equal(lm_file_read(&texts, path.data, 1 << 20, &err), LM_OK);
    path.len -= 4;
    lm_str_puts(&path, ".out");
    assert_int_equal(lm_file_read(&expected, path.data, 1 << 20, &err), LM_OK);
    char *text = texts.data, *line = expected.data;
    for (int number = 0; text; number++) {
        char *next = strstr(text, separator);
        size_t n = next ? (size_t)(next - text) : texts.len - (size_t)(text - texts.data);
        lm_ids ids = {0};
        lm_str shown = {0};
        assert_int_equal(lm_encode(tk, &ids, text, n, 0, &err), LM_OK);
        for (size_t i = 0; i < ids.len; i++) lm_str_printf(&shown, " %d", ids.data[i]);
        size_t end = strcspn(line, "\n");
        if (shown.len != end || (end && memcmp(shown.data, line, end)))
            fail_msg("%s: text %d: expected%.*s, found%s", name, number, (int)end, line, shown.data ? shown.data : "");
        line += end + (line[end] == '\n');
        text = next ? next + strlen(separator) : NULL;
        lm_ids_free(&ids);
        lm_str_free(&shown);
    }
    lm_str_free(&path), lm_str_free(&texts), lm_str_free(&expected);
    lm_tokenizer_free(tk);
}

static void gguf_vectors(void **state)
{
    (void)state;
    if (!lm_file_exists(VOCABULARIES "gpt-2.gguf")) {
        print_message("skipped: " VOCABULARIES "*.gguf are absent\n");
        skip();
    }
    const char *names[] = { "bert-bge", "falcon", "gpt-2", "llama-spm", "phi-3", "starcoder" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_vectors(names[i]);
}

static void load_bytes(const char *path, const void *bytes, size_t n, lm_status *status, lm_err *err)
{
    lm_tokenizer *tk = NULL;
    lm_err writing = {0};
    assert_int_equal(lm_file_write(path, bytes, n, &writing), LM_OK);
    *status = lm_tokenizer_load(&tk, path, err);
    if (*status) assert_null(tk);
    lm_tokenizer_free(tk);
}

/* Each file names one thing that is wrong; the message must name it too. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "{\"model\":{\"type\":\"Nonsense\"}}", "Nonsense" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "\"b\"" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "id 0" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "id -1" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999},\"merges\":[]}}", "99999999" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "dropout" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"Odd\"}}", "Odd" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"decoder\":{\"type\":\"CTC\"}}", "CTC" },
        { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", "[UNK]" },
        { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":4}}", "unk_id" },
        { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "entry 0" },
        { "{\"model\"", "not JSON" },
        { "GGUF\3\0\0\0 and then nothing that fits it", "no tokenizer" },
        { "plain text\nof two lines\n", "no tokenizer" },
        { "", "" },
    };
    char path[] = "/tmp/malmoi-formats-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_status status;
        lm_err err = {0};
        load_bytes(path, cases[i].text, strlen(cases[i].text), &status, &err);
        if (!status) fail_msg("accepted: %s", cases[i].text);
        if (!strstr(err.message, cases[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
    }
    remove(path);
}

/* Cut short or with bytes changed, a real file is refused or read, and nothing worse. */
static void damaged(const char *source, bool expect_failure_when_cut)
{
    char path[] = "/tmp/malmoi-damaged-XXXXXX";
    close(mkstemp(path));
    lm_str bytes = {0};
    lm_err err = {0};
    assert_int_equal(lm_file_read(&bytes, source, 1 << 24, &err), LM_OK);
    lm_rng rng = { .seed = 5 };
    lm_status status;
    for (int round = 0; round < 12; round++) {
        size_t n = (size_t)lm_rng_below(&rng, bytes.len < 60000 ? bytes.len : 60000);
        lm_err_clear(&err);
        load_bytes(path, bytes.data, n, &status, &err);
        if (expect_failure_when_cut) assert_int_not_equal(status, LM_OK);
        lm_str copy = {0};
        lm_str_append(&copy, bytes.data, bytes.len < 30000 ? bytes.len : 30000);
        for (int i = 0; i < 4; i++) copy.data[lm_rng_below(&rng, copy.len)] = (char)lm_rng_u64(&rng);
        lm_err_clear(&err);
        load_bytes(path, copy.data, copy.len, &status, &err);
        lm_str_free(&copy);
    }
    lm_str_free(&bytes);
    remove(path);
}

static void damaged_files(void **state)
{
    (void)state;
    const char *sources[] = { VOCABULARIES "llama-spm.gguf", "../shared/data/stories260K/tok512.bin", "../shared/data/tokenizers/llama2/tokenizer.model" };
    if (!lm_file_exists(sources[0])) {
        print_message("skipped: ../shared/data is absent\n");
        skip();
    }
    damaged(sources[0], true);
    damaged(sources[1], false);
    damaged(sources[2], false);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gguf_vectors), cmocka_unit_test(refusals), cmocka_unit_test(damaged_files) };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
