/* Writing: what is read back, the promises of the layout, shards, and what a failure leaves behind. */
#include "io/temp.h"

#include "io/safetensors.h"
#include "io/save.h"

#include <signal.h>
#include <sys/resource.h>

static const int64_t shape_23[2] = { 2, 3 }, shape_5[1] = { 5 }, shape_05[2] = { 0, 5 };
static const float six[6] = { 0, -1.5f, 3.25f, 1e-8f, 65504, 1e30f };
static const uint8_t five[5] = { 1, 2, 3, 4, 5 };

static void test_round_trip(void **state)
{
    lm_err err = {0};
    const lm_save_entry entries[] = {
        { "bytes", LM_U8, 1, shape_5, five, LM_U8 },
        { "half", LM_BF16, 2, shape_23, six, LM_F32 },
        { "none", LM_F32, 2, shape_05, NULL, LM_F32 },
        { "six \"\xEB\xA7\x90\"", LM_F32, 2, shape_23, six, LM_F32 },
        { "one", LM_F32, 0, NULL, six + 2, LM_F32 },
    };
    char *path = lm_path_join(*state, "x.safetensors");
    assert_ok(lm_save_file(&(lm_save){ .entries = entries, .n = 5 }, path, &err));
    assert_int_equal(test_count_entries(*state), 1);       /* no temporary is left */

    lm_safetensors file;
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_int_equal(file.n, 5);
    assert_string_equal(lm_safetensors_meta(&file, "format"), "pt");
    const lm_stored *s = lm_safetensors_find(&file, "six \"\xEB\xA7\x90\"");
    assert_ok(lm_stored_need_shape(s, 2, shape_23, &err));
    assert_memory_equal(s->data, six, sizeof six);
    assert_memory_equal(lm_safetensors_find(&file, "bytes")->data, five, sizeof five);
    assert_memory_equal(lm_safetensors_find(&file, "one")->data, six + 2, sizeof *six);
    const uint16_t *half = lm_stored_in_place(lm_safetensors_find(&file, "half"), LM_BF16);
    for (int i = 0; i < 6; i++) assert_int_equal(half[i], lm_f32_to_bf16(six[i]));
    assert_non_null(lm_safetensors_find(&file, "none"));
    lm_safetensors_close(&file);
    free(path);
}

/* Whatever the order and the types, every tensor can be used where it is mapped. */
static void test_aligned(void **state)
{
    lm_err err = {0};
    static const int64_t three[1] = { 3 };
    static const int64_t numbers[3] = { 7, 8, 9 };
    static const lm_dtype types[] = { LM_U8, LM_F32, LM_I8, LM_I64, LM_BF16, LM_I32, LM_F16 };
    lm_save_entry entries[7];
    char names[7][8];
    for (int i = 0; i < 7; i++) {
        snprintf(names[i], sizeof names[i], "%.*s", 1 + i, "xxxxxxx");
        entries[i] = (lm_save_entry){ names[i], types[i], 1, three, numbers, types[i] };
    }
    char *path = lm_path_join(*state, "x.safetensors");
    for (int64_t n = 0; n <= 7; n++) {                     /* headers of different length */
        lm_safetensors file;
        assert_ok(lm_save_file(&(lm_save){ .entries = entries, .n = n }, path, &err));
        assert_ok(lm_safetensors_open(&file, path, &err));
        assert_int_equal(file.n, n);
        for (int64_t i = 0; i < n; i++)
            assert_non_null(lm_stored_in_place(lm_safetensors_find(&file, names[i]), types[i]));
        if (n) assert_int_equal(((const uint8_t *)file.items[0].data - file.mapping.data) % 64, 0);
        lm_safetensors_close(&file);
    }
    free(path);
}

/* Every pair of float types, over more than one block, against the scalar conversions. */
static void test_converts(void **state)
{
    lm_err err = {0};
    enum { N = 700001 };
    static const int64_t shape[1] = { N };
    static const lm_dtype types[3] = { LM_F32, LM_BF16, LM_F16 };
    static float x[N];
    static uint16_t bf16[N], f16[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i * 2654435761u >> 8) & 0xFFFF) / 777.0f - 40.0f;
        bf16[i] = lm_f32_to_bf16(x[i]), f16[i] = lm_f32_to_f16(x[i]);
    }
    const void *source[3] = { x, bf16, f16 };
    char *path = lm_path_join(*state, "x.safetensors");
    for (int from = 0; from < 3; from++) {
        for (int to = 0; to < 3; to++) {
            const lm_save_entry e = { "x", types[to], 1, shape, source[from], types[from] };
            lm_safetensors file;
            assert_ok(lm_save_file(&(lm_save){ .entries = &e, .n = 1 }, path, &err));
            assert_ok(lm_safetensors_open(&file, path, &err));
            for (int i = 0; i < N; i++) {
                float value = from == 0 ? x[i] : from == 1 ? lm_bf16_to_f32(bf16[i]) : lm_f16_to_f32(f16[i]);
                const void *at = file.items[0].data;
                if (to == 0 ? ((const float *)at)[i] != value
                            : ((const uint16_t *)at)[i] != (to == 1 ? lm_f32_to_bf16(value) : lm_f32_to_f16(value)))
                    fail_msg("element %d of %s from %s", i, lm_dtype_name(types[to]), lm_dtype_name(types[from]));
            }
            lm_safetensors_close(&file);
        }
    }
    free(path);
}

static void test_metadata(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = lm_path_join(*state, "x.safetensors");
    lm_json *metadata = json_pack("{s:s, s:s}", "format", "pt", "step", "12");
    assert_ok(lm_save_file(&(lm_save){ .metadata = metadata }, path, &err));
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_string_equal(lm_safetensors_meta(&file, "step"), "12");
    lm_safetensors_close(&file);
    lm_json_free(metadata);
    free(path);
}

static lm_status fill_with_index(void *context, int64_t i, void *out, lm_err *err)
{
    if (i == *(int64_t *)context) return lm_fail(err, LM_E_NUMERIC, "tensor %d is bad", (int)i);
    for (int j = 0; j < 6; j++) ((float *)out)[j] = (float)i + 0.5f * (float)j;
    return LM_OK;
}

static void test_filled(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    int64_t bad = -1;
    const lm_save_entry entries[] = {
        { "a", LM_BF16, 2, shape_23, NULL, LM_F32 }, { "b", LM_F32, 2, shape_23, NULL, LM_F32 },
        { "c", LM_F32, 2, shape_23, six, LM_F32 },
    };
    const lm_save save = { .entries = entries, .n = 3, .fill = fill_with_index, .context = &bad };
    char *path = lm_path_join(*state, "x.safetensors");
    assert_ok(lm_save_file(&save, path, &err));
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_true(((const float *)lm_safetensors_find(&file, "b")->data)[3] == 2.5f);
    assert_int_equal(((const uint16_t *)lm_safetensors_find(&file, "a")->data)[2], lm_f32_to_bf16(1.0f));
    assert_memory_equal(lm_safetensors_find(&file, "c")->data, six, sizeof six);
    lm_safetensors_close(&file);

    bad = 0;                                               /* the file of before stands, and nothing else */
    assert_refused(lm_save_file(&save, path, &err), LM_E_NUMERIC, "tensor 0 is bad");
    lm_err_clear(&err);
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_int_equal(test_count_entries(*state), 1);
    lm_safetensors_close(&file);
    free(path);
}

static void test_refuses(void **state)
{
    lm_err err = {0};
    char *path = lm_path_join(*state, "x.safetensors");
    const lm_save_entry twice[] = { { "a", LM_U8, 1, shape_5, five, LM_U8 }, { "a", LM_U8, 1, shape_5, five, LM_U8 } };
    const lm_save_entry name[] = { { "\xFF", LM_U8, 1, shape_5, five, LM_U8 } };
    const lm_save_entry type[] = { { "a", LM_F32, 1, shape_5, five, LM_U8 } };
    assert_refused(lm_save_file(&(lm_save){ .entries = twice, .n = 2 }, path, &err), LM_E_FORMAT, "two tensors are called a");
    assert_refused(lm_save_file(&(lm_save){ .entries = name, .n = 1 }, path, &err), LM_E_FORMAT, "not UTF-8");
    assert_refused(lm_save_file(&(lm_save){ .entries = type, .n = 1 }, path, &err), LM_E_UNSUPPORTED, "a: U8 cannot be written as F32");
    assert_int_equal(test_count_entries(*state), 0);
    free(path);
}

/* ---- folders ----------------------------------------------------------------- */

static const lm_save_entry four[] = {
    { "a", LM_F32, 2, shape_23, six, LM_F32 }, { "b", LM_F32, 2, shape_23, six, LM_F32 },
    { "c", LM_BF16, 2, shape_23, six, LM_F32 }, { "d", LM_U8, 1, shape_5, five, LM_U8 },
};
static const lm_save save_four = { .entries = four, .n = 4 };      /* 24 + 24 + 12 + 5 bytes */

static void check_four(const char *folder, int64_t n_files)
{
    lm_err err = {0};
    lm_weights w;
    assert_ok(lm_weights_open(&w, folder, &err));
    assert_true(w.n == 4 && w.n_files == n_files);
    assert_memory_equal(lm_weights_find(&w, "b")->data, six, sizeof six);
    assert_memory_equal(lm_weights_find(&w, "d")->data, five, sizeof five);
    lm_weights_close(&w);
}

static void test_shards(void **state)
{
    lm_err err = {0};
    assert_ok(lm_save_folder(&save_four, *state, 40, &err));       /* a | b c | d, or a | b c d at 41 */
    assert_int_equal(test_count_entries(*state), 4);
    check_four(*state, 3);
    char *path = lm_path_join(*state, "model-00002-of-00003.safetensors");
    char *index = lm_path_join(*state, "model.safetensors.index.json");
    lm_safetensors file;
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_true(file.n == 2 && lm_safetensors_find(&file, "b") && lm_safetensors_find(&file, "c"));
    lm_safetensors_close(&file);

    lm_json *doc = lm_json_read(index, &err);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(doc, "metadata"), "total_size")), 65);
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "weight_map"), "d")),
                        "model-00003-of-00003.safetensors");
    lm_json_free(doc);
    free(path);
    free(index);
}

static void test_a_tensor_larger_than_a_shard(void **state)
{
    lm_err err = {0};
    assert_ok(lm_save_folder(&save_four, *state, 1, &err));
    check_four(*state, 4);
}

/* Saving again the other way leaves no entry point that misleads. */
static void test_single_and_shards_in_turn(void **state)
{
    lm_err err = {0};
    char *single = lm_path_join(*state, "model.safetensors");
    char *index = lm_path_join(*state, "model.safetensors.index.json");
    assert_ok(lm_save_folder(&save_four, *state, 0, &err));
    check_four(*state, 1);
    assert_ok(lm_save_folder(&save_four, *state, 41, &err));
    check_four(*state, 2);
    assert_false(lm_file_exists(single));
    assert_ok(lm_save_folder(&save_four, *state, 65, &err));
    check_four(*state, 1);
    assert_false(lm_file_exists(index));
    free(single);
    free(index);
}

/* ---- a full disk ------------------------------------------------------------- */

static void test_full_device(void **state)
{
    (void)state;
    lm_err err = {0};
    assert_refused(lm_save_file(&save_four, "/dev/full", &err), LM_E_IO, "/dev/full|No space left");
}

/* No more than 64 kB of any file: the save fails half-way, and the old model still stands. */
static void test_limit_in_the_middle(void **state)
{
    lm_err err = {0};
    assert_ok(lm_save_folder(&save_four, *state, 0, &err));
    static const int64_t shape[1] = { 1 << 16 };
    static const float large[1 << 16];
    const lm_save_entry entries[] = {
        { "a", LM_F32, 2, shape_23, six, LM_F32 }, { "b", LM_F32, 1, shape, large, LM_F32 },
    };
    struct rlimit old, small = { 65536, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    lm_status one = lm_save_folder(&(lm_save){ .entries = entries, .n = 2 }, *state, 0, &err);
    lm_err shards_err = {0};
    lm_status shards = lm_save_folder(&(lm_save){ .entries = entries, .n = 2 }, *state, 64, &shards_err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(one, LM_E_IO);
    assert_non_null(strstr(err.message, "model.safetensors: cannot write"));
    assert_int_equal(shards, LM_E_IO);
    assert_non_null(strstr(shards_err.message, "model-00002-of-00002.safetensors: cannot write"));
    assert_int_equal(test_count_entries(*state), 1);
    check_four(*state, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_round_trip), temp_test(test_aligned),
        temp_test(test_converts),   temp_test(test_metadata),
        temp_test(test_filled),     temp_test(test_refuses),
        temp_test(test_shards),     temp_test(test_a_tensor_larger_than_a_shard),
        temp_test(test_single_and_shards_in_turn),
        temp_test(test_full_device), temp_test(test_limit_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
