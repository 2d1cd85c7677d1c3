/* data judge against an endpoint that follows a script: both orders are asked, what hangs on the order is left out, a
 * run goes on where it stopped, and one that nobody answers says so in a line.  And a judge that is a folder. */
#include "common/endpoint.h"
#include "common/program.h"
#include "train/tiny.h"

#include "base/json.h"

/* ---- the endpoint: prefers the longer answer, but does as the prompt says ---- */

static endpoint judge;

static const char *verdict_on(const char *question)
{
    const char *first = strstr(question, " A:"), *second = strstr(question, " B:"), *end = strstr(question, " END");
    if (strstr(question, "P:tie")) return "Alike. [[C]]";
    if (strstr(question, "P:order")) return "The first one, always. [[A]]";
    if (strstr(question, "P:mute")) return "I would rather not say.";
    return second - first > end - second ? "It says more. [[A]]" : "It says more. [[B]]";
}

static char *script(const char *question) { return lm_strdup(verdict_on(question)); }

static char *data, *rubric, *out, *line;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    if (endpoint_start(&judge, script)) return -1;
    rubric = tiny_file("rubric.yaml", "name: long\nask: 'P:{prompt} A:{first} B:{second} END'\nfirst: '[[A]]'\nsecond: '[[B]]'\ntie: '[[C]]'\n");
    data = tiny_file("answers.jsonl", "{\"prompt\": \"plain\", \"completions\": [\"short\", \"the longest\", \"middling\"]}\n"
                                      "{\"prompt\": \"tie\", \"completions\": [\"x\", \"yy\"]}\n"
                                      "{\"prompt\": \"order\", \"completions\": [\"x\", \"yy\"]}\n"
                                      "{\"prompt\": \"mute\", \"chosen\": \"x\", \"rejected\": \"yy\"}\n"
                                      "{\"prompt\": [{\"role\": \"user\", \"content\": \"chat\"}], \"chosen\": \"x\", \"rejected\": \"yyy\"}\n"
                                      "{\"prompt\": \"same\", \"chosen\": \"x\", \"rejected\": \"x\"}\n");
    out = test_path("pairs.jsonl");
    lm_str text = {0};
    lm_str_printf(&text, "data judge %s --model scripted --endpoint http://127.0.0.1:%d/v1 --rubric %s --out %s --json", data, judge.port, rubric, out);
    line = lm_str_take(&text);
    return 0;
}

static int teardown(void **state)
{
    endpoint_stop(&judge);
    free(data), free(rubric), free(out), free(line);
    return test_folder_remove(state);
}

static program run(const char *more, int code)
{
    program p;
    lm_str text = {0};
    lm_str_printf(&text, "%s %s", line, more);
    program_line(&p, NULL, text.data);
    if (p.code != code) fail_msg("%s: exit %d: %s", text.data, p.code, p.err.data ? p.err.data : "");
    lm_str_free(&text);
    return p;
}

static int64_t number(const program *p, const char *key)
{
    lm_json *doc = lm_json_parse(p->out.data, p->out.len, "counts", NULL);
    int64_t value = json_integer_value(json_object_get(doc, key));
    lm_json_free(doc);
    return value;
}

static lm_json *row(const char *path, int number_of_row)
{
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 20, NULL), LM_OK);
    char *at = text.data;
    for (int i = 0; i < number_of_row; i++) at = strchr(at, '\n') + 1;
    lm_json *doc = lm_json_parse(at, (size_t)(strchr(at, '\n') - at), "row", NULL);
    lm_str_free(&text);
    return doc;
}

static void both_orders_are_asked(void **state)
{
    (void)state;
    judge.state->requests = 0;
    setenv("TEST_JUDGE_KEY", "sesame", 1);
    program p = run("--overwrite --key-variable TEST_JUDGE_KEY", 0);
    assert_int_equal(number(&p, "pairs"), 3 + 4);
    assert_int_equal(number(&p, "preferences"), 3 + 1);
    assert_int_equal(number(&p, "equal"), 1);
    assert_int_equal(number(&p, "ties"), 1);
    assert_int_equal(number(&p, "order_decided"), 1);
    assert_int_equal(number(&p, "unclear"), 1);
    assert_int_equal(judge.state->requests, 2 * 7);
    assert_int_equal(judge.state->keyed, 2 * 7);
    program_free(&p);
    lm_json *first = row(out, 0), *last = row(out, 3);
    assert_string_equal(json_string_value(json_object_get(first, "chosen")), "the longest");
    assert_string_equal(json_string_value(json_object_get(first, "rejected")), "short");
    assert_string_equal(json_string_value(json_object_get(first, "rubric")), "long");
    assert_string_equal(json_string_value(json_array_get(json_object_get(first, "reasons"), 1)), "It says more. [[A]]");
    assert_string_equal(json_string_value(json_object_get(last, "chosen")), "yyy");
    assert_true(json_is_array(json_object_get(last, "prompt")));             /* as it was in the data */
    lm_json_free(first), lm_json_free(last);
}

/* A run that begins again refuses, or goes on and asks nothing twice. */
static void a_run_goes_on(void **state)
{
    (void)state;
    program p = run("", 2);
    assert_non_null(strstr(p.err.data, "--resume goes on with it"));
    program_free(&p);
    char *log = test_path("pairs.jsonl.verdicts.jsonl");
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, log, 1 << 20, NULL), LM_OK);
    char *cut = strchr(strchr(text.data, '\n') + 1, '\n') + 1;
    assert_int_equal(lm_file_write(log, text.data, (size_t)(cut - text.data) + 20, NULL), LM_OK);      /* killed within the third line */
    lm_str_free(&text);
    judge.state->requests = 0;
    p = run("--resume", 0);
    assert_int_equal(judge.state->requests, 2 * 5);
    assert_int_equal(number(&p, "preferences"), 4);
    program_free(&p);
    free(log);
}

static void a_busy_endpoint_is_asked_again(void **state)
{
    (void)state;
    judge.state->busy = 1;
    program p = run("--overwrite --retries 1", 0);
    assert_int_equal(number(&p, "preferences"), 4);
    program_free(&p);
    judge.state->busy = 100;
    p = run("--overwrite --retries 0", 1);
    assert_non_null(strstr(p.err.data, "/v1/chat/completions: answered 503: too many"));
    judge.state->busy = 0;
    program_free(&p);
}

static void nobody_answers(void **state)
{
    (void)state;
    program p;
    lm_str text = {0};
    lm_str_printf(&text, "data judge %s --model m --endpoint http://127.0.0.1:9/v1 --rubric %s --out %s.no --retries 0", data, rubric, out);
    program_line(&p, NULL, text.data);
    assert_int_equal(p.code, 1);
    assert_non_null(strstr(p.err.data, "http://127.0.0.1:9/v1/chat/completions: "));
    assert_ptr_equal(strchr(p.err.data, '\n'), p.err.data + p.err.len - 1);  /* one line */
    program_free(&p);
    lm_str_free(&text);
}

static void a_folder_judges(void **state)
{
    (void)state;
    program p;
    lm_str text = {0};
    char *model = tiny_model("model");
    lm_str_printf(&text, "data judge %s --model %s --rubric %s --out %s.own --max-tokens 4 --json", data, model, rubric, out);
    program_line(&p, NULL, text.data);
    if (p.code) fail_msg("%s", p.err.data);
    assert_int_equal(number(&p, "pairs"), 7);
    assert_int_equal(number(&p, "questions"), 14);
    assert_int_equal(number(&p, "unclear"), 7);                              /* noise has no verdict */
    program_free(&p);
    lm_str_free(&text);
    free(model);
}

static void agreement_of_labellers(void **state)
{
    (void)state;
    program p;
    lm_str text = {0};
    char *labelled = tiny_file("labelled.jsonl", "{\"a\": \"x\", \"b\": \"x\"}\n{\"a\": \"x\", \"b\": \"x\"}\n{\"a\": \"y\", \"b\": \"y\"}\n{\"a\": \"x\", \"b\": \"y\"}\n");
    lm_str_printf(&text, "data agreement %s --fields a,b --json", labelled);
    program_line(&p, NULL, text.data);
    assert_int_equal(p.code, 0);
    lm_json *doc = lm_json_parse(p.out.data, p.out.len, "report", NULL), *pair = json_array_get(json_object_get(doc, "pairs"), 0);
    assert_true(fabs(json_real_value(json_object_get(pair, "cohen_kappa")) - (0.75 - 0.5) / 0.5) < 1e-12);       /* p_e = 3/4 * 1/2 + 1/4 * 1/2 */
    assert_true(fabs(json_real_value(json_object_get(doc, "fleiss_kappa")) - (0.75 - 34.0 / 64) / (30.0 / 64)) < 1e-12);
    lm_json_free(doc);
    program_free(&p);
    lm_str_free(&text);
    free(labelled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_orders_are_asked), cmocka_unit_test(a_run_goes_on),   cmocka_unit_test(a_busy_endpoint_is_asked_again),
        cmocka_unit_test(nobody_answers),        cmocka_unit_test(a_folder_judges), cmocka_unit_test(agreement_of_labellers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
