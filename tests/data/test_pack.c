/* Packing: what must hold for any lengths, and small cases by hand. */
#include "common/test.h"
#include "base/map.h"
#include "base/rng.h"
#include "data/fake.h"
#include "data/packed.h"

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
            assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = context, .longer = LM_LONGER_SPLIT, .pack = pack }, NULL), LM_OK);
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
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 10, .longer = LM_LONGER_REFUSE, .pack = true }, NULL), LM_OK);
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
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 10, .longer = LM_LONGER_TRUNCATE, .pack = false }, &err), LM_OK);
    assert_int_equal(b.n_truncated, 2);
    assert_int_equal(b.lost, 19 + 1);
    assert_int_equal(b.n_lessons, 8 + 10 + 10);
    assert_int_equal(b.n_supervised, 5 + 7 + 7);
    lm_blocks_free(&b);

    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 10, .longer = LM_LONGER_REFUSE, .pack = false }, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "fake.jsonl:2: 30 tokens, more than the context of 10"));
    lm_err_clear(&err);

    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 3, .longer = LM_LONGER_TRUNCATE, .pack = false }, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "fake.jsonl:1: no token to learn is left after truncation"));
    lm_dataset_free(&d);
}

static void unsupervised_ends_are_left_out(void **state)
{
    (void)state;
    lm_dataset d = fake_dataset((int64_t[]){ 12 }, 1, 2);
    for (int i = 8; i < 12; i++) d.tokens[i] &= ~LM_TOKEN_SUPERVISED;
    lm_blocks b;
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 20, .longer = LM_LONGER_REFUSE, .pack = true }, NULL), LM_OK);
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
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 20, .longer = LM_LONGER_REFUSE, .pack = true }, &err), LM_E_FORMAT);
    assert_string_equal(err.message, "fake.jsonl:2: no token to learn");
    lm_dataset_free(&d);
    lm_err_clear(&err);

    lm_dataset empty = fake_dataset((int64_t[]){ 5, 0 }, 2, 0);
    assert_int_equal(lm_blocks_make(&b, &empty, &(lm_pack_options){ .context = 20, .longer = LM_LONGER_SPLIT, .pack = true }, &err), LM_E_FORMAT);
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

/* Blocks are runs of the pieces in their order, and a piece begins a block only where it does not fit. */
static void in_order_by_hand(void **state)
{
    (void)state;
    const int64_t lengths[] = { 5, 4, 3, 9, 2, 8 };              /* 4 3 2 8 1 7 lessons */
    lm_dataset d = fake_dataset(lengths, 6, 0);
    lm_blocks b;
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 8, .longer = LM_LONGER_SPLIT, .pack = true, .in_order = true }, NULL), LM_OK);
    const int64_t first[] = { 0, 2, 3, 4, 6 };
    assert_int_equal(b.n, 4);
    for (int i = 0; i < 5; i++) assert_int_equal(b.first[i], first[i]);
    check_cover(&b, &d, 8);
    lm_blocks_free(&b);
    lm_dataset_free(&d);
}

/* ---- in a file --------------------------------------------------------------------- */

/* Without the care of lm_file_write, which waits for the disk. */
static void put_file(const char *path, const lm_str *bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->len, file), bytes->len);
    fclose(file);
}

static void expect_damage(const char *path, const lm_str *bytes, const char *why)
{
    lm_packed p;
    lm_err err = {0};
    put_file(path, bytes);
    assert_int_equal(lm_packed_open(&p, path, &err), LM_E_FORMAT);
    if (!strstr(err.message, why)) fail_msg("message: %s", err.message);
}

/* Rewrites the hash, as a hostile hand would. */
static void seal(lm_str *bytes)
{
    uint64_t hash = lm_hash(bytes->data + 24, bytes->len - 24, 0);
    memcpy(bytes->data + 16, &hash, sizeof hash);
}

/* What is read is what was written; a byte that is missing or another is noticed, and with a right hash nothing of it is
 * believed that does not fit. */
static void a_file_of_blocks(void **state)
{
    (void)state;
    int64_t *lengths = random_lengths(MANY, 60, 3), bytes;
    char *path = test_path("x.pack");
    lm_dataset d = fake_dataset(lengths, MANY, 1);
    d.n_supervised = d.n_tokens - MANY;
    for (int i = 0; i <= MANY; i++) {
        d.documents[i].note = d.notes.len;
        if (i < MANY) lm_str_printf(&d.notes, "note %d", i);
    }
    lm_blocks b;
    lm_packed_about about = { .objective = "clm", .tokenizer = 77, .context = 32, .vocab = d.n_tokens + 1, .n_malformed = 3 };
    assert_int_equal(lm_blocks_make(&b, &d, &(lm_pack_options){ .context = 32, .longer = LM_LONGER_SPLIT, .pack = true }, NULL), LM_OK);
    assert_int_equal(lm_packed_write(path, &d, &b, &about, &bytes, NULL), LM_OK);
    assert_true(lm_packed_is(path));
    lm_packed p;
    assert_int_equal(lm_packed_open(&p, path, NULL), LM_OK);
    assert_true(lm_dataset_hash(&p.data) == lm_dataset_hash(&d));
    assert_memory_equal(p.blocks.pieces, b.pieces, (size_t)b.n_pieces * sizeof *b.pieces);
    assert_memory_equal(p.blocks.first, b.first, (size_t)(b.n + 1) * sizeof *b.first);
    assert_int_equal(p.blocks.n_supervised, b.n_supervised);
    assert_string_equal(p.about.objective, "clm");
    assert_int_equal(p.about.n_malformed, 3);
    lm_span note = lm_document_note(&p.data, 17);
    assert_true(lm_span_eq(note, "note 17"));
    char *place = lm_document_place(&p.data, 5);
    assert_string_equal(place, "fake.jsonl:6");
    free(place);
    lm_packed_close(&p);

    lm_str good, bad = {0};
    assert_int_equal(lm_file_read(&good, path, 1 << 24, NULL), LM_OK);
    assert_int_equal(good.len, bytes);
    lm_rng rng = { .seed = 8 };
    for (int i = 0; i < 30; i++) {
        lm_str_clear(&bad);
        lm_str_append(&bad, good.data, good.len);
        bad.data[16 + lm_rng_below(&rng, bad.len - 16)] ^= (char)(1 + lm_rng_below(&rng, 255));
        expect_damage(path, &bad, "is damaged");
        bad.len = lm_rng_below(&rng, bad.len - 16) + 16;
        expect_damage(path, &bad, "is damaged");
    }
    for (int i = 0; i < 300; i++) {                             /* numbers that lie, with a hash that is right: never a crash */
        lm_str_clear(&bad);
        lm_str_append(&bad, good.data, good.len);
        size_t at = 24 + 8 * (size_t)lm_rng_below(&rng, i % 2 ? 40 : (bad.len - 24) / 8);
        uint64_t lie = lm_rng_u64(&rng) >> lm_rng_below(&rng, 64);
        if (i % 3 == 0) lie = ~lie;
        memcpy(bad.data + at, &lie, sizeof lie);
        seal(&bad);
        put_file(path, &bad);
        if (lm_packed_open(&p, path, NULL) != LM_OK) continue;
        for (int64_t k = 0; k < p.blocks.n; k++) assert_in_range(lm_block_length(&p.blocks, k), 1, p.about.context);
        free(lm_document_place(&p.data, p.data.n - 1));
        lm_packed_close(&p);
    }
    lm_str_free(&good), lm_str_free(&bad);
    lm_blocks_free(&b);
    lm_dataset_free(&d);
    free(lengths), free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_by_hand), cmocka_unit_test(a_file_of_blocks), cmocka_unit_test(split_covers_every_lesson), cmocka_unit_test(best_fit_by_hand),
        cmocka_unit_test(truncation_is_counted), cmocka_unit_test(unsupervised_ends_are_left_out),
        cmocka_unit_test(a_row_that_teaches_nothing_is_refused), cmocka_unit_test(compared_sequences_stand_together),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
