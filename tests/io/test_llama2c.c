/* llama2.c: every tensor ends where Hugging Face looks for it, the rotary order keeps the attention
 * scores, and a header is believed only when the file is as long as it says. */
#include "io/temp.h"

#include "base/json.h"
#include "io/llama2c.h"
#include "io/safetensors.h"

#include <math.h>

enum { C = 8, F = 12, L = 2, H = 2, KV = 1, V = 5, T = 6, D = C / H };
static const int32_t good[7] = { C, F, L, H, KV, V, T };

/* Floats 0, 1, 2, ... behind a header. */
static char *put_model(void **state, const int32_t header[7], size_t n_floats)
{
    lm_str s = {0};
    lm_str_append(&s, header, 7 * sizeof *header);
    for (size_t i = 0; i < n_floats; i++) lm_str_append(&s, &(float){ (float)i }, sizeof(float));
    char *path = temp_put(state, "m.bin", s.data, s.len);
    lm_str_free(&s);
    return path;
}

static size_t floats(bool shared)
{
    return V * C + L * (2 * C + 2 * C * C + 2 * KV * D * C + 3 * F * C) + C + T * D + (shared ? 0 : V * C);
}

/* The tensor holds first, first + 1, ... */
static void check_run(const lm_weights *w, const char *name, int64_t rows, int64_t cols, float first)
{
    lm_err err = {0};
    const lm_stored *s;
    assert_ok(lm_weights_need(w, name, &s, &err));
    assert_ok(lm_stored_need_shape(s, cols ? 2 : 1, (int64_t[]){ rows, cols }, &err));
    const float *x = lm_stored_in_place(s, LM_F32);
    for (int64_t i = 0; i < s->numel; i++)
        if (x[i] != first + (float)i) fail_msg("%s[%d]: %g, expected %g", name, (int)i, x[i], first + (float)i);
}

static void check_layout(void **state, bool shared)
{
    lm_err err = {0};
    int32_t header[7];
    memcpy(header, good, sizeof header);
    if (!shared) header[5] = -V;
    char *path = put_model(state, header, floats(shared));
    assert_ok(lm_llama2c_convert(path, *state, &err));
    lm_weights w;
    assert_ok(lm_weights_open(&w, *state, &err));
    assert_int_equal(w.n, 3 + 9 * L - shared);

    float at = 0;
    check_run(&w, "model.embed_tokens.weight", V, C, at), at += V * C;
    for (int i = 0; i < L; i++) {                        /* each kind of tensor is stored for all layers at once */
        char name[80];
        float q = V * C + L * C, v = q + L * (C * C + KV * D * C);
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
        check_run(&w, name, C, 0, (float)(V * C + i * C));
        snprintf(name, sizeof name, "model.layers.%d.self_attn.v_proj.weight", i);
        check_run(&w, name, KV * D, C, v + (float)(i * KV * D * C));
        snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", i);
        check_run(&w, name, C, F, v + L * (KV * D * C + C * C + C + F * C) + (float)(i * C * F));
        snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", i);
        check_run(&w, name, F, C, v + L * (KV * D * C + C * C + C + 2 * F * C) + (float)(i * C * F));
    }
    float end = (float)(floats(true) - C - T * D);
    check_run(&w, "model.norm.weight", C, 0, end);
    if (!shared) check_run(&w, "lm_head.weight", V, C, end + C + T * D);
    lm_weights_close(&w);
    free(path);
}

static void test_layout_shared(void **state) { check_layout(state, true); }
static void test_layout_with_a_head(void **state) { check_layout(state, false); }

/* Scores of one head at positions m, n, pairs turned as each of the two programs does it. */
static double score(const float *q, const float *k, int m, int n, bool neighbours)
{
    double sum = 0;
    for (int i = 0; i < D / 2; i++) {
        int a = neighbours ? 2 * i : i, b = neighbours ? 2 * i + 1 : i + D / 2;
        double angle = (m - n) * pow(10000.0, -2.0 * i / D);
        sum += (q[a] * k[a] + q[b] * k[b]) * cos(angle) + (q[a] * k[b] - q[b] * k[a]) * sin(angle);
    }
    return sum;
}

/* With any input x, the scores of the converted q and k are those of the file's. */
static void test_rotary_order(void **state)
{
    lm_err err = {0};
    char *path = put_model(state, good, floats(true));
    assert_ok(lm_llama2c_convert(path, *state, &err));
    lm_weights w;
    const lm_stored *q, *k;
    assert_ok(lm_weights_open(&w, *state, &err));
    assert_ok(lm_weights_need(&w, "model.layers.1.self_attn.q_proj.weight", &q, &err));
    assert_ok(lm_weights_need(&w, "model.layers.1.self_attn.k_proj.weight", &k, &err));
    const float first_q = V * C + L * C + C * C, first_k = V * C + L * C + L * C * C + KV * D * C;

    for (int head = 0; head < H; head++) {
        float there[2][D], here[2][D];
        for (int r = 0; r < D; r++) {
            there[0][r] = there[1][r] = here[0][r] = here[1][r] = 0;
            for (int c = 0; c < C; c++) {
                float x = 0.01f * (float)(c * c % 7 - 2);
                there[0][r] += x * (first_q + (float)((head * D + r) * C + c)), there[1][r] += x * (first_k + (float)(r * C + c));
                here[0][r] += x * ((const float *)q->data)[(head * D + r) * C + c];
                here[1][r] += x * ((const float *)k->data)[r * C + c];
            }
        }
        for (int m = 0; m < T; m++)
            for (int n = 0; n <= m; n++) {
                double a = score(there[0], there[1], m, n, true), b = score(here[0], here[1], m, n, false);
                assert_true(fabs(a - b) <= 1e-9 * fabs(a));   /* the same products of f32 values, summed in double */
            }
    }
    lm_weights_close(&w);
    free(path);
}

static void test_config(void **state)
{
    lm_err err = {0};
    char *path = put_model(state, good, floats(true));
    char *config = lm_path_join(*state, "config.json"), *generation = lm_path_join(*state, "generation_config.json");
    assert_ok(lm_llama2c_convert(path, *state, &err));
    lm_json *doc = lm_json_read(config, &err);
    assert_string_equal(json_string_value(lm_json_get(doc, "model_type")), "llama");
    const struct { const char *key; int64_t value; } expected[] = {
        { "vocab_size", V }, { "hidden_size", C }, { "intermediate_size", F }, { "num_hidden_layers", L },
        { "num_attention_heads", H }, { "num_key_value_heads", KV }, { "head_dim", D }, { "max_position_embeddings", T },
        { "bos_token_id", 1 }, { "eos_token_id", 2 },
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int64_t value = -1;
        assert_ok(lm_json_need_int(doc, expected[i].key, "config.json", &value, &err));
        assert_int_equal(value, expected[i].value);
    }
    assert_true(json_is_true(lm_json_get(doc, "tie_word_embeddings")));
    assert_true(lm_file_exists(generation));
    lm_json_free(doc);
    free(config), free(generation), free(path);
}

static void refuse(void **state, int field, int32_t value, lm_status code, const char *words)
{
    lm_err err = {0};
    lm_llama2c_header h;
    int32_t header[7];
    memcpy(header, good, sizeof header);
    header[field] = value;
    char *path = put_model(state, header, floats(true));
    assert_refused(lm_llama2c_inspect(&h, path, &err), code, words);
    assert_refused(lm_llama2c_convert(path, *state, &err), code, "m.bin");
    assert_int_equal(test_count_entries(*state), 1);
    free(path);
}

static void test_hostile_headers(void **state)
{
    static const char *const names[7] = { "dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len" };
    for (int i = 0; i < 7; i++) {
        refuse(state, i, 0, LM_E_FORMAT, names[i]);
        refuse(state, i, INT32_MAX, LM_E_FORMAT, names[i]);
        refuse(state, i, INT32_MIN, LM_E_FORMAT, names[i]);
        if (i != 5) refuse(state, i, -1, LM_E_FORMAT, names[i]);
    }
    refuse(state, 0, 0x616B3432, LM_E_UNSUPPORTED, "version 12, only version 0");
    refuse(state, 0, 9, LM_E_FORMAT, "dim 9 is not n_heads 2 times an even size");
    refuse(state, 0, 6, LM_E_FORMAT, "dim 6 is not n_heads 2 times an even size");
    refuse(state, 4, 3, LM_E_FORMAT, "n_heads 2 is not a multiple of n_kv_heads 3");
    refuse(state, 2, 3, LM_E_FORMAT, "but its llama2.c header implies");
    refuse(state, 6, 7, LM_E_FORMAT, "but its llama2.c header implies");
    refuse(state, 5, -V, LM_E_FORMAT, "but its llama2.c header implies");
    refuse(state, 2, 1 << 24, LM_E_FORMAT, "but its llama2.c header implies");
}

static void test_lengths(void **state)
{
    lm_err err = {0};
    lm_llama2c_header h;
    for (int change = -1; change <= 1; change++) {
        char *path = put_model(state, good, floats(true) + (size_t)change);
        if (change) assert_refused(lm_llama2c_inspect(&h, path, &err), LM_E_FORMAT, "implies");
        else assert_int_equal(lm_llama2c_inspect(&h, path, NULL), LM_OK);
        free(path);
    }
    char *path = temp_put(state, "short", good, 27);
    assert_refused(lm_llama2c_inspect(&h, path, &err), LM_E_FORMAT, "27 bytes, too short");
    free(path);
    assert_refused(lm_llama2c_inspect(&h, "/nowhere/m.bin", &err), LM_E_IO, "No such");
}

static void test_real_model(void **state)
{
    static const char path[] = "../shared/data/stories260K/stories260K.bin";
    if (!lm_file_exists(path)) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    lm_err err = {0};
    lm_weights w;
    assert_ok(lm_llama2c_convert(path, *state, &err));
    assert_ok(lm_weights_open(&w, *state, &err));
    int64_t numbers = 0;
    for (int64_t i = 0; i < w.n; i++) numbers += w.items[i]->numel;
    assert_int_equal(w.n, 2 + 9 * 5);
    assert_int_equal(numbers, 260032);       /* the 1,056,540 bytes less header and rotary tables, over 4 */
    lm_weights_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_layout_shared), temp_test(test_layout_with_a_head), temp_test(test_rotary_order),
        temp_test(test_config),        temp_test(test_hostile_headers),    temp_test(test_lengths),
        temp_test(test_real_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
