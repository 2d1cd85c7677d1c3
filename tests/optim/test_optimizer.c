/* Optimisers against a reference in double, written from the papers' algorithms. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/rng.h"
#include "base/str.h"
#include "optim/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5, STEPS = 20 };

/* Two parameters without a model: a matrix that decays and a bias that does not. */
typedef struct toy {
    lm_param params[3];
    lm_param *items[3];
    lm_params set;
    float w[3][N], g[3][N];
    lm_kernels k;
    void *options;
    lm_option_set sets[2];
    lm_optim optim;
} toy;

static void toy_make(toy *t, const char *method)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(lm_backend(&t->k, "ref", NULL), LM_OK);
    for (int p = 0; p < 3; p++) {
        t->params[p].t = lm_tensor_of(t->w[p], LM_F32, 1, (int64_t[]){ N });
        t->params[p].grad = lm_tensor_of(t->g[p], LM_F32, 1, (int64_t[]){ N });
        t->params[p].trains = p < 2;
        t->params[p].decays = p == 0;
        t->params[p].rate = p == 1 ? 3 : 1;
        t->items[p] = &t->params[p];
        for (int i = 0; i < N; i++) t->w[p][i] = 0.1f * (float)(i + 1);
    }
    t->set = (lm_params){ .items = t->items, .n = 3 };
    const lm_optimizer *type = lm_optimizer_find(method);
    assert_non_null(type);
    t->options = lm_calloc(1, type->options_size);
    t->sets[0] = (lm_option_set){ .options = type->options, .values = t->options };
    lm_options_defaults(t->sets);
    assert_int_equal(lm_option_set_text(t->sets, "weight-decay", "0.1", "test", NULL), LM_OK);
    assert_int_equal(lm_optim_init(&t->optim, type, t->options, (lm_params *[]){ &t->set }, 1, &t->k, NULL), LM_OK);
    assert_int_equal(t->optim.n, 2);
}

static void toy_free(toy *t)
{
    lm_optim_free(&t->optim);
    lm_options_free(t->sets);
    free(t->options);
}

static void gradients(toy *t, int step)
{
    lm_rng rng = { .seed = 7, .stream = (uint64_t)step };
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < N; i++) t->g[p][i] = (float)lm_rng_normal(&rng);
}

static void adamw_follows_its_algorithm(void **state)
{
    (void)state;
    toy t;
    toy_make(&t, "adamw");
    double w[2][N], m[2][N] = {0}, v[2][N] = {0};
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < N; i++) w[p][i] = t.w[p][i];
    for (int step = 1; step <= STEPS; step++) {
        gradients(&t, step);
        double lr = 0.01 / step;
        for (int p = 0; p < 2; p++)
            for (int i = 0; i < N; i++) {
                double g = 0.5 * t.g[p][i];
                m[p][i] = 0.9 * m[p][i] + 0.1 * g;
                v[p][i] = 0.999 * v[p][i] + 0.001 * g * g;
                double mean = m[p][i] / (1 - pow(0.9, step)), square = v[p][i] / (1 - pow(0.999, step));
                w[p][i] -= (p == 1 ? 3 * lr : lr) * (mean / (sqrt(square) + 1e-8) + (p == 0 ? 0.1 * w[p][i] : 0));
            }
        lm_optim_update(&t.optim, lr, 0.5);
    }
    /* f32 against double: 20 steps of relative error 2^-24 in numbers of size 1, with room */
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < N; i++) assert_true(fabs(t.w[p][i] - w[p][i]) < 5e-6);
    for (int i = 0; i < N; i++) assert_true(t.w[2][i] == 0.1f * (float)(i + 1));
    assert_int_equal(t.optim.step, STEPS);
    toy_free(&t);
}

static void sgd_follows_its_algorithm(void **state)
{
    (void)state;
    toy t;
    toy_make(&t, "sgd");
    double w[2][N], m[2][N] = {0};
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < N; i++) w[p][i] = t.w[p][i];
    for (int step = 1; step <= STEPS; step++) {
        gradients(&t, step);
        for (int p = 0; p < 2; p++)
            for (int i = 0; i < N; i++) {
                m[p][i] = 0.9 * m[p][i] + 2.0 * t.g[p][i];
                w[p][i] = w[p][i] * (1 - 0.01 * (p == 0 ? 0.1 : 0)) - (p == 1 ? 3 : 1) * 0.01 * m[p][i];
            }
        lm_optim_update(&t.optim, 0.01, 2.0);
    }
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < N; i++) assert_true(fabs(t.w[p][i] - w[p][i]) < 1e-5);
    toy_free(&t);
}

static void norm_is_over_all_that_trains(void **state)
{
    (void)state;
    toy t;
    toy_make(&t, "adamw");
    t.g[0][0] = 3, t.g[1][4] = 4, t.g[2][0] = 100;
    assert_true(lm_optim_grad_norm(&t.optim) == 5);
    t.g[1][0] = INFINITY;
    assert_false(isfinite(lm_optim_grad_norm(&t.optim)));
    t.g[1][0] = NAN;
    assert_false(isfinite(lm_optim_grad_norm(&t.optim)));
    toy_free(&t);
}

static void a_parameter_without_gradient_stays(void **state)
{
    (void)state;
    toy t;
    toy_make(&t, "adamw");
    gradients(&t, 1);
    t.params[0].grad.fresh = true;
    t.g[0][0] = NAN;                                     /* what lies there is undefined */
    assert_true(isfinite(lm_optim_grad_norm(&t.optim)));
    lm_optim_update(&t.optim, 0.1, 1);
    for (int i = 0; i < N; i++) assert_true(t.w[0][i] == 0.1f * (float)(i + 1));
    assert_true(t.w[1][0] != 0.1f);
    toy_free(&t);
}

static void nothing_to_train_is_refused(void **state)
{
    (void)state;
    toy t;
    toy_make(&t, "sgd");
    lm_optim none;
    lm_err err = {0};
    t.params[0].trains = t.params[1].trains = false;
    assert_int_equal(lm_optim_init(&none, lm_optimizer_find("sgd"), t.options, (lm_params *[]){ &t.set }, 1, &t.k, &err), LM_E_USAGE);
    assert_null(lm_optimizer_find("adam"));
    toy_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_follows_its_algorithm), cmocka_unit_test(sgd_follows_its_algorithm),
        cmocka_unit_test(norm_is_over_all_that_trains),
        cmocka_unit_test(a_parameter_without_gradient_stays), cmocka_unit_test(nothing_to_train_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
