/* Models whose linears are quantised: those that transformers wrote with bitsandbytes, those that are quantised
 * while they are read, and what becomes of either in training and in files. */
#include "model/golden.h"
#include "io/bitsandbytes.h"
#include "nn/quantised.h"

#define GOLDEN "tests/golden/quant/"

static lm_model *load(const char *path, const char *format, const lm_kernels *k)
{
    lm_model *m;
    lm_err err = { 0 };
    if (lm_model_load_in(&m, path, format, k, &err) != LM_OK) fail_msg("%s", err.message);
    return m;
}

static lm_kernels open_kernels(const char *name)
{
    lm_kernels k;
    if (lm_backend(&k, name, NULL) != LM_OK) fail_msg("no backend %s", name);
    return k;
}

static void test_checkpoints_of_transformers(void **state)
{
    (void)state;
    static const char *const names[] = { "llama_nf4", "llama_fp4", "gpt2_nf4" };
    static const char *const backends[] = { "ref", "auto" };
    for (int i = 0; i < 3; i++)
        for (int b = 0; b < 2; b++) {
            char path[64], expect[96];
            snprintf(path, sizeof path, GOLDEN "%s", names[i]);
            snprintf(expect, sizeof expect, "%s/expect_quant.safetensors", path);
            golden g;
            golden_open(&g, path, expect, backends[b]);
            golden_check_logits(&g, names[i]);
            golden_close(&g);
        }
}

/* LLM.int8() rounds activations to eight bits as well, and here to f16: with weights alone rounded, the logits
 * are near its own, no more. */
static void test_int8_checkpoint(void **state)
{
    (void)state;
    golden g;
    golden_open(&g, GOLDEN "llama_int8", GOLDEN "llama_int8/expect_quant.safetensors", "auto");
    lm_tensor *logits = lm_model_logits(&g.f, lm_model_forward(&g.f), NULL);
    double scale, d = golden_difference(&g, "logits.0", logits->data, &scale);
    assert_true(d > 0 && d < 0.05 * scale);
    golden_close(&g);
}

/* Two models hold the same bits in every quantised weight. */
static void same_quantised(const lm_model *a, const lm_model *b, bool scales)
{
    assert_int_equal(a->n_sites, b->n_sites);
    for (int64_t i = 0; i < a->n_sites; i++) {
        const lm_tensor *x = a->sites[i]->w, *y = b->sites[i]->w;
        int64_t n = lm_numel(x), blocks = lm_quant_blocks(x->quant, n);
        assert_true(lm_same_shape(x, y) && x->quant->type == y->quant->type);
        assert_memory_equal(x->quant->level, y->quant->level, sizeof x->quant->level);
        assert_memory_equal(x->data, y->data, lm_quant_code_bytes(x->quant, n));
        for (int64_t j = 0; j < blocks; j++) {
            float p = lm_quant_scale(x->quant, j), q = lm_quant_scale(y->quant, j);
            assert_true(scales ? p == q : fabsf(p - q) <= 2e-2f * fabsf(p));      /* doubled here, maybe not there */
        }
    }
}

static void test_quantised_while_read_as_transformers_does(void **state)
{
    (void)state;
    lm_kernels k = open_kernels("auto");
    static const char *const pairs[][3] = { { "tests/golden/model/llama", "nf4", GOLDEN "llama_nf4" },
                                            { "tests/golden/model/llama", "fp4", GOLDEN "llama_fp4" },
                                            { "tests/golden/model/gpt2", "nf4", GOLDEN "gpt2_nf4" } };
    for (int i = 0; i < 3; i++) {
        lm_model *a = load(pairs[i][0], pairs[i][1], &k), *b = load(pairs[i][2], NULL, &k);
        same_quantised(a, b, false);
        lm_model_free(a);
        lm_model_free(b);
    }
}

static void test_save_and_load(void **state)
{
    (void)state;
    lm_kernels k = open_kernels("auto");
    static const char *const formats[] = { "nf4", "fp4", "int8" };
    static const char *const models[] = { "tests/golden/model/llama", "tests/golden/model/gpt2" };
    for (int f = 0; f < 3; f++)
        for (int i = 0; i < 2; i++) {
            lm_err err = { 0 };
            lm_model *a = load(models[i], formats[f], &k);
            char *folder = test_path("saved");
            if (lm_model_save(a, folder, LM_F32, 0, &err) != LM_OK) fail_msg("%s", err.message);
            lm_model *b = load(folder, NULL, &k), *again = load(folder, formats[f], &k), *other;
            assert_string_equal(b->quant->name, formats[f]);
            same_quantised(a, b, true);
            assert_int_equal(lm_model_load_in(&other, folder, "bf16", &k, &err), LM_E_USAGE);
            lm_model_free(again);
            lm_model_free(b);
            lm_model_free(a);
            free(folder);
        }
}

/* A fresh model in a format is the fresh model in floats, quantised. */
static void test_new(void **state)
{
    (void)state;
    static const char config[] = "{\"model_type\": \"llama\", \"hidden_size\": 36, \"intermediate_size\": 50, \"num_hidden_layers\": 2,"
                                 " \"num_attention_heads\": 3, \"vocab_size\": 11}";
    lm_kernels k = open_kernels("auto");
    lm_err err = { 0 };
    lm_model *direct, *floats;
    const lm_quant_type *nf4 = lm_quant_type_find("nf4");
    assert_int_equal(lm_model_new_in(&direct, lm_json_parse(config, strlen(config), "config", &err), 5, nf4, &k, &err), LM_OK);
    assert_int_equal(lm_model_new(&floats, lm_json_parse(config, strlen(config), "config", &err), 5, &k, &err), LM_OK);
    double cost;
    int64_t n;
    floats->quant = nf4;
    assert_int_equal(lm_quantised_again(floats, &cost, &n, &err), LM_OK);
    assert_int_equal(n, floats->n_sites);
    assert_true(cost > 0.01 && cost < 0.16);                 /* half of NF4's widest gap, and the scale's rounding */
    same_quantised(direct, floats, true);
    lm_model_free(direct);
    lm_model_free(floats);
}

/* The same on the null backend: what plan counts. */
static void test_memory_is_counted(void **state)
{
    (void)state;
    lm_kernels k = open_kernels("auto"), null = open_kernels("null");
    lm_model *real = load("tests/golden/model/gpt2", "nf4", &k), *counted = load("tests/golden/model/gpt2", "nf4", &null);
    assert_int_equal(real->params.arena.used, counted->params.arena.used);
    lm_model_free(real);
    lm_model_free(counted);
}

/* Logits and gradients of an adapter on a quantised base are those on a base of the same numbers in floats:
 * only the order of sums differs. */
static void test_adapter_on_quantised_and_on_float(void **state)
{
    (void)state;
    static const char *const formats[] = { "nf4", "int8" };
    for (int f = 0; f < 2; f++) {
        golden g[2];
        lm_adapter *a[2];
        float loss[2];
        for (int i = 0; i < 2; i++) {
            golden_open(&g[i], "tests/golden/model/llama", GOLDEN "llama_nf4/expect_quant.safetensors", "auto");
            lm_model_free(g[i].m);
            g[i].f.m = g[i].m = load("tests/golden/model/llama", formats[f], &g[i].k);
            for (int64_t s = 0; i == 1 && s < g[i].m->n_sites; s++)
                assert_int_equal(lm_param_own(&g[i].m->params, lm_param_find(&g[i].m->params, g[i].m->sites[s]->w->name), &g[i].err), LM_OK);
            lm_err err = { 0 };
            if (lm_adapter_load(&a[i], g[i].m, "tests/golden/lora/llama", &err) != LM_OK) fail_msg("%s", err.message);
            assert_int_equal(lm_params_prepare_training(&a[i]->params, &err), LM_OK);
            loss[i] = golden_gradients(&g[i]);
        }
        assert_true(fabsf(loss[0] - loss[1]) < 1e-5f * loss[0]);
        for (int64_t p = 0; p < a[0]->params.n; p++) {
            const lm_param *x = a[0]->params.items[p], *y = a[1]->params.items[p];
            const float *dx = x->grad.data, *dy = y->grad.data;
            float most = 0, worst = 0;
            for (int64_t i = 0; i < lm_numel(&x->t); i++) most = fmaxf(most, fabsf(dy[i])), worst = fmaxf(worst, fabsf(dx[i] - dy[i]));
            if (!(worst <= 1e-4f * most)) fail_msg("%s in %s: gradients differ by %g of %g", x->t.name, formats[f], worst, most);
        }
        for (int i = 0; i < 2; i++) {
            lm_adapter_free(a[i]);
            golden_close(&g[i]);
        }
    }
}

/* ---- what does not fit ---- */

static const char *wrong_format(const char *config_text)
{
    static lm_err err;
    const lm_quant_type *type;
    err = (lm_err){ 0 };
    lm_json *config = lm_json_parse(config_text, strlen(config_text), "config.json", &err);
    assert_non_null(config);
    assert_int_not_equal(lm_bnb_format(&type, config, &err), LM_OK);
    lm_json_free(config);
    return err.message;
}

static void test_formats_that_are_refused(void **state)
{
    (void)state;
    assert_non_null(strstr(wrong_format("{\"quantization_config\": {\"quant_method\": \"gptq\"}}"), "gptq"));
    assert_non_null(strstr(wrong_format("{\"quantization_config\": {\"load_in_4bit\": true, \"load_in_8bit\": true}}"), "one of"));
    assert_non_null(strstr(wrong_format("{\"quantization_config\": {\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"nf3\"}}"), "nf3"));
    lm_kernels k = open_kernels("auto");
    lm_err err = { 0 };
    lm_model *m;
    assert_int_equal(lm_model_load_in(&m, "tests/golden/model/llama", "nf5", &k, &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "nf5"));
}

/* Copies a tensor list, changes one entry, writes it, and returns the message of loading it. */
static const char *damaged(const char *tensor, const void *bytes, lm_dtype dtype, int64_t n)
{
    static lm_err err;
    err = (lm_err){ 0 };
    lm_safetensors file;
    assert_int_equal(lm_safetensors_open(&file, GOLDEN "llama_nf4/model.safetensors", &err), LM_OK);
    lm_save_entry *entries = calloc((size_t)file.n, sizeof *entries);
    int64_t count = 0;
    for (int64_t i = 0; i < file.n; i++) {
        const lm_stored *s = &file.items[i];
        bool hit = !strcmp(s->name, tensor);
        if (hit && !bytes) continue;
        entries[count] = (lm_save_entry){ .name = s->name, .dtype = (lm_dtype)s->dtype, .data_dtype = (lm_dtype)s->dtype, .ndim = s->ndim,
                                          .dim = s->dim, .data = s->data };
        if (hit) entries[count].data = bytes, entries[count].dtype = entries[count].data_dtype = dtype, entries[count].ndim = 1, entries[count].dim = &n;
        count++;
    }
    char *folder = test_path("damaged"), *weights = test_path("damaged/model.safetensors"), *config = test_path("damaged/config.json");
    lm_json *doc = lm_json_read(GOLDEN "llama_nf4/config.json", &err);
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    assert_int_equal(lm_json_write(doc, config, &err), LM_OK);
    assert_int_equal(lm_save_file(&(lm_save){ .entries = entries, .n = count }, weights, &err), LM_OK);
    lm_kernels k = open_kernels("auto");
    lm_model *m;
    assert_int_not_equal(lm_model_load(&m, folder, &k, &err), LM_OK);
    lm_json_free(doc);
    lm_safetensors_close(&file);
    free(entries), free(folder), free(weights), free(config);
    return err.message;
}

static void test_state_that_does_not_fit(void **state)
{
    (void)state;
#define Q "model.layers.0.self_attn.q_proj.weight"
    static const char shape[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [32, 31], \"nested_blocksize\": 256, \"nested_offset\": 1}";
    static const char blocks[] = "{\"quant_type\": \"nf4\", \"blocksize\": 0, \"shape\": [32, 32], \"nested_blocksize\": 256, \"nested_offset\": 1}";
    static const char kind[] = "{\"quant_type\": \"fp4\", \"blocksize\": 64, \"shape\": [32, 32], \"nested_blocksize\": 256, \"nested_offset\": 1}";
    static const char offset[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [32, 32], \"nested_blocksize\": 256}";
    const float zero[512] = { 0 };
    const float bad_level[16] = { NAN };
#define STATE(text) damaged(Q ".quant_state.bitsandbytes__nf4", text, LM_U8, (int64_t)strlen(text))
    assert_non_null(strstr(STATE(shape), "[32, 31]"));
    assert_non_null(strstr(STATE(blocks), "blocksize"));
    assert_non_null(strstr(STATE(kind), "quant_type"));
    assert_non_null(strstr(STATE(offset), "nested_offset"));
    assert_non_null(strstr(STATE("{"), "bitsandbytes__nf4"));
    assert_non_null(strstr(damaged(Q ".absmax", NULL, LM_U8, 0), "missing"));
    assert_non_null(strstr(damaged(Q ".absmax", zero, LM_U8, 15), "absmax"));
    assert_non_null(strstr(damaged(Q ".nested_absmax", zero, LM_F32, 2), "nested_absmax"));
    assert_non_null(strstr(damaged(Q ".nested_quant_map", zero, LM_F32, 255), "nested_quant_map"));
    assert_non_null(strstr(damaged(Q ".quant_map", zero, LM_F32, 15), "quant_map"));
    assert_non_null(strstr(damaged(Q ".quant_map", bad_level, LM_F32, 16), "not finite"));
    assert_non_null(strstr(damaged(Q, zero, LM_U8, 511), "512 bytes"));
    assert_non_null(strstr(damaged(Q, zero, LM_F32, 512), "F32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoints_of_transformers),
        cmocka_unit_test(test_int8_checkpoint),
        cmocka_unit_test(test_quantised_while_read_as_transformers_does),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_memory_is_counted),
        cmocka_unit_test(test_adapter_on_quantised_and_on_float),
        cmocka_unit_test(test_formats_that_are_refused),
        cmocka_unit_test(test_state_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
