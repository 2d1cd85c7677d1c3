/* The plan against the run: what is counted without computing is what computing takes, to the byte. */
#include "train/tiny.h"
#include "train/plan.h"

static char *model, *rows, *out;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str text = {0};
    for (int i = 0; i < 40; i++) lm_str_printf(&text, "{\"text\": \"%.*s number %d\", \"label\": %d}\n", 3 + i % 19, "a row of some length", i * i, i % 3);
    model = tiny_model("model");
    rows = tiny_file("rows.jsonl", text.data);
    out = test_path("out");
    lm_str_free(&text);
    return 0;
}

static int teardown(void **state)
{
    free(model), free(rows), free(out);
    return test_folder_remove(state);
}

static size_t part(const lm_plan *p, const char *name)
{
    for (int i = 0; i < p->n_parts; i++)
        if (!strcmp(p->parts[i].name, name)) return p->parts[i].bytes;
    fail_msg("the plan has no part %s", name);
    return 0;
}

static void planned_is_taken(const char *objective, const char *arguments)
{
    tiny_run r;
    lm_plan p;
    lm_step_report report;
    double loss;
    lm_json *counted;
    tiny_open(&r, objective, model, rows, out, arguments);
    if (lm_plan_make(&p, &r.config, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    while (r.t.at.step < r.t.schedule.steps)
        if (lm_trainer_step(&r.t, &report, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    if (r.t.val.n) {
        assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
        lm_json_free(counted);
    }

    assert_int_equal(part(&p, "activations"), r.t.tape.step.peak);
    assert_int_equal(part(&p, "backward"), r.t.tape.grads.peak);
    assert_int_equal(part(&p, "scratch"), r.t.tape.scratch.peak);
    assert_int_equal(part(&p, "optimizer"), r.t.optim.arena.used);
    size_t arenas = r.t.model->params.arena.used + (r.t.adapter ? r.t.adapter->params.arena.used + r.t.adapter->state.arena.used : 0);
    assert_int_equal(part(&p, "weights") + part(&p, "gradients"), arenas);
    assert_int_equal(p.steps, r.t.at.step);
    assert_int_equal(p.tokens, r.t.at.tokens);
    assert_int_equal(p.parameters, lm_params_count(&r.t.model->params, false));
    size_t sum = 0;
    for (int i = 0; i < p.n_parts; i++) sum += p.parts[i].bytes;
    assert_int_equal(p.total, sum);
    tiny_close(&r);
}

/* Unshuffled and in whole epochs, the run meets the micro-batches that the plan looks at. */
static void full_training(void **state)
{
    (void)state;
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32");
    planned_is_taken("clm", "--epochs 1 --batch-size 2 --no-shuffle --dtype f32 --val-split 0.2 --accumulate 2");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --checkpointing");
}

static void classification(void **state)
{
    (void)state;
    planned_is_taken("classify", "--epochs 1 --batch-size 4 --no-shuffle --dtype f32 --val-split 0.2");
    planned_is_taken("classify", "--epochs 1 --batch-size 4 --pack --no-shuffle --dtype bf16 --adapter lora --lora-r 4");
}

static void lora_training(void **state)
{
    (void)state;
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --adapter lora --lora-r 4 --lora-dropout 0.1");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype bf16 --adapter lora --lora-r 4 --modules-to-save lm_head");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --adapter lora --lora-r 4 --load-in nf4");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --adapter lora --lora-r 4 --load-in int8 --checkpointing");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --adapter lora --lora-r 4 --load-in bf16");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype bf16 --adapter lora --lora-r 4 --use-dora");
    planned_is_taken("clm", "--epochs 1 --batch-size 4 --no-pack --no-shuffle --dtype f32 --adapter lora --lora-r 4 --target-modules embed_tokens");
}

static void base_stays_in_the_file(void **state)
{
    (void)state;
    tiny_run r;
    lm_plan p;
    tiny_parse(&r, "clm", model, rows, out, "--steps 1 --adapter lora --lora-r 4");
    assert_int_equal(lm_plan_make(&p, &r.config, &r.err), LM_OK);
    int64_t vectors = (2 * 2 + 1) * 32;                          /* norms, f32 in memory: two a layer, one at the end */
    assert_int_equal(part(&p, "file"), (p.parameters - vectors) * (int64_t)sizeof(float));
    int64_t sites = 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48));   /* r (in + out) of q, o; k, v; gate, up, down */
    assert_int_equal(p.trained, 2 * sites);
    assert_int_equal(part(&p, "gradients"), p.trained * (int64_t)sizeof(float));
    tiny_close(&r);
}

/* What a round's cache takes. */
static size_t answering(const char *prompts, const char *arguments)
{
    tiny_run r;
    lm_plan p;
    tiny_parse(&r, "ppo", model, prompts, out, arguments);
    if (lm_plan_make(&p, &r.config, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    size_t bytes = part(&p, "rollouts");
    tiny_close(&r);
    return bytes;
}

/* It follows from how many prompts are answered, and not from how many answers are learnt at a time. */
static void rounds_are_counted_whole(void **state)
{
    (void)state;
    char *prompts = tiny_file("prompts.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\"}\n{\"prompt\": \"d\"}\n");
    size_t two = answering(prompts, "--steps 1 --reward json --max-new-tokens 8 --prompts 2 --batch-size 4");
    assert_int_equal(answering(prompts, "--steps 1 --reward json --max-new-tokens 8 --prompts 2 --batch-size 1"), two);
    assert_true(answering(prompts, "--steps 1 --reward json --max-new-tokens 8 --prompts 4 --batch-size 1") > two);
    free(prompts);
}

static size_t of_plan(const char *prompts, const char *arguments, const char *name)
{
    tiny_run r;
    lm_plan p;
    tiny_parse(&r, "ppo", model, prompts, out, arguments);
    if (lm_plan_make(&p, &r.config, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    size_t bytes = part(&p, name);
    tiny_close(&r);
    return bytes;
}

/* With an adapter a value model apart is a second adapter and no second trunk; another model is counted whole. */
static void a_value_model_is_counted(void **state)
{
    (void)state;
    char *prompts = tiny_file("prompts.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n"), arguments[600];
#define LEARN "--steps 1 --reward json --max-new-tokens 8 --prompts 2 --batch-size 2 --dtype f32 "
#define LORA LEARN "--adapter lora --lora-r 4 "
    size_t file = of_plan(prompts, LORA, "file"), weights = of_plan(prompts, LORA, "weights"), gradients = of_plan(prompts, LORA, "gradients");
    size_t adapter = gradients - 33 * sizeof(float);                     /* but for the value head */
    assert_int_equal(of_plan(prompts, LORA "--value-apart", "file"), file);
    assert_int_equal(of_plan(prompts, LORA "--value-apart", "gradients"), gradients + adapter);
    assert_true(of_plan(prompts, LORA "--value-apart", "weights") < weights + 2 * adapter);
    snprintf(arguments, sizeof arguments, LEARN "--value-model %s", model);
    size_t plain = of_plan(prompts, LEARN, "gradients") - 33 * sizeof(float), head = (size_t)TINY_VOCAB * 32 * sizeof(float);
    assert_int_equal(of_plan(prompts, arguments, "gradients"), 2 * plain - head + 32 * sizeof(float));       /* a score in place of the LM head */
    assert_true(of_plan(prompts, arguments, "weights") > of_plan(prompts, LEARN, "weights") - 33 * sizeof(float) + plain - head);
    free(prompts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_training), cmocka_unit_test(classification), cmocka_unit_test(lora_training), cmocka_unit_test(base_stays_in_the_file),
        cmocka_unit_test(rounds_are_counted_whole), cmocka_unit_test(a_value_model_is_counted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
