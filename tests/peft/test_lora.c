/* LoRA against PEFT: adapters made by PEFT give its logits, gradients, training losses and merged
 * weights here; saved and read again they are the same; switched off they are the base. */
#include "model/golden.h"

#include "base/json.h"
#include "nn/fingerprint.h"

static const struct { const char *name, *base; } cases[] = {
    { "llama", "tests/golden/model/llama" }, { "llama_rslora", "tests/golden/model/llama" }, { "gpt2", "tests/golden/model/gpt2" },
    { "llama_dora", "tests/golden/model/llama" }, { "gpt2_dora", "tests/golden/model/gpt2" },
    { "llama_patterns", "tests/golden/model/llama" }, { "llama_layers", "tests/golden/model/llama" },
};
enum { N_CASES = sizeof cases / sizeof *cases };

static lm_adapter *open_case(golden *g, size_t i, char *folder, size_t room)
{
    char expect[300];
    lm_adapter *a;
    snprintf(folder, room, "tests/golden/lora/%s", cases[i].name);
    snprintf(expect, sizeof expect, "%s/expect_lora.safetensors", folder);
    golden_open(g, cases[i].base, expect, "auto");
    if (lm_adapter_load(&a, g->m, folder, &g->err) != LM_OK) fail_msg("%s", g->err.message);
    return a;
}

static void test_equal_to_peft(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        golden g;
        char folder[256];
        lm_adapter *a = open_case(&g, i, folder, sizeof folder);
        golden_check_logits(&g, folder);
        assert_int_equal(lm_params_prepare_training(&a->params, &g.err), LM_OK);
        lm_adapter_switch(a, true);
        golden_gradients(&g);
        golden_check_gradients(&g, &a->params, "base_model.model.", folder);
        golden_check_steps(&g, &a->params, folder);
        lm_adapter_free(a);
        golden_close(&g);
    }
}

static void test_switched_off_is_the_base(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        golden g;
        lm_adapter *a;
        char folder[256], expect[300];
        snprintf(folder, sizeof folder, "tests/golden/lora/%s", cases[i].name);
        snprintf(expect, sizeof expect, "%s/expect.safetensors", cases[i].base);
        golden_open(&g, cases[i].base, expect, "auto");
        assert_int_equal(lm_adapter_load(&a, g.m, folder, &g.err), LM_OK);
        lm_adapter_switch(a, false);
        golden_check_logits(&g, "switched off");
        lm_adapter_switch(a, true);
        lm_tensor *logits = lm_model_logits(&g.f, lm_model_forward(&g.f), NULL);
        assert_true(golden_difference(&g, "logits.0", logits->data, NULL) > 1e-2);
        lm_tape_reset(&g.t);
        lm_adapter_free(a);
        golden_check_logits(&g, "freed");
        golden_close(&g);
    }
}

static void test_merged_equals_unmerged(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        golden g;
        char folder[256];
        lm_adapter *a = open_case(&g, i, folder, sizeof folder);
        assert_int_equal(lm_adapter_merge(a, &g.err), LM_OK);
        lm_adapter_free(a);
        golden_check_logits(&g, "merged");
        for (int64_t j = 0; j < g.m->params.n; j++) {
            char name[600];
            snprintf(name, sizeof name, "merged.%s", g.m->params.items[j]->t.name);
            if (lm_safetensors_find(&g.expect, name))
                assert_true(golden_difference(&g, name, g.m->params.items[j]->t.data, NULL) < 1e-6);
        }
        golden_close(&g);
    }
}

static void test_saved_and_read_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        golden g, again;
        char folder[256], *saved = test_path("adapter");
        lm_adapter *a = open_case(&g, i, folder, sizeof folder), *b;
        assert_int_equal(lm_adapter_save(a, saved, &g.err), LM_OK);
        char expect[300];
        snprintf(expect, sizeof expect, "%s/expect_lora.safetensors", folder);
        golden_open(&again, cases[i].base, expect, "auto");
        if (lm_adapter_load(&b, again.m, saved, &again.err) != LM_OK) fail_msg("%s", again.err.message);
        golden_check_logits(&again, "read again");
        lm_adapter_free(b);
        golden_close(&again);
        lm_adapter_free(a);
        golden_close(&g);
        free(saved);
    }
}

/* A fresh adapter with the options; the caller frees it before the case. */
static lm_adapter *fresh(golden *g, char **arguments, int n)
{
    lm_adapter *a;
    const lm_adapter_type *type = lm_adapter_type_find("lora");
    void *values = calloc(1, type->options_size);
    lm_option_set sets[] = { { NULL, type->options, values }, { 0 } };
    lm_options_defaults(sets);
    assert_int_equal(lm_options_parse(sets, n, arguments, NULL, &g->err), LM_OK);
    if (lm_adapter_new(&a, g->m, type, values, 1, &g->err) != LM_OK) fail_msg("%s", g->err.message);
    lm_options_free(sets);
    free(values);
    return a;
}

/* B (of an embedding A) starts as zeros and DoRA's lengths as the base's, so a fresh adapter changes nothing. */
static void test_a_fresh_adapter_is_the_base(void **state)
{
    (void)state;
    static const char *const bases[] = { "tests/golden/model/llama", "tests/golden/model/gpt2", NULL };
    for (const char *const *base = bases; *base; base++)
        for (int i = 0; i < 3; i++) {
            golden g;
            char expect[300], *arguments[2][1] = { { "--use-dora" }, { *base == bases[0] ? "--target-modules=embed_tokens,q_proj" : "--target-modules=wte,c_attn" } };
            snprintf(expect, sizeof expect, "%s/expect.safetensors", *base);
            golden_open(&g, *base, expect, "auto");
            lm_adapter *a = fresh(&g, i ? arguments[i - 1] : NULL, i ? 1 : 0);
            assert_int_equal(a->n_links, i < 2 ? g.m->n_sites : i == 2 ? g.m->config.n_layers + 1 : 0);
            golden_check_logits(&g, "fresh");
            if (i == 2) {
                bool tied = g.m->config.tie_embeddings;
                assert_int_equal(lm_adapter_merge(a, &g.err), tied ? LM_E_UNSUPPORTED : LM_OK);
                if (tied) assert_non_null(strstr(g.err.message, "transformer.wte is the head as well"));
            }
            lm_adapter_free(a);
            golden_close(&g);
        }
}

/* ---- refusals ---- */

static void expect_refusal(const char *base, const char *folder, const char *text)
{
    golden g;
    lm_adapter *a = (lm_adapter *)1;
    golden_open(&g, base, "tests/golden/model/llama/expect.safetensors", "ref");
    assert_int_not_equal(lm_adapter_load(&a, g.m, folder, &g.err), LM_OK);
    assert_null(a);
    assert_null(g.m->adapters);
    if (!strstr(g.err.message, text)) fail_msg("expected \"%s\" in \"%s\"", text, g.err.message);
    golden_close(&g);
}

static void test_another_base_is_refused(void **state)
{
    (void)state;
    golden g;
    char folder[256], *saved = test_path("adapter");
    lm_adapter *a = open_case(&g, 0, folder, sizeof folder);
    assert_int_equal(lm_adapter_save(a, saved, &g.err), LM_OK);
    lm_adapter_free(a);

    lm_param *p = lm_param_find(&g.m->params, "model.layers.1.mlp.up_proj.weight");
    assert_int_equal(lm_param_own(&g.m->params, p, &g.err), LM_OK);
    ((float *)p->t.data)[0] += 1;                     /* one weight of the base is another */
    lm_fingerprint_forget(g.m);
    assert_int_equal(lm_adapter_load(&a, g.m, saved, &g.err), LM_E_MISMATCH);
    assert_non_null(strstr(g.err.message, "trained on tests/golden/model/llama (weights "));
    assert_non_null(strstr(g.err.message, ", this model is tests/golden/model/llama (weights "));
    lm_err_clear(&g.err);
    assert_int_equal(lm_adapter_load_on(&a, g.m, saved, LM_FOREIGN_WARNED, &g.err), LM_OK);
    lm_adapter_free(a);
    golden_close(&g);
    expect_refusal("tests/golden/model/gpt2", saved, "this model is tests/golden/model/gpt2 (weights ");
    free(saved);
}

static void write_config(const char *folder, const char *key, json_t *value)
{
    lm_json *config = lm_json_read("tests/golden/lora/llama/adapter_config.json", NULL);
    json_object_set_new(config, key, value);
    char *path = lm_path_join(folder, "adapter_config.json");
    assert_int_equal(lm_json_write(config, path, NULL), LM_OK);
    free(path);
    lm_json_free(config);
}

static void test_configs_that_cannot_be_honoured(void **state)
{
    (void)state;
    char *folder = test_path("config"), *from = lm_path_join("tests/golden/lora/llama", "adapter_model.safetensors"),
         *to = lm_path_join(folder, "adapter_model.safetensors");
    lm_str bytes = { 0 };
    assert_int_equal(lm_make_dirs(folder, NULL), LM_OK);
    assert_int_equal(lm_file_read(&bytes, from, 1 << 24, NULL), LM_OK);
    assert_int_equal(lm_file_write(to, bytes.data, bytes.len, NULL), LM_OK);
    const char *base = "tests/golden/model/llama";
    write_config(folder, "peft_type", json_string("LOHA"));
    expect_refusal(base, folder, "found \"LOHA\"");
    write_config(folder, "lora_bias", json_true());
    expect_refusal(base, folder, "lora_bias is set");
    write_config(folder, "use_dora", json_true());
    expect_refusal(base, folder, "lora_magnitude_vector is missing");
    write_config(folder, "rank_pattern", json_pack("{s:i}", "q_proj", 3));
    expect_refusal(base, folder, "shape [4, 32], expected [3, 32]");
    write_config(folder, "rank_pattern", json_pack("{s:f}", "q_proj", 2.5));
    expect_refusal(base, folder, "expected a whole number, found 2.5");
    write_config(folder, "rank_pattern", json_pack("{s:i}", "(q_proj", 3));
    expect_refusal(base, folder, "rank pattern: ");
    write_config(folder, "alpha_pattern", json_pack("{s:s}", "q_proj", "much"));
    expect_refusal(base, folder, "alpha_pattern: q_proj: expected a number");
    write_config(folder, "layers_to_transform", json_pack("[i]", 2));
    expect_refusal(base, folder, "expected 0 to 1, found \"2\"");
    write_config(folder, "target_modules", json_pack("[s]", "lm_head"));
    expect_refusal(base, folder, "tensor base_model.model.lm_head.lora_A.weight is missing");
    write_config(folder, "r", json_integer(33));
    expect_refusal(base, folder, "rank 33 is larger");
    write_config(folder, "r", json_integer(3));
    expect_refusal(base, folder, "shape [4, 32], expected [3, 32]");
    write_config(folder, "r", json_integer(-1));
    expect_refusal(base, folder, "expected 1 to 65536, found -1");
    write_config(folder, "target_modules", json_pack("[s]", "q_prj"));
    expect_refusal(base, folder, "did you mean \"q_proj\"");
    write_config(folder, "target_modules", json_pack("[s]", "q_proj"));
    expect_refusal(base, folder, "is not one that adapter_config.json implies");
    write_config(folder, "target_modules", json_string(".*\\.[qkv]_proj"));
    expect_refusal(base, folder, "k_proj.lora_A.weight is missing");
    write_config(folder, "target_modules", json_string("(q_proj"));
    expect_refusal(base, folder, "does not compile: expected )");
    lm_str_free(&bytes);
    free(from);
    free(to);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_peft),
        cmocka_unit_test(test_switched_off_is_the_base),
        cmocka_unit_test(test_merged_equals_unmerged),
        cmocka_unit_test(test_saved_and_read_again),
        cmocka_unit_test(test_a_fresh_adapter_is_the_base),
        cmocka_unit_test(test_another_base_is_refused),
        cmocka_unit_test(test_configs_that_cannot_be_honoured),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
