/* Combining adapters without a model: low-rank approximation against what is known of it, TIES worked by hand, and
 * the commands on a small adapter. */
#include "backend/backend.h"
#include "base/file.h"
#include "base/rng.h"
#include "io/gguf.h"
#include "io/save.h"
#include "peft/combine.h"
#include "peft/truncated_svd.h"

#include "common/program.h"
#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a matrix with known singular values the approximation leaves exactly the smaller ones: Frobenius distance
 * sqrt(sum of their squares), and the rows of V^T are orthonormal.  1e-4: f32 products of numbers of about 1. */
static void check_svd(int64_t rows, int64_t cols, int64_t rank)
{
    enum { MOST = 40 };
    static double u[MOST * MOST], v[MOST * MOST];
    float x[MOST * MOST] = { 0 }, up[MOST * MOST], down[MOST * MOST];
    int64_t n = rows < cols ? rows : cols;
    double left = 0;
    lm_kernels k;
    assert_int_equal(lm_backend(&k, "auto", NULL), LM_OK);
    for (int64_t i = 0; i < MOST; i++)                     /* two reflections: orthogonal, without zeros */
        for (int64_t j = 0; j < MOST; j++) {
            u[i * MOST + j] = (i == j) - (i < rows && j < rows ? 2.0 / (double)rows : 0);
            v[i * MOST + j] = (i == j) - (i < cols && j < cols ? 2.0 / (double)cols : 0);
        }
    for (int64_t s = 0; s < n; s++) {
        double value = 3 * pow(0.8, (double)s);
        left += s >= rank ? value * value : 0;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) x[i * cols + j] += (float)(value * u[i * MOST + s] * v[j * MOST + s]);
    }
    lm_truncated_svd(&k, up, down, x, rows, cols, rank);
    double apart = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double y = 0;
            for (int64_t r = 0; r < rank; r++) y += (double)up[i * rank + r] * down[r * cols + j];
            apart += (x[i * cols + j] - y) * (x[i * cols + j] - y);
        }
    assert_true(fabs(sqrt(apart) - sqrt(left)) < 1e-4);
    for (int64_t a = 0; a < rank; a++)
        for (int64_t b = 0; b < rank; b++) {
            double dot = 0;
            for (int64_t j = 0; j < cols; j++) dot += (double)down[a * cols + j] * down[b * cols + j];
            assert_true(fabs(dot - (a == b)) < 1e-4);
        }
}

static void test_low_rank_approximation(void **state)
{
    (void)state;
    check_svd(30, 20, 3);
    check_svd(20, 33, 5);
    check_svd(9, 9, 9);
}

/* Rank past the matrix' own: zeros. */
static void test_a_matrix_of_less_rank(void **state)
{
    (void)state;
    const float x[6] = { 1, 2, 3, 2, 4, 6 };
    float up[4], down[6];
    lm_kernels k;
    assert_int_equal(lm_backend(&k, "auto", NULL), LM_OK);
    lm_truncated_svd(&k, up, down, x, 2, 3, 2);
    for (int i = 0; i < 6; i++) assert_true(fabsf(up[i / 3 * 2] * down[i % 3] - x[i]) < 1e-5f);
    for (int i = 0; i < 2; i++) assert_true(fabsf(up[2 * i + 1]) < 1e-5f);
}

static void write_adapter(const char *folder, const float *a, const float *b)
{
    const lm_save_entry entries[] = {
        { .name = "base_model.model.x.lora_A.weight", .dtype = LM_F32, .ndim = 2, .dim = (int64_t[]){ 1, 4 }, .data = a, .data_dtype = LM_F32 },
        { .name = "base_model.model.x.lora_B.weight", .dtype = LM_F32, .ndim = 2, .dim = (int64_t[]){ 2, 1 }, .data = b, .data_dtype = LM_F32 },
    };
    char *file = lm_path_join(folder, "adapter_model.safetensors"), *config = lm_path_join(folder, "adapter_config.json");
    static const char text[] = "{\"peft_type\": \"LORA\", \"r\": 1, \"lora_alpha\": 1}";
    assert_int_equal(lm_make_dirs(folder, NULL), LM_OK);
    assert_int_equal(lm_save_file(&(lm_save){ .entries = entries, .n = 2 }, file, NULL), LM_OK);
    assert_int_equal(lm_file_write(config, text, strlen(text), NULL), LM_OK);
    free(file);
    free(config);
}

/* A: [4, -3, 1, 0] and [-2, -3, 5, 1], density 1/2: kept are [4, -3, 0, 0] and [0, -3, 5, 0]; sums are 4, -6, 5, 0,
 * so signs +, -, +, +; means of those that agree, weighted 1 and 4 (square roots 1 and 2): 4, (-3 - 6) / 2, 10, 0. */
static void test_ties_by_hand(void **state)
{
    (void)state;
    char *path[2] = { test_path("a"), test_path("b") };
    const float b[2] = { 1, 2 }, expected[4] = { 4, -4.5f, 10, 0 };
    write_adapter(path[0], (const float[]){ 4, -3, 1, 0 }, b);
    write_adapter(path[1], (const float[]){ -2, -3, 5, 1 }, b);
    lm_lora_folder folders[2] = { { 0 } };
    lm_kernels k;
    lm_params made;
    lm_err err = { 0 };
    int64_t rank;
    int method = 0;
    while (strcmp(lm_combine_methods[method], "ties")) method++;
    assert_int_equal(lm_backend(&k, "auto", NULL), LM_OK);
    assert_int_equal(lm_params_init(&made, &k, &err), LM_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(lm_lora_folder_open(&folders[i], path[i], &err), LM_OK);
    const lm_combine c = { .folders = folders, .weights = (const double[]){ 1, 4 }, .n = 2, .method = method, .density = 0.5, .k = &k };
    if (lm_combine_run(&c, &made, &rank, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(rank, 1);
    const float *a = lm_param_find(&made, "base_model.model.x.lora_A.weight")->t.data;
    for (int i = 0; i < 4; i++) assert_true(fabsf(a[i] - expected[i]) < 1e-6f);
    lm_params_free(&made);
    for (int i = 0; i < 2; i++) {
        lm_lora_folder_close(&folders[i]);
        free(path[i]);
    }
}

/* ---- the commands ---- */

#define LORA "tests/golden/lora/llama"

static void expect(const char *line, int code, const char *out, const char *err)
{
    program p;
    program_line(&p, NULL, line);
    if (p.code != code) fail_msg("%s: exit %d: %s", line, p.code, p.err.data ? p.err.data : "");
    if (out && !strstr(p.out.data ? p.out.data : "", out)) fail_msg("%s: no \"%s\" in %s", line, out, p.out.data ? p.out.data : "");
    if (err && !strstr(p.err.data ? p.err.data : "", err)) fail_msg("%s: no \"%s\" in %s", line, err, p.err.data ? p.err.data : "");
    program_free(&p);
}

static void test_the_commands(void **state)
{
    (void)state;
    lm_str line = { 0 };
    char *folder = test_path("both"), *file = test_path("a.gguf");
    expect("adapter list tests/golden/lora", 0, "tests/golden/lora/llama_rslora    lora", NULL);
    expect("adapter show " LORA, 0, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", NULL);
    expect("adapter diff " LORA " tests/golden/lora/llama_rslora", 0, "use_rslora: false -> true", NULL);
    lm_str_printf(&line, "adapter combine " LORA " " LORA " --weights=1,-0.5 --method ties_svd --out %s", folder);
    expect(line.data, 0, "2 adapters combined by ties_svd", NULL);
    lm_str_clear(&line);
    lm_str_printf(&line, "adapter diff " LORA " %s", folder);
    expect(line.data, 0, "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight", NULL);
    lm_str_clear(&line);
    lm_str_printf(&line, "adapter export " LORA " --out %s", file);
    expect(line.data, 0, "for llama.cpp's --lora", NULL);
    lm_gguf g;
    assert_int_equal(lm_gguf_open(&g, file, NULL), LM_OK);
    assert_true(lm_span_eq(lm_gguf_text(&g, "adapter.type"), "lora"));
    lm_gguf_close(&g);

    expect("adapter combine " LORA " tests/golden/lora/gpt2 --out none", 1, NULL, "belongs to tests/golden/model/llama, tests/golden/lora/gpt2 to tests/golden/model/gpt2; --force");
    expect("adapter combine tests/golden/lora/llama_dora --out none", 1, NULL, "use_dora is set");
    expect("adapter combine " LORA " --rank 500 --out none", 2, NULL, "rank 500 is larger than a side");
    expect("adapter export " LORA " --model tests/golden/model/gpt2 --out none", 1, NULL, "this gpt2 model has no such module");
    expect("adapter show tests/golden/model/llama", 1, NULL, "adapter_config.json");
    expect("adapter list none", 1, NULL, "none: no folder there");
    lm_str_free(&line);
    free(folder);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_low_rank_approximation),
        cmocka_unit_test(test_a_matrix_of_less_rank),
        cmocka_unit_test(test_ties_by_hand),
        cmocka_unit_test(test_the_commands),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
