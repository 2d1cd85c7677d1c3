/* The text of a session: stop strings across tokens, pieces that arrive as they are certain, cancelling. */
#include "common/test.h"

#include "backend/backend.h"
#include "infer/session.h"
#include "token/train.h"

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 270, N_NEW = 80 };

static lm_kernels kernels;
static lm_model *m;
static lm_tokenizer *tk;

/* A byte-level tokenizer and a random model that fits it. */
static int make(void **state)
{
    (void)state;
    static const char text[] = "the cat and the hat and the mat, the cat and the hat and the mat";
    static const char config[] = "{\"model_type\": \"llama\", \"vocab_size\": 270, \"hidden_size\": 32, \"intermediate_size\": 48,"
                                 " \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"max_position_embeddings\": 128}";
    lm_err err = { 0 };
    lm_vocab_options o = lm_vocab_defaults();
    o.vocab_size = VOCAB;
    lm_vocab_trainer *trainer;
    if (lm_vocab_trainer_new(&trainer, lm_token_trainer_find("bpe"), &o, &err) != LM_OK) return -1;
    if (lm_vocab_trainer_feed(trainer, text, strlen(text), &err) != LM_OK) return -1;
    if (lm_vocab_trainer_finish(trainer, &tk, &err) != LM_OK) return -1;
    lm_vocab_trainer_free(trainer);
    if (lm_tokenizer_vocab_size(tk) > VOCAB || lm_backend(&kernels, "ref", &err) != LM_OK) return -1;
    return lm_model_new(&m, lm_json_parse(config, strlen(config), "config", &err), 5, &kernels, &err) == LM_OK ? 0 : -1;
}

static int destroy(void **state)
{
    (void)state;
    lm_model_free(m);
    lm_tokenizer_free(tk);
    return 0;
}

static lm_session *open_session(int64_t n)
{
    lm_session *s;
    lm_err err = { 0 };
    lm_session_options o = { .rows = 128 * n, .compute = LM_F32 };
    if (lm_session_new(&s, m, &kernels, tk, &o, &err) != LM_OK) fail_msg("%s", err.message);
    return s;
}

static bool collect(lm_sequence *q, const char *text, size_t n, void *context)
{
    (void)q;
    lm_str_append(context, text, n);
    return true;
}

static lm_sequence *add(lm_session *s, char *const *stops, int n_stops, lm_on_text on_text, void *context)
{
    static const int32_t prompt[] = { 90, 120, 33 };
    const lm_strings stop = { .items = (char **)(uintptr_t)stops, .n = n_stops };
    lm_request r = { .prompt = prompt, .n_prompt = 3, .max_new_tokens = N_NEW, .ignore_eos = true, .stop = &stop,
                     .sampling = { .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 2 },
                     .on_text = on_text, .context = context };
    lm_sequence *q;
    lm_err err = { 0 };
    if (lm_session_add(s, &q, &r, &err) != LM_OK) fail_msg("%s", err.message);
    return q;
}

static void run(lm_session *s)
{
    lm_err err = { 0 };
    if (lm_session_run(s, &err) != LM_OK) fail_msg("%s", err.message);
}

/* The text without any stop string; the caller frees. */
static lm_str whole_text(void)
{
    lm_session *s = open_session(1);
    lm_str streamed = { 0 }, decoded = { 0 };
    lm_sequence *q = add(s, NULL, 0, collect, &streamed);
    run(s);
    assert_int_equal(lm_decode(tk, &decoded, q->ids.data + 3, q->ids.len - 3, LM_DECODE_SKIP_SPECIAL, NULL), LM_OK);
    assert_int_equal(streamed.len, decoded.len);                       /* what came in pieces is what decodes at once */
    assert_memory_equal(streamed.data, decoded.data, decoded.len);
    lm_str_free(&decoded);
    lm_session_free(s);
    return streamed;
}

/* Any piece of the text as a stop string ends it where that piece first comes up, wherever tokens begin. */
static void test_stop_anywhere(void **state)
{
    (void)state;
    lm_str whole = whole_text();
    assert_true(whole.len > 60);
    enum { LONGEST = 9, STARTS = 40 };
    for (size_t n = 1; n <= LONGEST; n += 2) {
        lm_session *s = open_session(STARTS);
        lm_sequence *q[STARTS];
        lm_str got[STARTS] = { 0 };
        char *stops[STARTS];
        for (size_t i = 0; i < STARTS; i++) {
            stops[i] = lm_strndup(whole.data + i, n);
            q[i] = add(s, &stops[i], 1, collect, &got[i]);
        }
        run(s);
        for (size_t i = 0; i < STARTS; i++) {
            size_t length = strlen(stops[i]);
            if (length == n) {                                         /* a NUL byte cannot stand in a stop string */
                size_t first = 0;
                while (memcmp(whole.data + first, stops[i], n) != 0) first++;
                assert_int_equal(q[i]->finish, LM_FINISH_STOP);
                assert_int_equal(got[i].len, first);
                assert_true(first == 0 || memcmp(got[i].data, whole.data, first) == 0);
                assert_int_equal(q[i]->text.len, first);
            }
            lm_str_free(&got[i]);
            free(stops[i]);
        }
        lm_session_free(s);
    }
    lm_str_free(&whole);
}

/* The earliest of several; a beginning that is never completed is given out after all. */
static void test_several_and_none(void **state)
{
    (void)state;
    lm_str whole = whole_text(), got = { 0 }, rest = { 0 };
    char *late = lm_strndup(whole.data + 30, 8), *early = lm_strndup(whole.data + 11, 6);
    lm_str tail = { 0 };
    lm_str_append(&tail, whole.data + whole.len - 5, 5);
    lm_str_puts(&tail, "never");
    lm_session *s = open_session(2);
    lm_sequence *q = add(s, (char *[]){ late, early }, 2, collect, &got);
    lm_sequence *p = add(s, (char *[]){ tail.data }, 1, collect, &rest);
    run(s);
    assert_int_equal(q->finish, LM_FINISH_STOP);
    assert_true(got.len <= 11 && memcmp(got.data, whole.data, got.len) == 0);
    assert_int_equal(p->finish, LM_FINISH_LENGTH);
    assert_int_equal(rest.len, whole.len);
    assert_memory_equal(rest.data, whole.data, whole.len);
    free(late);
    free(early);
    lm_str_free(&tail);
    lm_str_free(&got);
    lm_str_free(&rest);
    lm_str_free(&whole);
    lm_session_free(s);
}

static bool refuse_after_ten(lm_sequence *q, const char *text, size_t n, void *context)
{
    (void)q, (void)text;
    return (*(size_t *)context += n) < 10;
}

/* One listener that has had enough does not end the others. */
static void test_cancel(void **state)
{
    (void)state;
    size_t heard = 0;
    lm_session *s = open_session(2);
    lm_sequence *q = add(s, NULL, 0, refuse_after_ten, &heard), *p = add(s, NULL, 0, NULL, NULL);
    run(s);
    assert_int_equal(q->finish, LM_FINISH_CANCELLED);
    assert_true(heard >= 10 && q->text.len == heard);
    assert_int_equal(p->finish, LM_FINISH_LENGTH);
    assert_int_equal(p->ids.len, 3 + N_NEW);
    lm_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_anywhere), cmocka_unit_test(test_several_and_none), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, make, destroy);
}
