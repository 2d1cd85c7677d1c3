/* Quantised data of every backend against what tensor/quant.h says of one element: reading it, and products
 * with it.  Products: k terms in f32 in any order are off by at most k 2^-24 sum |a b|. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/rng.h"
#include "base/str.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const backends[] = { "ref", "avx2", "avx512" };

static void fill(float *x, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t word[4];
        lm_philox(word, seed, 0, (uint64_t)i);
        x[i] = lm_u32_unit(word[0]) * 2 - 1;
    }
}

static void read_random(float *out, int64_t begin, int64_t n, const void *context)
{
    (void)context;
    for (int64_t i = 0; i < n; i++) fill(out + i, 1, 1000 + (uint64_t)(begin + i));
}

typedef struct matrix {
    lm_tensor t;
    lm_quant q;
    lm_arena arena;
} matrix;

static void make(matrix *m, const lm_quant_type *type, int64_t rows, int64_t cols, bool doubled)
{
    lm_err err = { 0 };
    memset(m, 0, sizeof *m);
    assert_int_equal(lm_arena_init(&m->arena, "test", 1 << 24, LM_ARENA_REAL, &err), LM_OK);
    lm_quant_source from = { .rows = rows, .cols = cols, .read = read_random };
    assert_int_equal(lm_quantise(&m->t, &m->q, type, &from, doubled, &m->arena, &err), LM_OK);
}

static void test_every_run_of_elements(void **state)
{
    (void)state;
    enum { ROWS = 3, COLS = 83, N = ROWS * COLS };
    for (int b = 0; b < 3; b++) {
        lm_kernels k;
        if (lm_backend(&k, backends[b], NULL) != LM_OK) continue;
        for (const lm_quant_type *const *type = lm_quant_type_registry; *type; type++)
            for (int doubled = 0; doubled < 2; doubled++) {
                matrix m;
                make(&m, *type, ROWS, COLS, doubled);
                for (int64_t begin = 0; begin < N; begin += 7)
                    for (int64_t n = 0; begin + n <= N; n += 1 + n / 3) {
                        float y[N + 1];
                        y[n] = 123;
                        k.dequantise(y, &m.q, m.t.data, begin, n);
                        for (int64_t i = 0; i < n; i++)
                            if (y[i] != lm_quant_at(&m.q, m.t.data, begin + i))
                                fail_msg("%s on %s: element %d of %d from %d", (*type)->name, k.name, (int)i, (int)n, (int)begin);
                        assert_true(y[n] == 123);
                    }
                lm_arena_free(&m.arena);
            }
    }
}

static void check_product(const lm_kernels *k, const matrix *w, int64_t m, int64_t n, int64_t depth, bool trans_b, lm_dtype at)
{
    float *a = lm_calloc((size_t)(m * depth), sizeof *a), *c = lm_calloc((size_t)(m * (n + 1)), sizeof *c);
    float *bias = lm_calloc((size_t)n, sizeof *bias);
    uint16_t *half = lm_calloc((size_t)(m * depth), sizeof *half);
    fill(a, m * depth, 5);
    fill(bias, n, 6);
    for (int64_t i = 0; i < m * depth; i++) half[i] = lm_f32_to_bf16(a[i]);
    if (at == LM_BF16) for (int64_t i = 0; i < m * depth; i++) a[i] = lm_bf16_to_f32(half[i]);
    lm_gemm g = { .c = c, .a = at == LM_BF16 ? (void *)half : a, .b = w->t.data, .bq = &w->q, .bias = bias, .m = m, .n = n, .k = depth,
                  .lda = depth, .ldb = w->t.dim[1], .ldc = n + 1, .alpha = 1, .ct = LM_F32, .at = at, .bias_t = LM_F32,
                  .compute = LM_F32, .trans_b = trans_b };
    k->gemm(&g);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int64_t p = 0; p < depth; p++) {
                double term = (double)a[i * depth + p] * lm_quant_at(&w->q, w->t.data, trans_b ? j * w->t.dim[1] + p : p * w->t.dim[1] + j);
                sum += term;
                size += fabs(term);
            }
            double error = fabs(c[i * (n + 1) + j] - (sum + bias[j]));
            if (!(error <= (double)depth * 0x1p-24 * size + 0x1p-22))
                fail_msg("%s on %s: [%d, %d] of %dx%dx%d trans %d is off by %g", w->q.type->name, k->name, (int)i, (int)j, (int)m, (int)n,
                         (int)depth, trans_b, error);
        }
        assert_true(c[i * (n + 1) + n] == 0);
    }
    free(a), free(c), free(bias), free(half);
}

/* Few rows, many, blocks over the ends of rows, several ranges of k, several ranges of columns. */
static void test_products(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = { { 64, 64 }, { 45, 83 }, { 7, 1 }, { 70, 900 }, { 1700, 30 } };
    static const int64_t rows[] = { 1, 3, 8, 9, 40 };
    for (int b = 0; b < 3; b++) {
        lm_kernels k;
        if (lm_backend(&k, backends[b], NULL) != LM_OK) continue;
        for (const lm_quant_type *const *type = lm_quant_type_registry; *type; type++)
            for (int s = 0; s < 5; s++) {
                matrix w;
                make(&w, *type, shapes[s][0], shapes[s][1], s % 2);
                for (int r = 0; r < 5; r++) {
                    check_product(&k, &w, rows[r], shapes[s][0], shapes[s][1], true, r % 2 ? LM_BF16 : LM_F32);
                    check_product(&k, &w, rows[r], shapes[s][1], shapes[s][0], false, LM_F32);
                }
                lm_arena_free(&w.arena);
            }
    }
}

/* A row has the same bits beside one other and beside many. */
static void test_a_row_does_not_see_the_others(void **state)
{
    (void)state;
    enum { M = 100, N = 50, K = 700 };
    lm_kernels k;
    if (lm_backend(&k, "auto", NULL) != LM_OK) fail_msg("no backend");
    matrix w;
    make(&w, lm_quant_type_find("nf4"), N, K, true);
    static float a[M * K], two[2 * N], together[M * N];
    fill(a, M * K, 9);
    const int rows[] = { 8, 96, M };
    for (int i = 0; i < 3; i++) {
        lm_gemm g = { .c = together, .a = a, .b = w.t.data, .bq = &w.q, .m = rows[i], .n = N, .k = K, .lda = K, .ldb = K, .ldc = N,
                      .alpha = 1, .trans_b = true };
        k.gemm(&g);
        for (int r = 0; r + 1 < rows[i]; r += 3) {
            g.c = two, g.a = a + r * K, g.m = 2;
            k.gemm(&g);
            assert_memory_equal(two, together + r * N, sizeof two);
        }
    }
    lm_arena_free(&w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_run_of_elements),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_a_row_does_not_see_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
