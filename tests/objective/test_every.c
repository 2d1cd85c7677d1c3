/* Every objective of the registry: its plan can be made, it trains every weight or an adapter, a run in pieces ends in the
 * same bits as a whole one, its losses are numbers, and a row with nothing in it is named.  A new objective is asked
 * for here until the table below has rows for it. */
#include "train/tiny.h"

#include "base/signal.h"
#include "io/staging.h"
#include "train/plan.h"

#include <signal.h>

#define PAIR "{\"prompt\": \"Say: \", \"chosen\": \"good day\", \"rejected\": \"go\"}\n{\"prompt\": \"Q\", \"chosen\": \"yes\", \"rejected\": \"no\"}\n"
#define RANKS "{\"prompt\": \"a\", \"completions\": [\"bb\", \"ccc\", \"d\"], \"scores\": [1, 3, 2]}\n{\"prompt\": \"e\", \"completions\": [\"f\", \"gh\"]}\n"
#define PROMPTS "{\"prompt\": \"Say: \"}\n{\"prompt\": \"Q\"}\n"
#define ROUND "--prompts 2 --group 2 --max-new-tokens 6 --reward length:3 "

static const struct {
    const char *objective, *rows, *options;
} samples[] = {
    { "clm", "{\"text\": \"one two\"}\n{\"text\": \"three\"}\n", "" },
    { "sft", "{\"prompt\": \"Say: \", \"completion\": \"good day\"}\n{\"prompt\": \"Q\", \"completion\": \"A\"}\n", "" },
    { "classify", "{\"text\": \"up\", \"label\": \"u\"}\n{\"text\": \"down\", \"label\": \"d\"}\n", "" },
    { "dpo", PAIR, "" },
    { "simpo", PAIR, "" },
    { "orpo", PAIR, "" },
    { "kto", PAIR, "" },
    { "rrhf", RANKS, "" },
    { "slic", RANKS, "" },
    { "reward", RANKS, "" },
    { "orm", "{\"prompt\": \"1+1=\", \"completion\": \"2\", \"label\": true}\n{\"prompt\": \"1+2=\", \"completion\": \"4\", \"label\": false}\n", "" },
    { "prm", "{\"prompt\": \"1+1\", \"completions\": [\"=2\", \"so 2\"], \"labels\": [true, false]}\n{\"prompt\": \"x\", \"completions\": [\"y\"], \"labels\": [1]}\n", "" },
    { "grpo", PROMPTS, ROUND },
    { "ppo", PROMPTS, ROUND },
    { "best_of_n", PROMPTS, ROUND },
    { "expert_iteration", PROMPTS, ROUND "--expand 2 --guide length:2 --least 0 --step-separator e" },
};

static char *model;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    model = tiny_model("model");
    lm_interrupt_watch();
    return 0;
}

static int teardown(void **state)
{
    free(model);
    return test_folder_remove(state);
}

/* The sample of an objective; one without fails the test. */
static int sample_of(const lm_objective *o)
{
    for (int i = 0; i < (int)(sizeof samples / sizeof *samples); i++)
        if (!strcmp(samples[i].objective, o->name)) return i;
    fail_msg("%s has no rows in this test", o->name);
    return -1;
}

static void train(const char *objective, const char *data, const char *out, const char *arguments, lm_status expected)
{
    tiny_run r;
    lm_plan plan;
    tiny_parse(&r, objective, model, data, out, arguments);
    if (lm_plan_make(&plan, &r.config, &r.err) != LM_OK) fail_msg("%s %s: %s", objective, arguments, r.err.message);
    assert_true(plan.total > 0 && plan.trained > 0 && plan.steps == 2);
    lm_status status = lm_trainer_open(&r.t, &r.config, &r.err);
    if (status == LM_OK) status = lm_trainer_run(&r.t, &r.err);
    if (status != expected) fail_msg("%s %s: %s", objective, arguments, r.err.message);
    tiny_close(&r);
}

/* A whole run, and one in pieces where that is asked for: files are synced, which takes its time. */
static void runs(int i, const char *data, bool adapter, bool in_pieces)
{
    char *whole = test_path("whole"), *pieces = test_path("pieces"), arguments[300], resumed[320];
    const char *name = samples[i].objective, *weights = adapter ? "adapter_model.safetensors" : "model.safetensors";
    snprintf(arguments, sizeof arguments, "--dtype f32 --batch-size 2 --steps 2 --lr 0.01 --seed 3 %s %s", samples[i].options, adapter ? "--adapter lora --lora-r 2" : "");
    snprintf(resumed, sizeof resumed, "%s --resume", arguments);
    train(name, data, whole, arguments, LM_OK);
    if (in_pieces) {
        raise(SIGINT);
        train(name, data, pieces, resumed, LM_E_INTERRUPT);
        lm_interrupt_clear();
        train(name, data, pieces, resumed, LM_OK);
        if (!tiny_same(whole, pieces, weights)) fail_msg("%s: not the same bits", name);
        assert_int_equal(lm_staging_remove(pieces, NULL), LM_OK);
    }
    assert_int_equal(tiny_count(whole, "log.jsonl", "\"loss\": "), 2);
    assert_int_equal(tiny_count(whole, "log.jsonl", "\"loss\": null") + tiny_count(whole, "log.jsonl", "nan"), 0);
    assert_int_equal(lm_staging_remove(whole, NULL), LM_OK);
    free(whole), free(pieces);
}

static void each_runs_and_goes_on(void **state)
{
    (void)state;
    for (const lm_objective *const *o = lm_objective_registry; *o; o++) {
        int i = sample_of(*o);
        assert_true((*o)->help && (*o)->source && (*o)->render && (*o)->loss);
        char *data = tiny_file("rows.jsonl", samples[i].rows);
        for (int adapter = 0; adapter < 2; adapter++) runs(i, data, adapter, adapter == i % 2);
        free(data);
    }
}

static void each_names_a_row_with_nothing_in_it(void **state)
{
    (void)state;
    for (const lm_objective *const *o = lm_objective_registry; *o; o++) {
        tiny_run r;
        int i = sample_of(*o);
        lm_str text = {0};
        lm_str_printf(&text, "%s{}\n", samples[i].rows);
        char *data = tiny_file("empty.jsonl", text.data), *out = test_path("empty");
        tiny_parse(&r, (*o)->name, model, data, out, samples[i].options);
        assert_int_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_E_FORMAT);
        if (!strstr(r.err.message, "empty.jsonl:3: ")) fail_msg("%s: %s", (*o)->name, r.err.message);
        tiny_close(&r);
        lm_str_free(&text);
        free(data), free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_runs_and_goes_on), cmocka_unit_test(each_names_a_row_with_nothing_in_it) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
