/* Training: a case worked by hand, ties, limits, and independence of the number of threads. */
#include "base/file.h"
#include "base/rng.h"
#include "base/thread.h"
#include "token/train.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static lm_tokenizer *train_on(const lm_vocab_options *options, const char *const *texts, const int *times)
{
    lm_vocab_trainer *trainer = NULL;
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    assert_non_null(lm_token_trainer_find("bpe"));
    if (lm_vocab_trainer_new(&trainer, lm_token_trainer_find("bpe"), options, &err)) fail_msg("%s", err.message);
    for (int i = 0; texts[i]; i++)
        for (int j = 0; j < times[i]; j++) assert_int_equal(lm_vocab_trainer_feed(trainer, texts[i], strlen(texts[i]), &err), LM_OK);
    if (lm_vocab_trainer_finish(trainer, &tk, &err)) fail_msg("%s", err.message);
    lm_vocab_trainer_free(trainer);
    return tk;
}

static void assert_token(const lm_tokenizer *tk, int32_t id, const char *text)
{
    lm_span token = lm_token_text(tk, id);
    assert_non_null(token.data);
    assert_string_equal(token.data, text);
}

/* hug 10, pug 5, pun 12, bun 4, hugs 5: u+g 20, then u+n 16, then h+ug 15, then p+un 12. */
static void merges_by_hand(void **state)
{
    (void)state;
    const char *texts[] = { "hug", "pug", "pun", "bun", "hugs", NULL };
    const int times[] = { 10, 5, 12, 4, 5 };
    lm_vocab_options options = lm_vocab_defaults();
    options.vocab_size = 7 + 4;
    options.no_initial_alphabet = true;
    lm_tokenizer *tk = train_on(&options, texts, times);
    const char *expected[] = { "b", "g", "h", "n", "p", "s", "u", "ug", "un", "hug", "pun" };
    assert_int_equal(lm_tokenizer_vocab_size(tk), 11);
    for (int i = 0; i < 11; i++) assert_token(tk, i, expected[i]);
    lm_tokenizer_free(tk);
}

/* Of pairs with equal counts the one with the smaller ids goes first; a special token has id 0. */
static void ties_and_specials(void **state)
{
    (void)state;
    const char *texts[] = { "dc", "ba", NULL };
    const int times[] = { 3, 3 };
    char *specials[] = { (char[]){ "<|x|>" } };
    lm_vocab_options options = lm_vocab_defaults();
    options.no_initial_alphabet = true;
    options.specials = (lm_strings){ specials, 1 };
    lm_tokenizer *tk = train_on(&options, texts, times);
    const char *expected[] = { "<|x|>", "a", "b", "c", "d", "ba", "dc" };
    assert_int_equal(lm_tokenizer_vocab_size(tk), 7);
    for (int i = 0; i < 7; i++) assert_token(tk, i, expected[i]);
    assert_true(lm_token_is_special(tk, 0));
    lm_tokenizer_free(tk);
}

static void limits(void **state)
{
    (void)state;
    const char *texts[] = { "aaaaaaaa", "bc", NULL };
    const int times[] = { 2, 1 };
    lm_vocab_options options = lm_vocab_defaults();
    options.no_initial_alphabet = true;
    options.max_token_length = 3;                      /* aa + aa would be 4 */
    lm_tokenizer *tk = train_on(&options, texts, times);
    assert_int_equal(lm_token_id(tk, "aa"), 3);
    assert_int_equal(lm_token_id(tk, "aaaa"), -1);
    assert_int_equal(lm_token_id(tk, "bc"), -1);       /* once is less than the minimum of 2 */
    lm_tokenizer_free(tk);

    options.limit_alphabet = 1;
    tk = train_on(&options, texts, times);
    assert_int_equal(lm_token_id(tk, "a"), 0);
    assert_int_equal(lm_token_id(tk, "b"), -1);
    lm_tokenizer_free(tk);

    lm_vocab_trainer *trainer = NULL;
    lm_tokenizer *none = NULL;
    lm_err err = {0};
    assert_int_equal(lm_vocab_trainer_new(&trainer, lm_token_trainer_find("bpe"), &options, &err), LM_OK);
    assert_int_equal(lm_vocab_trainer_finish(trainer, &none, &err), LM_E_FORMAT);
    assert_null(none);
    lm_vocab_trainer_free(trainer);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    char path[] = "/tmp/malmoi-train-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    lm_rng rng = { .seed = 3 };
    lm_str text = {0};
    for (int i = 0; i < 20000; i++) lm_str_putc(&text, "abcde  \n"[lm_rng_below(&rng, 8)]);
    lm_err err = {0};
    assert_int_equal(lm_file_write(path, text.data, text.len, &err), LM_OK);
    lm_tokenizer *made[2];
    for (int i = 0; i < 2; i++) {
        lm_threads_set(i ? 3 : 1);
        lm_vocab_options options = lm_vocab_defaults();
        options.vocab_size = 500;
        lm_vocab_trainer *trainer = NULL;
        assert_int_equal(lm_vocab_trainer_new(&trainer, lm_token_trainer_find("bpe"), &options, &err), LM_OK);
        assert_int_equal(lm_vocab_trainer_feed_file(trainer, path, NULL, &err), LM_OK);
        assert_int_equal(lm_vocab_trainer_finish(trainer, &made[i], &err), LM_OK);
        lm_vocab_trainer_free(trainer);
    }
    lm_threads_set(0);
    assert_int_equal(lm_tokenizer_vocab_size(made[0]), 500);
    assert_int_equal(lm_tokenizer_vocab_size(made[1]), 500);
    for (int id = 0; id < 500; id++) assert_token(made[1], id, lm_token_text(made[0], id).data);
    lm_tokenizer_free(made[0]);
    lm_tokenizer_free(made[1]);
    lm_str_free(&text);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_hand),
        cmocka_unit_test(ties_and_specials),
        cmocka_unit_test(limits),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
