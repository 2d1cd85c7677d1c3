/* The filters against cases worked out by hand, their defining properties on random logits, and the
 * draws against the distribution that they claim to follow. */
#include "common/test.h"

#include "base/rng.h"
#include "infer/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lm_sampling plain = { .temperature = 1, .top_p = 1, .repetition_penalty = 1 };

static void check_mass(const lm_sampler *s, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += s->mass[i];
    assert_true(fabs(sum - 1) < 1e-12);
    for (int64_t i = 1; i < n; i++) assert_true(s->mass[i] <= s->mass[i - 1]);
}

/* Probabilities 0.5, 0.25, 0.125, 0.125 in a shuffled order: logarithms of powers of two. */
enum { V = 4 };
static const float halves[V] = { -2.0794415f, -0.6931472f, -2.0794415f, -1.3862944f };

static void test_plain(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    assert_int_equal(lm_sample_distribution(&s, halves, &plain, NULL, 0), 4);
    const int32_t ids[] = { 1, 3, 0, 2 };
    const double mass[] = { 0.5, 0.25, 0.125, 0.125 };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(s.heap[i].id, ids[i]);
        assert_true(fabs(s.mass[i] - mass[i]) < 1e-7);     /* the logits are f32 */
    }
    lm_sampler_free(&s);
}

static void test_top_k(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_sampling how = plain;
    how.top_k = 2;
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 2);
    assert_true(fabs(s.mass[0] - 2.0 / 3) < 1e-7);
    how.top_k = 3;                                         /* the third and the fourth are equal: both stay */
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 4);
    how.top_k = 9;
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 4);
    lm_sampler_free(&s);
}

static void test_top_p(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_sampling how = plain;
    const double p[] = { 0, 0.3, 0.6, 0.8, 0.9 };
    const int64_t kept[] = { 1, 1, 2, 3, 4 };
    for (int i = 0; i < 5; i++) {
        how.top_p = p[i];
        assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), kept[i]);
        check_mass(&s, kept[i]);
    }
    how.top_k = 2, how.top_p = 0.6;                        /* of the mass of those two: 2/3 reaches it */
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 1);
    lm_sampler_free(&s);
}

static void test_min_p(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_sampling how = plain;
    how.min_p = 0.4;                                       /* at least 0.4 * 0.5 = 0.2 */
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 2);
    how.min_p = 0.2;                                       /* 0.1: all */
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 4);
    how.temperature = 0.5;                                 /* squares: 1/4 and 1/16 of the first; 0.2 leaves two */
    assert_int_equal(lm_sample_distribution(&s, halves, &how, NULL, 0), 2);
    assert_true(fabs(s.mass[1] - 0.2) < 1e-7);
    lm_sampler_free(&s);
}

static void test_repetition_penalty(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_sampling how = plain;
    how.repetition_penalty = 2;
    how.greedy = true;
    const float z[V] = { 3, 2, -1, 1 };
    const int32_t seen[] = { 0, 2, 0, 0 };                 /* 3 -> 1.5 once, however often it was seen; -1 -> -2 */
    lm_draw draw;
    lm_err err = { 0 };
    assert_int_equal(lm_sample(&s, &draw, z, &how, seen, 4, 0, 0, &err), LM_OK);
    assert_int_equal(draw.id, 1);
    assert_int_equal(lm_sample(&s, &draw, z, &how, NULL, 0, 0, 0, &err), LM_OK);
    assert_int_equal(draw.id, 0);

    lm_sample_distribution(&s, z, &how, seen, 4);
    assert_true(s.heap[1].id == 0 && s.heap[1].logit == 1.5f);
    assert_true(s.heap[3].id == 2 && s.heap[3].logit == -2.0f);
    lm_sampler_free(&s);
}

static void random_logits(float *z, int64_t n, uint64_t seed)
{
    lm_rng rng = { .seed = seed };
    for (int64_t i = 0; i < n; i++) z[i] = (float)(3 * lm_rng_normal(&rng));
}

/* top-p keeps the fewest that reach p, min-p exactly those above its line, on logits of any shape. */
static void test_properties(void **state)
{
    (void)state;
    enum { N = 1000 };
    static float z[N];
    lm_sampler s;
    lm_sampler_init(&s, N);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_logits(z, N, seed);
        lm_sampling how = plain;
        how.temperature = 0.5 + 0.1 * (double)seed;
        int64_t n = lm_sample_distribution(&s, z, &how, NULL, 0);
        assert_int_equal(n, N);
        check_mass(&s, n);
        static double all[N];
        memcpy(all, s.mass, sizeof all);

        how.top_p = 0.05 * (double)seed - 0.04;
        n = lm_sample_distribution(&s, z, &how, NULL, 0);
        check_mass(&s, n);
        double mass = 0;
        for (int64_t i = 0; i < n; i++) mass += all[i];
        assert_true(mass >= how.top_p - 1e-9);
        assert_true(mass - all[n - 1] < how.top_p + 1e-9);

        how.top_p = 1;
        how.min_p = 0.02 * (double)seed;
        n = lm_sample_distribution(&s, z, &how, NULL, 0);
        assert_true(all[n - 1] >= how.min_p * all[0] * (1 - 1e-9));
        assert_true(n == N || all[n] < how.min_p * all[0] * (1 + 1e-9));
    }
    lm_sampler_free(&s);
}

/* Pearson's chi-square of 20,000 draws from 8 tokens at temperature 1.7: below 24.3, the 99.9% quantile
 * of 7 degrees of freedom.  The seed is fixed, so it holds every time or never. */
static void test_draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { N = 8, DRAWS = 20000 };
    const float z[N] = { 1, 0.5f, -1, 2, 0, 0.25f, -0.5f, 1.5f };
    lm_sampling how = plain;
    how.temperature = 1.7;
    how.seed = 11;
    lm_sampler s;
    lm_sampler_init(&s, N);
    int count[N] = { 0 };
    lm_err err = { 0 };
    for (int i = 0; i < DRAWS; i++) {
        lm_draw draw;
        assert_int_equal(lm_sample(&s, &draw, z, &how, NULL, 0, (uint64_t)(i / 100), (uint64_t)(i % 100), &err), LM_OK);
        count[draw.id]++;
    }
    double sum = 0, chi = 0;
    for (int i = 0; i < N; i++) sum += exp(z[i] / 1.7);
    for (int i = 0; i < N; i++) {
        double expected = DRAWS * exp(z[i] / 1.7) / sum;
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_true(chi < 24.3);
    lm_sampler_free(&s);
}

/* Drawing among all tokens is the inverse of the distribution function over their numbers, at the uniform number of
 * the place; the sums here are of long doubles, so that only a draw within 1e-15 of a border could differ. */
static void test_unfiltered_draws_invert_the_distribution(void **state)
{
    (void)state;
    enum { N = 500, DRAWS = 2000 };
    float z[N];
    for (int i = 0; i < N; i++) z[i] = i % 50 == 7 ? -INFINITY : (float)((i * 7919) % 101) / 25;
    lm_sampler s;
    lm_sampler_init(&s, N);
    lm_err err = { 0 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        lm_sampling how = plain;
        how.temperature = i % 2 ? 1 : 0.9;
        lm_draw drawn;
        assert_int_equal(lm_sample(&s, &drawn, z, &how, NULL, 0, 3, i, &err), LM_OK);
        long double total = 0, below = 0;
        for (int k = 0; k < N; k++) total += expl(z[k] / (long double)how.temperature);
        lm_rng rng = { .stream = 3, .counter = i };
        long double wanted = total * lm_rng_unit(&rng);
        int k = 0;
        while ((below += expl(z[k] / (long double)how.temperature)) <= wanted) k++;
        assert_int_equal(drawn.id, k);
    }
    lm_sampler_free(&s);
}

static void test_draw_is_a_function_of_its_place(void **state)
{
    (void)state;
    enum { N = 500 };
    static float z[N];
    random_logits(z, N, 5);
    lm_sampler s;
    lm_sampler_init(&s, N);
    lm_sampling how = plain;
    how.seed = 3;
    lm_draw a, b;
    lm_err err = { 0 };
    int differ = 0;
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(lm_sample(&s, &a, z, &how, NULL, 0, 7, i, &err), LM_OK);
        assert_int_equal(lm_sample(&s, &b, z, &how, NULL, 0, 7, i, &err), LM_OK);
        assert_int_equal(a.id, b.id);
        assert_int_equal(lm_sample(&s, &b, z, &how, NULL, 0, 8, i, &err), LM_OK);
        differ += a.id != b.id;
    }
    assert_true(differ > 10);                              /* another stream is another sequence */
    lm_sampler_free(&s);
}

/* The log-probability is the model's own: neither temperature nor filters change it. */
static void test_logprob(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_sampling how = plain;
    how.temperature = 0.1;
    how.top_k = 1;
    lm_draw draw;
    lm_err err = { 0 };
    assert_int_equal(lm_sample(&s, &draw, halves, &how, NULL, 0, 0, 0, &err), LM_OK);
    assert_int_equal(draw.id, 1);
    assert_true(fabs(draw.logprob - log(0.5)) < 1e-6);
    lm_sampler_free(&s);
}

static void test_bad_logits(void **state)
{
    (void)state;
    lm_sampler s;
    lm_sampler_init(&s, V);
    lm_draw draw;
    const float nan_one[V] = { 0, NAN, 0, 0 }, none[V] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    lm_err err = { 0 };
    assert_int_equal(lm_sample(&s, &draw, nan_one, &plain, NULL, 0, 0, 0, &err), LM_E_NUMERIC);
    assert_non_null(strstr(err.message, "token 1"));
    lm_err_clear(&err);
    assert_int_equal(lm_sample(&s, &draw, none, &plain, NULL, 0, 0, 0, &err), LM_E_NUMERIC);

    const float one[V] = { -INFINITY, -INFINITY, 0, -INFINITY };   /* what is forbidden is never drawn */
    lm_err_clear(&err);
    assert_int_equal(lm_sample(&s, &draw, one, &plain, NULL, 0, 0, 0, &err), LM_OK);
    assert_int_equal(draw.id, 2);
    assert_int_equal(lm_sample_distribution(&s, one, &plain, NULL, 0), 1);
    lm_sampler_free(&s);
}

/* The table's own defaults are legal values of it, and reach the struct. */
static void test_options(void **state)
{
    (void)state;
    lm_sampling how;
    const lm_option_set sets[] = { { .options = lm_sampling_options, .values = &how }, { 0 } };
    lm_options_defaults(sets);
    assert_true(how.temperature == 0.8 && how.top_k == 40 && how.top_p == 0.95 && how.min_p == 0.05);
    assert_true(how.repetition_penalty == 1 && how.seed == 0 && !how.greedy);
    lm_err err = { 0 };
    assert_int_equal(lm_option_set_text(sets, "top-p", "1.5", "test", &err), LM_E_USAGE);
    lm_options_free(sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain), cmocka_unit_test(test_top_k), cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_min_p), cmocka_unit_test(test_repetition_penalty), cmocka_unit_test(test_properties),
        cmocka_unit_test(test_draws_follow_the_distribution), cmocka_unit_test(test_unfiltered_draws_invert_the_distribution),
        cmocka_unit_test(test_draw_is_a_function_of_its_place),
        cmocka_unit_test(test_logprob), cmocka_unit_test(test_bad_logits), cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
