/* Sessions over tiny random models: what a step computes is held against a forward pass over the whole
 * text, and every way of serving several sequences against serving each alone. */
#include "common/test.h"

#include "backend/backend.h"
#include "infer/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = { "tests/golden/model/llama", "tests/golden/model/gpt2", "tests/golden/model/mistral" };
enum { N_MODELS = sizeof models / sizeof *models, MAX = 64 };

static lm_kernels kernels;
static lm_model *m;

static void load(const char *path)
{
    lm_err err = { 0 };
    assert_int_equal(lm_backend(&kernels, "ref", &err), LM_OK);
    if (lm_model_load(&m, path, &kernels, &err) != LM_OK) fail_msg("%s", err.message);
}

static lm_session *open_session(int64_t context, int64_t rows, int64_t step_tokens)
{
    lm_session *s;
    lm_err err = { 0 };
    lm_session_options o = { .context = context, .rows = rows, .step_tokens = step_tokens, .compute = LM_F32 };
    if (lm_session_new(&s, m, &kernels, NULL, &o, &err) != LM_OK) fail_msg("%s", err.message);
    return s;
}

static lm_request request_of(const int32_t *prompt, int64_t n, int64_t max_new, bool greedy)
{
    return (lm_request){ .prompt = prompt, .n_prompt = n, .max_new_tokens = max_new, .ignore_eos = true,
                         .sampling = { .greedy = greedy, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 9 } };
}

static lm_sequence *add(lm_session *s, const lm_request *r)
{
    lm_sequence *q;
    lm_err err = { 0 };
    if (lm_session_add(s, &q, r, &err) != LM_OK) fail_msg("%s", err.message);
    return q;
}

static void run(lm_session *s)
{
    lm_err err = { 0 };
    if (lm_session_run(s, &err) != LM_OK) fail_msg("%s", err.message);
}

/* Prompt i of the tests: 1 + 5 i tokens. */
static int64_t make_prompt(int32_t *out, int i)
{
    int64_t n = 1 + 5 * i;
    for (int64_t j = 0; j < n; j++) out[j] = (int32_t)((7 * j + 13 * i + 3) % m->config.vocab_size);
    return n;
}

/* Log-probability of ids[at] after ids[0 .. at), by one pass over the text without a cache. */
static double logprob_without_cache(const int32_t *ids, int64_t at)
{
    int32_t positions[MAX];
    for (int64_t i = 0; i < at; i++) positions[i] = (int32_t)i;
    lm_segment segment = { .nq = at, .nk = at };
    lm_batch batch = { .n_tokens = at, .n_segments = 1, .ids = ids, .positions = positions, .segments = &segment };
    lm_tape t;
    lm_err err = { 0 };
    assert_int_equal(lm_tape_init(&t, &kernels, &(lm_tape_options){ .compute = LM_F32, .bytes = 64 << 20 }, &err), LM_OK);
    lm_forward f = { .t = &t, .m = m, .batch = &batch };
    int32_t last = (int32_t)(at - 1);
    lm_tensor *hidden = lm_model_forward(&f);
    lm_tensor *logits = lm_model_logits(&f, hidden, lm_input(&t, &last, LM_I32, 1, (int64_t[]){ 1 }));
    if (t.err.code) fail_msg("%s", t.err.message);
    const float *z = logits->data;
    double max = z[0], sum = 0;
    for (int64_t i = 1; i < m->config.vocab_size; i++) max = z[i] > max ? z[i] : max;
    for (int64_t i = 0; i < m->config.vocab_size; i++) sum += exp(z[i] - max);
    double result = z[ids[at]] - max - log(sum);
    lm_tape_free(&t);
    return result;
}

/* 1e-4: the golden models agree with their library to that; here only the order of sums differs. */
static void test_cache_agrees_with_the_whole_text(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        load(models[i]);
        lm_session *s = open_session(MAX, MAX, 4);         /* prompts are read in pieces of 4 */
        int32_t prompt[MAX];
        lm_request r = request_of(prompt, make_prompt(prompt, 3), 12, false);
        lm_sequence *q = add(s, &r);
        run(s);
        assert_int_equal(q->ids.len, 16 + 12);
        assert_int_equal(q->finish, LM_FINISH_LENGTH);
        for (int64_t at = q->n_prompt; at < (int64_t)q->ids.len; at++)
            assert_true(fabs(q->logprobs[at - q->n_prompt] - logprob_without_cache(q->ids.data, at)) < 1e-4);
        assert_int_equal(lm_session_tokens(s), 16 + 11);   /* the last token is drawn, not read */
        lm_session_free(s);
        lm_model_free(m);
    }
}

enum { N_PROMPTS = 6, N_NEW = 10 };

static void alone(lm_ids out[N_PROMPTS], bool greedy)
{
    for (int i = 0; i < N_PROMPTS; i++) {
        int32_t prompt[MAX];
        lm_request r = request_of(prompt, make_prompt(prompt, i), N_NEW, greedy);
        r.stream = (uint64_t)i;
        lm_session *s = open_session(MAX, 0, 0);
        lm_sequence *q = add(s, &r);
        run(s);
        out[i] = (lm_ids){ 0 };
        lm_ids_append(&out[i], q->ids.data, q->ids.len);
        lm_session_free(s);
    }
}

static void check_together(const lm_ids expected[N_PROMPTS], bool greedy, int64_t rows, int64_t step_tokens)
{
    lm_session *s = open_session(MAX, rows, step_tokens);
    lm_sequence *q[N_PROMPTS];
    int32_t prompt[MAX];
    for (int i = 0; i < N_PROMPTS; i++) {
        lm_request r = request_of(prompt, make_prompt(prompt, i), N_NEW, greedy);
        r.stream = (uint64_t)i;
        q[i] = add(s, &r);
    }
    run(s);
    for (int i = 0; i < N_PROMPTS; i++) {
        assert_int_equal(q[i]->ids.len, expected[i].len);
        assert_memory_equal(q[i]->ids.data, expected[i].data, expected[i].len * sizeof *expected[i].data);
    }
    lm_session_free(s);
}

/* Prompts of 1, 6, .. 26 tokens give what they give alone: all at once, few rows (so that some wait),
 * short steps (so that reading and decoding mix). */
static void test_batched_equals_alone(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        load(models[i]);
        for (int greedy = 0; greedy < 2; greedy++) {
            lm_ids expected[N_PROMPTS];
            alone(expected, greedy);
            check_together(expected, greedy, 6 * MAX, 0);
            check_together(expected, greedy, 50, 0);
            check_together(expected, greedy, 6 * MAX, 7);
            check_together(expected, greedy, 60, 3);
            for (int j = 0; j < N_PROMPTS; j++) lm_ids_free(&expected[j]);
        }
        lm_model_free(m);
    }
}

/* Two short answers end between two long ones; a sequence that needs both their gaps moves in when
 * the cache has been made compact, and nothing that was moved changes. */
static void test_compaction(void **state)
{
    (void)state;
    load(models[0]);
    const int64_t lengths[] = { 8, 20, 8, 20, 16 };
    const int64_t total = 5 * 4 + 8 + 20 + 8 + 20;         /* no room for the fifth while the others live */
    lm_ids expected[5];
    int32_t prompt[4] = { 5, 6, 7, 8 };
    for (int pass = 0; pass < 2; pass++) {
        lm_session *s = open_session(MAX, pass ? total - 4 : 8 * MAX, 0);
        lm_sequence *q[5];
        for (int i = 0; i < 5; i++) {
            prompt[0] = i;
            lm_request r = request_of(prompt, 4, lengths[i], false);
            r.stream = (uint64_t)i;
            q[i] = add(s, &r);
        }
        run(s);
        for (int i = 0; i < 5; i++) {
            if (pass == 0) {
                expected[i] = (lm_ids){ 0 };
                lm_ids_append(&expected[i], q[i]->ids.data, q[i]->ids.len);
                continue;
            }
            assert_int_equal(q[i]->ids.len, expected[i].len);
            assert_memory_equal(q[i]->ids.data, expected[i].data, expected[i].len * sizeof *expected[i].data);
            lm_ids_free(&expected[i]);
        }
        lm_session_free(s);
    }
    lm_model_free(m);
}

/* A chat's second turn reads only what is new, and says what a fresh session says. */
static void test_continue_reuses_the_prefix(void **state)
{
    (void)state;
    load(models[0]);
    int32_t prompt[MAX];
    lm_session *s = open_session(MAX, 0, 0);
    lm_request r = request_of(prompt, make_prompt(prompt, 2), 8, true);
    r.keep = true;
    lm_sequence *q = add(s, &r);
    run(s);
    int64_t before = lm_session_tokens(s);
    assert_int_equal(before, 11 + 7);

    int32_t turn[MAX];
    int64_t n = (int64_t)q->ids.len;
    memcpy(turn, q->ids.data, (size_t)n * sizeof *turn);
    turn[n++] = 4, turn[n++] = 2;
    lm_err err = { 0 };
    r = request_of(turn, n, 6, true);
    r.keep = true;
    assert_int_equal(lm_session_continue(s, q, &r, &err), LM_OK);
    run(s);
    assert_int_equal(lm_session_tokens(s) - before, 1 + 2 + 5);    /* the token drawn last, two new, five drawn */

    lm_session *fresh = open_session(MAX, 0, 0);
    r = request_of(turn, n, 6, true);
    lm_sequence *p = add(fresh, &r);
    run(fresh);
    assert_int_equal(p->ids.len, q->ids.len);
    assert_memory_equal(p->ids.data, q->ids.data, p->ids.len * sizeof *p->ids.data);

    turn[3] = (turn[3] + 1) % (int32_t)m->config.vocab_size;       /* an edited text keeps what stands before the edit */
    before = lm_session_tokens(s);
    r = request_of(turn, n, 1, true);
    assert_int_equal(lm_session_continue(s, q, &r, &err), LM_OK);
    run(s);
    assert_int_equal(lm_session_tokens(s) - before, n - 3);
    lm_session_free(fresh);
    lm_session_free(s);
    lm_model_free(m);
}

static void test_eos_ends(void **state)
{
    (void)state;
    load(models[0]);
    int32_t prompt[MAX];
    lm_session *s = open_session(MAX, 0, 0);
    lm_request r = request_of(prompt, make_prompt(prompt, 1), 10, true);
    lm_sequence *q = add(s, &r);
    run(s);
    int32_t third = q->ids.data[q->n_prompt + 2];
    int64_t length = 1;                                    /* where that token first comes up */
    while (q->ids.data[q->n_prompt + length - 1] != third) length++;
    lm_session_free(s);

    lm_err err = { 0 };
    lm_session_options o = { .context = MAX, .compute = LM_F32, .eos = &third, .n_eos = 1 };
    assert_int_equal(lm_session_new(&s, m, &kernels, NULL, &o, &err), LM_OK);
    r.ignore_eos = false;
    q = add(s, &r);
    run(s);
    assert_int_equal(q->finish, LM_FINISH_EOS);
    assert_int_equal(q->ids.len, q->n_prompt + length);
    assert_int_equal(q->ids.data[q->ids.len - 1], third);
    lm_session_free(s);
    lm_model_free(m);
}

static void test_context(void **state)
{
    (void)state;
    load(models[1]);
    int32_t prompt[MAX];
    lm_session *s = open_session(16, 0, 0);
    lm_request r = request_of(prompt, make_prompt(prompt, 3), 100, true);     /* 16 tokens: no room for an answer */
    lm_sequence *q;
    lm_err err = { 0 };
    assert_int_equal(lm_session_add(s, &q, &r, &err), LM_E_MISMATCH);
    assert_string_equal(err.message, "the prompt has 16 tokens and the context holds 16, the answer included");

    r.n_prompt = 6;
    q = add(s, &r);
    run(s);
    assert_int_equal(q->finish, LM_FINISH_CONTEXT);
    assert_int_equal(q->ids.len, 16);

    r.slide = true;
    r.max_new_tokens = 30;
    q = add(s, &r);
    run(s);
    assert_int_equal(q->finish, LM_FINISH_LENGTH);
    assert_int_equal(q->ids.len, 36);
    assert_int_equal(q->slides, 3);                        /* at 16, 24 and 32 tokens */
    lm_session_free(s);
    lm_model_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    load(models[0]);
    lm_session *s = open_session(MAX, 0, 0);
    int32_t prompt[] = { 1, (int32_t)m->config.vocab_size };
    lm_request r = request_of(prompt, 2, 4, true);
    lm_sequence *q;
    lm_err err = { 0 };
    assert_int_equal(lm_session_add(s, &q, &r, &err), LM_E_MISMATCH);
    assert_non_null(strstr(err.message, "token 1 of the prompt"));
    lm_err_clear(&err);
    r.n_prompt = 0;
    assert_int_equal(lm_session_add(s, &q, &r, &err), LM_E_MISMATCH);
    lm_session_free(s);

    lm_err_clear(&err);
    lm_session_options o = { .context = m->config.max_positions + 1, .compute = LM_F32 };
    assert_int_equal(lm_session_new(&s, m, &kernels, NULL, &o, &err), LM_E_USAGE);
    assert_null(s);
    lm_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_agrees_with_the_whole_text), cmocka_unit_test(test_batched_equals_alone),
        cmocka_unit_test(test_compaction), cmocka_unit_test(test_continue_reuses_the_prefix),
        cmocka_unit_test(test_eos_ends), cmocka_unit_test(test_context), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
