/* Steps: a split batch is the whole batch, documents do not see each other, masks mask, losses fall. */
#include "train/tiny.h"

static char *model, *rows, *out;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str text = {0};
    for (int i = 0; i < 16; i++) lm_str_printf(&text, "{\"text\": \"%.*s number %d\"}\n", 3 + i, "a row of some length", i * i);
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

/* The weights after `steps` steps over all 16 rows, and the losses. */
static void steps_of(tiny_run *r, const char *arguments, int steps, double *losses)
{
    tiny_open(r, "clm", model, rows, out, arguments);
    for (int i = 0; i < steps; i++) {
        lm_step_report report;
        if (lm_trainer_step(&r->t, &report, &r->err) != LM_OK) fail_msg("%s", r->err.message);
        losses[i] = report.loss;
    }
}

/* Largest difference of two runs' weights. */
static double weights_differ(const tiny_run *a, const tiny_run *b)
{
    double worst = 0;
    for (int64_t i = 0; i < a->t.optim.n; i++) {
        const lm_tensor *x = &a->t.optim.slots[i].param->t, *y = &b->t.optim.slots[i].param->t;
        for (int64_t j = 0; j < lm_numel(x); j++)
            worst = fmax(worst, fabs((double)((float *)x->data)[j] - (double)((float *)y->data)[j]));
    }
    return worst;
}

/* Sums of 16 rows in another order: f32 rounding, which AdamW's division may enlarge to a part of lr. */
static void a_split_batch_is_the_whole_batch(void **state)
{
    (void)state;
    const char *splits[] = { "--batch-size 8 --accumulate 2", "--batch-size 2 --accumulate 8", "--batch-size 1 --accumulate 16" };
    double whole_losses[4], losses[4];
    tiny_run whole;
    steps_of(&whole, "--batch-size 16 --steps 4 --no-pack --lr 0.001 --dtype f32 --schedule constant", 4, whole_losses);
    for (int s = 0; s < 3; s++) {
        lm_str arguments = {0};
        lm_str_printf(&arguments, "%s --steps 4 --no-pack --lr 0.001 --dtype f32 --schedule constant", splits[s]);
        tiny_run split;
        steps_of(&split, arguments.data, 4, losses);
        for (int i = 0; i < 4; i++) assert_true(fabs(losses[i] - whole_losses[i]) < 2e-6);
        assert_true(weights_differ(&whole, &split) < 1e-4);
        tiny_close(&split);
        lm_str_free(&arguments);
    }
    tiny_close(&whole);
}

static void packing_changes_no_loss(void **state)
{
    (void)state;
    double loose[2], packed[2];
    tiny_run a, b;
    steps_of(&a, "--batch-size 16 --steps 2 --no-pack --lr 0.001 --dtype f32", 2, loose);
    steps_of(&b, "--batch-size 64 --epochs 2 --pack --lr 0.001 --dtype f32", 1, packed);
    assert_true(b.t.train.n < a.t.train.n);
    assert_int_equal(b.t.corpus.blocks.n_lessons, a.t.corpus.blocks.n_lessons);
    assert_true(fabs(loose[0] - packed[0]) < 2e-6);
    tiny_close(&a);
    tiny_close(&b);
}

/* Each token's loss in a block of two documents. */
static void losses_of_block(tiny_run *r, float *nll)
{
    const lm_microbatch *m = lm_batcher_fill(&r->t.batches, 0, 1, 1, 1);
    r->t.forward.batch = &m->batch;
    lm_tensor *hidden = lm_model_forward(&r->t.forward);
    lm_cross_entropy(&r->t.tape, hidden, r->t.model->head, m->targets, &(lm_cross_entropy_options){ .weights = m->weights, .nll = nll });
    assert_int_equal(r->t.tape.err.code, LM_OK);
}

static void documents_do_not_see_each_other(void **state)
{
    (void)state;
    char *one = tiny_file("one.jsonl", "{\"text\": \"first words\"}\n{\"text\": \"the second text\"}\n");
    char *two = tiny_file("two.jsonl", "{\"text\": \"OTHER WORDS\"}\n{\"text\": \"the second text\"}\n");
    float a[TINY_CONTEXT], b[TINY_CONTEXT];
    tiny_run r, s;
    tiny_open(&r, "clm", model, one, out, "--steps 1 --dtype f32 --no-shuffle");
    tiny_open(&s, "clm", model, two, out, "--steps 1 --dtype f32 --no-shuffle");
    losses_of_block(&r, a);
    losses_of_block(&s, b);
    assert_int_equal(r.t.corpus.blocks.n, 1);
    int first = 11;                                     /* bytes of the first text: so many lessons, the last of them its end */
    assert_memory_equal(a + first, b + first, 15 * sizeof *a);
    for (int i = 0; i < first; i++) assert_true(a[i] != b[i]);
    tiny_close(&r);
    tiny_close(&s);
    free(one), free(two);
}

static void losses_fall(void **state)
{
    (void)state;
    double full[30], lora[30];
    tiny_run r;
    steps_of(&r, "--batch-size 16 --steps 30 --lr 0.01 --dtype f32", 30, full);
    assert_true(full[29] < 0.5 * full[0]);
    tiny_close(&r);
    steps_of(&r, "--batch-size 16 --steps 30 --lr 0.01 --dtype f32 --adapter lora --lora-r 4", 30, lora);
    assert_true(fabs(lora[0] - full[0]) < 1e-6);        /* it starts as the base */
    assert_true(lora[29] < 0.8 * lora[0]);
    tiny_close(&r);
    steps_of(&r, "--batch-size 16 --steps 30 --lr 0.01 --dtype f32 --adapter lora --lora-r 4 --load-in nf4", 30, lora);
    assert_true(lora[29] < 0.8 * lora[0]);
    tiny_close(&r);
}

/* Clipping to half the norm halves the update of plain descent, here seen through its momentum's first step. */
static void clipping_scales_the_gradient(void **state)
{
    (void)state;
    double loss;
    tiny_run free_run, clipped;
    steps_of(&free_run, "--batch-size 16 --steps 1 --clip 0 --dtype f32", 1, &loss);
    double norm = lm_optim_grad_norm(&free_run.t.optim);
    lm_str arguments = {0};
    lm_str_printf(&arguments, "--batch-size 16 --steps 1 --dtype f32 --clip %.17g", norm / 2);
    steps_of(&clipped, arguments.data, 1, &loss);
    const lm_optim_slot *a = &free_run.t.optim.slots[3], *b = &clipped.t.optim.slots[3];
    for (int64_t i = 0; i < lm_numel(&a->param->t); i++)
        assert_true(fabsf(a->state[0][i] / 2 - b->state[0][i]) <= 1e-5f * fabsf(a->state[0][i]));
    lm_str_free(&arguments);
    tiny_close(&free_run);
    tiny_close(&clipped);
}

/* ---- sft ---- */

static void answers_are_learnt_and_prompts_are_not(void **state)
{
    (void)state;
    char *data = tiny_file("pair.jsonl", "{\"prompt\": \"ask \", \"completion\": \"tell\"}\n");
    tiny_run r;
    tiny_open(&r, "sft", model, data, out, "--steps 1 --dtype f32");
    const lm_microbatch *m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
    const int32_t ids[] = { 'a', 's', 'k', ' ', 't', 'e', 'l', 'l' }, targets[] = { -1, -1, -1, 't', 'e', 'l', 'l', TINY_END };
    assert_int_equal(m->batch.n_tokens, 8);
    assert_memory_equal(m->batch.ids, ids, sizeof ids);
    assert_memory_equal(m->targets, targets, sizeof targets);
    tiny_close(&r);
    tiny_open(&r, "sft", model, data, out, "--steps 1 --dtype f32 --loss-on all");
    m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
    assert_int_equal(m->n_targets, 8);
    tiny_close(&r);
    free(data);
}

static void refuse_rows(const char *text, const char *arguments, const char *why)
{
    char *data = tiny_file("bad.jsonl", text);
    tiny_run r;
    tiny_parse(&r, "sft", model, data, out, arguments);
    assert_int_not_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    tiny_expect(&r, LM_E_FORMAT, why);
    tiny_close(&r);
    free(data);
}

static void rows_that_cannot_be_learnt_are_named(void **state)
{
    (void)state;
    refuse_rows("{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"}\n", "", "bad.jsonl:2: expected a field \"completion\", found prompt");
    refuse_rows("{\"prompt\": \"a\", \"completion\": \"\"}\n", "", "bad.jsonl:1: field \"completion\" is empty");
    refuse_rows("{\"prompt\": \"a\", \"completion\": 3}\n", "", "bad.jsonl:1: field \"completion\": expected a string");
    refuse_rows("{\"prompt\": \"0123456789\", \"completion\": \"b\"}\n", "--context 8", "bad.jsonl:1: 12 tokens, more than the context of 8");
    refuse_rows("{\"prompt\": \"0123456789\", \"completion\": \"b\"}\n", "--context 8 --truncate", "bad.jsonl:1: no token to learn is left after truncation");
    refuse_rows("\n\n", "", "holds no row to train on");
    refuse_rows("{\"prompt\": \"a\xff\", \"completion\": \"b\"}\n", "", "bad.jsonl:1: byte 14 of the line (0xff) is not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_batch_is_the_whole_batch), cmocka_unit_test(packing_changes_no_loss),
        cmocka_unit_test(documents_do_not_see_each_other), cmocka_unit_test(losses_fall),
        cmocka_unit_test(clipping_scales_the_gradient), cmocka_unit_test(answers_are_learnt_and_prompts_are_not),
        cmocka_unit_test(rows_that_cannot_be_learnt_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
