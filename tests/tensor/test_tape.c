/* The tape's invariants: gradient blocks are used again, a reset costs and keeps nothing, views
 * share their base's gradient, recomputation needs less memory for the same gradients, and the
 * arenas' end is an error and not a crash. */
#include "backend/backend.h"
#include "ops/ops.h"

#include "common/test.h"

#include <string.h>

enum { N = 64, C = 32, DEPTH = 20 };

typedef struct chain {
    lm_kernels k;
    lm_tape t;
    lm_tensor w, dw;
    float data[C * C], grad[C * C], x[N * C];
    int32_t targets[N];
} chain;

static void open_chain(chain *c, size_t bytes)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(lm_backend(&c->k, "ref", NULL), LM_OK);
    assert_int_equal(lm_tape_init(&c->t, &c->k, &(lm_tape_options){ .compute = LM_F32, .bytes = bytes }, NULL), LM_OK);
    c->w = lm_tensor_of(c->data, LM_F32, 2, (int64_t[]){ C, C });
    c->dw = lm_tensor_of(c->grad, LM_F32, 2, (int64_t[]){ C, C });
    c->w.name = "w", c->w.needs_grad = true, c->w.grad = &c->dw;
    for (int i = 0; i < C * C; i++) c->data[i] = (float)((i * 37) % 101 - 50) / 400;
    for (int i = 0; i < N * C; i++) c->x[i] = (float)((i * 53) % 97 - 48) / 50;
    for (int i = 0; i < N; i++) c->targets[i] = i % C;
}

static lm_tensor *layer(lm_tape *t, void *context, lm_tensor *x)
{
    chain *c = context;
    return lm_add(t, x, lm_linear_with(t, x, &c->w, NULL, &(lm_linear_options){ .act = LM_ACT_TANH }));
}

/* DEPTH layers that share one weight; the gradient arrives in c->grad. */
static void run_chain(chain *c)
{
    c->t.recording = true;
    c->dw.fresh = true;
    lm_tensor *x = lm_input(&c->t, c->x, LM_F32, 2, (int64_t[]){ N, C });
    for (int i = 0; i < DEPTH; i++) x = lm_checkpoint(&c->t, layer, c, x);
    lm_tensor *loss = lm_cross_entropy(&c->t, x, &c->w, c->targets, &(lm_cross_entropy_options){ 0 });
    assert_int_equal(lm_backward(&c->t, loss), LM_OK);
    lm_tape_reset(&c->t);
}

static void test_gradients_hold_a_handful_of_blocks(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, 1 << 26);
    run_chain(&c);
    size_t block = N * C * sizeof(float);
    assert_true(c.t.step.peak >= 2 * DEPTH * block);
    assert_true(c.t.grads.peak <= 5 * block);
    lm_tape_free(&c.t);
}

static void test_a_reset_gives_the_same_addresses(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, 1 << 26);
    run_chain(&c);
    size_t peak = lm_tape_peak(&c.t);
    float first[C * C];
    memcpy(first, c.grad, sizeof first);
    for (int i = 0; i < 3; i++) run_chain(&c);
    assert_int_equal(lm_tape_peak(&c.t), peak);
    assert_memory_equal(first, c.grad, sizeof first);
    lm_tape_free(&c.t);
}

static void test_recomputing_needs_less_for_the_same_bits(void **state)
{
    (void)state;
    chain plain, again;
    open_chain(&plain, 1 << 26);
    open_chain(&again, 1 << 26);
    run_chain(&plain);
    again.t.checkpointing = true;
    run_chain(&again);
    assert_memory_equal(plain.grad, again.grad, sizeof plain.grad);
    assert_true(again.t.step.peak * 2 < plain.t.step.peak);
    lm_tape_free(&plain.t);
    lm_tape_free(&again.t);
}

/* Without gradients a block leaves nothing but its result. */
static void test_inference_holds_one_block(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, 1 << 26);
    lm_tensor *x = lm_input(&c.t, c.x, LM_F32, 2, (int64_t[]){ N, C });
    for (int i = 0; i < DEPTH; i++) x = lm_checkpoint(&c.t, layer, &c, x);
    assert_int_equal(c.t.err.code, LM_OK);
    assert_null(c.t.last);
    size_t block = N * C * sizeof(float);
    assert_true(c.t.step.peak <= 4 * block);
    lm_tape_free(&c.t);
}

static void test_a_full_arena_is_an_error(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, (size_t)2 << 20);
    lm_tensor *x = lm_input(&c.t, c.x, LM_F32, 2, (int64_t[]){ N, C });
    c.t.recording = true;
    for (int i = 0; i < 1000 && !c.t.err.code; i++) x = layer(&c.t, &c, x);
    assert_int_equal(c.t.err.code, LM_E_NOMEM);
    assert_non_null(strstr(c.t.err.message, "arena of 2 MiB is full"));
    assert_ptr_equal(layer(&c.t, &c, x), &c.t.dead);
    lm_tape_free(&c.t);
}

/* Columns that nobody reads get zeros; those that are read get their gradient. */
static void test_views_share_a_gradient(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, 1 << 26);
    c.t.recording = true;
    c.dw.fresh = true;
    lm_tensor *x = lm_scale(&c.t, &c.w, 1);                       /* [C, C]; the identity */
    lm_tensor *some = lm_linear(&c.t, lm_columns(&c.t, x, 4, 8), lm_input(&c.t, c.x, LM_F32, 2, (int64_t[]){ 1, 8 }), NULL);
    lm_tensor *loss = lm_cross_entropy(&c.t, some, lm_input(&c.t, c.x, LM_F32, 2, (int64_t[]){ C, 1 }), c.targets,
                                       &(lm_cross_entropy_options){ 0 });
    assert_int_equal(lm_backward(&c.t, loss), LM_OK);
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++)
            if (j < 4 || j >= 12) assert_true(c.grad[i * C + j] == 0);
            else if (c.x[j - 4] != 0) assert_true(c.grad[i * C + j] != 0);
    lm_tape_free(&c.t);
}

static void test_backward_without_parameters_says_so(void **state)
{
    (void)state;
    chain c;
    open_chain(&c, 1 << 26);
    c.t.recording = true;
    lm_tensor *x = lm_input(&c.t, c.x, LM_F32, 2, (int64_t[]){ N, C });
    c.w.needs_grad = false;
    lm_tensor *loss = lm_cross_entropy(&c.t, x, &c.w, c.targets, &(lm_cross_entropy_options){ 0 });
    assert_int_equal(lm_backward(&c.t, loss), LM_E_MISMATCH);
    assert_string_equal(c.t.err.message, "backward: the loss depends on no parameter that trains");
    lm_tape_free(&c.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_hold_a_handful_of_blocks),
        cmocka_unit_test(test_a_reset_gives_the_same_addresses),
        cmocka_unit_test(test_recomputing_needs_less_for_the_same_bits),
        cmocka_unit_test(test_inference_holds_one_block),
        cmocka_unit_test(test_a_full_arena_is_an_error),
        cmocka_unit_test(test_views_share_a_gradient),
        cmocka_unit_test(test_backward_without_parameters_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
