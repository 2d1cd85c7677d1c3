/* Block formats against bitsandbytes (golden data of tools/golden/quant.py), and what must hold of any. */
#include "common/test.h"
#include "base/rng.h"
#include "base/str.h"
#include "io/safetensors.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_safetensors golden;

static const lm_stored *stored(const char *format, const char *name, const char *rest)
{
    char key[128];
    snprintf(key, sizeof key, format, name, rest);
    const lm_stored *s = lm_safetensors_find(&golden, key);
    if (!s) fail_msg("golden data lacks %s", key);
    return s;
}

static int open_golden(void **state)
{
    (void)state;
    lm_err err = { 0 };
    if (lm_safetensors_open(&golden, "tests/golden/quant/blocks.safetensors", &err) != LM_OK) fail_msg("%s", err.message);
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    lm_safetensors_close(&golden);
    return 0;
}

static void read_floats(float *out, int64_t begin, int64_t n, const void *context)
{
    memcpy(out, (const float *)context + begin, (size_t)n * sizeof *out);
}

/* A matrix in a format of its own memory. */
typedef struct quantised {
    lm_tensor t;
    lm_quant q;
    lm_arena arena;
} quantised;

static void quantise(quantised *z, const lm_quant_type *type, const float *x, int64_t rows, int64_t cols, bool doubled)
{
    lm_err err = { 0 };
    memset(z, 0, sizeof *z);
    assert_int_equal(lm_arena_init(&z->arena, "test", 1 << 22, LM_ARENA_REAL, &err), LM_OK);
    lm_quant_source from = { .rows = rows, .cols = cols, .read = read_floats, .context = x };
    assert_int_equal(lm_quantise(&z->t, &z->q, type, &from, doubled, &z->arena, &err), LM_OK);
}

static void same_bytes(const lm_stored *expected, const void *found, const char *what)
{
    const uint8_t *a = expected->data, *b = found;
    for (size_t i = 0; i < expected->bytes; i++)
        if (a[i] != b[i]) fail_msg("%s: byte %zu of %s is %d, expected %d", what, i, expected->name, b[i], a[i]);
}

static const char *const matrices[] = { "square", "over", "odd", "large" };

static void test_codes_and_scales_are_those_of_bitsandbytes(void **state)
{
    (void)state;
    for (int m = 0; m < 4; m++)
        for (const lm_quant_type *const *type = lm_quant_type_registry; *type; type++) {
            char format[64];
            snprintf(format, sizeof format, "%%s.%s.%%s", (*type)->name);
            const lm_stored *x = stored("%s.%s", matrices[m], "x");
            quantised z;
            quantise(&z, *type, x->data, x->dim[0], x->dim[1], false);
            same_bytes(stored(format, matrices[m], "codes"), z.t.data, "codes");
            same_bytes(stored(format, matrices[m], "absmax"), z.q.absmax, "absmax");
            lm_arena_free(&z.arena);
        }
}

/* The mean of the scales is a sum of floats in an order that torch chooses by machine and length: ours, from
 * a sum in double, is the nearest float, theirs a few roundings off.  With their mean, all else is equal. */
static void test_double_quantisation_is_that_of_bitsandbytes(void **state)
{
    (void)state;
    static const char *const formats[] = { "nf4", "fp4" };
    float map[256];
    lm_dynamic_map(map);
    same_bytes(stored("%s%s", "map", ""), map, "map");
    for (int m = 0; m < 4; m++)
        for (int f = 0; f < 2; f++) {
            char format[64];
            snprintf(format, sizeof format, "%%s.%s.%%s", formats[f]);
            const lm_stored *x = stored("%s.%s", matrices[m], "x"), *absmax = stored(format, matrices[m], "absmax");
            quantised z;
            quantise(&z, lm_quant_type_find(formats[f]), x->data, x->dim[0], x->dim[1], true);
            float offset = *(const float *)stored(format, matrices[m], "double.offset")->data, scales[480], outer[2];
            assert_true(fabsf(z.q.offset - offset) <= 4 * 0x1p-24f * offset);
            uint8_t codes[480];
            for (int64_t i = 0; i < absmax->numel; i++) scales[i] = ((const float *)absmax->data)[i] - offset;
            lm_dynamic_quantise(codes, outer, map, scales, absmax->numel);
            same_bytes(stored(format, matrices[m], "double.absmax"), codes, "codes of scales");
            same_bytes(stored(format, matrices[m], "double.nested_absmax"), outer, "outer scales");
            lm_arena_free(&z.arena);
        }
}

/* Half the widest gap between levels bounds what a block of four bits may be off, half a step a row of
 * eight; double quantisation adds what the scale is off, at most half the map's widest gap (0.0071) of
 * the largest deviation from the mean, which here is below the largest scale. */
static void test_round_trip(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 91 };
    float *x = lm_calloc(ROWS * COLS, sizeof *x), most = 0;
    for (int64_t i = 0; i < ROWS * COLS; i++) {
        uint32_t word[4];
        lm_philox(word, 7, 0, (uint64_t)i);
        x[i] = (lm_u32_unit(word[0]) * 2 - 1) * (lm_u32_unit(word[1]) + 0.1f);
        most = fmaxf(most, fabsf(x[i]));
    }
    for (const lm_quant_type *const *type = lm_quant_type_registry; *type; type++)
        for (int doubled = 0; doubled < 2; doubled++) {
            quantised z, plain;
            quantise(&z, *type, x, ROWS, COLS, doubled);
            quantise(&plain, *type, x, ROWS, COLS, false);
            float gap = !strcmp((*type)->name, "fp4") ? 1.0f / 6 : !strcmp((*type)->name, "nf4") ? 0.152f : 0.5f / 127;
            for (int64_t i = 0; i < ROWS * COLS; i++) {
                float scale = plain.q.absmax[i / plain.q.block];
                assert_true(fabsf(lm_quant_at(&z.q, z.t.data, i) - x[i]) <= gap * scale * 1.0001f + (doubled ? 0.0071f * most : 0));
            }
            assert_int_equal(lm_nbytes(&z.t), lm_quant_bytes(&z.q, ROWS * COLS));
            lm_arena_free(&z.arena);
            lm_arena_free(&plain.arena);
        }
    free(x);
}

/* A counting arena takes the same bytes and touches nothing. */
static void test_counting(void **state)
{
    (void)state;
    for (const lm_quant_type *const *type = lm_quant_type_registry; *type; type++) {
        lm_arena count;
        lm_err err = { 0 };
        lm_tensor t = { 0 };
        lm_quant q;
        float x[40 * 50] = { 1 };
        quantised z;
        quantise(&z, *type, x, 40, 50, true);
        assert_int_equal(lm_arena_init(&count, "test", 1 << 22, LM_ARENA_COUNT, &err), LM_OK);
        lm_quant_source from = { .rows = 40, .cols = 50 };
        assert_int_equal(lm_quantise(&t, &q, *type, &from, true, &count, &err), LM_OK);
        assert_int_equal(count.used, z.arena.used);
        lm_arena_free(&count);
        lm_arena_free(&z.arena);
    }
}

static void test_no_room(void **state)
{
    (void)state;
    lm_arena small;
    lm_err err = { 0 };
    lm_tensor t = { 0 };
    lm_quant q;
    assert_int_equal(lm_arena_init(&small, "small", 1, LM_ARENA_COUNT, &err), LM_OK);
    lm_quant_source from = { .rows = 1 << 14, .cols = 1 << 14 };
    assert_int_equal(lm_quantise(&t, &q, lm_quant_type_find("nf4"), &from, true, &small, &err), LM_E_NOMEM);
    lm_arena_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_and_scales_are_those_of_bitsandbytes),
        cmocka_unit_test(test_double_quantisation_is_that_of_bitsandbytes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
