/* Run folders: what is refused, what is kept, and that a stopped run ends in the same bits. */
#include "train/tiny.h"

#include "base/signal.h"
#include "io/safetensors.h"
#include "io/staging.h"

#include <signal.h>

static char *model, *rows;

#define PLAIN "--steps 12 --batch-size 4 --no-pack --dtype f32 --lr 0.01 "

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    lm_str text = {0};
    for (int i = 0; i < 20; i++) lm_str_printf(&text, "{\"text\": \"%.*s number %d\", \"label\": %d}\n", 3 + i, "a row of some length", i * i, i % 3);
    model = tiny_model("model");
    rows = tiny_file("rows.jsonl", text.data);
    lm_str_free(&text);
    lm_interrupt_watch();
    return 0;
}

static int teardown(void **state)
{
    free(model), free(rows);
    return test_folder_remove(state);
}

/* Runs to the end, being asked to stop after every step that `stop` divides; returns how often it stopped. */
static int run_in_pieces(const char *objective, const char *out, const char *arguments)
{
    int stops = 0;
    for (lm_status status = LM_E_INTERRUPT; status == LM_E_INTERRUPT; stops++) {
        tiny_run r;
        lm_interrupt_clear();
        raise(SIGINT);                                   /* one step is finished, then it stops */
        status = tiny_train(&r, objective, model, rows, out, arguments);
        if (status != LM_OK) tiny_expect(&r, LM_E_INTERRUPT, "--resume goes on");
        tiny_close(&r);
    }
    lm_interrupt_clear();
    return stops - 1;
}

static void pieces_equal_the_whole(const char *objective, const char *arguments, const char *weights)
{
    char *whole = test_path("whole"), *pieces = test_path("pieces");
    lm_str resumed = {0};
    tiny_run r;
    lm_str_printf(&resumed, "%s --resume", arguments);
    if (tiny_train(&r, objective, model, rows, whole, arguments) != LM_OK) fail_msg("%s", r.err.message);
    tiny_close(&r);
    assert_int_equal(run_in_pieces(objective, pieces, resumed.data), 11);
    assert_true(tiny_same(whole, pieces, weights));
    assert_int_equal(tiny_count(whole, "log.jsonl", "\"loss\""), 12);
    assert_int_equal(tiny_count(pieces, "log.jsonl", "\"loss\""), 12);
    assert_int_equal(tiny_count(pieces, "log.jsonl", "\"val_loss\""), tiny_count(whole, "log.jsonl", "\"val_loss\""));
    assert_int_equal(lm_staging_remove(whole, NULL), LM_OK);
    assert_int_equal(lm_staging_remove(pieces, NULL), LM_OK);
    lm_str_free(&resumed);
    free(whole), free(pieces);
}

static void a_run_in_pieces_ends_in_the_same_bits(void **state)
{
    (void)state;
    pieces_equal_the_whole("clm", PLAIN "--val-split 0.2 --eval-every 5", "model.safetensors");
    pieces_equal_the_whole("clm", PLAIN "--adapter lora --lora-r 2 --lora-dropout 0.3 --accumulate 2", "adapter_model.safetensors");
    pieces_equal_the_whole("clm", PLAIN "--adapter lora --lora-r 2 --load-in nf4", "adapter_model.safetensors");
    pieces_equal_the_whole("clm", PLAIN "--adapter lora --lora-r 2 --use-dora --lora-plus-ratio 4", "adapter_model.safetensors");
    pieces_equal_the_whole("clm", PLAIN "--adapter lora --lora-r 2 --target-modules q_proj,embed_tokens", "adapter_model.safetensors");
    pieces_equal_the_whole("classify", PLAIN "--val-split 0.2 --eval-every 5", "model.safetensors");
    pieces_equal_the_whole("classify", PLAIN "--adapter prefix --prefix-projection", "adapter_model.safetensors");
}

static void pack_rows(const char *objective, const char *out, const char *arguments)
{
    tiny_run r;
    int64_t bytes;
    lm_packed_about about = {0};
    tiny_parse(&r, objective, model, rows, out, arguments);
    if (lm_trainer_open_corpus(&r.t, &r.config, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    about = (lm_packed_about){ .tokenizer = lm_tokenizer_fingerprint(r.t.tokenizer), .context = r.t.context, .vocab = TINY_VOCAB };
    strcpy(about.objective, objective);
    assert_int_equal(lm_packed_write(out, &r.t.corpus.data, &r.t.corpus.blocks, &about, &bytes, NULL), LM_OK);
    tiny_close(&r);
}

/* Blocks made ahead train to the bits of blocks made at the start, whole and in pieces; what does not fit a run is refused. */
static void blocks_made_ahead_are_the_same(void **state)
{
    (void)state;
    static const char how[] = "--steps 12 --batch-size 4 --dtype f32 --lr 0.01 --adapter lora --lora-r 2 --val-split 0.2 --eval-every 5 ";
    char *packed = test_path("rows.pack"), *direct = test_path("direct"), *ahead = test_path("ahead"), *plain = rows;
    tiny_run r;
    pack_rows("clm", packed, "--pack --context 32");
    if (tiny_train(&r, "clm", model, rows, direct, "--steps 12 --batch-size 4 --dtype f32 --lr 0.01 --adapter lora --lora-r 2 --val-split 0.2 --eval-every 5 --pack --context 32") != LM_OK) fail_msg("%s", r.err.message);
    tiny_close(&r);
    if (tiny_train(&r, "clm", model, packed, ahead, how) != LM_OK) fail_msg("%s", r.err.message);
    tiny_close(&r);
    assert_true(tiny_same(direct, ahead, "adapter_model.safetensors"));
    rows = packed;
    pieces_equal_the_whole("clm", how, "adapter_model.safetensors");
    rows = plain;

    static const struct { const char *objective, *arguments, *why; } refused[] = {
        { "sft", "--steps 1", "rows.pack: was packed for clm, not for sft" }, { "clm", "--steps 1 --context 16", "rows.pack: was packed with --context 32, not 16" },
    };
    for (int i = 0; i < 2; i++) {
        tiny_parse(&r, refused[i].objective, model, packed, "refused", refused[i].arguments);
        lm_trainer_open(&r.t, &r.config, &r.err);
        tiny_expect(&r, LM_E_MISMATCH, refused[i].why);
        tiny_close(&r);
    }
    lm_str both = {0};
    lm_str_printf(&both, "%s,%s", rows, packed);
    tiny_parse(&r, "clm", model, both.data, "refused", "--steps 1");
    lm_trainer_open(&r.t, &r.config, &r.err);
    tiny_expect(&r, LM_E_USAGE, "rows.pack: a file of data pack is given alone");
    tiny_close(&r);
    lm_str_free(&both);
    tiny_tokenizer(model, 3);
    tiny_parse(&r, "clm", model, packed, "refused", "--steps 1");
    lm_trainer_open(&r.t, &r.config, &r.err);
    assert_int_equal(r.err.code, LM_E_MISMATCH);
    tiny_close(&r);
    tiny_tokenizer(model, 0);
    free(packed), free(direct), free(ahead);
}

static void every_method_resumes_to_the_same_bits(void **state)
{
    (void)state;
    for (const lm_adapter_type *const *type = lm_adapter_type_registry; *type; type++) {
        if (!strcmp((*type)->name, "bitfit")) continue;      /* this model has no biases */
        char arguments[200];
        snprintf(arguments, sizeof arguments, PLAIN "--adapter %s", (*type)->name);
        pieces_equal_the_whole("clm", arguments, lm_adapter_weights(*type));
    }
    pieces_equal_the_whole("clm", PLAIN "--adapter prefix --prefix-projection", "adapter_model.safetensors");
}

/* What a process logged after its last checkpoint before it was killed is done again and logged once. */
static void the_log_is_cut_back(void **state)
{
    (void)state;
    char *out = test_path("cut"), *log = test_path("cut/log.jsonl");
    tiny_run r;
    raise(SIGINT);
    assert_int_equal(tiny_train(&r, "clm", model, rows, out, PLAIN), LM_E_INTERRUPT);
    lm_interrupt_clear();
    tiny_close(&r);
    FILE *f = fopen(log, "a");
    fprintf(f, "{\"step\": 2, \"loss\": 99}\n{\"step\": 3, \"lo");
    fclose(f);
    assert_int_equal(tiny_train(&r, "clm", model, rows, out, PLAIN "--resume"), LM_OK);
    tiny_close(&r);
    assert_int_equal(tiny_count(out, "log.jsonl", "\"loss\""), 12);
    assert_int_equal(tiny_count(out, "log.jsonl", "99}"), 0);
    free(out), free(log);
}

static void expect(const char *objective, const char *data, const char *out, const char *arguments, lm_status status, const char *text)
{
    tiny_run r;
    tiny_train(&r, objective, model, data, out, arguments);
    tiny_expect(&r, status, text);
    tiny_close(&r);
}

/* Where the optimiser's numbers lie changes none of them. */
static void paged_states_are_the_same(void **state)
{
    (void)state;
    char *plain = test_path("plain"), *paged = test_path("paged"), *folder = test_path("");
    lm_str arguments = { 0 };
    tiny_run r;
    assert_int_equal(tiny_train(&r, "clm", model, rows, plain, PLAIN), LM_OK);
    tiny_close(&r);
    lm_str_printf(&arguments, PLAIN "--optim-paged %s", folder);
    assert_int_equal(tiny_train(&r, "clm", model, rows, paged, arguments.data), LM_OK);
    tiny_close(&r);
    assert_true(tiny_same(plain, paged, "model.safetensors"));
    expect("clm", rows, paged, PLAIN "--overwrite --optim-paged /nowhere", LM_E_IO, "/nowhere: no room for a file");
    lm_str_free(&arguments);
    free(plain), free(paged), free(folder);
}

static void a_quantised_base_is_frozen(void **state)
{
    (void)state;
    char *out = test_path("frozen"), *small = test_path("small"), *before = model;
    lm_kernels k = {0};
    lm_model *m;
    assert_int_equal(lm_backend(&k, "ref", NULL), LM_OK);
    assert_int_equal(lm_model_load_in(&m, model, "nf4", &k, NULL), LM_OK);
    assert_int_equal(lm_model_save(m, small, LM_F32, 0, NULL), LM_OK);
    lm_model_free(m);
    tiny_tokenizer(small, 0);
    expect("clm", rows, out, PLAIN "--load-in nf4", LM_E_USAGE, "give --adapter");
    expect("clm", rows, out, PLAIN "--load-in bf16", LM_E_USAGE, "give --adapter");
    expect("clm", rows, out, PLAIN "--adapter lora --load-in nf3", LM_E_USAGE, "nf3");
    model = small;
    expect("clm", rows, out, PLAIN, LM_E_USAGE, "its linears are in nf4");
    expect("clm", rows, out, PLAIN "--adapter lora --load-in fp4", LM_E_USAGE, "cannot be loaded in fp4");
    expect("clm", rows, out, PLAIN "--adapter lora --lora-r 2", LM_OK, NULL);
    model = before;
    free(out), free(small);
}

static void nothing_is_overwritten_unasked(void **state)
{
    (void)state;
    char *out = test_path("taken"), *file = test_path("taken/letter.txt"), *other = tiny_file("other.jsonl", "{\"text\": \"something else\"}\n");
    expect("clm", rows, out, PLAIN, LM_OK, NULL);
    lm_str before = tiny_read(out, "model.safetensors");
    expect("clm", rows, out, PLAIN, LM_E_USAGE, "holds a finished run; --resume goes on with it, --overwrite throws it away");
    tiny_run again;                                      /* nothing is left to do, and it knows what was done */
    assert_int_equal(tiny_train(&again, "clm", model, rows, out, PLAIN "--resume"), LM_OK);
    assert_int_equal(again.t.at.step, 12);
    tiny_close(&again);
    expect("clm", rows, out, PLAIN "--resume --lr 0.02 --clip 3", LM_E_USAGE, "--lr (was 0.01, is 0.02), --clip (was 1.0, is 3.0)");
    expect("sft", rows, out, PLAIN "--resume --prompt-field text --completion-field text", LM_E_USAGE, "another objective");
    expect("clm", other, out, PLAIN "--resume", LM_E_MISMATCH, "the data is not what the run began with");
    lm_str after = tiny_read(out, "model.safetensors");
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    expect("clm", other, out, PLAIN "--overwrite", LM_OK, NULL);

    char *run = test_path("taken/run.json");
    remove(run);
    assert_int_equal(lm_file_write(file, "dear", 4, NULL), LM_OK);
    expect("clm", rows, out, PLAIN "--overwrite", LM_E_USAGE, "holds other files; choose another --out");
    lm_str_free(&before);
    lm_str_free(&after);
    free(out), free(file), free(other), free(run);
}

/* A constant rate does not care how long the run is; a falling one does. */
static void a_run_may_become_longer(void **state)
{
    (void)state;
    char *constant = test_path("constant"), *cosine = test_path("cosine"), *whole = test_path("longer");
    const char *rest = "--batch-size 4 --dtype f32 --warmup 2 --save-every 4 ";
    lm_str a = {0}, b = {0}, c = {0}, d = {0};
    lm_str_printf(&a, "%s --schedule constant --steps 4", rest);
    lm_str_printf(&b, "%s --schedule constant --steps 8 --resume", rest);
    lm_str_printf(&c, "%s --steps 4", rest);
    lm_str_printf(&d, "%s --steps 8 --resume", rest);
    expect("clm", rows, constant, a.data, LM_OK, NULL);
    expect("clm", rows, constant, b.data, LM_OK, NULL);
    expect("clm", rows, whole, b.data, LM_OK, NULL);
    assert_true(tiny_same(whole, constant, "model.safetensors"));
    expect("clm", rows, cosine, c.data, LM_OK, NULL);
    expect("clm", rows, cosine, d.data, LM_E_USAGE, "begun for 4 steps, now 8: the learning rate of step 4 would have been another");
    lm_str_free(&a), lm_str_free(&b), lm_str_free(&c), lm_str_free(&d);
    free(constant), free(cosine), free(whole);
}

/* Sources with weights: resumed to the same bits, and held to the weights that the run began with. */
static void weights_of_sources(void **state)
{
    (void)state;
    char *before = rows, *small = tiny_file("small.jsonl", "{\"text\": \"one\", \"label\": 0}\n{\"text\": \"two\", \"label\": 1}\n{\"text\": \"three\", \"label\": 2}\n"), *out = test_path("weighted");
    lm_str data = {0}, other = {0}, twice = {0};
    lm_str_printf(&data, "%s:3,%s:1", before, small);
    lm_str_printf(&other, "%s:2,%s:1", before, small);
    lm_str_printf(&twice, "%s:2,%s:1", small, small);
    rows = data.data;
    pieces_equal_the_whole("clm", PLAIN, "model.safetensors");
    pieces_equal_the_whole("classify", PLAIN "--val-split 0.2 --eval-every 5", "model.safetensors");
    rows = before;
    tiny_run r;
    if (tiny_train(&r, "clm", model, data.data, out, PLAIN) != LM_OK) fail_msg("%s", r.err.message);
    assert_int_equal(r.t.train.n, 12);                       /* nine of the one, all three of the other */
    assert_int_equal(r.t.train.sources[0].count, 9);
    assert_int_equal(r.t.at.step, 12);
    tiny_close(&r);
    expect("clm", other.data, out, PLAIN "--resume", LM_E_MISMATCH, "the data is not what the run began with");
    expect("clm", twice.data, out, PLAIN "--overwrite", LM_E_USAGE, "small.jsonl: is given twice");
    lm_str_clear(&other);
    lm_str_printf(&other, "%s:0,%s", before, small);
    expect("clm", other.data, out, PLAIN "--overwrite", LM_E_USAGE, "expected a weight above 0 behind the colon");
    lm_str_clear(&other);
    lm_str_printf(&other, PLAIN "--overwrite --val-data %s:2", small);
    expect("clm", before, out, other.data, LM_E_USAGE, "--val-data: every row is measured once");
    lm_str_free(&data), lm_str_free(&other), lm_str_free(&twice);
    free(small), free(out);
}

static void a_loss_that_is_no_number_stops_the_run(void **state)
{
    (void)state;
    char *out = test_path("nan"), *checkpoint = test_path("nan/checkpoints/step-000001"), *result = test_path("nan/model.safetensors");
    expect("clm", rows, out, "--steps 9 --batch-size 4 --no-pack --dtype f32 --lr 100 --clip 0 --warmup 0 --schedule constant "
           "--weight-decay 1 --save-every 1 --keep 0", LM_E_NUMERIC, "rows.jsonl:");
    assert_true(lm_file_exists(checkpoint));
    assert_false(lm_file_exists(result));
    free(out), free(checkpoint), free(result);
}

static void options_that_contradict_are_refused(void **state)
{
    (void)state;
    char *out = test_path("contradict"), *missing = test_path("nowhere.txt");
    expect("clm", rows, out, "--context 65", LM_E_USAGE, "--context 65: the model has positions for 64 tokens");
    expect("clm", rows, out, "--val-split 0.1 --val-data x.txt", LM_E_USAGE, "give one of them");
    expect("clm", rows, out, "--patience 2", LM_E_USAGE, "--val-data or --val-split");
    expect("clm", missing, out, "", LM_E_IO, "nowhere.txt: there is no such file");
    expect("clm", rows, out, "--field body", LM_E_FORMAT, "rows.jsonl:1: expected a field \"body\", found text");
    assert_false(lm_file_exists(out));
    free(out), free(missing);
}

static void a_tokenizer_larger_than_the_model_is_refused(void **state)
{
    (void)state;
    char *large = tiny_model("large"), *out = test_path("large-out");
    tiny_tokenizer(large, 3);
    tiny_run r;
    tiny_train(&r, "clm", large, rows, out, PLAIN);
    tiny_expect(&r, LM_E_MISMATCH, "the tokenizer has 260 ids, the model only 257");
    tiny_close(&r);
    free(large), free(out);
}

/* Fifteen rows are learnt by heart, the others get worse: the result is what was best. */
static void patience_ends_a_run_and_keeps_the_best(void **state)
{
    (void)state;
    char *out = test_path("patience");
    tiny_run r;
    tiny_train(&r, "clm", model, rows, out, "--batch-size 4 --no-pack --dtype f32 --lr 0.01 --schedule constant --warmup 0 --val-split 0.2 "
               "--steps 400 --eval-every 1 --patience 2");
    tiny_expect(&r, LM_OK, NULL);
    int64_t steps = r.t.at.step;
    double loss, best_loss = r.t.at.best;
    lm_json *counted;
    assert_true(steps < 400);
    assert_int_equal(r.t.at.since_best, 2);
    assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
    assert_true(loss == best_loss);
    assert_null(counted);                                /* clm has its loss only */
    assert_int_equal(tiny_count(out, "log.jsonl", "\"val_loss\""), steps);
    tiny_close(&r);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_in_pieces_ends_in_the_same_bits), cmocka_unit_test(the_log_is_cut_back),
        cmocka_unit_test(every_method_resumes_to_the_same_bits), cmocka_unit_test(blocks_made_ahead_are_the_same),
        cmocka_unit_test(paged_states_are_the_same), cmocka_unit_test(a_quantised_base_is_frozen),
        cmocka_unit_test(nothing_is_overwritten_unasked), cmocka_unit_test(a_run_may_become_longer), cmocka_unit_test(weights_of_sources),
        cmocka_unit_test(a_loss_that_is_no_number_stops_the_run), cmocka_unit_test(options_that_contradict_are_refused),
        cmocka_unit_test(a_tokenizer_larger_than_the_model_is_refused), cmocka_unit_test(patience_ends_a_run_and_keeps_the_best),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
