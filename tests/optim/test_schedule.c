/* Schedules against their formulas, worked by hand. */
#include "common/test.h"
#include "optim/schedule.h"

#include <math.h>

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-12 * fmax(1, fabs(b))); }

static void warmup_climbs_to_the_peak(void **state)
{
    (void)state;
    for (int kind = 0; lm_schedule_names[kind]; kind++) {
        lm_schedule s = { .kind = (lm_schedule_kind)kind, .peak = 8, .floor = 1, .steps = 100, .warmup = 4, .decay = 10 };
        near(lm_schedule_at(&s, 1), 2);
        near(lm_schedule_at(&s, 2), 4);
        near(lm_schedule_at(&s, 4), 8);
        near(lm_schedule_at(&s, 5), 8);
    }
}

static void constant_stays(void **state)
{
    (void)state;
    lm_schedule s = { .kind = LM_SCHEDULE_CONSTANT, .peak = 3, .floor = 1, .steps = 5 };
    for (int i = 1; i <= 5; i++) near(lm_schedule_at(&s, i), 3);
}

static void linear_falls_evenly(void **state)
{
    (void)state;
    lm_schedule s = { .kind = LM_SCHEDULE_LINEAR, .peak = 10, .steps = 5 };
    for (int i = 1; i <= 5; i++) near(lm_schedule_at(&s, i), 12 - 2 * i);
    s.floor = 5;
    for (int i = 1; i <= 5; i++) near(lm_schedule_at(&s, i), 11 - i);
}

static void cosine_is_symmetric(void **state)
{
    (void)state;
    lm_schedule s = { .kind = LM_SCHEDULE_COSINE, .peak = 10, .floor = 2, .steps = 8 };
    near(lm_schedule_at(&s, 1), 10);
    near(lm_schedule_at(&s, 5), 6);                               /* half way */
    near(lm_schedule_at(&s, 3), 2 + 8 * (1 + sqrt(0.5)) / 2);     /* a quarter: cos 45 degrees */
    for (int i = 1; i < 8; i++) near(lm_schedule_at(&s, 5 - 4 + i), 12 - lm_schedule_at(&s, 5 + 4 - i));
    assert_true(lm_schedule_at(&s, 8) > 2);                       /* the last step still learns */
}

static void wsd_is_flat_then_falls(void **state)
{
    (void)state;
    lm_schedule s = { .kind = LM_SCHEDULE_WSD, .peak = 4, .steps = 12, .warmup = 2, .decay = 4 };
    for (int i = 3; i <= 9; i++) near(lm_schedule_at(&s, i), 4);
    near(lm_schedule_at(&s, 10), 3);
    near(lm_schedule_at(&s, 11), 2);
    near(lm_schedule_at(&s, 12), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warmup_climbs_to_the_peak), cmocka_unit_test(constant_stays),
        cmocka_unit_test(linear_falls_evenly), cmocka_unit_test(cosine_is_symmetric),
        cmocka_unit_test(wsd_is_flat_then_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
