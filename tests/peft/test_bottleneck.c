/* Bottleneck adapters against the library `adapters`: its files are read, its logits, gradients and losses
 * over ten steps come out (tools/golden/bottleneck.py); what malmoi writes has its names; what is refused. */
#include "model/golden.h"

#include "base/json.h"

static const char *const cases[] = { "llama_pfeiffer", "llama_houlsby", "llama_parallel", "gpt2_houlsby", "gpt2_parallel" };
enum { N_CASES = sizeof cases / sizeof *cases };

static const char *base_of(const char *name) { return *name == 'l' ? "tests/golden/model/llama" : "tests/golden/model/gpt2"; }

static lm_adapter *open_case(golden *g, const char *name)
{
    lm_adapter *a;
    char folder[200], expect[240];
    snprintf(folder, sizeof folder, "tests/golden/bottleneck/%s", name);
    snprintf(expect, sizeof expect, "%s/expect.safetensors", folder);
    golden_open(g, base_of(name), expect, "auto");
    if (lm_adapter_load(&a, g->m, folder, &g->err) != LM_OK) fail_msg("%s", g->err.message);
    return a;
}

static void test_equal_to_the_library(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        golden g;
        lm_adapter *a = open_case(&g, cases[i]);
        golden_check_logits(&g, cases[i]);
        assert_int_equal(lm_params_prepare_training(&a->params, &g.err), LM_OK);
        lm_adapter_switch(a, true);
        golden_gradients(&g);
        golden_check_gradients(&g, &a->params, "", cases[i]);
        golden_check_steps(&g, &a->params, cases[i]);
        lm_adapter_free(a);
        golden_close(&g);
    }
}

/* Every key that is written says what the library's own file said, and every tensor has its name. */
static void test_written_as_read(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        golden g;
        lm_safetensors ours, theirs;
        lm_adapter *a = open_case(&g, cases[i]);
        char *folder = test_path(cases[i]), *config = lm_path_join(folder, "adapter_config.json"), *file = lm_path_join(folder, "adapter.safetensors"), from[200];
        assert_int_equal(lm_adapter_save(a, folder, &g.err), LM_OK);
        lm_json *written = lm_json_read(config, NULL), *own = json_object_get(written, "config"), *value;
        const char *key;
        json_object_foreach(own, key, value) {
            const lm_json *expected = json_object_get(json_object_get(a->config, "config"), key);
            bool equal = json_is_number(value) ? json_number_value(value) == json_number_value(expected) : json_equal(value, expected);
            if (!equal && strcmp(key, "init_weights")) fail_msg("%s: %s", cases[i], key);
        }
        snprintf(from, sizeof from, "tests/golden/bottleneck/%s/adapter.safetensors", cases[i]);
        assert_int_equal(lm_safetensors_open(&ours, file, NULL), LM_OK);
        assert_int_equal(lm_safetensors_open(&theirs, from, NULL), LM_OK);
        assert_int_equal(ours.n, theirs.n);
        for (int64_t t = 0; t < ours.n; t++) {
            const lm_stored *s = lm_safetensors_find(&theirs, ours.items[t].name);
            assert_non_null(s);
            assert_memory_equal(s->data, ours.items[t].data, s->bytes);
        }
        lm_safetensors_close(&ours);
        lm_safetensors_close(&theirs);
        lm_json_free(written);
        lm_adapter_free(a);
        golden_close(&g);
        free(folder), free(config), free(file);
    }
}

/* A config with one key of its own set to something else. */
static void refused(const char *key, lm_json *value, lm_status status, const char *message)
{
    golden g;
    lm_adapter *a;
    char *folder = test_path("refused");
    a = open_case(&g, cases[0]);
    assert_int_equal(lm_adapter_save(a, folder, NULL), LM_OK);
    lm_adapter_free(a);
    char *path = lm_path_join(folder, "adapter_config.json");
    lm_json *config = lm_json_read(path, NULL);
    json_object_set_new(json_object_get(config, "config"), key, value);
    assert_int_equal(lm_json_write(config, path, NULL), LM_OK);
    assert_int_equal(lm_adapter_load(&a, g.m, folder, &g.err), status);
    if (!strstr(g.err.message, message)) fail_msg("%s", g.err.message);
    lm_json_free(config);
    golden_close(&g);
    free(path), free(folder);
}

static void test_bad_files(void **state)
{
    (void)state;
    refused("reduction_factor", json_integer(8), LM_E_MISMATCH, "shape [8, 32], expected [4, 32]");
    refused("reduction_factor", json_integer(0), LM_E_FORMAT, "reduction_factor 0");
    refused("reduction_factor", json_integer(1000), LM_E_USAGE, "reduction factor 1000: the model's width is 32");
    refused("reduction_factor", json_pack("{s:i}", "default", 4), LM_E_UNSUPPORTED, "reduction_factor: only one number");
    refused("scaling", json_string("learned"), LM_E_UNSUPPORTED, "scaling: only one number");
    refused("use_gating", json_true(), LM_E_UNSUPPORTED, "use_gating is set");
    refused("non_linearity", json_string("leakyrelu"), LM_E_UNSUPPORTED, "non_linearity: found \"leakyrelu\"");
    refused("leave_out", json_pack("[i]", 7), LM_E_USAGE, "leave out: expected layers from 0 to 1, found \"7\"");
    refused("mh_adapter", json_true(), LM_E_MISMATCH, "attention_adapters.adapters.tuned.adapter_down.0.weight is missing");
    refused("residual_before_ln", json_false(), LM_E_UNSUPPORTED, "only the library's defaults");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_the_library),
        cmocka_unit_test(test_written_as_read),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
