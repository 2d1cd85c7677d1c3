/* Anchors of P-tuning: they stand in their places as the embeddings of their tokens, beside what a network makes,
 * and do not train. */
#include "train/tiny.h"

#include "io/safetensors.h"

static char *model, *rows;

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    model = tiny_model("model");
    rows = tiny_file("rows.jsonl", "{\"text\": \"one row\"}\n{\"text\": \"and another\"}\n");
    return 0;
}

static int teardown(void **state)
{
    free(model), free(rows);
    return test_folder_remove(state);
}

static void anchors_stand_in_their_places(void **state)
{
    (void)state;
    static const char *const kinds[] = { "MLP", "LSTM" };
    for (int i = 0; i < 2; i++) {
        tiny_run r;
        lm_safetensors saved;
        char arguments[200], *out = test_path(kinds[i]), *file = lm_path_join(out, "adapter_model.safetensors");
        snprintf(arguments, sizeof arguments, "--adapter p_tuning --num-virtual-tokens 5 --encoder-reparameterization-type %s --anchors 1=ab,4=? "
                 "--steps 3 --lr 0.1 --dtype f32", kinds[i]);
        if (tiny_train(&r, "clm", model, rows, out, arguments) != LM_OK) fail_msg("%s", r.err.message);
        assert_int_equal(lm_safetensors_open(&saved, file, NULL), LM_OK);
        const lm_stored *s = lm_safetensors_find(&saved, "prompt_embeddings");
        int64_t C = s->dim[1];
        const float *vectors = s->data, *table = r.t.model->embedding->data;
        static const int token[5] = { -1, 'a', 'b', -1, '?' };
        for (int place = 0; place < 5; place++) {
            if (token[place] >= 0) assert_memory_equal(vectors + place * C, table + token[place] * C, (size_t)C * sizeof(float));
            for (int id = 0; id < TINY_VOCAB && token[place] < 0; id++) assert_memory_not_equal(vectors + place * C, table + id * C, (size_t)C * sizeof(float));
        }
        lm_safetensors_close(&saved);
        tiny_close(&r);
        free(out), free(file);
    }
}

static void refused(const char *anchors, const char *message)
{
    tiny_run r;
    char *out = test_path("refused");
    tiny_parse(&r, "clm", model, rows, out, "--adapter p_tuning --num-virtual-tokens 4 --steps 1");
    tiny_set(&r, "anchors", anchors);
    assert_int_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_E_USAGE);
    tiny_expect(&r, LM_E_USAGE, message);
    tiny_close(&r);
    free(out);
}

static void bad_anchors(void **state)
{
    (void)state;
    refused("question", "--anchors: expected PLACE=TEXT, found \"question\"");
    refused("-1=x", "--anchors: expected PLACE=TEXT");
    refused("2=abc", "--anchors: the 3 tokens of \"abc\" do not fit from place 2 of 4 on");
    refused("0=ab,1=c", "--anchors: two of them stand at place 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(anchors_stand_in_their_places), cmocka_unit_test(bad_anchors) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
