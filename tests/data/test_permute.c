/* The computed order: a bijection, different for every seed and epoch, without a visible pattern. */
#include "common/test.h"
#include "base/str.h"
#include "data/permute.h"

#include <stdlib.h>

static void every_element_once(void **state)
{
    (void)state;
    const int64_t sizes[] = { 1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4097 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t stream = 0; stream < 3; stream++) {
            int64_t n = sizes[s];
            uint8_t *seen = lm_calloc((size_t)n, 1);
            for (int64_t i = 0; i < n; i++) {
                int64_t at = lm_permute(i, n, 42, stream);
                assert_in_range(at, 0, n - 1);
                assert_int_equal(seen[at]++, 0);
            }
            free(seen);
        }
}

static int64_t same_place(uint64_t seed_a, uint64_t stream_a, uint64_t seed_b, uint64_t stream_b)
{
    int64_t same = 0;
    for (int64_t i = 0; i < 1000; i++) same += lm_permute(i, 1000, seed_a, stream_a) == lm_permute(i, 1000, seed_b, stream_b);
    return same;
}

/* Two random orders of 1000 agree in one place on average, in more than 10 with probability 1e-8. */
static void orders_differ(void **state)
{
    (void)state;
    assert_true(same_place(1, 0, 1, 1) <= 10);
    assert_true(same_place(1, 0, 2, 0) <= 10);
    assert_int_equal(same_place(1, 5, 1, 5), 1000);
}

/* Each of 8 places gets each of 8 elements about equally often: chi-squared with 49 degrees of freedom
 * over 8000 orders stays below 95 except once in 10000. */
static void places_are_even(void **state)
{
    (void)state;
    int count[8][8] = {{0}};
    for (uint64_t stream = 0; stream < 8000; stream++)
        for (int i = 0; i < 8; i++) count[i][lm_permute(i, 8, 3, stream)]++;
    double chi = 0;
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) chi += (count[i][j] - 1000.0) * (count[i][j] - 1000.0) / 1000.0;
    assert_true(chi < 95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_once), cmocka_unit_test(orders_differ), cmocka_unit_test(places_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
