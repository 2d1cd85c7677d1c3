/* Classification: what is learnt, that rows in a block stay apart, the numbers that are reported, and what is
 * refused. */
#include "common/test.h"
#include "train/tiny.h"

#include "data/confusion.h"
#include "data/labelled.h"
#include "infer/classifier.h"
#include "nn/head.h"

static char *model, *rows, *tsv;

/* The label of a row is how it begins. */
static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str text = {0}, table = {0};
    static const char *const begins[] = { "up", "down", "away" };
    lm_str_puts(&table, "id\tdocument\tlabel\n");
    for (int i = 0; i < 30; i++) {
        lm_str_printf(&text, "{\"text\": \"%s %.*s\", \"label\": \"%s\"}\n", begins[i % 3], i % 17, "and then more words", begins[i % 3]);
        lm_str_printf(&table, "%d\t%s %.*s\t%d\n", i, begins[i % 2], i % 17, "and then more words", i % 2);
    }
    model = tiny_model("model");
    rows = tiny_file("rows.jsonl", text.data);
    tsv = tiny_file("rows.tsv", table.data);
    lm_str_free(&text);
    lm_str_free(&table);
    return 0;
}

static int teardown(void **state)
{
    free(model), free(rows), free(tsv);
    return test_folder_remove(state);
}

/* ---- learning ---- */

static double number(const lm_json *o, const char *key) { return json_real_value(json_object_get(o, key)); }

static void it_learns(void **state)
{
    (void)state;
    static const char *const how[] = { "", "--adapter lora --lora-r 4", "--pack --accumulate 2 --checkpointing" };
    for (int i = 0; i < 3; i++) {
        tiny_run r;
        char arguments[200], name[24];
        snprintf(arguments, sizeof arguments, "--steps 24 --batch-size 6 --dtype f32 --lr 0.01 --val-split 0.2 %s", how[i]);
        snprintf(name, sizeof name, "learnt%d", i);
        char *out = test_path(name);
        if (tiny_train(&r, "classify", model, i % 2 ? tsv : rows, out, arguments) != LM_OK) fail_msg("%s", r.err.message);
        double loss;
        lm_json *counted;
        assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
        if (!(number(counted, "accuracy") > 0.8 && number(counted, "macro_f1") > 0.7)) fail_msg("%s: loss %g", how[i], loss);
        lm_json_free(counted);
        tiny_close(&r);
        free(out);
    }
}

/* Softmax of three equal scores: every row costs ln 3, and nothing flows into the trunk. */
static void zero_scores(void **state)
{
    (void)state;
    tiny_run r;
    lm_step_report report;
    char *out = test_path("zero");
    tiny_open(&r, "classify", model, rows, out, "--steps 1 --batch-size 5 --dtype f32 --clip 0");
    memset(r.t.model->score->data, 0, lm_nbytes(r.t.model->score));
    assert_int_equal(lm_trainer_step(&r.t, &report, &r.err), LM_OK);
    assert_int_equal(report.supervised, 5);
    assert_true(fabs(report.loss - log(3)) < 1e-6);
    const lm_param *trunk = lm_param_find(&r.t.model->params, "model.layers.0.mlp.up_proj.weight");
    for (int64_t i = 0; i < lm_numel(&trunk->t); i++) assert_true(((float *)trunk->grad.data)[i] == 0);
    tiny_close(&r);
    free(out);
}

/* The same rows alone and in shared blocks cost the same: they do not see each other. */
static void rows_stay_apart(void **state)
{
    (void)state;
    double loss[2];
    for (int pack = 0; pack < 2; pack++) {
        tiny_run r;
        lm_json *counted;
        char *out = test_path("apart");
        tiny_parse(&r, "classify", model, rows, out, pack ? "--pack --dtype f32" : "--dtype f32");
        tiny_set(&r, "val-data", rows);
        assert_int_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
        assert_true(pack ? r.t.val.n < 15 : r.t.val.n == 30);
        assert_int_equal(lm_trainer_measure(&r.t, &loss[pack], &counted, &r.err), LM_OK);
        lm_json_free(counted);
        tiny_close(&r);
        free(out);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-5);         /* f32 sums in another order */
}

/* ---- numbers ---- */

static void confusion_by_hand(void **state)
{
    (void)state;
    static const struct { int truth; float scores[3]; } texts[] = {
        { 0, { 2, 1, 0 } }, { 0, { 0, 3, 0 } }, { 0, { 1, 0, 0 } }, { 1, { 0, 1, 0 } }, { 1, { 4, 1, 0 } }, { 1, { 0, 5, 1 } } };
    lm_confusion c;
    lm_confusion_init(&c, 3);
    for (int i = 0; i < 6; i++) {
        const float *s = texts[i].scores;
        double p = exp(s[texts[i].truth]) / (exp(s[0]) + exp(s[1]) + exp(s[2]));
        assert_true(fabs(lm_confusion_add(&c, texts[i].truth, s) + log(p)) < 1e-9);
    }
    /* Label 0: 2 right of 3, 3 guessed; label 1 the same; label 2 neither stands there nor is guessed. */
    assert_true(fabs(lm_confusion_accuracy(&c) - 4.0 / 6) < 1e-12);
    assert_true(fabs(lm_confusion_macro_f1(&c) - 2.0 / 3) < 1e-12);
    assert_int_equal(c.count[0 * 3 + 1], 1);
    assert_int_equal(c.count[1 * 3 + 0], 1);
    lm_confusion_free(&c);
}

static int64_t find(const char *a, const char *b, const char *label)
{
    char *items[2] = { (char *)(uintptr_t)a, (char *)(uintptr_t)b };
    return lm_label_find(&(lm_strings){ items, 2 }, label);
}

static void numbers_of_labels(void **state)
{
    (void)state;
    assert_int_equal(find("bad", "good", "good"), 1);
    assert_int_equal(find("bad", "good", "1"), 1);       /* by number, for names that are none */
    assert_int_equal(find("bad", "good", "2"), -1);
    assert_int_equal(find("1", "2", "1"), 0);
    assert_int_equal(find("1", "2", "0"), -1);           /* names that are numbers are names */
    assert_int_equal(find("bad", "good", "01x"), -1);
}

static void labels_in_order(void **state)
{
    (void)state;
    char *path = tiny_file("order.jsonl", "{\"review\": \"a\", \"class\": 10}\n{\"review\": \"b\", \"class\": 9}\n{\"review\": \"c\", \"class\": 10}\n");
    lm_strings found, paths = { &path, 1 };
    assert_int_equal(lm_labels_scan(&found, &paths, &(lm_source_options){ 0 }, &(lm_labelled_fields){ 0 }, NULL), LM_OK);
    assert_int_equal(found.n, 2);
    assert_string_equal(found.items[0], "9");
    assert_string_equal(found.items[1], "10");
    lm_strings_free(&found);
    free(path);
}

/* ---- files ---- */

typedef struct answer {
    float scores[4][3];
} answer;

static void keep(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    assert_int_equal(n_rows, 1);
    memcpy(((answer *)to)->scores[text], scores, 3 * sizeof(float));
}

static void classify(lm_model *m, const lm_kernels *k, int64_t batch_tokens, answer *out)
{
    static const char *const texts[] = { "up and away", "down", "away then", "up" };
    lm_tokenizer *tk;
    lm_classifier *c;
    lm_err err = {0};
    assert_int_equal(lm_tokenizer_load(&tk, model, NULL), LM_OK);
    if (lm_classifier_new(&c, m, k, tk, &(lm_classifier_options){ .batch_tokens = batch_tokens, .compute = LM_F32, .scored = keep, .to = out }, &err) != LM_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < 4; i++) assert_int_equal(lm_classifier_add(c, lm_span_of(texts[i], strlen(texts[i])), &err), LM_OK);
    assert_int_equal(lm_classifier_flush(c, &err), LM_OK);
    lm_classifier_free(c);
    lm_tokenizer_free(tk);
}

/* A result that is opened again gives the scores that it had, one batch or several; its LM head is gone. */
static void saved_and_opened(void **state)
{
    (void)state;
    tiny_run r;
    answer before, after, again;
    lm_model *m;
    char *out = test_path("saved");
    if (tiny_train(&r, "classify", model, rows, out, "--steps 3 --dtype f32") != LM_OK) fail_msg("%s", r.err.message);
    classify(r.t.model, &r.k, 4096, &before);
    assert_int_equal(lm_model_load(&m, out, &r.k, &r.err), LM_OK);
    assert_string_equal(m->labels.items[0], "away");
    assert_null(lm_param_find(&m->params, "lm_head.weight"));
    classify(m, &r.k, 4096, &after);
    classify(m, &r.k, 1, &again);
    assert_memory_equal(&before, &after, sizeof before);
    for (int i = 0; i < 12; i++) assert_true(fabsf(after.scores[i / 3][i % 3] - again.scores[i / 3][i % 3]) < 1e-5f);
    assert_int_equal(lm_model_need_lm_head(m, &r.err), LM_E_USAGE);
    lm_model_free(m);
    tiny_close(&r);

    char *other = test_path("other");
    assert_int_equal(tiny_train(&r, "clm", out, rows, other, "--steps 1"), LM_E_USAGE);
    tiny_expect(&r, LM_E_USAGE, "classifies texts and has no LM head");
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "classify", out, rows, other, "--steps 1"), LM_OK);      /* goes on with its head */
    tiny_close(&r);
    free(out), free(other);
}

/* ---- what is refused ---- */

static void expect(const char *text, const char *arguments, lm_status status, const char *message)
{
    tiny_run r;
    char *data = tiny_file("bad.jsonl", text), *out = test_path("refused");
    tiny_train(&r, "classify", model, data, out, arguments);
    tiny_expect(&r, status, message);
    tiny_close(&r);
    free(data), free(out);
}

#define GOOD "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n"
#define LONG "{\"text\": \"abcdefghijklmnop\", \"label\": \"x\"}\n"

static void bad_rows(void **state)
{
    (void)state;
    expect(GOOD "{\"text\": \"c\", \"label\": \"z\"}\n", "--labels x,y", LM_E_FORMAT, "bad.jsonl:3: label \"z\" is not one of the model's 2: x, y");
    expect("{\"text\": \"a\", \"label\": \"x\"}\n", "", LM_E_FORMAT, "expected at least two different labels, found only \"x\"");
    expect(GOOD "{\"text\": \" \", \"label\": \"x\"}\n", "", LM_E_FORMAT, "bad.jsonl:3: the text is empty; --skip-empty");
    expect(GOOD "{\"body\": \"c\", \"label\": \"x\"}\n", "", LM_E_FORMAT, "bad.jsonl:3: expected a text in one of the fields \"text\", \"document\"");
    expect(GOOD "{\"text\": \"c\", \"mark\": \"x\"}\n", "", LM_E_FORMAT, "bad.jsonl:3: expected a label in one of the fields \"label\"");
    expect(GOOD "{\"text\": \"c\", \"label\": 0.5}\n", "", LM_E_FORMAT, "bad.jsonl:3: field \"label\": expected a label");
    expect(GOOD LONG, "--context 8", LM_E_FORMAT, "bad.jsonl:3: 16 tokens, more than the context of 8: give --truncate");
    expect(GOOD, "--labels x", LM_E_USAGE, "--labels: expected two or more, found 1");
    expect(GOOD, "--labels x,x", LM_E_USAGE, "--labels: \"x\" stands there twice");
    expect(GOOD, "--label-field mark", LM_E_FORMAT, "in the one that --label-field names");
}

/* What is cut keeps its label, and both are counted. */
static void cut_and_left_out(void **state)
{
    (void)state;
    tiny_run r;
    lm_step_report report;
    char *data = tiny_file("long.jsonl", GOOD LONG "{\"text\": \"\", \"label\": \"x\"}\n"), *out = test_path("cut");
    tiny_open(&r, "classify", model, data, out, "--context 8 --truncate --skip-empty --batch-size 3 --steps 1");
    assert_int_equal(r.t.corpus.data.n, 3);
    assert_int_equal(r.t.corpus.data.n_skipped, 1);
    assert_int_equal(r.t.corpus.blocks.n_truncated, 1);
    assert_int_equal(r.t.corpus.blocks.lost, 8);
    assert_int_equal(lm_trainer_step(&r.t, &report, &r.err), LM_OK);
    assert_int_equal(report.supervised, 3);
    assert_int_equal(report.tokens, 1 + 1 + 8);
    tiny_close(&r);
    free(data), free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(zero_scores),
        cmocka_unit_test(rows_stay_apart),
        cmocka_unit_test(confusion_by_hand),
        cmocka_unit_test(numbers_of_labels),
        cmocka_unit_test(labels_in_order),
        cmocka_unit_test(saved_and_opened),
        cmocka_unit_test(bad_rows),
        cmocka_unit_test(cut_and_left_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
