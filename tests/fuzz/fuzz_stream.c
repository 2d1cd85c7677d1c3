/* Text streams: read by lines and by bytes, a file gives the same text or the same error. */
#include "common/test.h"
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 22 };                     /* a few bytes can unpack to gigabytes */

/* *place: how much text was read. */
static lm_status read_lines(const char *path, int64_t *place, lm_err *err)
{
    lm_stream *s;
    lm_str line = {0};
    bool eof = false;
    LM_TRY(lm_stream_open(&s, path, err));
    lm_stream_limit(s, MOST);
    lm_status status = LM_OK;
    while (status == LM_OK && !eof && *place < MOST) {
        status = lm_stream_line(s, &line, &eof, err);
        LM_ASSERT(status != LM_OK || eof == (lm_stream_place(s) == *place));
        LM_ASSERT(line.len == 0 || !memchr(line.data, '\n', line.len));
        *place = lm_stream_place(s);
    }
    lm_stream_close(s);
    lm_str_free(&line);
    return status;
}

static lm_status read_bytes(const char *path, int64_t *place, lm_err *err)
{
    static char buffer[5000];
    lm_stream *s;
    size_t got = 1;
    LM_TRY(lm_stream_open(&s, path, err));
    lm_status status = LM_OK;
    while (status == LM_OK && got && *place < MOST) {
        status = lm_stream_read(s, buffer, sizeof buffer, &got, err);
        *place = lm_stream_place(s);
    }
    lm_stream_close(s);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err by_line = {0}, by_byte = {0};
    int64_t lines = 0, bytes = 0;
    char *path = test_path("fuzz.txt");
    FILE *out = fopen(path, "wb");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
    lm_status a = read_lines(path, &lines, &by_line), b = read_bytes(path, &bytes, &by_byte);
    LM_ASSERT(a == by_line.code && b == by_byte.code);
    if (lines < MOST && bytes < MOST) {
        LM_ASSERT(a == b && lines == bytes);
        LM_ASSERT(strcmp(by_line.message, by_byte.message) == 0);
    }
    remove(path);
    free(path);
    return 0;
}
