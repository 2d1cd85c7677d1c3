/* Every family against transformers: logits, loss, the gradient of every parameter, and ten steps
 * of AdamW, from the golden models of tools/golden/model.py; on the reference kernels and on the
 * machine's best, plain and with activation checkpointing. */
#include "model/golden.h"

static const char *const cases[] = { "llama", "llama3_rope", "llama_linear", "llama_dynamic", "llama_yarn", "mistral", "qwen2", "gpt2" };

static void open_case(golden *g, const char *name, const char *backend)
{
    char model[256], expect[300];
    snprintf(model, sizeof model, "tests/golden/model/%s", name);
    snprintf(expect, sizeof expect, "%s/expect.safetensors", model);
    golden_open(g, model, expect, backend);
}

static void train_all(golden *g)
{
    for (int64_t i = 0; i < g->m->params.n; i++) g->m->params.items[i]->trains = g->m->params.items[i]->t.data != NULL;
    assert_int_equal(lm_params_prepare_training(&g->m->params, &g->err), LM_OK);
}

static void run(const char *name, const char *backend, bool checkpointing)
{
    golden g;
    char where[120];
    snprintf(where, sizeof where, "%s on %s%s", name, backend, checkpointing ? ", checkpointing" : "");
    open_case(&g, name, backend);
    g.t.checkpointing = checkpointing;
    golden_check_logits(&g, where);

    train_all(&g);
    float loss = golden_gradients(&g), want;
    lm_stored_copy(golden_find(&g, "loss"), &want, LM_F32, NULL);
    if (!(fabsf(loss - want) < 1e-4f)) fail_msg("%s: loss %g, expected %g", where, loss, want);
    golden_check_gradients(&g, &g.m->params, "", where);
    golden_check_steps(&g, &g.m->params, where);
    golden_close(&g);
}

static void test_every_family_on_ref(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases[i], "ref", false);
}

static void test_every_family_on_this_machine(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases[i], "auto", false);
}

static void test_every_family_with_checkpointing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases[i], "auto", true);
}

static void (*real_gemm)(const lm_gemm *g);
static int64_t products;
static void counted_gemm(const lm_gemm *g)
{
    products++;
    real_gemm(g);
}

/* What checkpointing keeps changes no bit and is not multiplied again: nothing, some products of the first block, or all. */
static void test_what_checkpointing_keeps(void **state)
{
    (void)state;
    enum { ALL_ACTIVATIONS, NOTHING, SOME, EVERYTHING, RUNS };
    const size_t keep[RUNS] = { 0, 0, 20000, 1 << 30 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *first = NULL;
        size_t kept[RUNS];
        int64_t made[RUNS];
        for (int run = 0; run < RUNS; run++) {
            golden g;
            open_case(&g, cases[i], "auto");
            real_gemm = g.k.gemm, g.k.gemm = counted_gemm, products = 0;
            g.t.checkpointing = run != ALL_ACTIVATIONS;
            g.t.keep = keep[run];
            train_all(&g);
            golden_gradients(&g);
            const lm_tensor *deepest = &g.m->params.items[0]->grad;       /* every other gradient is on the way to it */
            size_t bytes = lm_nbytes(deepest);
            if (!first) memcpy(first = malloc(bytes), deepest->data, bytes);
            assert_memory_equal(first, deepest->data, bytes);
            kept[run] = g.t.kept.peak;
            made[run] = products;
            assert_true(kept[run] <= keep[run]);
            golden_close(&g);
        }
        free(first);
        assert_true(kept[NOTHING] == 0 && kept[SOME] > 0 && kept[EVERYTHING] > kept[SOME]);
        assert_true(made[NOTHING] > made[SOME] && made[SOME] > made[EVERYTHING]);
        assert_int_equal(made[EVERYTHING], made[ALL_ACTIVATIONS]);
    }
}

/* The null backend runs the same code on memory that may not be touched, and counts it. */
static void test_counting_equals_computing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t peak[2];
        for (int count = 0; count < 2; count++) {
            golden g;
            open_case(&g, cases[i], count ? "null" : "ref");
            lm_tape_free(&g.t);
            lm_tape_options options = { .compute = LM_F32, .bytes = (size_t)1 << 30, .count_only = count };
            assert_int_equal(lm_tape_init(&g.t, &g.k, &options, &g.err), LM_OK);
            train_all(&g);
            golden_gradients(&g);
            peak[count] = lm_tape_peak(&g.t) + g.m->params.arena.peak;
            golden_close(&g);
        }
        assert_true(peak[0] > 0);
        assert_int_equal(peak[0], peak[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family_on_ref),
        cmocka_unit_test(test_every_family_on_this_machine),
        cmocka_unit_test(test_every_family_with_checkpointing),
        cmocka_unit_test(test_what_checkpointing_keeps),
        cmocka_unit_test(test_counting_equals_computing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
