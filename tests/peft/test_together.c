/* Several adapters on one model: chosen for each sequence of a batch they give what each gives alone, stacked they
 * give what merging one after the other gives; what cannot be chosen or stacked is refused. */
#include "peft/fresh.h"

#include "infer/session.h"

static const char *const bases[] = { "tests/golden/model/llama", "tests/golden/model/gpt2" };
enum { N_BASES = sizeof bases / sizeof *bases, MOST = 24, LENGTH = 7, VOCAB = 512 };

typedef struct crowd {
    golden g;
    lm_adapter *a[MOST];
    void *values[MOST];
    lm_option_set sets[MOST][2];
    int n;
} crowd;

static void open_crowd(crowd *c, const char *base)
{
    char expect[300];
    memset(c, 0, sizeof *c);
    snprintf(expect, sizeof expect, "%s/expect.safetensors", base);
    golden_open(&c->g, base, expect, "auto");
    assert_true(c->g.m->config.vocab_size <= VOCAB);
    c->g.t.recording = false;
}

static lm_status join(crowd *c, const char *method, const char *const *more)
{
    const lm_adapter_type *type = lm_adapter_type_find(method);
    c->values[c->n] = fresh_values(c->sets[c->n], type, more, &c->g.err);
    lm_status status = lm_adapter_new(&c->a[c->n], c->g.m, type, c->values[c->n], (uint64_t)c->n + 1, &c->g.err);
    if (status == LM_OK) fresh_stir(c->a[c->n], (uint64_t)c->n + 10);
    c->n++;
    return status;
}

static void drop_last(crowd *c)
{
    lm_adapter_free(c->a[--c->n]);
    lm_options_free(c->sets[c->n]);
    free(c->values[c->n]);
}

static void close_crowd(crowd *c)
{
    while (c->n) drop_last(c);
    golden_close(&c->g);
}

static uint64_t bit(const lm_adapter *a) { return (uint64_t)1 << a->slot; }

/* Logits [n, LENGTH, V] of n sequences, of which the i-th has the adapters sets[i] and begins at ids[i]. */
static void logits_of(float *out, crowd *c, const uint64_t *sets, int n)
{
    int32_t ids[(MOST + 2) * LENGTH], positions[(MOST + 2) * LENGTH];
    lm_segment segments[MOST + 2];
    uint64_t off[MOST + 2];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < LENGTH; j++) ids[i * LENGTH + j] = c->g.ids[(i + j) % 12], positions[i * LENGTH + j] = j;
        segments[i] = (lm_segment){ i * LENGTH, LENGTH, i * LENGTH, LENGTH };
        off[i] = ~sets[i];
    }
    const lm_batch batch = { .n_tokens = n * LENGTH, .n_segments = n, .ids = ids, .positions = positions, .segments = segments, .off = off };
    const lm_forward f = { .t = &c->g.t, .m = c->g.m, .batch = &batch };
    const lm_tensor *logits = lm_model_logits(&f, lm_model_forward(&f), NULL);
    if (c->g.t.err.code) fail_msg("%s", c->g.t.err.message);
    memcpy(out, logits->data, lm_nbytes(logits));
    lm_tape_reset(&c->g.t);
}

static double distance(const float *x, const float *y, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i] - y[i]));
    return most;
}

/* The i-th sequence in a batch of its own, with all adapters off that it does not have. */
static void logits_alone(float *out, crowd *c, uint64_t set, int i, int64_t size)
{
    float *all = malloc((size_t)((i + 1) * size) * sizeof *all);
    uint64_t sets[MOST + 2];
    for (int j = 0; j < c->n; j++) lm_adapter_switch(c->a[j], set & bit(c->a[j]));
    for (int j = 0; j <= i; j++) sets[j] = ~(uint64_t)0;
    logits_of(all, c, sets, i + 1);
    memcpy(out, all + i * size, (size_t)size * sizeof *out);
    free(all);
    for (int j = 0; j < c->n; j++) lm_adapter_switch(c->a[j], true);
}

/* Every method that replaces no weights of the base, which therefore can be chosen for each sequence. */
static void join_all(crowd *c)
{
    for (const lm_adapter_type *const *t = lm_adapter_type_registry; *t; t++) {
        if (!strcmp((*t)->name, "bitfit")) continue;           /* LLaMA has no biases */
        if (join(c, (*t)->name, NULL) != LM_OK) fail_msg("%s", c->g.err.message);
        if (c->a[c->n - 1]->n_saved) drop_last(c);
    }
    assert_int_equal(join(c, "lora", (const char *const[]){ "target-modules", strstr(c->g.m->config.model_type, "gpt2") ? "wte,c_fc" : "embed_tokens,up_proj", NULL }), LM_OK);
    assert_int_equal(join(c, "lora", (const char *const[]){ "target-modules", "lm_head", NULL }), LM_OK);
}

/* Each adapter on a sequence of its own, none on one, neighbours together on the others; 1e-4: products of
 * fewer rows sum in another order. */
static void test_chosen_for_each_sequence(void **state)
{
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        crowd c;
        open_crowd(&c, bases[b]);
        join_all(&c);
        int64_t size = LENGTH * c.g.m->config.vocab_size;
        for (int together = 0; together < 2; together++) {
            uint64_t sets[MOST + 2];
            int n = c.n + 1;
            for (int i = 0; i < c.n; i++) sets[i] = bit(c.a[i]) | (together ? bit(c.a[(i + 1) % c.n]) : 0);
            sets[c.n] = 0;
            float *mixed = malloc((size_t)(n * size) * sizeof *mixed), *alone = malloc((size_t)size * sizeof *alone);
            logits_of(mixed, &c, sets, n);
            for (int i = 0; i < n; i++) {
                logits_alone(alone, &c, sets[i], i, size);
                double d = distance(mixed + i * size, alone, size);
                if (!(d < 1e-4)) fail_msg("%s: %s%s differs by %g", bases[b], i < c.n ? c.a[i]->name : "the base", together ? " and its neighbour" : "", d);
                if (i && distance(mixed, mixed + i * size, size) < 1e-3) fail_msg("%s: all sequences are the same", bases[b]);
            }
            free(mixed);
            free(alone);
        }
        close_crowd(&c);
    }
}

/* The same through a session with one cache: the tokens' log-probabilities are those of one pass. */
static void test_chosen_while_decoding(void **state)
{
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        crowd c;
        lm_session *s;
        lm_sequence *q[MOST + 1];
        open_crowd(&c, bases[b]);
        join_all(&c);
        lm_err *err = &c.g.err;
        if (lm_session_new(&s, c.g.m, &c.g.k, NULL, &(lm_session_options){ .context = 16, .rows = 100, .step_tokens = 9, .compute = LM_F32 }, err) != LM_OK)
            fail_msg("%s", err->message);
        for (int i = 0; i <= c.n; i++) {
            lm_request r = { .prompt = c.g.ids, .n_prompt = 2 + i % 3, .max_new_tokens = LENGTH - 2 - i % 3, .ignore_eos = true, .stream = (uint64_t)i,
                             .off = i < c.n ? ~bit(c.a[i]) : ~(uint64_t)0, .sampling = { .temperature = 1, .top_p = 1, .repetition_penalty = 1 } };
            assert_int_equal(lm_session_add(s, &q[i], &r, err), LM_OK);
        }
        if (lm_session_run(s, err) != LM_OK) fail_msg("%s: %s", bases[b], err->message);
        for (int i = 0; i <= c.n; i++) {
            uint64_t set = ~q[i]->request.off;
            float logits[LENGTH * VOCAB];
            int64_t vocab = c.g.m->config.vocab_size;
            int32_t given[LENGTH];
            memcpy(given, c.g.ids, sizeof given);
            memcpy(c.g.ids, q[i]->ids.data, LENGTH * sizeof *given);
            logits_of(logits, &c, &set, 1);
            memcpy(c.g.ids, given, sizeof given);
            for (int64_t j = q[i]->n_prompt; j < LENGTH; j++) {
                const float *row = logits + (j - 1) * vocab;
                double sum = 0;
                for (int64_t v = 0; v < vocab; v++) sum += exp((double)row[v] - row[q[i]->ids.data[j]]);
                if (!(fabs(-log(sum) - q[i]->logprobs[j - q[i]->n_prompt]) < 1e-4)) fail_msg("%s: sequence %d, token %lld differs", bases[b], i, (long long)j);
            }
        }
        lm_session_free(s);
        close_crowd(&c);
    }
}

/* A stack is its members merged one after the other, in either order; 1e-4 as above. */
static void test_stacked_is_merged_in_order(void **state)
{
    (void)state;
    static const char *const pairs[][2] = { { "lora", "lora" }, { "lora", "ia3" }, { "ia3", "lora" }, { "adalora", "vera" } };
    for (int b = 0; b < N_BASES; b++)
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            crowd c;
            open_crowd(&c, bases[b]);
            for (int j = 0; j < 2; j++)
                if (join(&c, pairs[i][j], NULL) != LM_OK) fail_msg("%s", c.g.err.message);
            int64_t size = LENGTH * c.g.m->config.vocab_size;
            float *stacked = malloc(2 * (size_t)size * sizeof *stacked), *merged = stacked + size;
            uint64_t all = ~(uint64_t)0;
            logits_of(stacked, &c, &all, 1);
            for (int j = 0; j < 2; j++) assert_int_equal(lm_adapter_merge(c.a[j], &c.g.err), LM_OK);
            logits_of(merged, &c, &all, 1);
            double d = distance(stacked, merged, size);
            if (!(d < 1e-4)) fail_msg("%s: %s, %s: stacked and merged differ by %g", bases[b], pairs[i][0], pairs[i][1], d);
            free(stacked);
            close_crowd(&c);
        }
}

static void test_what_cannot_be_shared(void **state)
{
    (void)state;
    crowd c;
    float logits[2 * LENGTH * VOCAB];
    open_crowd(&c, bases[1]);
    assert_int_equal(join(&c, "bitfit", NULL), LM_OK);
    assert_int_equal(join(&c, "lora", NULL), LM_OK);
    logits_of(logits, &c, (uint64_t[]){ bit(c.a[0]), bit(c.a[0]) | bit(c.a[1]) }, 2);

    int32_t ids[2] = { 1, 2 }, positions[2] = { 0, 0 };
    const lm_segment segments[2] = { { 0, 1, 0, 1 }, { 1, 1, 1, 1 } };
    const uint64_t off[2] = { 0, bit(c.a[0]) };
    const lm_batch batch = { .n_tokens = 2, .n_segments = 2, .ids = ids, .positions = positions, .segments = segments, .off = off };
    const lm_forward f = { .t = &c.g.t, .m = c.g.m, .batch = &batch };
    lm_model_forward(&f);
    assert_string_equal(c.g.t.err.message, "adapter bitfit (bitfit) replaces weights of the model (transformer.h.0.ln_1.bias): it acts on every sequence or on none");
    lm_err_clear(&c.g.t.err);
    lm_tape_reset(&c.g.t);

    assert_int_equal(join(&c, "bitfit", NULL), LM_E_UNSUPPORTED);
    assert_string_equal(c.g.err.message, "bitfit: replaces transformer.h.0.ln_1.bias, as bitfit does: only one of them can be in memory; merge one first");
    lm_err_clear(&c.g.err);

    assert_int_equal(join(&c, "lora", (const char *const[]){ "use-dora", "true", NULL }), LM_OK);
    lm_adapter_switch(c.a[1], false);
    logits_of(logits, &c, (uint64_t[]){ ~(uint64_t)0 }, 1);
    lm_adapter_switch(c.a[1], true);
    const lm_batch plain = { .n_tokens = 2, .n_segments = 2, .ids = ids, .positions = positions, .segments = segments };
    const lm_forward both = { .t = &c.g.t, .m = c.g.m, .batch = &plain };
    lm_model_forward(&both);
    assert_string_equal(c.g.t.err.message, "lora: DoRA scales what it finds at transformer.h.0.attn.c_attn, where lora is already: put it first");
    close_crowd(&c);
}

/* Slots are given back, and the model is the base again whatever the order in which its adapters go. */
static void test_coming_and_going(void **state)
{
    (void)state;
    crowd c;
    open_crowd(&c, bases[1]);
    for (int i = 0; i < 3; i++) assert_int_equal(join(&c, i == 1 ? "bitfit" : "lora", NULL), LM_OK);
    lm_adapter_free(c.a[1]);
    c.a[1] = NULL;
    assert_int_equal(join(&c, "prefix", NULL), LM_OK);
    assert_int_equal(c.a[3]->slot, 1);
    assert_ptr_equal(c.g.m->adapters->next->next, c.a[3]);
    for (int i = 0; i < c.n; i++) lm_adapter_free(c.a[i]), c.a[i] = NULL;
    assert_null(c.g.m->adapters);
    golden_check_logits(&c.g, "all gone");
    close_crowd(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen_for_each_sequence),
        cmocka_unit_test(test_chosen_while_decoding),
        cmocka_unit_test(test_stacked_is_merged_in_order),
        cmocka_unit_test(test_what_cannot_be_shared),
        cmocka_unit_test(test_coming_and_going),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
