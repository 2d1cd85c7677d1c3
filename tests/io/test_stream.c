/* One text read plain, as gzip and as zstd gives the same lines; damaged files are never a short text. */
#include "io/temp.h"

#include "io/stream.h"

#include <zlib.h>
#include <zstd.h>

static lm_str pack_gzip(const char *text, size_t n)
{
    lm_str out = {0};
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    lm_str_reserve(&out, deflateBound(&z, n));
    z.next_in = (Bytef *)(uintptr_t)text, z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out.data, z.avail_out = (uInt)out.cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = z.total_out;
    deflateEnd(&z);
    return out;
}

static lm_str pack_zstd(const char *text, size_t n)
{
    lm_str out = {0};
    lm_str_reserve(&out, ZSTD_compressBound(n));
    out.len = ZSTD_compress(out.data, out.cap, text, n, 3);
    assert_false(ZSTD_isError(out.len));
    return out;
}

static lm_str pack_plain(const char *text, size_t n)
{
    lm_str out = {0};
    lm_str_append(&out, text, n);
    return out;
}

static lm_str (*const packers[3])(const char *, size_t) = { pack_plain, pack_gzip, pack_zstd };

/* Lines whose lengths lie around the sizes of the buffers inside, and one that spans several. */
static lm_str long_text(void)
{
    static const size_t lengths[] = { 0, 1, 131070, 131071, 131072, 3, 262143, 262144, 700000, 0, 5 };
    lm_str text = {0};
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t j = 0; j < lengths[i]; j++) {
            x = x * 1664525u + 1013904223u;
            lm_str_putc(&text, (char)('a' + (x >> 24) % 26));
        }
        lm_str_putc(&text, '\n');
    }
    return text;
}

static void check_lines(const char *path, const lm_str *text)
{
    lm_err err = {0};
    lm_stream *s;
    lm_str line = {0}, joined = {0};
    bool eof = false;
    int64_t n = 0;
    assert_ok(lm_stream_open(&s, path, &err));
    for (;;) {
        assert_ok(lm_stream_line(s, &line, &eof, &err));
        if (eof) break;
        assert_int_equal(lm_stream_number(s), ++n);
        lm_str_append(&joined, line.data, line.len);
        lm_str_putc(&joined, '\n');
        assert_int_equal(lm_stream_place(s), joined.len);
    }
    assert_int_equal(line.len, 0);
    assert_int_equal(joined.len, text->len);
    assert_memory_equal(joined.data, text->data, text->len);
    lm_stream_close(s);
    lm_str_free(&line);
    lm_str_free(&joined);
}

static void test_lines_of_every_packing(void **state)
{
    lm_str text = long_text();
    for (int p = 0; p < 3; p++) {
        lm_str packed = packers[p](text.data, text.len);
        char *path = temp_put(state, "text", packed.data, packed.len);
        check_lines(path, &text);
        free(path);
        lm_str_free(&packed);
    }
    lm_str_free(&text);
}

/* Several members or frames, a skippable frame among them, are one text. */
static void test_joined_members(void **state)
{
    lm_str text = { 0 };
    lm_str_puts(&text, "one\ntwo\nthree\n");
    for (int p = 1; p < 3; p++) {
        lm_str a = packers[p]("one\nt", 5), empty = packers[p]("", 0), b = packers[p]("wo\nthree\n", 9);
        if (p == 2) lm_str_append(&a, "\x51\x2A\x4D\x18\3\0\0\0xyz", 11);
        lm_str_append(&a, empty.data, empty.len);
        lm_str_append(&a, b.data, b.len);
        char *path = temp_put(state, "text", a.data, a.len);
        check_lines(path, &text);
        free(path);
        lm_str_free(&a), lm_str_free(&b), lm_str_free(&empty);
    }
    lm_str_free(&text);
}

static void test_ends_of_lines(void **state)
{
    static const char text[] = "\xEF\xBB\xBF" "first\r\n\r\n\xEF\xBB\xBFkept\rhere\nno newline\r";
    static const char *const lines[] = { "first", "", "\xEF\xBB\xBFkept\rhere", "no newline\r" };
    lm_err err = {0};
    lm_stream *s;
    lm_str line = {0};
    bool eof;
    char *path = temp_put(state, "text", text, sizeof text - 1);
    assert_ok(lm_stream_open(&s, path, &err));
    assert_string_equal(lm_stream_name(s), path);
    for (int i = 0; i < 4; i++) {
        assert_ok(lm_stream_line(s, &line, &eof, &err));
        assert_false(eof);
        assert_string_equal(line.data, lines[i]);
        assert_int_equal(line.len, strlen(lines[i]));
    }
    assert_ok(lm_stream_line(s, &line, &eof, &err));
    assert_true(eof);
    lm_stream_close(s);
    lm_str_free(&line);
    free(path);
}

static void test_bytes_and_lines_in_turn(void **state)
{
    lm_err err = {0};
    lm_stream *s;
    lm_str line = {0};
    bool eof;
    char buffer[8];
    size_t got;
    char *path = temp_put(state, "text", "abcdef\nghi", 10);
    assert_ok(lm_stream_open(&s, path, &err));
    assert_ok(lm_stream_read(s, buffer, 3, &got, &err));
    assert_true(got == 3 && !memcmp(buffer, "abc", 3) && lm_stream_place(s) == 3);
    assert_ok(lm_stream_line(s, &line, &eof, &err));
    assert_string_equal(line.data, "def");
    assert_ok(lm_stream_read(s, buffer, 8, &got, &err));
    assert_true(got == 3 && !memcmp(buffer, "ghi", 3));
    assert_ok(lm_stream_read(s, buffer, 8, &got, &err));
    assert_int_equal(got, 0);
    lm_stream_close(s);
    lm_str_free(&line);
    free(path);
}

static void test_empty(void **state)
{
    lm_str nothing = {0};
    for (int p = 0; p < 3; p++) {
        lm_str packed = packers[p]("", 0);
        char *path = temp_put(state, "text", packed.data, packed.len);
        check_lines(path, &nothing);
        free(path);
        lm_str_free(&packed);
    }
}

/* Reads to the end or to the first error. */
static lm_status read_all(const char *path, size_t *bytes, lm_err *err)
{
    lm_stream *s;
    char buffer[4096];
    size_t got = 1;
    *bytes = 0;
    LM_TRY(lm_stream_open(&s, path, err));
    lm_status status = LM_OK;
    while (status == LM_OK && got) {
        status = lm_stream_read(s, buffer, sizeof buffer, &got, err);
        *bytes += got;
    }
    lm_stream_close(s);
    return status;
}

/* Cut anywhere after the magic number, a packed file is an error, also when all text has come out. */
static void test_cut_short(void **state)
{
    lm_str text = {0};
    for (int i = 0; i < 2000; i++) lm_str_printf(&text, "line %d of the text\n", i * i);
    for (int p = 1; p < 3; p++) {
        lm_str packed = packers[p](text.data, text.len);
        for (size_t n = 4; n < packed.len; n += 1 + n / 40) {
            lm_err err = {0};
            size_t bytes;
            char *path = temp_put(state, "text", packed.data, n);
            assert_refused(read_all(path, &bytes, &err), LM_E_FORMAT, "text: |the file ends too early");
            assert_true(bytes <= text.len);
            free(path);
        }
        lm_str_free(&packed);
    }
    lm_str_free(&text);
}

static void test_damaged(void **state)
{
    lm_str text = {0};
    for (int i = 0; i < 2000; i++) lm_str_printf(&text, "line %d of the text\n", i * i);
    lm_err err = {0};
    size_t bytes;
    lm_str packed = pack_gzip(text.data, text.len);
    packed.data[packed.len - 6] ^= 1;                     /* the checksum in the trailer */
    char *path = temp_put(state, "text", packed.data, packed.len);
    assert_refused(read_all(path, &bytes, &err), LM_E_FORMAT, "gzip data damaged|check");
    free(path);

    packed.data[packed.len - 6] ^= 1;
    lm_str_puts(&packed, "rest");
    path = temp_put(state, "text", packed.data, packed.len);
    assert_refused(read_all(path, &bytes, &err), LM_E_FORMAT, "gzip data damaged");
    free(path);
    lm_str_free(&packed);

    packed = pack_zstd(text.data, text.len);
    memset(packed.data + packed.len / 2, 0xFF, packed.len / 4);
    path = temp_put(state, "text", packed.data, packed.len);
    assert_refused(read_all(path, &bytes, &err), LM_E_FORMAT, "zstd data damaged after");
    free(path);
    lm_str_free(&packed);
    lm_str_free(&text);
}

static void test_line_limit(void **state)
{
    lm_err err = {0};
    lm_stream *s;
    lm_str line = {0};
    bool eof;
    char *path = temp_put(state, "text", "12345\n123456\n", 13);
    assert_ok(lm_stream_open(&s, path, &err));
    lm_stream_limit(s, 5);
    assert_ok(lm_stream_line(s, &line, &eof, &err));
    assert_refused(lm_stream_line(s, &line, &eof, &err), LM_E_FORMAT, "text: line 2: longer than 5 bytes");
    lm_stream_close(s);
    lm_str_free(&line);
    free(path);
}

static void test_not_readable(void **state)
{
    lm_err err = {0};
    lm_stream *s;
    assert_refused(lm_stream_open(&s, "/nowhere/x", &err), LM_E_IO, "/nowhere/x: cannot open: No such");
    assert_null(s);
    assert_refused(lm_stream_open(&s, *state, &err), LM_E_IO, "cannot read: Is a directory");
}

static void test_real_file(void **state)
{
    (void)state;
    static const char path[] = "../shared/data/law_ko/revisions.jsonl.zst";
    if (!lm_file_exists(path)) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    lm_err err = {0};
    lm_stream *s;
    lm_str line = {0};
    bool eof = false;
    assert_ok(lm_stream_open(&s, path, &err));
    while (!eof) {
        assert_ok(lm_stream_line(s, &line, &eof, &err));
        if (!eof) assert_true(line.data[0] == '{' && line.data[line.len - 1] == '}');
    }
    assert_int_equal(lm_stream_number(s), 239);          /* as its README says */
    lm_stream_close(s);
    lm_str_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(test_lines_of_every_packing), temp_test(test_joined_members),
        temp_test(test_ends_of_lines),          temp_test(test_bytes_and_lines_in_turn),
        temp_test(test_empty),                  temp_test(test_cut_short),
        temp_test(test_damaged),                temp_test(test_line_limit),
        temp_test(test_not_readable),           temp_test(test_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
