/* The tokenizer's interface: loading, encoding, decoding, streaming, saving. */
#include "base/file.h"
#include "token/tokenizer.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"

/* A byte-level vocabulary of the 256 bytes, four merges and one special token. */
static lm_tokenizer *byte_tokenizer(void)
{
    lm_str json = {0};
    lm_str_puts(&json, "{\"added_tokens\":[{\"id\":260,\"content\":\"<|end|>\",\"special\":true}],"
                       "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
                       "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int byte = 0; byte < 256; byte++) {
        /* the spelling that the format fixes: printable Latin-1 is itself, the rest counts up from U+0100 */
        static int next = 0;
        bool itself = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        if (byte == 0) next = 0;
        lm_str_printf(&json, "\"\\u%04x\":%d,", (unsigned)(itself ? byte : 0x100 + next), byte);
        if (!itself) next++;
    }
    lm_str_puts(&json, "\"he\":256,\"ll\":257,\"hell\":258,\"hello\":259},\"merges\":[\"h e\",\"l l\",\"he ll\",\"hell o\"]}}");
    char path[] = "/tmp/malmoi-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    lm_err err = {0};
    assert_int_equal(lm_file_write(path, json.data, json.len, &err), LM_OK);
    lm_tokenizer *tk = NULL;
    if (lm_tokenizer_load(&tk, path, &err)) fail_msg("%s", err.message);
    remove(path);
    lm_str_free(&json);
    return tk;
}

static void merges_are_applied_in_order(void **state)
{
    (void)state;
    lm_tokenizer *tk = byte_tokenizer();
    lm_ids ids = {0};
    lm_err err = {0};
    assert_int_equal(lm_encode(tk, &ids, "hello hell", 10, 0, &err), LM_OK);
    const int32_t expected[] = { 259, ' ', 258 };
    assert_int_equal(ids.len, 3);
    assert_memory_equal(ids.data, expected, sizeof expected);
    assert_int_equal(lm_tokenizer_vocab_size(tk), 261);
    assert_int_equal(lm_token_id(tk, "hello"), 259);
    assert_int_equal(lm_token_id(tk, "nothing"), -1);
    lm_ids_free(&ids);
    lm_tokenizer_free(tk);
}

static void specials_need_permission(void **state)
{
    (void)state;
    lm_tokenizer *tk = byte_tokenizer();
    lm_ids ids = {0};
    lm_err err = {0};
    assert_int_equal(lm_encode(tk, &ids, "a<|end|>", 8, 0, &err), LM_OK);
    for (size_t i = 0; i < ids.len; i++) assert_int_not_equal(ids.data[i], 260);
    lm_ids_clear(&ids);
    assert_int_equal(lm_encode(tk, &ids, "a<|end|>b", 9, LM_ENCODE_ALLOW_SPECIAL, &err), LM_OK);
    assert_int_equal(ids.len, 3);
    assert_int_equal(ids.data[1], 260);
    assert_true(lm_token_is_special(tk, 260));
    assert_false(lm_token_is_special(tk, 259));

    lm_str text = {0};
    assert_int_equal(lm_decode(tk, &text, ids.data, ids.len, 0, &err), LM_OK);
    assert_string_equal(text.data, "a<|end|>b");
    lm_str_clear(&text);
    assert_int_equal(lm_decode(tk, &text, ids.data, ids.len, LM_DECODE_SKIP_SPECIAL, &err), LM_OK);
    assert_string_equal(text.data, "ab");
    lm_str_free(&text);
    lm_ids_free(&ids);
    lm_tokenizer_free(tk);
}

static void bytes_survive_the_round_trip(void **state)
{
    (void)state;
    lm_tokenizer *tk = byte_tokenizer();
    lm_rng rng = { .seed = 7 };
    for (int round = 0; round < 200; round++) {
        char text[300];
        size_t n = (size_t)lm_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < n; i++) text[i] = (char)(lm_rng_below(&rng, 3) ? "hel lo\xEA\xB0\x80\xF0\x9F\n"[lm_rng_below(&rng, 12)] : (char)lm_rng_u64(&rng));
        lm_ids ids = {0};
        lm_str whole = {0}, streamed = {0};
        lm_err err = {0};
        assert_int_equal(lm_encode(tk, &ids, text, n, 0, &err), LM_OK);
        assert_int_equal(lm_decode(tk, &whole, ids.data, ids.len, 0, &err), LM_OK);
        assert_int_equal(whole.len, n);
        if (n) assert_memory_equal(whole.data, text, n);

        lm_decoder *decoder = lm_decoder_new(tk, 0);
        for (size_t i = 0; i < ids.len; i++) {
            assert_int_equal(lm_decoder_push(decoder, ids.data[i], &streamed, &err), LM_OK);
            uint32_t rune;               /* what is out never ends inside a character that is whole */
            for (size_t back = 1; back <= 3 && back <= streamed.len; back++) {
                const char *tail = streamed.data + streamed.len - back;
                size_t begin = streamed.len - back;
                if (begin + 4 <= n && !lm_utf8_decode(tail, back, &rune) && ((unsigned char)*tail & 0xC0) == 0xC0)
                    assert_int_equal(lm_utf8_decode(text + begin, n - begin, &rune), 0);
            }
        }
        lm_decoder_finish(decoder, &streamed);
        lm_decoder_free(decoder);
        assert_int_equal(streamed.len, n);
        if (n) assert_memory_equal(streamed.data, text, n);
        lm_ids_free(&ids);
        lm_str_free(&whole);
        lm_str_free(&streamed);
    }
    lm_tokenizer_free(tk);
}

static void llama2c_vocabulary(void **state)
{
    (void)state;
    const char *path = "../shared/data/stories260K/tok512.bin";
    if (!lm_file_exists(path)) {
        print_message("skipped: %s is absent\n", path);
        skip();
    }
    lm_tokenizer *tk = NULL;
    lm_err err = {0};
    if (lm_tokenizer_load(&tk, path, &err)) fail_msg("%s", err.message);
    assert_int_equal(lm_tokenizer_vocab_size(tk), 512);
    assert_int_equal(lm_bos_id(tk), 1);
    assert_int_equal(lm_eos_id(tk), 2);
    const char *text = "Once upon a time, 가나다\n";
    lm_ids ids = {0};
    lm_str back = {0};
    assert_int_equal(lm_encode(tk, &ids, text, strlen(text), LM_ENCODE_SPECIAL, &err), LM_OK);
    assert_int_equal(ids.data[0], 1);
    assert_int_equal(lm_decode(tk, &back, ids.data, ids.len, LM_DECODE_SKIP_SPECIAL, &err), LM_OK);
    assert_string_equal(back.data, text);

    char folder[] = "/tmp/malmoi-token-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(lm_tokenizer_save(tk, folder, &err), LM_OK);
    lm_tokenizer *again = NULL;
    if (lm_tokenizer_load(&again, folder, &err)) fail_msg("%s", err.message);
    lm_ids same = {0};
    assert_int_equal(lm_encode(again, &same, text, strlen(text), LM_ENCODE_SPECIAL, &err), LM_OK);
    assert_int_equal(same.len, ids.len);
    assert_memory_equal(same.data, ids.data, ids.len * sizeof *ids.data);
    assert_int_equal(lm_bos_id(again), 1);
    assert_int_equal(lm_eos_id(again), 2);
    const char *names[] = { "tokenizer.json", "tokenizer_config.json" };
    for (int i = 0; i < 2; i++) {
        char *file = lm_path_join(folder, names[i]);
        assert_int_equal(remove(file), 0);
        free(file);
    }
    remove(folder);
    lm_ids_free(&ids), lm_ids_free(&same);
    lm_str_free(&back);
    lm_tokenizer_free(tk), lm_tokenizer_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_applied_in_order),
        cmocka_unit_test(specials_need_permission),
        cmocka_unit_test(bytes_survive_the_round_trip),
        cmocka_unit_test(llama2c_vocabulary),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
