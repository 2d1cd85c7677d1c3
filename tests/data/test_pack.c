/* Packing: what must hold for any lengths, and small cases by hand. */
#include "common/test.h"
#include "base/rng.h"
#include "data/fake.h"
#include "data/pack.h"

#include <stdlib.h>
#include <string.h>

enum { MANY = 400 };

static int64_t *random_lengths(int64_t n, int64_t below, uint64_t seed)
{
    lm_rng rng = { .seed = seed };
    int64_t *lengths = lm_malloc((size_t)n * sizeof *lengths);
    for (int64_t i = 0; i < n; i++) lengths[i] = 2 + (int64_t)lm_rng_below(&rng, (uint64_t)below);
    return lengths;
}

/* Every lesson of every document stands in exactly one piece, and no block is longer than allowed. */
static void check_cover(const lm_blocks *b, const lm_dataset *d, int64_t context)
{
    uint8_t *seen = lm_calloc((size_t)d->n_tokens, 1);
    int64_t lessons = 0;
    assert_int_equal(b->first[0], 0);
    assert_int_equal(b->first[b->n], b->n_pieces);
    for (int64_t i = 0; i < b->n; i++) {
        assert_in_range(lm_block_length(b, i), 1, context);
        assert_true(b->first[i] < b->first[i + 1]);
    }
    for (int64_t p = 0; p < b->n_pieces; p++) {
        lm_piece piece = b->pieces[p];
        assert_true(piece.begin >= d->documents[piece.document].begin);
        assert_true(piece.begin + piece.n < d->documents[piece.document + 1].begin);
        for (int64_t i = 0; i < piece.n; i++) assert_int_equal(seen[piece.begin + i]++, 0);
        lessons += piece.n;
    }
    assert_int_equal(lessons, d->n_tokens - d->n);
    assert_int_equal(b->n_lessons, lessons);
    free(seen);
}

static void split_covers_every_lesson(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++)
        for (int pack = 0; pack < 2; pack++) {
            int64_t *lengths = random_lengths(MANY, 100, seed), context = 32;
            lm_dataset d = fake_dataset(lengths, MANY, 0);
            lm_blocks b;
            assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ context, LM_LONGER_SPLIT, pack }, NULL), LM_OK);
            check_cover(&b, &d, context);
            if (pack) assert_true((double)b.n_lessons / (double)(b.n * context) > 0.97);    /* gaps are filled */
            else assert_int_equal(b.n, b.n_pieces);
            lm_blocks_free(&b);
            lm_dataset_free(&d);
            free(lengths);
        }
}

/* 6 + 4, 5 + 5, 3 + 2 fill three blocks of 10 by best fit; in order they would need four. */
static void best_fit_by_hand(void **state)
{
    (void)state;
    int64_t lengths[] = { 4, 7, 6, 5, 6, 3 };                /* lessons: 3 6 5 4 5 2 */
    lm_dataset d = fake_dataset(lengths, 6, 0);
    lm_blocks b;
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 10, LM_LONGER_REFUSE, true }, NULL), LM_OK);
    assert_int_equal(b.n, 3);
    check_cover(&b, &d, 10);
    assert_int_equal(lm_block_length(&b, 0), 10);
    assert_int_equal(b.pieces[0].document, 1);
    assert_int_equal(b.pieces[1].document, 3);
    assert_int_equal(lm_block_length(&b, 1), 10);
    assert_int_equal(lm_block_length(&b, 2), 5);
    lm_blocks_free(&b);
    lm_dataset_free(&d);
}

static void truncation_is_counted(void **state)
{
    (void)state;
    int64_t lengths[] = { 9, 30, 12 };
    lm_dataset d = fake_dataset(lengths, 3, 4);
    lm_blocks b;
    lm_err err = {0};
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 10, LM_LONGER_TRUNCATE, false }, &err), LM_OK);
    assert_int_equal(b.n_truncated, 2);
    assert_int_equal(b.lost, 19 + 1);
    assert_int_equal(b.n_lessons, 8 + 10 + 10);
    assert_int_equal(b.n_supervised, 5 + 7 + 7);
    lm_blocks_free(&b);

    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 10, LM_LONGER_REFUSE, false }, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "fake.jsonl:2: 30 tokens, more than the context of 10"));
    lm_err_clear(&err);

    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 3, LM_LONGER_TRUNCATE, false }, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "fake.jsonl:1: no token to learn is left after truncation"));
    lm_dataset_free(&d);
}

static void unsupervised_ends_are_left_out(void **state)
{
    (void)state;
    lm_dataset d = fake_dataset((int64_t[]){ 12 }, 1, 2);
    for (int i = 8; i < 12; i++) d.tokens[i] &= ~LM_TOKEN_SUPERVISED;
    lm_blocks b;
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 20, LM_LONGER_REFUSE, true }, NULL), LM_OK);
    assert_int_equal(b.n_lessons, 7);
    assert_int_equal(b.n_supervised, 6);
    lm_blocks_free(&b);
    lm_dataset_free(&d);
}

static void a_row_that_teaches_nothing_is_refused(void **state)
{
    (void)state;
    lm_err err = {0};
    lm_blocks b;
    lm_dataset d = fake_dataset((int64_t[]){ 5, 3 }, 2, 3);
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ 20, LM_LONGER_REFUSE, true }, &err), LM_E_FORMAT);
    assert_string_equal(err.message, "fake.jsonl:2: no token to learn");
    lm_dataset_free(&d);
    lm_err_clear(&err);

    lm_dataset empty = fake_dataset((int64_t[]){ 5, 0 }, 2, 0);
    assert_int_equal(lm_blocks_make(&b, &empty, &(lm_pack_options){ 20, LM_LONGER_SPLIT, true }, &err), LM_E_FORMAT);
    assert_string_equal(err.message, "fake.jsonl:2: no token to learn");
    lm_dataset_free(&empty);
}

/* Sequences of one row are a block whatever the packing, each with the whole context to itself. */
static void compared_sequences_stand_together(void **state)
{
    (void)state;
    const int64_t lengths[] = { 9, 4, 8, 3, 5 };
    for (int pack = 0; pack < 2; pack++) {
        lm_dataset d = fake_dataset(lengths, 5, 0);
        lm_blocks b;
        d.parted = d.documents[1].joins = d.documents[3].joins = d.documents[4].joins = true;
        assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 8, .pack = pack }, NULL), LM_OK);
        assert_int_equal(b.n, 2);
        assert_int_equal(lm_block_length(&b, 0), 8 + 3);
        assert_int_equal(lm_block_length(&b, 1), 7 + 2 + 4);
        lm_blocks_free(&b);
        lm_dataset_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_covers_every_lesson), cmocka_unit_test(best_fit_by_hand),
        cmocka_unit_test(truncation_is_counted), cmocka_unit_test(unsupervised_ends_are_left_out),
        cmocka_unit_test(a_row_that_teaches_nothing_is_refused), cmocka_unit_test(compared_sequences_stand_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
