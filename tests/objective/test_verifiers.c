/* Outcome and process reward models: where lessons stand, what they cost, what is counted, scores of saved models,
 * and the rows that are refused.  tests/interop holds losses and folders to transformers. */
#include "train/tiny.h"

#include "data/forecast.h"
#include "nn/head.h"
#include "objective/scorer.h"
#include "reward/reward.h"

static char *model, *out, *steps, *answers;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str a = {0}, s = {0};
    for (int i = 0; i < 24; i++) {
        bool right = i % 3 != 1;
        lm_str_printf(&a, "{\"prompt\": \"%.*s?\", \"completion\": \" %s\", \"label\": %s}\n", 1 + i % 5, "abcde", right ? "yes" : "no", right ? "true" : "false");
        lm_str_printf(&s, "{\"prompt\": \"%.*s\", \"completions\": [\"good\", \"%s\", \"good\"], \"labels\": [true, %s, %s]}\n", 1 + i % 5, "vwxyz",
                      right ? "good" : "bad", right ? "true" : "false", right ? "true" : "null");
    }
    model = tiny_model("model");
    answers = tiny_file("answers.jsonl", a.data);
    steps = tiny_file("steps.jsonl", s.data);
    out = test_path("out");
    lm_str_free(&a);
    lm_str_free(&s);
    return 0;
}

static int teardown(void **state)
{
    free(model), free(out), free(steps), free(answers);
    return test_folder_remove(state);
}

/* ---- numbers by hand ---- */

static void forecasts_by_hand(void **state)
{
    (void)state;
    lm_forecasts f = {0};
    assert_true(isnan(lm_forecasts_auc(&f)) && lm_forecasts_calibration(&f) == 0 && lm_forecasts_accuracy(&f) == 0);
    lm_forecasts_add(&f, 0.9, true);
    assert_true(isnan(lm_forecasts_auc(&f)));
    lm_forecasts_add(&f, 0.8, false);
    lm_forecasts_add(&f, 0.35, true);
    lm_forecasts_add(&f, 0.35, false);
    assert_true(lm_forecasts_accuracy(&f) == 0.5);                           /* 0.9 and the last */
    assert_true(fabs(lm_forecasts_auc(&f) - (2 + 0 + 0.5) / 4) < 1e-12);     /* 0.9 beats both, 0.35 ties with one */
    assert_true(fabs(lm_forecasts_calibration(&f) - (0.1 + 0.8 + 0.3) / 4) < 1e-12);
    lm_forecasts_add(&f, 1, true);                                           /* the last bin holds 1 itself */
    assert_true(fabs(lm_forecasts_calibration(&f) - (0.1 + 0.8 + 0.3) / 5) < 1e-12);
    lm_forecasts_free(&f);
}

static double number(const lm_json *doc, const char *key) { return json_number_value(json_object_get(doc, key)); }

static void first_errors_by_hand(void **state)
{
    (void)state;
    enum { N = LM_STEP_NEGATIVE, P = LM_STEP_POSITIVE, U = LM_STEP_UNLABELLED, O = LM_STEP_NEUTRAL };
    lm_step_tally t = { .threshold = 0.5 };
    lm_step_tally_add(&t, (double[]){ 0.9, 0.8, 0.6 }, (lm_step_label[]){ P, O, P }, 3);      /* right, and kept */
    lm_step_tally_add(&t, (double[]){ 0.9, 0.5 }, (lm_step_label[]){ P, P }, 2);              /* right, but doubted */
    lm_step_tally_add(&t, (double[]){ 0.9, 0.2, 0.1 }, (lm_step_label[]){ P, N, U }, 3);      /* found */
    lm_step_tally_add(&t, (double[]){ 0.4, 0.1, 0.9 }, (lm_step_label[]){ P, N, N }, 3);      /* too early */
    lm_step_tally_add(&t, (double[]){ 0.7 }, (lm_step_label[]){ N }, 1);                      /* not seen */
    lm_json *doc = lm_step_tally_take(&t);
    assert_true(fabs(number(doc, "first_error_accuracy") - 2.0 / 5) < 1e-12);
    assert_true(fabs(number(doc, "right_kept") - 1.0 / 2) < 1e-12);
    assert_true(fabs(number(doc, "error_found") - 1.0 / 3) < 1e-12);
    assert_true(fabs(number(doc, "f1") - 2 * (1.0 / 2) * (1.0 / 3) / (1.0 / 2 + 1.0 / 3)) < 1e-12);
    assert_true(fabs(number(doc, "step_accuracy") - 7.0 / 11) < 1e-12);
    /* Least p: right ones 0.6, 0.5; wrong ones 0.2, 0.1, 0.7.  Products: 0.432, 0.45; 0.018, 0.036, 0.7.  Last: 0.6, 0.5; 0.1, 0.9, 0.7. */
    assert_true(fabs(number(doc, "auc_min") - 4.0 / 6) < 1e-12);
    assert_true(fabs(number(doc, "auc_product") - 4.0 / 6) < 1e-12);
    assert_true(fabs(number(doc, "auc_last") - 2.0 / 6) < 1e-12);
    assert_int_equal(number(doc, "with_error"), 3);
    lm_json_free(doc);
    doc = lm_step_tally_take(&t);                        /* forgotten */
    assert_int_equal(number(doc, "solutions"), 0);
    lm_json_free(doc);
    lm_step_tally_free(&t);
    assert_true(fabs(lm_step_probability((float[]){ 0, 0 }, 2) - 0.5) < 1e-12);
    assert_true(fabs(lm_step_probability((float[]){ 1, 2, 0 }, 3) - (exp(2) + 1) / (exp(1) + exp(2) + 1)) < 1e-9);
}

/* ---- where lessons stand ---- */

/* The micro-batch of a file's only row, as text with each lesson behind its token: "ab\n" "c<1>". */
static char *lessons_of(const char *objective, const char *row, const char *arguments)
{
    tiny_run r;
    lm_str text = {0};
    char *path = tiny_file("one.jsonl", row);
    tiny_open(&r, objective, model, path, out, arguments);
    const lm_microbatch *m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
    for (int64_t i = 0; i < m->batch.n_tokens; i++) {
        if (m->batch.ids[i] == TINY_END) lm_str_putc(&text, '$');
        else lm_str_putc(&text, (char)m->batch.ids[i]);
        if (m->targets[i] >= 0) lm_str_printf(&text, "<%d>", (int)m->targets[i]);
    }
    tiny_close(&r);
    free(path);
    return lm_str_take(&text);
}

static void expect_lessons(const char *objective, const char *row, const char *arguments, const char *expected)
{
    char *found = lessons_of(objective, row, arguments);
    if (strcmp(found, expected)) fail_msg("%s %s %s: %s, expected %s", objective, row, arguments, found, expected);
    free(found);
}

static void lessons_stand_where_they_belong(void **state)
{
    (void)state;
    const char *list = "{\"prompt\": \"ab:\", \"completions\": [\"cd\", \"e\", \"f\"], \"labels\": [true, 0, false]}\n";
    expect_lessons("prm", list, "", "ab:cd\n<1>e\n<1>f\n<0>");
    expect_lessons("prm", list, "--neutral label", "ab:cd\n<2>e\n<1>f\n<0>");
    expect_lessons("prm", list, "--neutral skip", "ab:cd\n<1>e\nf\n<0>");
    expect_lessons("prm", list, "--last-step-only", "ab:cd\ne\nf\n<0>");
    expect_lessons("prm", list, "--step-separator ;\\n", "ab:cd;\n<1>e;\n<1>f;\n<0>");
    expect_lessons("prm", list, "--context 6 --truncate", "ab:cd\n<1>");
    expect_lessons("prm", "{\"prompt\": \"\", \"completion\": \"cd\\n\\ne\\nf\", \"labels\": [1, -1, null]}\n", "", "cd\n<1>e\n<0>");
    expect_lessons("prm", "{\"q\": \"a\", \"s\": [\"x\", \"y\", \"z\"], \"wrong\": \"2\"}\n", "--prompt-field q --steps-field s --first-error-field wrong", "ax\n<1>y\n<0>");
    expect_lessons("prm", "{\"q\": \"a\", \"s\": [\"x\", \"y\"], \"wrong\": \"N/A\"}\n", "--prompt-field q --steps-field s --first-error-field wrong", "ax\n<1>y\n<1>");

    const char *answer = "{\"prompt\": \"ab:\", \"completion\": \"cd\", \"label\": true}\n";
    expect_lessons("orm", answer, "", "ab:cd$<1>");
    expect_lessons("orm", answer, "--at all", "ab:c<1>d<1>$<1>");
    expect_lessons("orm", answer, "--at all --context 4 --truncate", ":c<1>d<1>$<1>");
    expect_lessons("orm", "{\"prompt\": \"ab:\", \"completion\": \"cdefgh\", \"label\": true}\n", "--context 4 --truncate", "cdef<1>");
    expect_lessons("orm", "{\"question\": \"a\", \"answer\": \"b\", \"is_correct\": 0}\n", "--prompt-field question --completion-field answer --label-field is_correct", "ab$<0>");
    expect_lessons("orm", "{\"completion\": \"b\", \"label\": false}\n", "", "b$<0>");
}

/* A prompt of messages is what the template makes of it up to where the assistant begins, whichever way a row gives it;
 * an answer of text is the assistant's message. */
static void chats_have_steps(void **state)
{
    (void)state;
#define ASKED "[{\"role\": \"user\", \"content\": \"ab\"}"
#define SAYS(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
    static const char steps_follow[] = "User: ab\n\nAssistant:cd\n<1>e\n<0>";
    char *answer = lessons_of("orm", "{\"prompt\": " ASKED "], \"completion\": [" SAYS("cd") "], \"label\": true}\n", "");
    assert_non_null(strstr(answer, "User: ab\n\nAssistant: cd$"));
    static const char *const rows[] = {
        "{\"prompt\": " ASKED "], \"completions\": [\"cd\", \"e\"], \"labels\": [1, -1]}\n",
        "{\"prompt\": " ASKED "], \"completion\": \"cd\\ne\", \"labels\": [1, -1]}\n",
        "{\"prompt\": " ASKED "], \"completion\": [" SAYS("cd\\ne\\n") "], \"labels\": [1, -1]}\n",
        "{\"messages\": " ASKED ", " SAYS("cd\\ne") "], \"labels\": [1, -1]}\n",
        "{\"messages\": " ASKED ", " SAYS("cd\\ne") "], \"wrong\": 2}\n",
    };
    for (int i = 0; i < 5; i++) expect_lessons("prm", rows[i], i == 4 ? "--first-error-field wrong" : "", steps_follow);
    expect_lessons("orm", "{\"prompt\": " ASKED "], \"completion\": \"cd\", \"label\": true}\n", "", answer);
    expect_lessons("orm", "{\"messages\": " ASKED ", " SAYS("cd") "], \"label\": true}\n", "", answer);
    free(answer);
}

/* ---- learning ---- */

/* Scores of 0 say nothing: log 2, or log 3 of three labels. */
static void scores_of_zero(void **state)
{
    (void)state;
    static const struct { const char *objective, *more; double expected; } cases[] = {
        { "orm", "", 2 }, { "orm", "--at all", 2 }, { "prm", "", 2 }, { "prm", "--neutral label", 3 } };
    for (int i = 0; i < 4; i++) {
        tiny_run r;
        lm_step_report report;
        char arguments[200];
        snprintf(arguments, sizeof arguments, "--steps 1 --batch-size 5 --dtype f32 %s", cases[i].more);
        tiny_open(&r, cases[i].objective, model, i < 2 ? answers : steps, out, arguments);
        memset(r.t.model->score->data, 0, lm_nbytes(r.t.model->score));
        assert_int_equal(lm_trainer_step(&r.t, &report, &r.err), LM_OK);
        assert_true(fabs(report.loss - log(cases[i].expected)) < 1e-6);
        tiny_close(&r);
    }
}

/* Learnt with every weight and with an adapter; what is saved gives the scores that training saw. */
typedef struct answers_of {
    double least, p[64];
    int64_t rows;
} answers_of;

static void keep(void *to, const lm_scored *s)
{
    answers_of *a = to;
    a->p[s->row] = s->labels == 1 ? 1 / (1 + exp(-(double)s->scores[0])) : lm_step_probability(s->scores + (s->n > 1 ? 1 : 0) * s->labels, s->labels);
    a->rows++;
}

static void score_file(answers_of *to, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk, char *path, int64_t batch_tokens)
{
    lm_err err = {0};
    lm_scorer *s;
    lm_source *source;
    const lm_scorer_options how = { .batch_tokens = batch_tokens, .compute = LM_F32, .scored = keep, .to = to };
    *to = (answers_of){0};
    if (lm_scorer_new(&s, m, k, tk, &how, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(lm_source_open(&source, &(lm_strings){ &path, 1 }, &(lm_source_options){0}, &err), LM_OK);
    for (bool more = true;;) {
        lm_row row = {0};
        assert_int_equal(lm_source_next(source, &row, &more, &err), LM_OK);
        if (!more) break;
        if (lm_scorer_add(s, &row, &err) != LM_OK) fail_msg("%s", err.message);
        lm_row_free(&row);
    }
    assert_int_equal(lm_scorer_flush(s, &err), LM_OK);
    lm_source_close(source);
    lm_scorer_free(s);
}

static void they_learn(void **state)
{
    (void)state;
    static const char *const how[] = { "", "--adapter lora --lora-r 4" };
    for (int i = 0; i < 4; i++) {
        tiny_run r;
        double loss;
        lm_json *counted;
        lm_model *m;
        lm_adapter *adapter = NULL;
        answers_of trained, opened, alone;
        bool prm = i % 2;
        char arguments[200];
        snprintf(arguments, sizeof arguments, "--steps 30 --batch-size 6 --dtype f32 --lr 0.01 --val-split 0.2 --overwrite %s", how[i / 2]);
        if (tiny_train(&r, prm ? "prm" : "orm", model, prm ? steps : answers, out, arguments) != LM_OK) fail_msg("%s", r.err.message);
        assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
        if (!(number(counted, prm ? "first_error_accuracy" : "accuracy") > 0.9)) fail_msg("%d: loss %g", i, loss);
        lm_json_free(counted);

        char *data = prm ? steps : answers;
        score_file(&trained, r.t.model, &r.k, r.t.tokenizer, data, 4096);
        assert_int_equal(trained.rows, 24);
        for (int j = 0; j < 24; j++) assert_true((trained.p[j] > 0.5) == (j % 3 != 1));
        if (lm_model_load(&m, i / 2 ? model : out, &r.k, &r.err) != LM_OK || (i / 2 && lm_adapter_load(&adapter, m, out, &r.err) != LM_OK)) fail_msg("%s", r.err.message);
        assert_int_equal(m->labels_tokens, prm);
        score_file(&opened, m, &r.k, r.t.tokenizer, data, 4096);
        score_file(&alone, m, &r.k, r.t.tokenizer, data, 1);
        for (int j = 0; j < 24; j++) {
            assert_true(fabs(opened.p[j] - trained.p[j]) < 1e-6);
            assert_true(fabs(opened.p[j] - alone.p[j]) < 1e-5);              /* sums in another order */
        }
        lm_adapter_free(adapter);
        lm_model_free(m);
        tiny_close(&r);
    }
}

/* p of every step of the answers that were scored last. */
static void keep_steps(void *to, const lm_scored *s)
{
    answers_of *a = to;
    a->rows = s->n;
    for (int64_t i = 0; i < s->n; i++) a->p[i] = lm_step_probability(s->scores + i * s->labels, s->labels);
}

/* The reward of an answer's steps: their least, product and last, of a text as of a chat; without a step 0. */
static void steps_are_a_reward(void **state)
{
    (void)state;
    tiny_run r;
    lm_scorer *s;
    lm_rewards rewards = {0};
    answers_of found = {0};
    char *prm = test_path("prm"), *specs[3];
    const char *ways[] = { "", ":product", ":last" };
    assert_int_equal(tiny_train(&r, "prm", model, steps, prm, "--steps 3 --dtype f32 --lr 0.02 --step-separator ;"), LM_OK);
    for (int i = 0; i < 3; i++) {
        lm_str spec = {0};
        lm_str_printf(&spec, "steps:%s%s", prm, ways[i]);
        specs[i] = lm_str_take(&spec);
    }
    if (lm_rewards_open(&rewards, &(lm_strings){ specs, 3 }, &(lm_reward_means){ .k = &r.k }, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    const lm_scorer_options how = { .batch_tokens = 64, .compute = LM_F32, .scored = keep_steps, .to = &found };
    static const char *const rows[] = { "{\"prompt\": \"vw\"}", "{\"prompt\": " ASKED "]}", "{\"messages\": " ASKED "]}" };
    for (int i = 0; i < 3; i++) {
        lm_json *row = lm_json_parse(rows[i], strlen(rows[i]), "row", NULL), *prompt = json_object_get(row, i < 2 ? "prompt" : "messages");
        lm_attempt attempts[] = { { .row = row, .place = "here", .text = lm_span_of("good;bad;good", 13) }, { .row = row, .place = "here", .text = lm_span_of(";;", 2) } };
        double total[2], parts[6];
        if (lm_rewards_score(&rewards, total, parts, attempts, 2, &r.err) != LM_OK) fail_msg("%s", r.err.message);
        assert_true(parts[3] == 0 && parts[4] == 0 && parts[5] == 0);
        lm_row solution = { .object = json_pack("{s:O, s:s}", "prompt", prompt, "completion", "good;bad;good") };
        assert_int_equal(lm_scorer_new(&s, r.t.model, &r.k, r.t.tokenizer, &how, &r.err), LM_OK);
        if (lm_scorer_add(s, &solution, &r.err) != LM_OK || lm_scorer_flush(s, &r.err) != LM_OK) fail_msg("%s", r.err.message);
        assert_int_equal(found.rows, 3);
        assert_true(fabs(parts[0] - fmin(found.p[0], fmin(found.p[1], found.p[2]))) < 1e-6);
        assert_true(fabs(parts[1] - found.p[0] * found.p[1] * found.p[2]) < 1e-6);
        assert_true(fabs(parts[2] - found.p[2]) < 1e-6);
        lm_scorer_free(s);
        lm_json_free(solution.object);
        lm_json_free(row);
    }
    lm_rewards_close(&rewards);
    for (int i = 0; i < 3; i++) free(specs[i]);
    free(prm);
    tiny_close(&r);
}

/* ---- what is refused ---- */

static void refused(const char *objective, const char *row, const char *arguments, const char *words)
{
    char *path = tiny_file("bad.jsonl", row);
    tiny_run r;
    tiny_parse(&r, objective, model, path, out, arguments);
    assert_int_not_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    if (!strstr(r.err.message, words)) fail_msg("%s: \"%s\", expected \"%s\"", row, r.err.message, words);
    assert_non_null(strstr(r.err.message, "bad.jsonl:1: "));
    tiny_close(&r);
    free(path);
}

static void bad_rows_are_named(void **state)
{
    (void)state;
    refused("prm", "{\"prompt\": \"a\", \"completion\": \"one step\", \"labels\": [1]}\n", "", "no step separator in it");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [], \"labels\": []}\n", "", "field \"completions\" is empty");
    refused("prm", "{\"prompt\": \"a\", \"labels\": []}\n", "", "field \"completion\" is missing");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\", \"\"], \"labels\": [1, 1]}\n", "", "step 2 is empty");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [1]}\n", "", "1 labels for 2 steps");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [1, 2]}\n", "", "label 2: expected true, false");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\"]}\n", "", "field \"labels\" is missing");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\"], \"labels\": [null]}\n", "", "no labelled step");
    refused("prm", "{\"prompt\": \"a\", \"completions\": [\"b\"], \"wrong\": 2}\n", "--first-error-field wrong", "step 2 of 1");
    refused("prm", "{\"prompt\": \"abcdefgh\", \"completions\": [\"b\"], \"labels\": [1]}\n", "--context 6 --truncate", "no labelled step is left after truncation");
    refused("prm", "{\"prompt\": \"abcdefgh\", \"completions\": [\"b\"], \"labels\": [1]}\n", "--context 6", "more than the context of 6");
    refused("prm", "only text\n", "", "not JSON");
    refused("prm", "{\"messages\": " ASKED ", {\"role\": \"user\", \"content\": \"a\"}], \"labels\": [1]}\n", "", "expected messages that end in one of the assistant's");
    refused("prm", "{\"messages\": [" SAYS("b\\nc") "], \"labels\": [1, 1]}\n", "", "no message asks for the steps");
    refused("prm", "{\"messages\": " ASKED ", " SAYS("one step") "], \"labels\": [1]}\n", "", "no step separator in it");
    refused("orm", "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "", "field \"label\" is missing");
    refused("orm", "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"yes\"}\n", "", "expected true or false");
    refused("orm", "{\"prompt\": \"a\", \"completion\": \"\", \"label\": true}\n", "", "field \"completion\" is empty");
    refused("orm", "{\"prompt\": \"a\", \"label\": true}\n", "", "field \"completion\" is missing");
}

/* A head for texts is none for tokens, nor the other way round. */
static void heads_are_told_apart(void **state)
{
    (void)state;
    tiny_run r;
    char *made = test_path("made"), *other = test_path("other");
    assert_int_equal(tiny_train(&r, "prm", model, steps, made, "--steps 1"), LM_OK);
    assert_int_equal(lm_model_need_reward(r.t.model, &r.err), LM_E_USAGE);
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "orm", made, answers, other, "--steps 1"), LM_E_USAGE);
    tiny_expect(&r, LM_E_USAGE, "its head labels tokens");
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "prm", made, steps, other, "--steps 1"), LM_OK);         /* goes on with its head */
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "orm", model, answers, made, "--steps 1 --overwrite"), LM_OK);
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "prm", made, steps, other, "--steps 1 --overwrite"), LM_E_USAGE);
    tiny_expect(&r, LM_E_USAGE, "its head is for whole texts");
    tiny_close(&r);
    free(made), free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecasts_by_hand), cmocka_unit_test(first_errors_by_hand), cmocka_unit_test(lessons_stand_where_they_belong), cmocka_unit_test(chats_have_steps),
        cmocka_unit_test(steps_are_a_reward),
        cmocka_unit_test(scores_of_zero),    cmocka_unit_test(they_learn),           cmocka_unit_test(bad_rows_are_named),
        cmocka_unit_test(heads_are_told_apart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
