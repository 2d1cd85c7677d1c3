/* Characters taken whole: the same symbols as from single bytes, whatever the order of the merges. */
#include "common/test.h"
#include "base/rng.h"
#include "token/characters.h"

#include <stdlib.h>
#include <string.h>

enum { LISTS = 300, MERGES = 120, WORDS = 60, LONGEST = 12, BYTES = 256 };

typedef struct model {
    lm_vocab vocab;
    lm_merges merges;
    int32_t byte_id[BYTES];
} model;

static lm_str raw_text(const model *m, int32_t id)
{
    lm_str raw = {0};
    assert_true(lm_bytes_unspell(&raw, m->vocab.texts[id]));
    return raw;
}

/* The token of some bytes, made where there is none. */
static int32_t token_of(model *m, const char *bytes, size_t n)
{
    lm_str spelled = {0};
    lm_bytes_spell(&spelled, lm_span_of(bytes, n));
    lm_span text = lm_span_of(spelled.data, spelled.len);
    int32_t id = lm_vocab_id(&m->vocab, text);
    if (id < 0) assert_int_equal(lm_vocab_add(&m->vocab, text, id = m->vocab.n, "x", NULL), LM_OK);
    lm_str_free(&spelled);
    return id;
}

/* Characters of one to three bytes, two of which differ in their last byte. */
static void random_word(lm_rng *rng, lm_str *word)
{
    static const char *const characters[] = { "a", " ", "\xC3\xA9", "\xEA\xB0\x80", "\xEA\xB0\x81", "\xEB\x82\x98", "\xE4\xB8\xAD" };
    lm_str_clear(word);
    for (int n = 1 + (int)lm_rng_below(rng, 5); n > 0; n--) lm_str_puts(word, characters[lm_rng_below(rng, 7)]);
}

/* Merges of parts of words, some of which stand before the merges that make their sides. */
static void make(model *m, lm_rng *rng)
{
    *m = (model){ 0 };
    for (int byte = 0; byte < BYTES; byte++) m->byte_id[byte] = token_of(m, (char[]){ (char)byte }, 1);
    lm_merges_init(&m->merges, MERGES);
    int32_t ranks[MERGES];
    for (int i = 0; i < MERGES; i++) ranks[i] = i;
    for (int i = 0, swaps = (int)lm_rng_below(rng, 40); i < swaps; i++) {
        size_t a = lm_rng_below(rng, MERGES), b = lm_rng_below(rng, MERGES);
        int32_t kept = ranks[a];
        ranks[a] = ranks[b], ranks[b] = kept;
    }
    lm_str word = {0};
    for (int i = 0; i < MERGES; i++) {
        random_word(rng, &word);
        lm_merge_work work = {0};
        lm_merge_work_reserve(&work, word.len);
        for (size_t j = 0; j < word.len; j++) work.id[j] = m->byte_id[(uint8_t)word.data[j]];
        size_t n = lm_merge_all(&m->merges, &work, word.len);
        size_t at = n > 1 ? lm_rng_below(rng, n - 1) : 0;
        if (n > 1) {
            lm_str joined = raw_text(m, work.id[at]), right = raw_text(m, work.id[at + 1]);
            lm_str_append(&joined, right.data, right.len);
            if (joined.len <= LONGEST) lm_merges_put(&m->merges, work.id[at], work.id[at + 1], ranks[i], token_of(m, joined.data, joined.len));
            lm_str_free(&joined), lm_str_free(&right);
        }
        lm_merge_work_free(&work);
    }
    lm_str_free(&word);
}

/* How many characters of a word were taken whole. */
static int compare(const model *m, const lm_characters *characters, lm_span word)
{
    const uint8_t *text = (const uint8_t *)word.data;
    lm_merge_work bytes = {0}, whole = {0};
    lm_merge_work_reserve(&bytes, word.len);
    lm_merge_work_reserve(&whole, word.len);
    int taken = 0;
    size_t n = 0;
    for (size_t i = 0; i < word.len; i++) bytes.id[i] = m->byte_id[text[i]];
    for (size_t i = 0; i < word.len;) {
        int32_t id = lm_character_at(characters, text, word.len, i);
        whole.id[n++] = id < 0 ? m->byte_id[text[i]] : id;
        i += id < 0 ? 1 : 3;
        taken += id >= 0;
    }
    size_t expected = lm_merge_all(&m->merges, &bytes, word.len), found = lm_merge_all(&m->merges, &whole, n);
    assert_int_equal(found, expected);
    assert_memory_equal(whole.id, bytes.id, expected * sizeof *bytes.id);
    lm_merge_work_free(&bytes), lm_merge_work_free(&whole);
    return taken;
}

static void test_whole(void **state)
{
    (void)state;
    int taken = 0, passed = 0;
    lm_str word = {0};
    for (uint64_t list = 0; list < LISTS; list++) {
        lm_rng rng = { .seed = list };
        model m;
        make(&m, &rng);
        lm_characters *characters = lm_characters_new(&m.vocab, &m.merges, m.byte_id);
        for (int i = 0; i < WORDS; i++) {
            random_word(&rng, &word);
            int here = compare(&m, characters, lm_span_of(word.data, word.len));
            taken += here, passed += !here;
        }
        free(characters);
        lm_merges_free(&m.merges);
        lm_vocab_free(&m.vocab);
    }
    assert_true(taken > LISTS && passed > LISTS);            /* both happened */
    lm_str_free(&word);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
