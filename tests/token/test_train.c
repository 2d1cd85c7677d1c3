/* Training: cases worked by hand, ties, limits, refusals, hostile text, and independence of the number of threads. */
#include "base/file.h"
#include "base/rng.h"
#include "base/thread.h"
#include "token/train.h"
#include "token/words.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static lm_tokenizer *train_kind(const char *kind, const lm_vocab_options *options, const char *const *texts, const int *times)
{
    lm_vocab_trainer *trainer = NULL;
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    assert_non_null(lm_token_trainer_find(kind));
    if (lm_vocab_trainer_new(&trainer, lm_token_trainer_find(kind), options, &err)) fail_msg("%s", err.message);
    for (int i = 0; texts[i]; i++)
        for (int j = 0; j < times[i]; j++) assert_int_equal(lm_vocab_trainer_feed(trainer, texts[i], strlen(texts[i]), &err), LM_OK);
    if (lm_vocab_trainer_finish(trainer, &tk, &err)) fail_msg("%s", err.message);
    lm_vocab_trainer_free(trainer);
    return tk;
}

static lm_tokenizer *train_on(const lm_vocab_options *options, const char *const *texts, const int *times)
{
    return train_kind("bpe", options, texts, times);
}

static lm_strings usual(const lm_token_trainer *kind)
{
    lm_strings list = { .items = (char **)kind->specials };
    while (list.items[list.n]) list.n++;
    return list;
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

/* "##" parts are symbols of their own: hug 10, pug 5, pun 12, bun 4, hugs 5 again. */
static void wordpiece_by_hand(void **state)
{
    (void)state;
    const char *texts[] = { "hug pun", "pug", "pun", "bun", "hugs", NULL };
    const int times[] = { 10, 5, 2, 4, 5 };
    lm_vocab_options options = lm_vocab_defaults();
    options.specials = usual(lm_token_trainer_find("wordpiece"));
    options.vocab_size = 5 + 7 + 4 + 4;                /* specials, letters, ##g ##n ##s ##u, merges */
    lm_tokenizer *tk = train_kind("wordpiece", &options, texts, times);
    const char *expected[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "b", "g", "h", "n", "p", "s", "u",
                               "##g", "##n", "##s", "##u", "##ug", "##un", "hug", "pun" };
    assert_int_equal(lm_tokenizer_vocab_size(tk), 20);
    for (int i = 0; i < 20; i++) assert_token(tk, i, expected[i]);
    lm_tokenizer_free(tk);
}

/* ▁ begins words; merged pieces stand before letters; what is not covered is bytes. */
static void sentencepiece_bpe_by_hand(void **state)
{
    (void)state;
    const char *texts[] = { "ab ab", "abc", "z", NULL };
    const int times[] = { 5, 4, 1 };
    lm_vocab_options options = lm_vocab_defaults();
    options.specials = usual(lm_token_trainer_find("sentencepiece-bpe"));
    options.character_coverage = 0.97;                 /* 15 marks, 14 a, 14 b, 4 c, 1 z: without the last */
    options.vocab_size = 3 + 256 + 2 + 4;
    lm_tokenizer *tk = train_kind("sentencepiece-bpe", &options, texts, times);
    const char *expected[] = { "\xE2\x96\x81" "a", "\xE2\x96\x81" "ab", "\xE2\x96\x81", "a", "b", "c" };
    assert_int_equal(lm_tokenizer_vocab_size(tk), 265);
    assert_token(tk, 0, "<unk>");
    assert_token(tk, 3, "<0x00>");
    for (int i = 0; i < 6; i++) assert_token(tk, 259 + i, expected[i]);
    lm_ids ids = {0};
    assert_int_equal(lm_encode(tk, &ids, "ab z", 4, 0, NULL), LM_OK);
    const int32_t wanted[] = { 260, 261, 3 + 'z' };
    assert_int_equal(ids.len, 3);
    assert_memory_equal(ids.data, wanted, sizeof wanted);
    lm_ids_free(&ids);
    lm_tokenizer_free(tk);
}

/* "abab" and "ab" are words: a piece for each explains the text better than its letters. */
static void unigram_by_hand(void **state)
{
    (void)state;
    const char *texts[] = { "abab", "cd", NULL };
    const int times[] = { 50, 40 };
    lm_vocab_options options = lm_vocab_defaults();
    options.specials = usual(lm_token_trainer_find("unigram"));
    options.no_byte_fallback = true;
    options.vocab_size = 3 + 5 + 2;
    lm_tokenizer *tk = train_kind("unigram", &options, texts, times);
    assert_int_equal(lm_tokenizer_vocab_size(tk), 10);
    assert_in_range(lm_token_id(tk, "\xE2\x96\x81" "abab"), 3, 4);
    assert_in_range(lm_token_id(tk, "\xE2\x96\x81" "cd"), 3, 4);
    lm_tokenizer_free(tk);
}

/* ---- settings that cannot be followed ---- */

static void assert_refused(const char *kind, lm_vocab_options options, const char *text, const char *message)
{
    lm_vocab_trainer *trainer = NULL;
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    lm_status status = lm_vocab_trainer_new(&trainer, lm_token_trainer_find(kind), &options, &err);
    if (!status) status = lm_vocab_trainer_feed(trainer, text, strlen(text), &err);
    if (!status) status = lm_vocab_trainer_finish(trainer, &tk, &err);
    assert_int_not_equal(status, LM_OK);
    if (!strstr(err.message, message)) fail_msg("%s: \"%s\" lacks \"%s\"", kind, err.message, message);
    assert_null(tk);
    lm_vocab_trainer_free(trainer);
}

static void refusals(void **state)
{
    (void)state;
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) {
        const char *kind = (*t)->name;
        lm_vocab_options good = lm_vocab_defaults(), bad;
        good.specials = usual(*t);
        assert_refused(kind, good, "", "no text");
        bad = good, bad.vocab_size = 3;
        assert_refused(kind, bad, "abcd", "at least ");
        bad = good, bad.character_coverage = 1.5;
        assert_refused(kind, bad, "abcd", "character coverage 1.5");
        bad = good, bad.normalizer = "nfx";
        assert_refused(kind, bad, "abcd", "normalizer \"nfx\"");
        char *twice[] = { (char[]){ "<unk>" }, (char[]){ "[UNK]" }, (char[]){ "<unk>" } };
        bad = good, bad.specials = (lm_strings){ twice, 3 };
        assert_refused(kind, bad, "abcd", "stands there twice");
        char *letters[] = { (char[]){ "\xFF" } };
        bad = good, bad.initial_alphabet = (lm_strings){ letters, 1 };
        assert_refused(kind, bad, "abcd", "not UTF-8");
        bad = good, bad.specials = (lm_strings){0};
        if (strcmp(kind, "bpe") != 0) assert_refused(kind, bad, "abcd", "expected ");
    }
    lm_vocab_options bad = lm_vocab_defaults();
    bad.pattern = "(";
    assert_refused("bpe", bad, "abcd", "(");
    bad = lm_vocab_defaults();
    bad.specials = usual(lm_token_trainer_find("unigram"));
    bad.max_token_length = 64;
    assert_refused("unigram", bad, "abcd", "at most 63");
}

/* A letter that was asked for is a token though it does not occur. */
static void initial_alphabet(void **state)
{
    (void)state;
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) {
        const char *texts[] = { "abab ab", NULL };
        const int times[] = { 5 };
        char *letters[] = { (char[]){ "xy" }, (char[]){ "z" } };
        lm_vocab_options options = lm_vocab_defaults();
        options.specials = usual(*t);
        options.no_initial_alphabet = true;
        options.initial_alphabet = (lm_strings){ letters, 2 };
        lm_tokenizer *tk = train_kind((*t)->name, &options, texts, times);
        assert_true(lm_token_id(tk, "x") >= 0 && lm_token_id(tk, "y") >= 0 && lm_token_id(tk, "z") >= 0);
        assert_int_equal(lm_token_id(tk, "w"), -1);
        lm_tokenizer_free(tk);
    }
}

/* ---- files ---- */

static void write_file(char *path, const char *text, size_t n)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    lm_err err = {0};
    assert_int_equal(lm_file_write(path, text, n, &err), LM_OK);
}

static lm_tokenizer *train_file(const lm_token_trainer *kind, const char *path, const char *field, int64_t size)
{
    lm_vocab_options options = lm_vocab_defaults();
    lm_vocab_trainer *trainer = NULL;
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    options.vocab_size = size;
    options.specials = usual(kind);
    if (lm_vocab_trainer_new(&trainer, kind, &options, &err)) fail_msg("%s", err.message);
    if (lm_vocab_trainer_feed_file(trainer, path, field, &err)) fail_msg("%s", err.message);
    if (lm_vocab_trainer_finish(trainer, &tk, &err)) fail_msg("%s", err.message);
    lm_vocab_trainer_free(trainer);
    return tk;
}

/* The whole file that a tokenizer is saved as. */
static char *saved(const lm_tokenizer *tk)
{
    char folder[] = "/tmp/malmoi-train-XXXXXX";
    lm_str text = {0};
    lm_err err = {0};
    assert_non_null(mkdtemp(folder));
    if (lm_tokenizer_save(tk, folder, &err)) fail_msg("%s", err.message);
    static const char *const names[] = { "tokenizer_config.json", "tokenizer.json" };
    for (int i = 0; i < 2; i++) {
        char *path = lm_path_join(folder, names[i]);
        lm_str_free(&text);
        assert_int_equal(lm_file_read(&text, path, 1 << 24, &err), LM_OK);
        remove(path);
        free(path);
    }
    rmdir(folder);
    return lm_str_take(&text);
}

static void random_text(lm_str *text, size_t bytes)
{
    static const char *const parts[] = { "a", "b", "c", "d", "e", " ", " ", "\n", "\xEA\xB0\x80", "\xEB\x82\x98", ".", "7" };
    lm_rng rng = { .seed = 3 };
    while (text->len < bytes) lm_str_puts(text, parts[lm_rng_below(&rng, 12)]);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    char path[] = "/tmp/malmoi-train-XXXXXX";
    lm_str text = {0};
    random_text(&text, 30000);
    write_file(path, text.data, text.len);
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) {
        char *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            lm_threads_set(threads);
            lm_tokenizer *tk = train_file(*t, path, NULL, 500);
            assert_in_range(lm_tokenizer_vocab_size(tk), 400, 500);
            char *now = saved(tk);
            lm_tokenizer_free(tk);
            if (first) assert_string_equal(now, first);
            else first = now;
            if (now != first) free(now);
        }
        free(first);
    }
    lm_threads_set(0);
    remove(path);
    lm_str_free(&text);
}

/* Rows of JSONL are the same text as its lines; blank lines between them do not count. */
static void rows(void **state)
{
    (void)state;
    char lines[] = "/tmp/malmoi-train-XXXXXX", json[] = "/tmp/malmoi-train-XXXXXX", bad[] = "/tmp/malmoi-train-XXXXXX";
    lm_str text = {0}, out = {0};
    random_text(&text, 8000);
    for (char *rest = text.data, *end; (end = strchr(rest, '\n')); rest = end + 1)
        lm_str_printf(&out, "{\"id\": 7, \"body\": \"%.*s\\n\"}\n%s", (int)(end - rest), rest, rest == text.data ? " \n" : "");
    write_file(lines, text.data, (size_t)(strrchr(text.data, '\n') - text.data) + 1);
    write_file(json, out.data, out.len);
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) {
        lm_tokenizer *a = train_file(*t, lines, NULL, 400), *b = train_file(*t, json, "body", 400);
        char *one = saved(a), *other = saved(b);
        assert_string_equal(one, other);
        free(one), free(other);
        lm_tokenizer_free(a), lm_tokenizer_free(b);
    }
    static const struct { const char *text, *message; } cases[] = {
        { "{\"body\": \"a\"}\n\n{\"text\": \"b\"}\n", "line 3: expected an object with a text in \"body\"" },
        { "{\"body\": \"a\"}\n{\"body\"", "line 2: " },
        { "[\"body\"]", "line 1: expected an object" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bad + strlen(bad) - 6, "XXXXXX", 6);
        write_file(bad, cases[i].text, strlen(cases[i].text));
        lm_vocab_options options = lm_vocab_defaults();
        lm_vocab_trainer *trainer = NULL;
        lm_err err = {0};
        assert_int_equal(lm_vocab_trainer_new(&trainer, lm_token_trainer_find("bpe"), &options, &err), LM_OK);
        assert_int_not_equal(lm_vocab_trainer_feed_file(trainer, bad, "body", &err), LM_OK);
        if (!strstr(err.message, cases[i].message)) fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].message);
        lm_vocab_trainer_free(trainer);
        remove(bad);
    }
    remove(lines), remove(json);
    lm_str_free(&text), lm_str_free(&out);
}

/* Bytes that are no text: NUL, damaged UTF-8, no newline at the end, one line longer than a block. */
static void hostile_text(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 11 };
    lm_str text = {0};
    random_text(&text, 4000);
    for (int i = 0; i < 4000; i++) lm_str_putc(&text, (char)lm_rng_below(&rng, 256));
    size_t odd = text.len;
    for (int i = 0; i < (17 << 20); i++) lm_str_putc(&text, i % 1000 ? 'x' : '\0');
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) {
        char path[] = "/tmp/malmoi-train-XXXXXX";             /* blocks are read alike for all: one trainer gets more than one */
        write_file(path, text.data, t == lm_token_trainer_registry ? text.len : odd + (1 << 20));
        lm_tokenizer *tk = train_file(*t, path, NULL, 900);
        assert_true(lm_token_id(tk, "x") >= 0);
        lm_tokenizer_free(tk);
        remove(path);
    }
    lm_str_free(&text);
}

/* What stays is told by the counts alone: everything at least as frequent as the rarest that stays. */
static void rare_words_go(void **state)
{
    (void)state;
    lm_words words = {0};
    char name[8];
    for (int i = 0; i < 100; i++) {
        int n = snprintf(name, sizeof name, "w%d", i);
        lm_words_add(&words, lm_span_of(name, (size_t)n), 1 + i / 10);
    }
    assert_int_equal(lm_words_prune(&words, 100), 0);
    assert_int_equal(lm_words_prune(&words, 35), 70);    /* of ten at a time */
    assert_int_equal(words.n, 30);
    lm_word *sorted = lm_words_sorted(&words);
    for (size_t i = 0; i < words.n; i++) assert_true(sorted[i].count >= 8);
    free(sorted);
    lm_words_free(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_hand), cmocka_unit_test(ties_and_specials), cmocka_unit_test(limits),
        cmocka_unit_test(wordpiece_by_hand), cmocka_unit_test(sentencepiece_bpe_by_hand), cmocka_unit_test(unigram_by_hand),
        cmocka_unit_test(refusals), cmocka_unit_test(initial_alphabet), cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(rows), cmocka_unit_test(hostile_text), cmocka_unit_test(rare_words_go),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
