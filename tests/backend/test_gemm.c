/* Matrix products of every backend against sums in double.
 *
 * With s = sum |a b| over k, a sum of k products in f32, in any order, is off by at most about
 * k 2^-24 s (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); factors that
 * are each rounded to bf16 add 2^-7 s, and a result in bf16 is off by 2^-8 of itself. */
#include "common/test.h"
#include "backend/backend.h"
#include "backend/cpu/onednn.h"
#include "base/rng.h"
#include "base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const backends[] = { "ref", "avx2", "avx512" };
enum { N_BACKENDS = 3 };

static bool open_backend(lm_kernels *k, int i) { return lm_backend(k, backends[i], NULL) == LM_OK; }

/* ---- numbers of a type ------------------------------------------------------- */

static double get(const void *x, lm_dtype type, int64_t i)
{
    const uint16_t *half = x;
    return type == LM_F32 ? ((const float *)x)[i] : type == LM_BF16 ? lm_bf16_to_f32(half[i]) : lm_f16_to_f32(half[i]);
}

static void set(void *x, lm_dtype type, int64_t i, float value)
{
    uint16_t *half = x;
    if (type == LM_F32) ((float *)x)[i] = value;
    else half[i] = type == LM_BF16 ? lm_f32_to_bf16(value) : lm_f32_to_f16(value);
}

static uint64_t seed = 1;

static float uniform(void)
{
    static uint64_t counter;
    uint32_t word[4];
    lm_philox(word, seed, 0, counter++);
    return lm_u32_unit(word[0]) * 2 - 1;
}

/* n numbers in [-1, 1), one element past an aligned address; *block is what to free. */
static void *numbers(void **block, lm_dtype type, int64_t n)
{
    size_t size = lm_dtype_size(type);
    *block = aligned_alloc(64, (size_t)(n + 1) * size / 64 * 64 + 64);
    void *x = (char *)*block + size;
    for (int64_t i = 0; i < n; i++) set(x, type, i, uniform());
    return x;
}

/* ---- the truth --------------------------------------------------------------- */

static double activated(lm_act act, double x)
{
    switch (act) {
    case LM_ACT_RELU: return x > 0 ? x : 0;
    case LM_ACT_GELU: return x * 0.5 * erfc(-x / sqrt(2));
    case LM_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case LM_ACT_SILU: return x / (1 + exp(-x));
    case LM_ACT_TANH: return tanh(x);
    default: return x;
    }
}

typedef struct shape {
    int64_t m, n, k;
} shape;

/* A product with its operands, its result before the call, and what stands between rows of c. */
typedef struct product {
    lm_gemm g;
    void *blocks[5], *before, *c;
    int64_t c_count;
} product;

static const float sentinel = 0x1p100f;

static void make(product *p, shape s, lm_dtype at, lm_dtype bt, lm_dtype ct, unsigned bits)
{
    bool trans_a = bits & 1, trans_b = bits >> 1 & 1, biased = bits >> 2 & 1, pre = bits >> 3 & 1;
    static const float alphas[] = { 1, 0.75f }, betas[] = { 0, 1, -0.5f };
    memset(p, 0, sizeof *p);
    lm_gemm *g = &p->g;
    *g = (lm_gemm){ .m = s.m, .n = s.n, .k = s.k, .at = at, .bt = bt, .ct = ct, .trans_a = trans_a, .trans_b = trans_b,
                    .alpha = alphas[bits >> 4 & 1], .beta = betas[bits % 3], .act = (lm_act)(bits / 7 % LM_N_ACTS),
                    .bias_t = (lm_dtype)(bits / 5 % 3), .compute = bits >> 5 & 1 ? LM_BF16 : LM_F32,
                    .deterministic = true };
    g->lda = (trans_a ? s.m : s.k) + bits % 4;
    g->ldb = (trans_b ? s.n == 0 ? 1 : s.k : s.n) + bits % 5;
    g->ldc = s.n + 3;
    p->c_count = s.m * g->ldc;
    g->a = numbers(&p->blocks[0], at, g->lda * (trans_a ? s.k : s.m));
    g->b = numbers(&p->blocks[1], bt, g->ldb * (trans_b ? s.n : s.k));
    p->c = g->c = numbers(&p->blocks[2], ct, p->c_count);
    if (pre) g->pre = numbers(&p->blocks[3], ct, p->c_count);
    if (biased) g->bias = numbers(&p->blocks[4], g->bias_t, s.n);
    for (int64_t i = 0; i < p->c_count; i++) {
        bool between = i % g->ldc >= s.n;
        if (between || g->beta == 0) set(g->c, ct, i, between ? sentinel : NAN);
        if (pre) set(g->pre, ct, i, between ? sentinel : NAN);
    }
    size_t bytes = (size_t)p->c_count * lm_dtype_size(ct);
    p->before = malloc(bytes + 1);
    memcpy(p->before, g->c, bytes);
}

static void drop(product *p)
{
    for (int i = 0; i < 5; i++) free(p->blocks[i]);
    free(p->before);
}

static void assert_near(const product *p, const char *what, int64_t i, int64_t j, double got, double expected, double tolerance)
{
    if (fabs(got - expected) <= tolerance) return;
    const lm_gemm *g = &p->g;
    fail_msg("%s[%d, %d] of %dx%dx%d types %d %d %d trans %d %d act %d beta %g: %.9g, expected %.9g +- %g", what, (int)i, (int)j,
             (int)g->m, (int)g->n, (int)g->k, g->at, g->bt, g->ct, g->trans_a, g->trans_b, g->act, g->beta, got, expected, tolerance);
}

static void check_element(const product *p, int64_t i, int64_t j)
{
    const lm_gemm *g = &p->g;
    double sum = 0, size = 0;
    for (int64_t q = 0; q < g->k; q++) {
        double t = get(g->a, g->at, g->trans_a ? q * g->lda + i : i * g->lda + q) *
                   get(g->b, g->bt, g->trans_b ? j * g->ldb + q : q * g->ldb + j);
        sum += t;
        size += fabs(t);
    }
    int64_t at = i * g->ldc + j;
    double y = g->alpha * sum;
    if (g->beta != 0) y += g->beta * get(p->before, g->ct, at);
    if (g->bias) y += get(g->bias, g->bias_t, j);
    double factors = g->compute == LM_BF16 ? 0x1p-7 : 0, result = g->ct == LM_BF16 ? 0x1p-8 : 0;
    double error = ((double)g->k * 0x1p-24 + factors) * size + 4 * 0x1p-24 * (1 + fabs(y));
    if (g->pre) assert_near(p, "pre", i, j, get(g->pre, g->ct, at), y, error + result * fabs(y));
    y = activated(g->act, y);
    assert_near(p, "c", i, j, get(g->c, g->ct, at), y, 1.13 * error + result * fabs(y));    /* 1.13: gelu's steepest slope */
}

static void check(const product *p)
{
    const lm_gemm *g = &p->g;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) check_element(p, i, j);
        for (int64_t j = g->n; j < g->ldc; j++) {
            assert_true(get(g->c, g->ct, i * g->ldc + j) == get(p->before, g->ct, i * g->ldc + j));
            if (g->pre) assert_true(get(g->pre, g->ct, i * g->ldc + j) == get(p->before, g->ct, i * g->ldc + j));
        }
    }
}

static void run(const lm_kernels *k, shape s, lm_dtype at, lm_dtype bt, lm_dtype ct, unsigned bits)
{
    product p;
    make(&p, s, at, bt, ct, bits);
    k->gemm(&p.g);
    check(&p);
    drop(&p);
}

/* ---- tests ------------------------------------------------------------------- */

/* Every combination of types and transposes; the other choices take turns. */
static void test_types_and_forms(void **state)
{
    (void)state;
    static const shape shapes[] = { { 1, 1, 1 }, { 1, 37, 19 }, { 3, 33, 65 }, { 8, 70, 31 }, { 9, 17, 16 }, { 23, 47, 37 }, { 45, 5, 130 } };
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        unsigned turn = 0;
        for (int s = 0; s < 7; s++)
            for (int types = 0; types < 18; types++)
                for (unsigned forms = 0; forms < 4; forms++, turn++)
                    run(&k, shapes[s], (lm_dtype)(types % 3), (lm_dtype)(types / 3 % 3), (lm_dtype)(types / 9), forms | turn * 29 << 2);
    }
}

/* Each activation with and without bias and pre, on a shape with whole tiles and edges. */
static void test_epilogues(void **state)
{
    (void)state;
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int act = 0; act < LM_N_ACTS; act++)
            for (unsigned bits = 0; bits < 64; bits++) {
                product p;
                make(&p, (shape){ 17, 41, 12 }, LM_F32, bits & 32 ? LM_BF16 : LM_F32, bits & 16 ? LM_BF16 : LM_F32, bits);
                p.g.act = (lm_act)act;
                k.gemm(&p.g);
                check(&p);
                drop(&p);
            }
    }
}

/* Past every block size: long k (partial sums, also of a bf16 result), many rows, many columns. */
static void test_large(void **state)
{
    (void)state;
    static const shape shapes[] = { { 20, 41, 1201 }, { 1030, 5, 401 }, { 9, 3100, 23 }, { 400, 300, 9 }, { 5, 6000, 16 }, { 2, 9, 5003 } };
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int s = 0; s < 6; s++)
            for (unsigned bits = 0; bits < 6; bits++)
                run(&k, shapes[s], (lm_dtype)(bits % 3), (lm_dtype)(bits / 2), bits & 1 ? LM_BF16 : LM_F32, bits * 23 + (bits & 1));
    }
}

/* No rows or columns: nothing is written.  No k: the epilogue of beta * c alone. */
static void test_empty(void **state)
{
    (void)state;
    static const shape shapes[] = { { 0, 5, 3 }, { 5, 0, 3 }, { 0, 0, 0 }, { 5, 7, 0 }, { 1, 40, 0 } };
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int s = 0; s < 5; s++)
            for (unsigned bits = 0; bits < 48; bits++) run(&k, shapes[s], LM_F32, LM_BF16, bits & 1 ? LM_BF16 : LM_F32, bits);
    }
}

/* A NaN in one row of a stays in that row of c, one in a column of b in that column. */
static void test_nan_stays_in_its_row(void **state)
{
    (void)state;
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int64_t m = 3; m < 40; m += 18) {
            product p;
            make(&p, (shape){ m, 39, 21 }, LM_F32, LM_F32, LM_F32, 2);
            p.g.beta = 0;
            p.g.act = LM_ACT_NONE;
            ((float *)p.g.a)[1 * p.g.lda + 4] = NAN;
            ((float *)p.g.b)[7 * p.g.ldb + 4] = NAN;
            k.gemm(&p.g);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < 39; j++)
                    assert_int_equal(isnan(get(p.g.c, LM_F32, i * p.g.ldc + j)) != 0, i == 1 || j == 7);
            drop(&p);
        }
    }
}

/* The same bits from one thread and from several. */
static void test_threads(void **state)
{
    (void)state;
    static const shape shapes[] = { { 1, 700, 300 }, { 7, 700, 300 }, { 200, 130, 900 }, { 33, 1000, 70 }, { 700, 30, 70 } };
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int s = 0; s < 5; s++)
            for (unsigned bits = 0; bits < 4; bits++) {
                product p;
                make(&p, shapes[s], LM_F32, bits & 1 ? LM_BF16 : LM_F32, LM_F32, bits | 8);
                size_t bytes = (size_t)p.c_count * sizeof(float);
                float *first = malloc(bytes);
                for (int threads = 1; threads <= 5; threads += 2) {
                    memcpy(p.g.c, p.before, bytes);
                    lm_threads_set(threads);
                    k.gemm(&p.g);
                    if (threads == 1) memcpy(first, p.g.c, bytes);
                    else assert_memory_equal(first, p.g.c, bytes);
                }
                lm_threads_set(0);
                free(first);
                drop(&p);
            }
    }
}

/* Decoding: a row gives the same bits beside one other and beside many, whichever loop computes them.  (One row alone
 * is summed in another order.) */
static void test_row_does_not_depend_on_others(void **state)
{
    (void)state;
    const int64_t rows[] = { 3, 8, 9, 16, 17, 40, 96, 97, 130 };
    for (int b = 0; b < N_BACKENDS; b++) {
        lm_kernels k;
        if (!open_backend(&k, b)) continue;
        for (int type = 0; type < 3; type++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                product p;
                make(&p, (shape){ rows[r], 101, 777 }, LM_F32, (lm_dtype)type, LM_F32, 2 | 4);
                p.g.beta = 0;
                k.gemm(&p.g);
                float pair[2 * 101];
                for (int64_t i = 0; i + 1 < rows[r]; i += 5) {
                    lm_gemm two = p.g;
                    two.m = 2;
                    two.a = (const float *)p.g.a + i * p.g.lda;
                    two.c = pair;
                    two.ldc = 101;
                    two.pre = NULL;
                    k.gemm(&two);
                    assert_memory_equal(pair, (float *)p.g.c + i * p.g.ldc, 101 * sizeof *pair);
                    assert_memory_equal(pair + 101, (float *)p.g.c + (i + 1) * p.g.ldc, 101 * sizeof *pair);
                }
                drop(&p);
            }
    }
}

/* oneDNN computes what it says it did and leaves the rest alone.  Its f32 kernels run everywhere; those
 * in bf16 only on machines with the units.  More forms than the ring holds, each met
 * twice. */
static void test_onednn(void **state)
{
    (void)state;
    if (!strcmp(lm_onednn_version(), "none")) {
        printf("skipped: built without oneDNN\n");
        skip();
    }
    bool avx512 = lm_cpu_detect().avx512;                  /* applies an activation that follows `pre` */
    int computed = 0, declined = 0;
    for (int turn = 0; turn < 2; turn++)
        for (unsigned bits = 0; bits < 128; bits++) {
            product p;
            lm_dtype half = bits & 64 ? LM_BF16 : LM_F32;
            make(&p, (shape){ 9 + bits % 7, 33 + bits, 20 + bits % 3 }, half, half, bits & 16 ? half : LM_F32, bits);
            p.g.deterministic = false;
            p.g.alpha = bits % 11 == 0 ? 0.5f : 1;
            if (p.g.pre && !avx512) p.g.pre = NULL;
            if (lm_onednn_gemm(&p.g)) {
                check(&p);
                computed++;
            } else {
                assert_memory_equal(p.g.c, p.before, (size_t)p.c_count * lm_dtype_size(p.g.ct));
                declined++;
            }
            drop(&p);
        }
    assert_true(computed >= 28);
    assert_true(declined >= 20);                           /* alpha, beta -0.5, an f16 bias */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_forms),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_row_does_not_depend_on_others),
        cmocka_unit_test(test_onednn),
    };
    return cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
}
