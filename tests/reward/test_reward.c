/* Rewards: worked by hand. */
#include "reward/extract.h"
#include "reward/reward.h"

#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_status open_one(lm_rewards *r, const char *spec, lm_err *err)
{
    const lm_strings specs = { .items = (char *[]){ (char *)(uintptr_t)spec }, .n = 1 };
    return lm_rewards_open(r, &specs, &(lm_reward_means){ .patience = 1 }, err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewards_are_as_worked_by_hand),
        cmocka_unit_test(an_expression_cannot_hang_a_run),
        cmocka_unit_test(parts_are_kept_apart),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(rows_need_what_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
