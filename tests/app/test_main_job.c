/* The main job, end to end through the program: a checkpoint comes in, is measured, tuned, merged. */
#include "common/test.h"
#include "common/program.h"

#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STORIES "../shared/data/stories260K/"

/* Runs a line that must succeed; %1 stands for the test's folder. */
static char *folder;
static void must(program *p, const char *line)
{
    lm_str full = { 0 };
    for (const char *at = line; *at; at++) {
        if (at[0] == '%' && at[1] == '1') lm_str_puts(&full, folder), at++;
        else lm_str_putc(&full, *at);
    }
    program_line(p, NULL, full.data);
    if (p->code != 0) fail_msg("%s: exit %d: %s", full.data, p->code, p->err.data);
    lm_str_free(&full);
}

static double number(const program *p, const char *key)
{
    lm_err err = { 0 };
    lm_json *doc = lm_json_parse(p->out.data, p->out.len, "output", &err);
    if (!doc) fail_msg("%s: %s", err.message, p->out.data);
    double value = json_number_value(json_object_get(doc, key));
    lm_json_free(doc);
    return value;
}

static int make_folder(void **state)
{
    if (test_folder_make(state) != 0) return -1;
    folder = test_path("");
    folder[strlen(folder) - 1] = '\0';
    char *path = test_path("text.txt");
    lm_str words = { 0 };
    for (int i = 0; i < 60; i++) lm_str_printf(&words, "line %d of a text about a cat, a hat and 모자.\n", i * i);
    lm_status status = lm_file_write(path, words.data, words.len, NULL);
    lm_str_free(&words);
    free(path);
    return status == LM_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    free(folder);
    return test_folder_remove(state);
}

/* A model whose weights are all zero gives every token the same probability: loss ln V, whatever the
 * windows, and every byte as many bits as its share of tokens. */
static void test_perplexity_of_a_uniform_model(void **state)
{
    (void)state;
    program p;
    must(&p, "tokenizer train --data %1/text.txt --vocab-size 280 --out %1/tokenizer");
    program_free(&p);
    must(&p, "new --tokenizer %1/tokenizer --out %1/zero --set initializer_range=0 --context 64 --hidden-size 32 --intermediate-size 48 --heads 4 --layers 1 --json");
    double vocab = number(&p, "vocab_size");
    program_free(&p);
    static const char *const windows[] = { "", "--context 64 --stride 1", "--context 7 --stride 3", "--context 2 --stride 1",
                                           "--batch-tokens 64" };
    double tokens = 0;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        char line[256];
        snprintf(line, sizeof line, "eval perplexity %%1/zero --data %%1/text.txt --json %s", windows[i]);
        must(&p, line);
        if (i == 0) tokens = number(&p, "tokens");
        assert_true(tokens > 500 && number(&p, "tokens") == tokens);    /* each predicted exactly once */
        assert_true(fabs(number(&p, "loss") - log(vocab)) < 1e-5);
        assert_true(fabs(number(&p, "perplexity") - vocab) < 1e-2);
        assert_true(fabs(number(&p, "bits_per_byte") - tokens * log2(vocab) / number(&p, "bytes")) < 1e-5);
        program_free(&p);
    }
}

/* Tuned, the model knows its text better; merged, it is the tuned model. */
static void test_tune_and_merge(void **state)
{
    (void)state;
    program p;
    must(&p, "tokenizer train --data %1/text.txt --vocab-size 280 --out %1/tokenizer");
    program_free(&p);
    must(&p, "new --tokenizer %1/tokenizer --out %1/base --hidden-size 64 --intermediate-size 96 --layers 2 --context 64");
    program_free(&p);
    must(&p, "train clm --model %1/base --adapter lora --data %1/text.txt --steps 20 --context 64 --lr 0.01 --out %1/lora --quiet");
    program_free(&p);
    must(&p, "merge %1/base %1/lora %1/merged --json");
    assert_true(number(&p, "max_difference") < 1e-4);                    /* f32 sums of 64 products in another order */
    program_free(&p);

    must(&p, "eval perplexity %1/base --data %1/text.txt --json");
    double before = number(&p, "loss");
    program_free(&p);
    must(&p, "eval perplexity %1/base --adapter %1/lora --data %1/text.txt --json");
    double tuned = number(&p, "loss");
    program_free(&p);
    must(&p, "eval perplexity %1/merged --data %1/text.txt --json");
    double merged = number(&p, "loss");
    program_free(&p);
    assert_true(tuned < before - 0.2);
    assert_true(fabs(merged - tuned) < 1e-4);

    program a, b;
    must(&a, "generate %1/base --adapter %1/lora --prompt line --greedy -n 20");
    must(&b, "generate %1/merged --prompt line --greedy -n 20");
    assert_string_equal(a.out.data, b.out.data);
    program_free(&a);
    program_free(&b);
}

/* The exact 200 tokens that the checkpoint's own program generates. */
static void test_stories(void **state)
{
    (void)state;
    if (!lm_file_exists(STORIES "stories260K.bin")) {
        printf("skipped: " STORIES "stories260K.bin is not there\n");
        skip();
    }
    program p;
    must(&p, "convert " STORIES "stories260K.bin --from llama2c --tokenizer " STORIES "tok512.bin --out %1/stories");
    program_free(&p);
    must(&p, "generate %1/stories --prompt '' --greedy --max-new-tokens 200");
    lm_str expected = { 0 };
    assert_int_equal(lm_file_read(&expected, STORIES "greedy_200.txt", 1 << 20, NULL), LM_OK);
    assert_string_equal(p.out.data, expected.data);
    lm_str_free(&expected);
    program_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_perplexity_of_a_uniform_model), cmocka_unit_test(test_tune_and_merge),
        cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
