/* The LSTM against torch's, computed in f64 (tools/golden/lstm.py): both directions over two sequences, outputs and
 * every gradient.  1e-5: f32 sums of a few dozen numbers about 1. */
#include "backend/backend.h"
#include "io/safetensors.h"
#include "ops/ops.h"

#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_safetensors expect;
static lm_kernels k;
static lm_tape tape;

typedef struct leaf {
    lm_tensor t, grad;
} leaf;

static const lm_stored *find(const char *name)
{
    const lm_stored *s = lm_safetensors_find(&expect, name);
    if (!s) fail_msg("expect: %s is missing", name);
    return s;
}

/* A tensor of the file with an f32 gradient. */
static leaf *open_leaf(const char *name)
{
    const lm_stored *s = find(name);
    leaf *l = calloc(1, sizeof *l);
    l->t = lm_tensor_of(malloc(s->bytes), LM_F32, s->ndim, s->dim);
    assert_int_equal(lm_stored_copy(s, l->t.data, LM_F32, NULL), LM_OK);
    l->grad = l->t;
    l->grad.data = calloc(1, s->bytes);
    l->t.grad = &l->grad;
    l->t.needs_grad = true;
    l->t.name = name;
    return l;
}

static void close_leaf(leaf *l)
{
    free(l->t.data), free(l->grad.data), free(l);
}

static void close_to(const char *name, const float *found)
{
    const lm_stored *s = find(name);
    float *want = malloc(s->bytes);
    assert_int_equal(lm_stored_copy(s, want, LM_F32, NULL), LM_OK);
    for (int64_t i = 0; i < s->numel; i++)
        if (!(fabsf(want[i] - found[i]) < 1e-5f * fmaxf(1, fabsf(want[i])))) fail_msg("%s[%lld]: %g, expected %g", name, (long long)i, (double)found[i], (double)want[i]);
    free(want);
}

static void test_equal_to_torch(void **state)
{
    (void)state;
    static const char *const names[] = { "x", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0",
                                         "weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse" };
    enum { X, IH, HH, B, BACK_IH, BACK_HH, BACK_B, N };
    leaf *l[N];
    int32_t lengths[2];
    assert_int_equal(lm_stored_copy(find("lengths"), lengths, LM_I32, NULL), LM_OK);
    const lm_segment segments[2] = { { 0, lengths[0], 0, lengths[0] }, { lengths[0], lengths[1], lengths[0], lengths[1] } };
    for (int i = 0; i < N; i++) l[i] = open_leaf(names[i]);
    leaf *r = open_leaf("r");

    lm_tape *t = &tape;
    t->recording = true;
    lm_tensor *x = lm_scale(t, &l[X]->t, 1), *back = lm_linear(t, x, &l[BACK_IH]->t, &l[BACK_B]->t);
    lm_tensor *y = lm_bilstm(t, lm_linear(t, x, &l[IH]->t, &l[B]->t), &l[HH]->t, back, &l[BACK_HH]->t,
                             &(lm_lstm_options){ .segments = segments, .n_segments = 2 });
    if (t->err.code) fail_msg("%s", t->err.message);
    close_to("y", y->data);
    /* sum(r * y) as a product of one row with one column. */
    lm_tensor *row = lm_reshape(t, y, 1, lm_numel(y)), *column = lm_reshape(t, &r->t, 1, lm_numel(y));
    assert_int_equal(lm_backward(t, lm_linear_with(t, row, column, NULL, &(lm_linear_options){ .f32 = true })), LM_OK);
    for (int i = 0; i < N; i++) {
        char name[64];
        snprintf(name, sizeof name, "grad.%s", names[i]);
        close_to(name, l[i]->grad.data);
        close_leaf(l[i]);
    }
    close_leaf(r);
}

int main(void)
{
    lm_err err = { 0 };
    if (lm_backend(&k, "auto", &err) != LM_OK || lm_safetensors_open(&expect, "tests/golden/lstm/expect.safetensors", &err) != LM_OK ||
        lm_tape_init(&tape, &k, &(lm_tape_options){ .compute = LM_F32 }, &err) != LM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_equal_to_torch) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lm_tape_free(&tape);
    lm_safetensors_close(&expect);
    return failed;
}
