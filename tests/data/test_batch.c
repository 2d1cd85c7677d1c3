/* Batches: targets, masks, segments, the order of epochs and the validation split. */
#include "common/test.h"
#include "data/batch.h"
#include "data/fake.h"

#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    lm_dataset d;
    lm_blocks b;
    lm_part train, held;
    lm_batcher batcher;
} fixture;

static void make(fixture *f, const int64_t *lengths, int64_t n, int64_t masked, lm_pack_options o, double share, int64_t size, bool shuffle)
{
    f->d = fake_dataset(lengths, n, masked);
    assert_int_equal(lm_blocks_make(&f->b, &f->d, &o, NULL), LM_OK);
    assert_int_equal(lm_part_split(&f->train, &f->held, &f->b, share, 5, NULL), LM_OK);
    lm_batcher_init(&f->batcher, &f->d, &f->b, &f->train, size, shuffle, 5);
}

static void drop(fixture *f)
{
    lm_batcher_free(&f->batcher);
    lm_part_free(&f->train);
    lm_part_free(&f->held);
    lm_blocks_free(&f->b);
    lm_dataset_free(&f->d);
}

static void targets_are_the_next_tokens(void **state)
{
    (void)state;
    fixture f;
    make(&f, (int64_t[]){ 4, 3 }, 2, 2, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .pack = true }, 0, 1, false);
    const lm_microbatch *m = lm_batcher_fill(&f.batcher, 0, 1, 0.5f, 1);
    const int32_t ids[] = { 1, 2, 3, 5, 6 }, positions[] = { 0, 1, 2, 0, 1 }, targets[] = { -1, 3, 4, -1, 7 };
    const float weights[] = { 0, 0.5f, 0.5f, 0, 0.5f };
    assert_int_equal(m->batch.n_tokens, 5);
    assert_int_equal(m->n_targets, 3);
    assert_memory_equal(m->batch.ids, ids, sizeof ids);
    assert_memory_equal(m->batch.positions, positions, sizeof positions);
    assert_memory_equal(m->targets, targets, sizeof targets);
    assert_memory_equal(m->weights, weights, sizeof weights);
    const lm_segment segments[] = { { 0, 3, 0, 3 }, { 3, 2, 3, 2 } };
    assert_int_equal(m->batch.n_segments, 2);
    assert_memory_equal(m->batch.segments, segments, sizeof segments);
    assert_int_equal(lm_batcher_targets(&f.batcher, 0, 1), 3);
    drop(&f);
}

/* A split document goes on in the next block, where the position starts again and nothing is lost. */
static void blocks_of_a_long_text_join(void **state)
{
    (void)state;
    fixture f;
    make(&f, (int64_t[]){ 10 }, 1, 0, (lm_pack_options){ .context = 4, .longer = LM_LONGER_SPLIT, .pack = true }, 0, 3, false);
    const lm_microbatch *m = lm_batcher_fill(&f.batcher, 0, 3, 1, 1);
    assert_int_equal(m->batch.n_tokens, 9);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(m->batch.ids[i], i + 1);
        assert_int_equal(m->targets[i], i + 2);
        assert_int_equal(m->batch.positions[i], i % 4);
    }
    assert_int_equal(m->batch.n_segments, 3);
    drop(&f);
}

static void every_epoch_sees_every_block_once(void **state)
{
    (void)state;
    enum { N = 37 };
    int64_t lengths[N];
    for (int i = 0; i < N; i++) lengths[i] = 3;
    fixture f;
    make(&f, lengths, N, 0, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .pack = false }, 0, 4, true);
    int same = 0;
    for (int epoch = 0; epoch < 3; epoch++) {
        uint8_t seen[N] = {0};
        for (int i = 0; i < N; i++) {
            int64_t block = lm_batcher_block(&f.batcher, epoch * N + i);
            assert_int_equal(seen[block]++, 0);
            same += epoch && block == lm_batcher_block(&f.batcher, i);
        }
    }
    assert_true(same < N / 2);
    for (int i = 0; i < N; i++) {                            /* a batch is the blocks at its positions, across epochs too */
        const lm_microbatch *m = lm_batcher_fill(&f.batcher, i, 4, 1, 1);
        for (int j = 0; j < 4; j++) {
            assert_int_equal(m->blocks[j], lm_batcher_block(&f.batcher, i + j));
            assert_int_equal(m->batch.ids[2 * j], 3 * m->blocks[j] + 1);
        }
    }
    drop(&f);
}

static void the_split_is_a_partition(void **state)
{
    (void)state;
    enum { N = 50 };
    int64_t lengths[N];
    for (int i = 0; i < N; i++) lengths[i] = 3;
    fixture f;
    make(&f, lengths, N, 0, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .pack = false }, 0.1, 4, false);
    assert_int_equal(f.held.n, 5);
    assert_int_equal(f.train.n, 45);
    uint8_t seen[N] = {0};
    for (int i = 0; i < 45; i++) {
        seen[f.train.blocks[i]]++;
        if (i) assert_true(f.train.blocks[i] > f.train.blocks[i - 1]);
    }
    for (int i = 0; i < 5; i++) seen[f.held.blocks[i]]++;
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);

    lm_part rest, held;
    lm_err err = {0};
    assert_int_equal(lm_part_split(&rest, &held, &f.b, 0.999, 1, &err), LM_E_USAGE);
    drop(&f);
}

/* ---- sources with weights ---- */

/* Ten, forty and seven rows, of which 3/6, 2/6 and 1/6 are asked for: twenty rows an epoch, since then the first source has given
 * all of its own.  Over many epochs all rows of a source come equally often, up to one. */
static void an_epoch_has_the_shares_asked_for(void **state)
{
    (void)state;
    enum { N = 57, EPOCHS = 23 };
    static const int64_t sizes[3] = { 10, 40, 7 }, counts[3] = { 10, 7, 3 };
    int64_t lengths[N], ends[3] = { 10, 50, 57 };
    double rates[3] = { 3 / 6.0, 2 / 6.0, 1 / 6.0 };
    char *names[3] = { "a", "b", "c" };
    for (int i = 0; i < N; i++) lengths[i] = 3;
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        fixture f;
        make(&f, lengths, N, 0, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .ends = ends, .n_ends = 3 }, 0, 4, shuffle);
        assert_int_equal(lm_part_weigh(&f.train, &f.b, &f.d, &(lm_shares){ .names = names, .ends = ends, .rates = rates, .n = 3 }, NULL), LM_OK);
        assert_int_equal(f.train.n, 20);
        int64_t seen[N] = {0}, first[20], moved = 0;
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
            int64_t of[3] = {0};
            for (int i = 0; i < 20; i++) {
                int64_t block = lm_batcher_block(&f.batcher, epoch * 20 + i);
                seen[block]++;
                of[block < 10 ? 0 : block < 50 ? 1 : 2]++;
                if (!epoch) first[i] = block;
                else moved += first[i] != block;
            }
            for (int s = 0; s < 3; s++) assert_int_equal(of[s], counts[s]);
        }
        assert_true(moved > 200);
        for (int s = 0, i = 0; s < 3; s++)
            for (; i < ends[s]; i++) assert_in_range(seen[i], EPOCHS * counts[s] / sizes[s], (EPOCHS * counts[s] + sizes[s] - 1) / sizes[s]);
        drop(&f);
    }
}

/* Packed, blocks keep to their source, and shares are still of rows: a block of the first holds four rows, one of the second one. */
static void shares_are_of_rows(void **state)
{
    (void)state;
    enum { N = 80 };
    int64_t lengths[N], ends[2] = { 40, 80 };
    double rates[2] = { 0.5, 0.5 };
    char *names[2] = { "short", "long" };
    for (int i = 0; i < N; i++) lengths[i] = i < 40 ? 3 : 9;
    fixture f;
    make(&f, lengths, N, 0, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .pack = true, .ends = ends, .n_ends = 2 }, 0, 4, true);
    assert_int_equal(f.b.n, 50);
    assert_int_equal(lm_part_weigh(&f.train, &f.b, &f.d, &(lm_shares){ .names = names, .ends = ends, .rates = rates, .n = 2 }, NULL), LM_OK);
    assert_int_equal(f.train.n, 50);
    int64_t rows[2] = {0};
    for (int i = 0; i < 50; i++) {
        int64_t block = lm_batcher_block(&f.batcher, i), begin = f.b.first[block], source = f.b.pieces[begin].document >= 40;
        for (int64_t p = begin; p < f.b.first[block + 1]; p++, rows[source]++) assert_int_equal(f.b.pieces[p].document >= 40, source);
    }
    assert_int_equal(rows[0], 40);
    assert_int_equal(rows[1], 40);
    drop(&f);

    lm_err err = {0};                                        /* two blocks at most, and the second is asked for one in a hundred */
    rates[0] = 0.99, rates[1] = 0.01, ends[0] = 2, ends[1] = 4;
    make(&f, lengths, 4, 0, (lm_pack_options){ .context = 8, .longer = LM_LONGER_REFUSE, .ends = ends, .n_ends = 2 }, 0, 4, true);
    assert_int_equal(lm_part_weigh(&f.train, &f.b, &f.d, &(lm_shares){ .names = names, .ends = ends, .rates = rates, .n = 2 }, &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "long: with these weights an epoch of 2 blocks has none of its 2"));
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_the_next_tokens), cmocka_unit_test(blocks_of_a_long_text_join),
        cmocka_unit_test(every_epoch_sees_every_block_once), cmocka_unit_test(the_split_is_a_partition),
        cmocka_unit_test(an_epoch_has_the_shares_asked_for), cmocka_unit_test(shares_are_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
