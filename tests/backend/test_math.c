/* exp, tanh and erf of the vectorised kernels, against libm in double over the whole range: the
 * bounds that backend/cpu/math.h states, and the values at the edges. */
#include "common/test.h"
#include "backend/cpu/math.h"

#include <stdbool.h>

/* Distance in units in the last place of the f32 nearest to `want`. */
static double ulps(float got, double want)
{
    float nearest = (float)want;
    if (got == nearest) return 0;
    double unit = fabs((double)nextafterf(fabsf(nearest), INFINITY) - fabs((double)nearest));
    return fabs(got - want) / unit;
}

/* Every 97th float of either sign between the two magnitudes. */
static double worst(float (*f)(float), double (*truth)(double), float least, float most, bool both_signs)
{
    double greatest = 0;
    for (int32_t bits = float_bits(least); bits <= float_bits(most); bits += 97)
        for (int sign = 0; sign <= both_signs; sign++) {
            float x = sign ? -float_of(bits) : float_of(bits);
            double error = ulps(f(x), truth(x));
            if (error > greatest) greatest = error;
        }
    return greatest;
}

static float exp_of(float x) { return vexp(x); }
static float exp_below(float x) { return vexp0(-x); }
static float tanh_of(float x) { return vtanh(x); }
static float erf_of(float x) { return verf(x); }
static double exp_minus(double x) { return exp(-x); }

static void test_exp(void **state)
{
    (void)state;
    assert_true(worst(exp_of, exp, 0x1p-30f, 87, true) <= 2);
    assert_true(worst(exp_below, exp_minus, 0x1p-30f, 87, false) <= 2);
    assert_true(vexp(0) == 1 && vexp0(0) == 1);
    assert_true(vexp(88.73f) == INFINITY && vexp(INFINITY) == INFINITY && isfinite(vexp(88.72f)));
    assert_true(vexp(-INFINITY) == 0 && vexp0(-INFINITY) == 0 && vexp(-110) == 0 && vexp0(-3e38f) == 0);
    assert_true(fabs(vexp(-100) - exp(-100)) <= 0x1p-149);               /* a subnormal number */
    assert_true(vexp0(-88.5f) == 0);
    assert_true(isnan(vexp(NAN)) && isnan(vexp0(NAN)) && isnan(vexp(-NAN)));
}

static void test_tanh(void **state)
{
    (void)state;
    assert_true(worst(tanh_of, tanh, 0x1p-30f, 20, true) <= 3);
    assert_true(vtanh(0) == 0 && vtanh(100) == 1 && vtanh(-INFINITY) == -1 && isnan(vtanh(NAN)));
}

static void test_erf(void **state)
{
    (void)state;
    assert_true(worst(erf_of, erf, 0x1p-30f, 6, true) <= 3);
    assert_true(verf(0) == 0 && verf(100) == 1 && verf(-INFINITY) == -1 && isnan(verf(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_erf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
