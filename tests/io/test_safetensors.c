/* Reading: one good file checked byte for byte, then every way a file can be wrong. */
#include "io/temp.h"

#include "io/safetensors.h"

/* A file of this header (padded to `pad` bytes) and n bytes of data 0, 1, 2 ... */
static char *put_file(void **state, const char *header, size_t n)
{
    lm_str s = {0};
    uint64_t len = strlen(header);
    lm_str_append(&s, &len, sizeof len);
    lm_str_puts(&s, header);
    for (size_t i = 0; i < n; i++) lm_str_putc(&s, (char)i);
    char *path = temp_put(state, "x.safetensors", s.data, s.len);
    lm_str_free(&s);
    return path;
}

static void refuse(void **state, const char *header, size_t n, lm_status code, const char *words)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = put_file(state, header, n);
    assert_refused(lm_safetensors_open(&file, path, &err), code, words);
    assert_non_null(strstr(err.message, "x.safetensors"));
    assert_null(file.path);
    free(path);
}

#define GOOD "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}"

static void test_reads(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = put_file(state, "{\"__metadata__\":{\"format\":\"pt\"},"
                          "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
                          "\"none\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[8,8]},"
                          "\"one\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[11,12]}," GOOD "}   ", 12);
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_int_equal(file.n, 4);
    assert_string_equal(lm_safetensors_meta(&file, "format"), "pt");
    assert_null(lm_safetensors_meta(&file, "absent"));
    assert_string_equal(file.items[0].name, "a");       /* the order of the data, not of the header */

    const lm_stored *b = lm_safetensors_find(&file, "b"), *none = lm_safetensors_find(&file, "none");
    const lm_stored *one = lm_safetensors_find(&file, "one"), *a = lm_safetensors_find(&file, "a");
    assert_true(a && b && none && one && !lm_safetensors_find(&file, "c"));
    assert_int_equal(a->dtype, LM_F32);
    assert_true(a->ndim == 2 && a->dim[0] == 2 && a->dim[1] == 1 && a->numel == 2 && a->bytes == 8);
    assert_memory_equal(a->data, "\0\1\2\3\4\5\6\7", 8);
    assert_memory_equal(b->data, "\10\11\12", 3);
    assert_true(none->numel == 0 && none->bytes == 0);
    assert_true(one->ndim == 0 && one->numel == 1 && *(const int8_t *)one->data == 11);
    lm_safetensors_close(&file);
    free(path);
}

static void test_empty_file_has_no_tensors(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = put_file(state, "{}", 0);
    assert_ok(lm_safetensors_open(&file, path, &err));
    assert_int_equal(file.n, 0);
    lm_safetensors_close(&file);
    free(path);
}

static void test_missing_and_folder(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    assert_refused(lm_safetensors_open(&file, "/nowhere/x.safetensors", &err), LM_E_IO, "/nowhere/x.safetensors|No such");
    assert_refused(lm_safetensors_open(&file, *state, &err), LM_E_IO, "directory");
}

static void test_frame(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    struct { const char *bytes; size_t n; const char *words; } cases[] = {
        { "", 0, "0 bytes|too short" },
        { "\2\0\0\0\0\0\0", 7, "7 bytes|too short" },
        { "\2\0\0\0\0\0\0\0", 8, "header of 2 bytes|only 0 follow" },
        { "\3\0\0\0\0\0\0\0{}", 10, "header of 3 bytes|only 2 follow" },
        { "\377\377\377\377\377\377\377\377{}", 10, "18446744073709551615 bytes|at most 100000000" },
        { "\1\341\365\5\0\0\0\0{}", 10, "100000001 bytes|at most" },
        { "\0\0\0\0\0\0\0\0", 8, "not JSON" },
        { "GGUF\3\0\0\0\0\0\0\0", 12, "not a safetensors file?" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = temp_put(state, "x.safetensors", cases[i].bytes, cases[i].n);
        assert_refused(lm_safetensors_open(&file, path, &err), LM_E_FORMAT, cases[i].words);
        free(path);
    }
}

static void test_header_json(void **state)
{
    refuse(state, "{\"a\":", 0, LM_E_FORMAT, "not JSON");
    refuse(state, "[]", 0, LM_E_FORMAT, "expected a JSON object");
    refuse(state, "{" GOOD "} x", 8, LM_E_FORMAT, "not JSON");
    refuse(state, "{" GOOD "," GOOD "}", 8, LM_E_FORMAT, "duplicate");
    refuse(state, "{\"\377\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, LM_E_FORMAT, "not JSON");
    refuse(state, "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, LM_E_FORMAT, "zero byte");
    refuse(state, "{\"__metadata__\":[]}", 0, LM_E_FORMAT, "__metadata__|object of strings");
    refuse(state, "{\"__metadata__\":{\"step\":3}}", 0, LM_E_FORMAT, "__metadata__: step|string");
    refuse(state, "{\"a\\n\\u001b[2Jb\":3}", 0, LM_E_FORMAT, "tensor a??[2Jb: expected an object");
    refuse(state, "{\"a\":3}", 0, LM_E_FORMAT, "tensor a|expected an object");
}

static void refuse_entry(void **state, const char *dtype, const char *shape, const char *offsets, size_t n,
                         const char *words)
{
    lm_str header = {0};
    lm_str_printf(&header, "{\"w\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}", dtype, shape, offsets);
    refuse(state, header.data, n, LM_E_FORMAT, words);
    lm_str_free(&header);
}

static void test_entries(void **state)
{
    refuse(state, "{\"w\":{}}", 0, LM_E_FORMAT, "tensor w|dtype");
    refuse_entry(state, "\"F32\\u0000\"", "[1]", "[0,4]", 4, "tensor w|dtype: expected a string");
    refuse_entry(state, "7", "[1]", "[0,4]", 4, "tensor w|dtype: expected a string");
    refuse_entry(state, "\"F32\"", "1", "[0,4]", 4, "shape: expected a list");
    refuse_entry(state, "\"F32\"", "[-1]", "[0,4]", 4, "size 0 is not");
    refuse_entry(state, "\"F32\"", "[1,1.5]", "[0,4]", 4, "size 1 is not");
    refuse_entry(state, "\"F32\"", "[\"1\"]", "[0,4]", 4, "size 0 is not");
    refuse_entry(state, "\"F32\"", "[99999999999999999999]", "[0,4]", 4, "size 0 is not");
    refuse_entry(state, "\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]", 4, "9 dimensions|at most 8");
    refuse_entry(state, "\"F32\"", "[4294967296,4294967296]", "[0,4]", 4, "more elements than 64 bits");
    refuse_entry(state, "\"F32\"", "[4611686018427387905]", "[0,4]", 4, "4 bytes of data, but 4611686018427387905");
    refuse_entry(state, "\"F32\"", "[1]", "[0]", 4, "data_offsets: expected [begin, end]");
    refuse_entry(state, "\"F32\"", "[1]", "[0,4,4]", 4, "data_offsets: expected");
    refuse_entry(state, "\"F32\"", "[1]", "[-4,0]", 4, "data_offsets: expected");
    refuse_entry(state, "\"F32\"", "[1]", "[0,4.0]", 4, "data_offsets: expected");
    refuse_entry(state, "\"F32\"", "[1]", "[4,0]", 4, "begins at 4, after its end at 0");
    refuse_entry(state, "\"F32\"", "[1]", "[0,4]", 3, "ends at byte 4|has 3|cut short?");
    refuse_entry(state, "\"F32\"", "[2]", "[0,4]", 4, "4 bytes of data, but 2 elements of F32");
    refuse_entry(state, "\"F64\"", "[1]", "[0,4]", 4, "4 bytes of data, but 1 elements of F64");
    refuse_entry(state, "\"F4\"", "[3]", "[0,2]", 2, "2 bytes of data, but 3 elements of F4");
}

static void test_cover(void **state)
{
    refuse(state, "{" GOOD "}", 9, LM_E_FORMAT, "1 bytes at the end belong to no tensor");
    refuse(state, "{" GOOD ",\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[7,9]}}", 9, LM_E_FORMAT,
           "tensors a and b overlap");
    refuse(state, "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LM_E_FORMAT,
           "tensors a and b overlap");
    refuse(state, "{" GOOD ",\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[10,12]}}", 12, LM_E_FORMAT,
           "tensor b: 2 bytes in front of it belong to no tensor");
    refuse(state, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, LM_E_FORMAT, "tensor a: 1 bytes");
    refuse(state, "{" GOOD ",\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", 8, LM_E_FORMAT, "overlap");
    refuse(state, "{}", 1, LM_E_FORMAT, "1 bytes at the end");
}

/* A type that malmoi does not compute with is listed, and refused when it is asked for. */
static void test_foreign_types(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    double out;
    char *path = put_file(state, "{\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                          "\"x\":{\"dtype\":\"NEW\",\"shape\":[1],\"data_offsets\":[8,11]},"
                          "\"i\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[11,12]}}", 12);
    assert_ok(lm_safetensors_open(&file, path, &err));
    const lm_stored *d = lm_safetensors_find(&file, "d"), *x = lm_safetensors_find(&file, "x");
    const lm_stored *i = lm_safetensors_find(&file, "i");
    assert_int_equal(d->dtype, -1);
    assert_string_equal(x->type, "NEW");
    assert_null(lm_stored_in_place(d, LM_F32));
    assert_refused(lm_stored_copy(d, &out, LM_F32, &err), LM_E_UNSUPPORTED, "tensor d|F64|F32");
    assert_refused(lm_stored_copy(x, &out, LM_F32, &err), LM_E_UNSUPPORTED, "tensor x|NEW|F32");
    assert_refused(lm_stored_copy(i, &out, LM_F32, &err), LM_E_UNSUPPORTED, "tensor i|I8|F32");
    lm_safetensors_close(&file);
    free(path);
}

/* The header's length decides the alignment of the data: every offset from 0 to 7 is readable. */
static void test_misaligned(void **state)
{
    const float values[3] = { 1.5f, -2.0f, 1e-30f };
    for (size_t pad = 0; pad < 8; pad++) {
        lm_err err = {0};
        lm_safetensors file;
        lm_str s = {0}, header = {0};
        lm_str_puts(&header, "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}");
        for (size_t i = 0; i < pad; i++) lm_str_putc(&header, ' ');
        uint64_t len = header.len;
        lm_str_append(&s, &len, sizeof len);
        lm_str_append(&s, header.data, header.len);
        lm_str_append(&s, values, sizeof values);
        char *path = temp_put(state, "x.safetensors", s.data, s.len);

        assert_ok(lm_safetensors_open(&file, path, &err));
        const lm_stored *a = lm_safetensors_find(&file, "a");
        bool aligned = (sizeof len + header.len) % sizeof(float) == 0;
        assert_int_equal(lm_stored_in_place(a, LM_F32) != NULL, aligned);
        float out[3];
        uint16_t half[3];
        assert_ok(lm_stored_copy(a, out, LM_F32, &err));
        assert_memory_equal(out, values, sizeof values);
        assert_ok(lm_stored_copy(a, half, LM_BF16, &err));
        assert_true(lm_bf16_to_f32(half[0]) == 1.5f && lm_bf16_to_f32(half[1]) == -2.0f);
        lm_safetensors_close(&file);
        lm_str_free(&s);
        lm_str_free(&header);
        free(path);
    }
}

static void test_shape_message(void **state)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = put_file(state, "{" GOOD ",\"s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[8,9]},"
                          "\"z\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807,9223372036854775807,"
                          "9223372036854775807,9223372036854775807,9223372036854775807],\"data_offsets\":[9,9]}}", 9);
    assert_ok(lm_safetensors_open(&file, path, &err));
    const lm_stored *a = lm_safetensors_find(&file, "a"), *z = lm_safetensors_find(&file, "z");
    assert_ok(lm_stored_need_shape(a, 2, (int64_t[]){ 2, 1 }, &err));
    assert_ok(lm_stored_need_shape(lm_safetensors_find(&file, "s"), 0, NULL, &err));
    assert_refused(lm_stored_need_shape(a, 2, (int64_t[]){ 1, 2 }, &err), LM_E_MISMATCH,
                   "x.safetensors: tensor a: shape [2, 1], expected [1, 2]");
    assert_refused(lm_stored_need_shape(a, 1, (int64_t[]){ 2 }, &err), LM_E_MISMATCH, "[2, 1], expected [2]");
    assert_refused(lm_stored_need_shape(z, 1, (int64_t[]){ 2 }, &err), LM_E_MISMATCH, "..], expected [2]");
    lm_safetensors_close(&file);
    free(path);
}

/* ---- sets of files ----------------------------------------------------------- */

static const char shard_a[] = "\72\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}     A";
static const char shard_b[] = "\72\0\0\0\0\0\0\0{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}     B";

static void put_shards(void **state, const char *index)
{
    free(temp_put(state, "s-1.safetensors", shard_a, sizeof shard_a - 1));
    free(temp_put(state, "s-2.safetensors", shard_b, sizeof shard_b - 1));
    free(temp_put(state, "model.safetensors.index.json", index, strlen(index)));
}

static void test_weights_of_shards(void **state)
{
    lm_err err = {0};
    lm_weights w;
    const lm_stored *s;
    put_shards(state, "{\"metadata\":{},\"weight_map\":{\"a\":\"s-1.safetensors\",\"b\":\"s-2.safetensors\"}}");
    assert_ok(lm_weights_open(&w, *state, &err));
    assert_true(w.n == 2 && w.n_files == 2);
    assert_int_equal(*(const char *)lm_weights_find(&w, "a")->data, 'A');
    assert_ok(lm_weights_need(&w, "b", &s, &err));
    assert_int_equal(*(const char *)s->data, 'B');
    assert_refused(lm_weights_need(&w, "c", &s, &err), LM_E_MISMATCH, *state);
    assert_refused(lm_weights_need(&w, "c", &s, &err), LM_E_MISMATCH, "tensor c is missing");
    lm_weights_close(&w);

    char *one = lm_path_join(*state, "s-2.safetensors");
    assert_ok(lm_weights_open(&w, one, &err));           /* a file stands for itself */
    assert_true(w.n == 1 && lm_weights_find(&w, "b"));
    lm_weights_close(&w);
    free(one);
}

static void refuse_index(void **state, const char *index, lm_status code, const char *words)
{
    lm_err err = {0};
    lm_weights w;
    put_shards(state, index);
    assert_refused(lm_weights_open(&w, *state, &err), code, words);
    assert_null(w.path);
}

static void test_bad_index(void **state)
{
    lm_err err = {0};
    lm_weights w;
    assert_refused(lm_weights_open(&w, *state, &err), LM_E_IO, "holds neither model.safetensors nor");
    refuse_index(state, "{", LM_E_FORMAT, "index.json|not JSON");
    refuse_index(state, "{}", LM_E_FORMAT, "weight_map");
    refuse_index(state, "{\"weight_map\":{}}", LM_E_FORMAT, "weight_map");
    refuse_index(state, "{\"weight_map\":{\"a\":1}}", LM_E_FORMAT, "weight_map: a: expected a file name");
    refuse_index(state, "{\"weight_map\":{\"a\":\"../s-1.safetensors\"}}", LM_E_FORMAT, "\"../s-1.safetensors\" is not");
    refuse_index(state, "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", LM_E_FORMAT, "\"/etc/passwd\" is not");
    refuse_index(state, "{\"weight_map\":{\"a\":\"\"}}", LM_E_FORMAT, "\"\" is not");
    refuse_index(state, "{\"weight_map\":{\"a\":\"a.bin\"}}", LM_E_FORMAT, "\"a.bin\" is not");
    refuse_index(state, "{\"weight_map\":{\"a\":\"s-3.safetensors\"}}", LM_E_IO, "s-3.safetensors|No such");
    refuse_index(state, "{\"weight_map\":{\"a\":\"s-2.safetensors\"}}", LM_E_FORMAT,
                 "index.json: tensor a is not in s-2.safetensors");
    refuse_index(state, "{\"weight_map\":{\"a\":\"s-1.safetensors\",\"c\":\"s-2.safetensors\"}}", LM_E_FORMAT,
                 "tensor c is not in s-2.safetensors");
    free(temp_put(state, "s-4.safetensors", shard_a, sizeof shard_a - 1));
    refuse_index(state, "{\"weight_map\":{\"a\":\"s-1.safetensors\",\"x\":\"s-4.safetensors\"}}", LM_E_FORMAT,
                 "s-4.safetensors: tensor a is also in|s-1.safetensors");
}

/* ---- files that the reference library wrote ---------------------------------- */

static void test_golden_files(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt2", "llama", "llama3_rope", "llama_dynamic", "llama_linear", "llama_yarn",
                                         "mistral", "qwen2" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lm_err err = {0};
        lm_weights w;
        lm_str folder = {0};
        lm_str_printf(&folder, "tests/golden/model/%s", names[i]);
        char *config = lm_path_join(folder.data, "config.json");
        lm_json *doc = lm_json_read(config, &err);
        int64_t vocab = 0, hidden = 0;
        const lm_stored *s;
        assert_non_null(doc);
        bool gpt2 = !strcmp(names[i], "gpt2");
        assert_ok(lm_json_need_int(doc, "vocab_size", config, &vocab, &err));
        assert_ok(lm_json_need_int(doc, gpt2 ? "n_embd" : "hidden_size", config, &hidden, &err));
        assert_ok(lm_weights_open(&w, folder.data, &err));
        assert_ok(lm_weights_need(&w, gpt2 ? "transformer.wte.weight" : "model.embed_tokens.weight", &s, &err));
        assert_ok(lm_stored_need_shape(s, 2, (int64_t[]){ vocab, hidden }, &err));
        assert_non_null(lm_stored_in_place(s, LM_F32));
        assert_string_equal(lm_safetensors_meta(&w.files[0], "format"), "pt");
        lm_weights_close(&w);
        lm_json_free(doc);
        lm_str_free(&folder);
        free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_reads),         temp_test(test_empty_file_has_no_tensors),
        temp_test(test_frame),         temp_test(test_missing_and_folder),
        temp_test(test_header_json),   temp_test(test_entries),
        temp_test(test_cover),         temp_test(test_foreign_types),
        temp_test(test_misaligned),    temp_test(test_shape_message),
        temp_test(test_weights_of_shards), temp_test(test_bad_index),
        cmocka_unit_test(test_golden_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
