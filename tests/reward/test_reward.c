/* Rewards: worked by hand. */
#include "reward/extract.h"
#include "reward/reward.h"

#include "infer/classifier.h"
#include "nn/head.h"
#include "train/tiny.h"

static lm_kernels kernels;
static double patience = 20;                         /* a loaded machine starts a program slowly */

static lm_status open_one(lm_rewards *r, const char *spec, lm_err *err)
{
    const lm_strings specs = { .items = (char *[]){ (char *)(uintptr_t)spec }, .n = 1 };
    return lm_rewards_open(r, &specs, &(lm_reward_means){ .k = &kernels, .patience = patience }, err);
}

static double score(const char *spec, const char *row, const char *answer, int64_t tokens)
{
    lm_rewards r;
    lm_err err = {0};
    double total, part;
    lm_json *doc = lm_json_parse(row, strlen(row), "row", &err);
    if (open_one(&r, spec, &err) != LM_OK || lm_rewards_check(&r, doc, &err) != LM_OK) fail_msg("%s: %s", spec, err.message);
    const lm_attempt attempt = { .row = doc, .text = lm_span_of(answer, strlen(answer)), .n_tokens = tokens };
    if (lm_rewards_score(&r, &total, &part, &attempt, 1, &err) != LM_OK) fail_msg("%s: %s", spec, err.message);
    lm_rewards_close(&r);
    lm_json_free(doc);
    return total;
}

static const struct {
    const char *spec, *row, *answer;
    int64_t tokens;
    double want;
} cases[] = {
    { "exact", "{\"answer\": \" yes\"}", "yes\n", 1, 1 },
    { "exact", "{\"answer\": \"yes\"}", "yes.", 1, 0 },
    { "exact", "{\"answer\": 12}", "12", 1, 1 },
    { "exact", "{\"answer\": \"\"}", "", 0, 1 },
    { "exact:####", "{\"answer\": \"so 3 + 4\\n#### 7\"}", "I say #### 6, no:\n#### 7\nDone", 1, 1 },
    { "exact:####", "{\"answer\": \"7\"}", "7", 1, 0 },
    { "exact:####", "{\"answer\": \"7\"}", "x####7", 1, 1 },
    { "exact:boxed", "{\"answer\": \"\\\\frac{1}{2}\"}", "\\boxed{3} or \\boxed{\\frac{1}{2}}!", 1, 1 },
    { "exact:boxed", "{\"answer\": \"1\"}", "\\boxed{1", 1, 0 },
    { "numeric", "{\"answer\": 1234}", "It is $1,234.00.", 1, 1 },
    { "numeric", "{\"answer\": \"-3.5\"}", "from 4 to -3.5", 1, 1 },
    { "numeric", "{\"answer\": \"-3.5\"}", "3.5", 1, 0 },
    { "numeric", "{\"answer\": \"16 - 9\\n#### 7\"}", "1, 2, 7.", 1, 1 },
    { "numeric", "{\"answer\": 7}", "no number", 1, 0 },
    { "numeric", "{\"answer\": 12}", "1,2", 1, 0 },
    { "numeric:####", "{\"answer\": 7}", "#### 7 apples and\n8 pears", 1, 1 },
    { "numeric:####", "{\"answer\": 7}", "7", 1, 0 },
    { "regex:^[0-9]+$", "{}", "123", 1, 1 },
    { "regex:^[0-9]+$", "{}", "12a", 1, 0 },
    { "regex:\xEA\xB0\x80.\xEB\x82\x98", "{}", "\xEA\xB0\x80\xEB\x8B\xA4\xEB\x82\x98", 1, 1 },
    { "regex:b", "{}", "\xFF\xFE b", 1, 1 },
    { "json", "{}", " {\"a\": [1, 2]}\n", 1, 1 },
    { "json", "{}", "{\"a\": [1, 2}", 1, 0 },
    { "json", "{}", "", 0, 0 },
    { "length:10", "{}", "", 10, 1 },
    { "length:10", "{}", "", 7, 0.7 },
    { "length:10", "{}", "", 30, 0 },
    { "length:<10", "{}", "", 4, 1 },
    { "length:<10", "{}", "", 15, 0.5 },
    { "0.5*length:10", "{}", "", 10, 0.5 },
    { "-2*regex:a*b", "{}", "aab", 3, -2 },
};

static void rewards_are_as_worked_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double got = score(cases[i].spec, cases[i].row, cases[i].answer, cases[i].tokens);
        if (fabs(got - cases[i].want) > 1e-12) fail_msg("%s of \"%s\": %g, expected %g", cases[i].spec, cases[i].answer, got, cases[i].want);
    }
}

/* (a+)+$ takes 2^n steps on a text of n a's and a b. */
static void an_expression_cannot_hang_a_run(void **state)
{
    (void)state;
    assert_true(score("regex:(a+)+$", "{}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 1) == 0);
}

static void parts_are_kept_apart(void **state)
{
    (void)state;
    lm_rewards r;
    double total[2], parts[4];
    const lm_strings specs = { .items = (char *[]){ (char[]){ "2*json" }, (char[]){ "length:4" } }, .n = 2 };
    lm_json *row = json_object();
    const lm_attempt two[] = { { .row = row, .text = lm_span_of("[]", 2), .n_tokens = 2 }, { .row = row, .text = lm_span_of("[", 1), .n_tokens = 4 } };
    assert_int_equal(lm_rewards_open(&r, &specs, &(lm_reward_means){ .patience = 1 }, NULL), LM_OK);
    assert_int_equal(lm_rewards_score(&r, total, parts, two, 2, NULL), LM_OK);
    assert_true(parts[0] == 1 && parts[1] == 0.5 && parts[2] == 0 && parts[3] == 1);
    assert_true(total[0] == 2.5 && total[1] == 1);
    assert_string_equal(r.parts[0].label, "json");
    lm_rewards_close(&r);
    lm_json_free(row);
}

static void bad_ones_are_refused(void **state)
{
    (void)state;
    static const struct { const char *spec, *says; } bad[] = {
        { "", "there is no ''; there are exact" }, { "exacter", "there is no 'exacter'" }, { "regex", "expected regex:EXPRESSION" },
        { "regex:a(", "the expression is wrong at character 3" }, { "length:0", "from 1 on" }, { "length:5x", "from 1 on" },
        { "json:1", "nothing may follow json" }, { "1e999*json", "not finite" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lm_rewards r;
        lm_err err = {0};
        assert_int_equal(open_one(&r, bad[i].spec, &err), LM_E_USAGE);
        if (!strstr(err.message, bad[i].says)) fail_msg("%s", err.message);
        lm_rewards_close(&r);
    }
}

static void rows_need_what_is_compared(void **state)
{
    (void)state;
    static const struct { const char *spec, *row, *says; } bad[] = {
        { "exact", "{}", "reward exact: field \"answer\" is missing" }, { "numeric", "{\"answer\": [1]}", "is something else" },
        { "numeric", "{\"answer\": \"seven\"}", "has no number" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lm_rewards r;
        lm_err err = {0};
        lm_json *row = lm_json_parse(bad[i].row, strlen(bad[i].row), "row", NULL);
        assert_int_equal(open_one(&r, bad[i].spec, &err), LM_OK);
        assert_int_equal(lm_rewards_check(&r, row, &err), LM_E_FORMAT);
        if (!strstr(err.message, bad[i].says)) fail_msg("%s", err.message);
        lm_rewards_close(&r);
        lm_json_free(row);
    }
}

/* ---- a program ---- */

static double asked(const char *command, lm_err *err)
{
    lm_rewards r;
    lm_str spec = {0};
    double total = -1, part;
    lm_json *row = json_pack("{s:s, s:i}", "prompt", "2+2=", "n", 4);
    const lm_attempt attempt = { .row = row, .place = "rows.jsonl:7", .text = lm_span_of("4\n", 2), .n_tokens = 1 };
    lm_str_printf(&spec, "program:%s", command);
    if (open_one(&r, spec.data, err) == LM_OK) lm_rewards_score(&r, &total, &part, &attempt, 1, err);
    lm_rewards_close(&r);
    lm_json_free(row);
    lm_str_free(&spec);
    return total;
}

static void a_program_is_asked(void **state)
{
    (void)state;
    lm_err err = {0};
    assert_true(asked("while read -r line; do echo '{\"reward\": 0.25, \"why\": 1}'; done", &err) == 0.25);
    assert_true(asked("read -r line; case $line in *'\"completion\": \"4\\n\"'*) echo '{\"reward\": 3}';; esac", &err) == 3);
    assert_true(asked("read -r line; case $line in *'\"n\": 4'*) echo '{\"reward\": 3}';; esac", &err) == 3);
    assert_int_equal(err.code, LM_OK);
}

static void a_bad_program_is_asked_twice_and_the_row_named(void **state)
{
    (void)state;
    static const struct { const char *command, *says; } bad[] = {
        { "sleep 60", "reward program:sleep 60: an answer to rows.jsonl:7: asked twice: the program gave no answer in 0.1 seconds" },
        { "exit 3", "the program ended with status 3" },
        { "kill -9 $$", "the program was ended by signal 9" },
        { "read -r line; echo good", "the program answered \"good\", expected {\"reward\": NUMBER}" },
        { "read -r line; echo '{\"reward\": \"1\"}'", "expected {\"reward\": NUMBER}" },
        { "exec 2>/dev/null; read -r line; head -c 2000000 /dev/zero", "longer than" },
        { "exec 2>/dev/null; /no/such/program", "the program ended with status 127" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lm_err err = {0};
        patience = i ? 20 : 0.1;
        asked(bad[i].command, &err);
        if (!err.code || !strstr(err.message, bad[i].says)) fail_msg("%s: %s", bad[i].command, err.message);
    }
}

static void a_program_that_fails_once_is_forgiven(void **state)
{
    (void)state;
    char *flag = test_path("flag");
    lm_str command = {0};
    lm_err err = {0};
    lm_str_printf(&command, "read -r line; if [ -e %s ]; then echo '{\"reward\": 1}'; else touch %s; exit 1; fi", flag, flag);
    assert_true(asked(command.data, &err) == 1);
    lm_str_free(&command);
    free(flag);
}

/* ---- a model ---- */

typedef struct heard {
    float *scores;
    int n;
} heard;

static void remember(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    const heard *h = to;
    (void)text, (void)n_rows;
    memcpy(h->scores, scores, (size_t)h->n * sizeof *scores);
}

/* A folder with a head for these labels, and what it gives a text by itself. */
static char *judge_folder(const char *name, char **labels, int n, bool classifies, const char *text, float *scores)
{
    char *plain = tiny_model("plain"), *folder = test_path(name);
    lm_model *m;
    lm_tokenizer *tk;
    lm_classifier *c;
    const lm_strings names = { .items = labels, .n = n };
    lm_err err = {0};
    assert_int_equal(lm_model_load(&m, plain, &kernels, &err), LM_OK);
    assert_int_equal((classifies ? lm_model_classify : lm_model_score_texts)(m, &names, 3, &err), LM_OK);
    assert_int_equal(lm_model_save(m, folder, LM_F32, 0, &err), LM_OK);
    tiny_tokenizer(folder, 0);
    assert_int_equal(lm_tokenizer_load(&tk, folder, &err), LM_OK);
    const lm_classifier_options how = { .batch_tokens = 64, .any_head = true, .compute = LM_F32, .scored = remember, .to = &(heard){ scores, n } };
    assert_int_equal(lm_classifier_new(&c, m, &kernels, tk, &how, &err), LM_OK);
    assert_int_equal(lm_classifier_add(c, lm_span_of(text, strlen(text)), &err), LM_OK);
    assert_int_equal(lm_classifier_flush(c, &err), LM_OK);
    lm_classifier_free(c);
    lm_tokenizer_free(tk);
    lm_model_free(m);
    free(plain);
    return folder;
}

/* Texts go through the model together: sums of another order. */
static void a_model_judges_prompt_and_answer(void **state)
{
    (void)state;
    float scores[3];
    char *three = judge_folder("three", (char *[]){ (char[]){ "bad" }, (char[]){ "so" }, (char[]){ "good" } }, 3, true, "Say: hello", scores);
    lm_str spec = {0};
    lm_err err = {0};
    lm_str_printf(&spec, "model:%s:good", three);
    double sum = exp((double)scores[0]) + exp((double)scores[1]) + exp((double)scores[2]);
    assert_true(fabs(score(spec.data, "{\"prompt\": \"Say: \"}", "hello", 5) - exp((double)scores[2]) / sum) < 1e-5);
    lm_str_clear(&spec);
    lm_str_printf(&spec, "model:%s", three);
    lm_rewards r;
    assert_int_equal(open_one(&r, spec.data, &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "gives 3 labels, not one score: choose one with :NAME, of bad, so, good"));
    lm_rewards_close(&r);
    free(three);

    char *one = judge_folder("one", (char *[]){ (char[]){ "LABEL_0" } }, 1, false, "Say: hello", scores);
    lm_str_clear(&spec);
    lm_str_printf(&spec, "model:%s", one);
    assert_true(fabs(score(spec.data, "{\"prompt\": \"Say: \"}", "hello", 5) - (double)scores[0]) < 1e-5);
    free(one);

    char *two = judge_folder("two", (char *[]){ (char[]){ "kind" }, (char[]){ "true" } }, 2, false, "Say: hello", scores);      /* criteria: scores, and no shares of 1 */
    lm_str_clear(&spec);
    lm_str_printf(&spec, "model:%s:true", two);
    assert_true(fabs(score(spec.data, "{\"prompt\": \"Say: \"}", "hello", 5) - (double)scores[1]) < 1e-5);
    lm_str_clear(&spec);
    lm_str_printf(&spec, "model:%s", two);
    lm_err_clear(&err);
    assert_int_equal(open_one(&r, spec.data, &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "gives 2 scores, not one score: choose one with :NAME, of kind, true"));
    lm_rewards_close(&r);
    lm_str_free(&spec);
    free(two);
}

static int setup(void **state) { return test_folder_make(state) || lm_backend(&kernels, "auto", NULL) != LM_OK ? -1 : 0; }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewards_are_as_worked_by_hand),
        cmocka_unit_test(an_expression_cannot_hang_a_run),
        cmocka_unit_test(parts_are_kept_apart),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(rows_need_what_is_compared),
        cmocka_unit_test(a_program_is_asked),
        cmocka_unit_test(a_model_judges_prompt_and_answer),
        cmocka_unit_test(a_bad_program_is_asked_twice_and_the_row_named),
        cmocka_unit_test(a_program_that_fails_once_is_forgiven),
    };
    return cmocka_run_group_tests(tests, setup, test_folder_remove);
}
