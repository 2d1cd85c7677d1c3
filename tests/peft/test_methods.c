/* Every adapter method of the registry, on every family, with small settings:
 * what a fresh one does to the model, its gradients against finite differences and with blocks recomputed,
 * switching off, saving and reading again, merging, and decoding with a cache. */
#include "peft/fresh.h"

#include "infer/session.h"

static const char *const bases[] = { "tests/golden/model/llama", "tests/golden/model/gpt2" };
enum { N_BASES = sizeof bases / sizeof *bases };

/* Methods that change the model from the start: their vectors begin at random. */
static bool starts_as_base(const lm_adapter_type *type) { return !type->bare; }

typedef struct bench {
    golden g;
    lm_adapter *a;
    void *values;
    lm_option_set sets[2];
    const char *where;
} bench;

static void open_base(bench *b, const char *base, const lm_adapter_type *type)
{
    char expect[300];
    memset(b, 0, sizeof *b);
    snprintf(expect, sizeof expect, "%s/expect.safetensors", base);
    golden_open(&b->g, base, expect, "auto");
    b->where = type->name;
}

static void open_fresh(bench *b, const char *base, const lm_adapter_type *type, const char *const *more)
{
    lm_err *err = &b->g.err;
    open_base(b, base, type);
    b->values = fresh_values(b->sets, type, more, err);
    if (lm_adapter_new(&b->a, b->g.m, type, b->values, 1, err) != LM_OK) fail_msg("%s: %s", type->name, err->message);
}

static void close_bench(bench *b)
{
    lm_adapter_free(b->a);
    if (b->values) lm_options_free(b->sets);
    free(b->values);
    golden_close(&b->g);
}

static void stir(bench *b)
{
    assert_int_equal(lm_params_prepare_training(&b->a->params, &b->g.err), LM_OK);
    lm_adapter_switch(b->a, true);
    fresh_stir(b->a, 4);
}

/* Logits of both sequences; the caller frees. */
static float *logits_of(bench *b, int64_t *n)
{
    b->g.t.recording = false;
    lm_tensor *logits = lm_model_logits(&b->g.f, lm_model_forward(&b->g.f), NULL);
    if (b->g.t.err.code) fail_msg("%s: %s", b->where, b->g.t.err.message);
    *n = lm_numel(logits);
    float *copy = malloc((size_t)*n * sizeof *copy);
    memcpy(copy, logits->data, (size_t)*n * sizeof *copy);
    lm_tape_reset(&b->g.t);
    return copy;
}

static double distance(const float *x, const float *y, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i] - y[i]));
    return most;
}

/* ---- each method on each base ---- */

/* LLaMA has no biases to train. */
static bool refuses(const lm_adapter_type *type, const char *base) { return !strcmp(type->name, "bitfit") && strstr(base, "llama"); }

/* Other forms of a method: its name, which base, and what they set. */
static const struct { const char *method; int base; const char *set[3]; } variants[] = {
    { "prefix", 0, { "prefix-projection", "true" } },
    { "p_tuning", 1, { "encoder-reparameterization-type", "LSTM" } },
    { "bottleneck", 1, { "bottleneck", "houlsby" } },
    { "bottleneck", 0, { "bottleneck", "parallel" } },
    { "lora", 0, { "target-modules", "lm_head,v_proj" } },
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static void one(void (*check)(bench *b, const char *base, const lm_adapter_type *type), const char *base, const lm_adapter_type *type,
                const char *const *more)
{
    bench b;
    open_fresh(&b, base, type, more);
    check(&b, base, type);
    close_bench(&b);
}

static void each(void (*check)(bench *b, const char *base, const lm_adapter_type *type))
{
    for (const lm_adapter_type *const *type = lm_adapter_type_registry; *type; type++)
        for (int i = 0; i < N_BASES; i++)
            if (!refuses(*type, bases[i])) one(check, bases[i], *type, NULL);
    for (int i = 0; i < N_VARIANTS; i++) one(check, bases[variants[i].base], lm_adapter_type_find(variants[i].method), variants[i].set);
}

static void check_start(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base;
    int64_t n;
    if (starts_as_base(type)) {
        golden_check_logits(&b->g, type->name);
        return;
    }
    float *with = logits_of(b, &n);
    lm_adapter_switch(b->a, false);
    float *without = logits_of(b, &n);
    if (distance(with, without, n) < 1e-3) fail_msg("%s changes nothing", type->name);
    free(with);
    free(without);
}
static void test_a_fresh_adapter(void **state)
{
    (void)state;
    each(check_start);
}

/* The mean loss, summed in double: a small step must show in it. */
static double loss_of(bench *b)
{
    float nll[GOLDEN_MAX];
    double sum = 0;
    int n = 0;
    b->g.t.recording = false;
    lm_model_loss(&b->g.f, lm_model_forward(&b->g.f), b->g.targets, &(lm_cross_entropy_options){ .nll = nll });
    for (int64_t i = 0; i < b->g.batch.n_tokens; i++)
        if (b->g.targets[i] >= 0) sum += nll[i], n++;
    lm_tape_reset(&b->g.t);
    return sum / n;
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* Along its own direction a gradient's slope is its length; a wrong one's is less.  With this step the
 * quotient carries up to 2e-4 of rounding beside the curvature, for which 5% is room. */
static void check_slope(bench *b, lm_param *p)
{
    const float step = 0.0005f;
    float *w = p->t.data, *g = p->grad.data;
    int64_t n = lm_numel(&p->t);
    float *saved = malloc((size_t)n * sizeof *saved);
    double at[2];
    double length = norm_of(g, n);
    if (!(length > 1e-5)) fail_msg("%s: %s learns nothing: %g", b->where, p->t.name, length);
    memcpy(saved, w, (size_t)n * sizeof *w);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++) w[i] = saved[i] + (side ? -step : step) * (float)(g[i] / length);
        at[side] = loss_of(b);
    }
    memcpy(w, saved, (size_t)n * sizeof *w);
    free(saved);
    double slope = (at[0] - at[1]) / (2 * step);
    if (!(fabs(slope - length) < 0.05 * length + 2e-4)) fail_msg("%s: %s: slope %g, gradient %g", b->where, p->t.name, slope, length);
}

static void check_gradients(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base, (void)type;
    stir(b);
    golden_gradients(&b->g);
    for (int64_t i = 0; i < b->a->params.n; i++)
        if (!b->a->params.items[i]->frozen) check_slope(b, b->a->params.items[i]);
}
static void test_gradients(void **state)
{
    (void)state;
    each(check_gradients);
}

/* Blocks that run again in backward give the same gradients; 1e-5: sums in another order. */
static void check_recomputing(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base;
    stir(b);
    golden_gradients(&b->g);
    lm_params *ps = &b->a->params;
    float **kept = calloc((size_t)ps->n, sizeof *kept);
    for (int64_t i = 0; i < ps->n; i++) {
        size_t bytes = lm_nbytes(&ps->items[i]->grad);
        if (!ps->items[i]->frozen) memcpy(kept[i] = malloc(bytes), ps->items[i]->grad.data, bytes);
    }
    b->g.t.checkpointing = true;
    for (size_t most = 0; most <= 1 << 30; most = most ? most << 15 : 1 << 15) {      /* nothing, something or every product is kept */
        lm_params_zero_grad(ps);
        b->g.t.keep = most;
        golden_gradients(&b->g);
        for (int64_t i = 0; i < ps->n; i++) {
            const lm_param *p = ps->items[i];
            int64_t n = lm_numel(&p->t);
            if (!p->frozen && !(distance(kept[i], p->grad.data, n) <= 1e-5 * norm_of(kept[i], n))) fail_msg("%s: %s differs", type->name, p->t.name);
        }
    }
    for (int64_t i = 0; i < ps->n; i++) free(kept[i]);
    free(kept);
}
static void test_recomputed_blocks(void **state)
{
    (void)state;
    each(check_recomputing);
}

static void check_switch(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base;
    int64_t n;
    stir(b);
    float *on = logits_of(b, &n);
    lm_adapter_switch(b->a, false);
    golden_check_logits(&b->g, type->name);
    lm_adapter_switch(b->a, true);
    float *again = logits_of(b, &n);
    assert_memory_equal(on, again, (size_t)n * sizeof *on);
    free(on);
    free(again);
}
static void test_switched_off_is_the_base(void **state)
{
    (void)state;
    each(check_switch);
}

static void check_file(bench *b, const char *base, const lm_adapter_type *type)
{
    int64_t n;
    bench again;
    char *folder = test_path("adapter");
    stir(b);
    float *before = logits_of(b, &n);
    if (lm_adapter_save(b->a, folder, &b->g.err) != LM_OK) fail_msg("%s: %s", type->name, b->g.err.message);
    open_base(&again, base, type);
    if (lm_adapter_load(&again.a, again.g.m, folder, &again.g.err) != LM_OK) fail_msg("%s: %s", type->name, again.g.err.message);
    float *after = logits_of(&again, &n);
    assert_memory_equal(before, after, (size_t)n * sizeof *before);
    close_bench(&again);
    free(before);
    free(after);
    free(folder);
}
static void test_saved_and_read_again(void **state)
{
    (void)state;
    each(check_file);
}

/* 1e-4 of the largest logit: f32 products in another order. */
static void check_merge(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base;
    int64_t n;
    stir(b);
    bool copies = b->a->n_saved == b->a->params.n;       /* of the base's own parameters */
    if (!type->merge && !copies) {
        assert_int_equal(lm_adapter_merge(b->a, &b->g.err), LM_E_UNSUPPORTED);
        assert_non_null(strstr(b->g.err.message, type->name));
        return;
    }
    float *before = logits_of(b, &n);
    if (lm_adapter_merge(b->a, &b->g.err) != LM_OK) fail_msg("%s: %s", type->name, b->g.err.message);
    lm_adapter_free(b->a);
    b->a = NULL;
    float *after = logits_of(b, &n);
    double d = distance(before, after, n);
    if (!(d < 1e-4 * fmax(1, norm_of(before, n) / sqrt((double)n) * 4))) fail_msg("%s: merged, logits differ by %g", type->name, d);
    free(before);
    free(after);
}
static void test_merging(void **state)
{
    (void)state;
    each(check_merge);
}

/* ---- decoding ---- */

/* The log-probability of each generated token in one pass over the whole sequence. */
static void check_sequence(bench *b, const lm_sequence *q)
{
    int32_t positions[GOLDEN_MAX];
    int64_t n = (int64_t)q->ids.len, vocab = b->g.m->config.vocab_size;
    for (int64_t i = 0; i < n; i++) positions[i] = (int32_t)i;
    const lm_segment segment = { .nq = n, .nk = n };
    const lm_batch batch = { .n_tokens = n, .n_segments = 1, .ids = q->ids.data, .positions = positions, .segments = &segment };
    const lm_forward f = { .t = &b->g.t, .m = b->g.m, .batch = &batch };
    const float *logits = lm_model_logits(&f, lm_model_forward(&f), NULL)->data;
    if (b->g.t.err.code) fail_msg("%s: %s", b->where, b->g.t.err.message);
    for (int64_t i = q->n_prompt; i < n; i++) {
        const float *row = logits + (i - 1) * vocab;
        double sum = 0;
        for (int64_t j = 0; j < vocab; j++) sum += exp((double)row[j] - row[q->ids.data[i]]);
        if (!(fabs(-log(sum) - q->logprobs[i - q->n_prompt]) < 1e-4)) fail_msg("%s: token %lld differs", b->where, (long long)i);
    }
    lm_tape_reset(&b->g.t);
}

/* Two sequences of different length, prompts cut into several steps, over one cache. */
static void check_decoding(bench *b, const char *base, const lm_adapter_type *type)
{
    (void)base, (void)type;
    lm_session *s;
    lm_sequence *q[2];
    lm_err *err = &b->g.err;
    stir(b);
    b->g.t.recording = false;
    if (lm_session_new(&s, b->g.m, &b->g.k, NULL, &(lm_session_options){ .context = 20, .rows = 40, .step_tokens = 4, .compute = LM_F32 }, err) != LM_OK)
        fail_msg("%s: %s", b->where, err->message);
    for (int i = 0; i < 2; i++) {
        lm_request r = { .prompt = b->g.ids, .n_prompt = 2 + 5 * i, .max_new_tokens = 6, .ignore_eos = true,
                         .sampling = { .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 9 } };
        assert_int_equal(lm_session_add(s, &q[i], &r, err), LM_OK);
    }
    if (lm_session_run(s, err) != LM_OK) fail_msg("%s: %s", b->where, err->message);
    for (int i = 0; i < 2; i++) check_sequence(b, q[i]);
    lm_session_free(s);
}
static void test_decoding_with_a_cache(void **state)
{
    (void)state;
    each(check_decoding);
}

static void test_bitfit_needs_biases(void **state)
{
    (void)state;
    bench b;
    char values[64] = { 0 };                              /* its settings, none of them set */
    open_base(&b, bases[0], lm_adapter_type_find("bitfit"));
    assert_int_equal(lm_adapter_new(&b.a, b.g.m, lm_adapter_type_find("bitfit"), values, 1, &b.g.err), LM_E_USAGE);
    assert_string_equal(b.g.err.message, "bitfit trains biases, and this llama model has none: take ia3 or lora");
    assert_null(b.a);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fresh_adapter),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_recomputed_blocks),
        cmocka_unit_test(test_switched_off_is_the_base),
        cmocka_unit_test(test_saved_and_read_again),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_decoding_with_a_cache),
        cmocka_unit_test(test_bitfit_needs_biases),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
