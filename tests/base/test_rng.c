/* Philox against the published vectors, and the distributions against their moments. */
#include "common/test.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Random123's known answers for philox4x32-10 (kat_vectors): counter, key, output. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct { uint32_t counter[4], key[2], out[4]; } cases[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t *c = cases[i].counter, *k = cases[i].key;
        uint32_t out[4];
        lm_philox(out, (uint64_t)k[1] << 32 | k[0], (uint64_t)c[3] << 32 | c[2], (uint64_t)c[1] << 32 | c[0]);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

/* Three integers are the whole state; each number takes one step of the counter. */
static void test_resumes(void **state)
{
    (void)state;
    lm_rng a = { .seed = 7, .stream = 3 };
    for (int i = 0; i < 100; i++) lm_rng_u64(&a);
    assert_int_equal(a.counter, 100);
    lm_rng b = { .seed = 7, .stream = 3, .counter = 100 }, other = { .seed = 7, .stream = 4, .counter = 100 };
    uint64_t next = lm_rng_u64(&a);
    assert_true(next == lm_rng_u64(&b));
    assert_true(next != lm_rng_u64(&other));
}

/* Mean and variance of n draws lie within five standard errors: a right generator fails once in
 * two million runs, and this seed is fixed. */
static void check_moments(const char *what, double (*draw)(lm_rng *), double mean, double variance, double fourth)
{
    enum { N = 200000 };
    lm_rng rng = { .seed = 2024, .stream = 1 };
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double x = draw(&rng) - mean;
        sum += x, squares += x * x;
    }
    if (fabs(sum / N) > 5 * sqrt(variance / N)) fail_msg("%s: mean is off by %g", what, sum / N);
    double error = squares / N - variance;
    if (fabs(error) > 5 * sqrt((fourth - variance * variance) / N)) fail_msg("%s: variance is off by %g", what, error);
}

static void test_moments(void **state)
{
    (void)state;
    check_moments("unit", lm_rng_unit, 0.5, 1.0 / 12, 1.0 / 80);
    check_moments("normal", lm_rng_normal, 0, 1, 3);
}

static void test_ranges(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 1 };
    int seen[6] = {0};
    for (int i = 0; i < 60000; i++) {
        double u = lm_rng_unit(&rng);
        assert_true(u >= 0 && u < 1);
        uint64_t k = lm_rng_below(&rng, 6);
        assert_true(k < 6);
        seen[k]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++) chi2 += (seen[i] - 10000.0) * (seen[i] - 10000.0) / 10000.0;
    assert_true(chi2 < 25.7);                           /* 5 degrees of freedom, p = 0.0001 */
    assert_int_equal(lm_rng_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) assert_true(lm_rng_below(&rng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    assert_true(lm_u32_unit(0) == 0.0f);
    assert_true(lm_u32_unit(UINT32_MAX) < 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_moments), cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
