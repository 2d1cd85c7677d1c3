/* Two buffers: `in` holds bytes of the file, `out` what was unpacked from them.  `text` is the part
 * of the unpacked bytes that nobody has taken yet; for a plain file it lies in `in`. */
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { IN_BYTES = 1 << 17, OUT_BYTES = 1 << 18, MAGIC_BYTES = 4 };

typedef enum packing { PLAIN, GZIP, ZSTD } packing;

struct lm_stream {
    char *name;
    int fd;
    packing packing;
    uint8_t *in, *out;
    size_t in_at, in_len;                    /* in[in_at .. in_len) is not unpacked yet */
    bool in_end;                             /* the file has no more */
    bool within;                             /* inside a gzip member or zstd frame */
    const uint8_t *text;
    size_t text_len;
    z_stream gzip;
    ZSTD_DStream *zstd;
    size_t max_line;
    bool broken;
    bool overlong;                           /* the text that comes next belongs to a line that was refused */
    int64_t number, place, line_place;
    int64_t size, read;                      /* of the file, as it lies; size 0: not known */
};

/* ---- bytes of the file ------------------------------------------------------- */

/* Reads until `in` holds at least `want` unread bytes or the file ends. */
static lm_status read_in(lm_stream *s, size_t want, lm_err *err)
{
    memmove(s->in, s->in + s->in_at, s->in_len - s->in_at);
    s->in_len -= s->in_at;
    s->in_at = 0;
    while (s->in_len < want && !s->in_end) {
        ssize_t n = read(s->fd, s->in + s->in_len, IN_BYTES - s->in_len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lm_fail(err, LM_E_IO, "%s: cannot read: %s", s->name, strerror(errno));
        s->in_end = n == 0;
        s->in_len += (size_t)n;
        s->read += n;
    }
    return LM_OK;
}

/* ---- unpacking --------------------------------------------------------------- */

static lm_status damaged(const lm_stream *s, const char *format, const char *why, lm_err *err)
{
    return lm_fail(err, LM_E_FORMAT, "%s: %s data damaged after %lld bytes of text: %s", s->name, format,
                   (long long)s->place, why ? why : "unknown reason");
}

/* One step of a decoder: takes from `in`, sets text_len to what it put into `out`. */
static lm_status step_gzip(lm_stream *s, lm_err *err)
{
    if (!s->within) inflateReset(&s->gzip);
    s->gzip.next_in = s->in + s->in_at;
    s->gzip.avail_in = (uInt)(s->in_len - s->in_at);
    s->gzip.next_out = s->out;
    s->gzip.avail_out = OUT_BYTES;
    int code = inflate(&s->gzip, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return damaged(s, "gzip", s->gzip.msg, err);
    s->within = code != Z_STREAM_END;
    s->in_at = s->in_len - s->gzip.avail_in;
    s->text_len = OUT_BYTES - s->gzip.avail_out;
    return LM_OK;
}

static lm_status step_zstd(lm_stream *s, lm_err *err)
{
    ZSTD_inBuffer in = { s->in, s->in_len, s->in_at };
    ZSTD_outBuffer out = { s->out, OUT_BYTES, 0 };
    size_t code = ZSTD_decompressStream(s->zstd, &out, &in);
    if (ZSTD_isError(code)) return damaged(s, "zstd", ZSTD_getErrorName(code), err);
    s->within = code != 0;
    s->in_at = in.pos;
    s->text_len = out.pos;
    return LM_OK;
}

/* Makes text_len > 0, or leaves it 0 at the end. */
static lm_status unpack(lm_stream *s, lm_err *err)
{
    while (s->text_len == 0) {
        /* A decoder may still hold output when the file has ended, so it is asked once more. */
        if (s->in_at == s->in_len) LM_TRY(read_in(s, 1, err));
        bool drained = s->in_at == s->in_len;
        if (drained && !s->within) return LM_OK;
        s->text = s->out;
        if (s->packing == PLAIN) {
            s->text = s->in + s->in_at;
            s->text_len = s->in_len - s->in_at;
            s->in_at = s->in_len;
            continue;
        }
        LM_TRY((s->packing == GZIP ? step_gzip : step_zstd)(s, err));
        if (drained && s->within && s->text_len == 0)
            return damaged(s, s->packing == GZIP ? "gzip" : "zstd", "the file ends too early", err);
    }
    return LM_OK;
}

static lm_status refill(lm_stream *s, lm_err *err)
{
    lm_status status = unpack(s, err);
    if (status != LM_OK) s->broken = true;
    return status;
}

static void take(lm_stream *s, size_t n)
{
    s->text += n;
    s->text_len -= n;
    s->place += (int64_t)n;
}

/* ---- opening ----------------------------------------------------------------- */

/* RFC 1952 section 2.3.1; RFC 8878 sections 3.1.1 and 3.1.2 (a file may begin with a skippable frame). */
static packing recognise(const uint8_t *p, size_t n)
{
    if (n >= 2 && p[0] == 0x1F && p[1] == 0x8B) return GZIP;
    if (n >= 4 && p[1] == 0xB5 && p[2] == 0x2F && p[3] == 0xFD && p[0] == 0x28) return ZSTD;
    if (n >= 4 && p[1] == 0x2A && p[2] == 0x4D && p[3] == 0x18 && p[0] >> 4 == 5) return ZSTD;
    return PLAIN;
}

static lm_status start(lm_stream *s, lm_err *err)
{
    LM_TRY(read_in(s, MAGIC_BYTES, err));
    s->packing = recognise(s->in, s->in_len);
    if (s->packing == GZIP && inflateInit2(&s->gzip, 15 + 16) != Z_OK)
        return lm_fail(err, LM_E_NOMEM, "%s: zlib cannot start", s->name);
    if (s->packing == ZSTD && !(s->zstd = ZSTD_createDStream()))
        return lm_fail(err, LM_E_NOMEM, "%s: zstd cannot start", s->name);
    return LM_OK;
}

lm_status lm_stream_open(lm_stream **out, const char *path, lm_err *err)
{
    bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    *out = NULL;
    if (fd < 0) return lm_fail(err, LM_E_IO, "%s: cannot open: %s", path, strerror(errno));
    lm_stream *s = lm_calloc(1, sizeof *s);
    s->name = lm_strdup(standard ? "standard input" : path);
    s->fd = fd;
    s->in = lm_malloc(IN_BYTES);
    s->out = lm_malloc(OUT_BYTES);
    s->max_line = (size_t)1 << 30;
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) s->size = info.st_size;
    lm_status status = start(s, err);
    if (status == LM_OK) *out = s;
    else lm_stream_close(s);
    return status;
}

void lm_stream_close(lm_stream *s)
{
    if (!s) return;
    if (s->packing == GZIP) inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    if (s->fd != STDIN_FILENO) close(s->fd);
    free(s->name);
    free(s->in);
    free(s->out);
    free(s);
}

/* ---- reading ----------------------------------------------------------------- */

static void drop_mark(lm_stream *s, lm_str *line)
{
    if (line->len < 3 || memcmp(line->data, "\xEF\xBB\xBF", 3)) return;
    memmove(line->data, line->data + 3, line->len - 2);     /* with the NUL */
    line->len -= 3;
    s->line_place += 3;
}

/* What is left of a line that was too long. */
static lm_status drop_line(lm_stream *s, lm_err *err)
{
    while (s->overlong) {
        LM_TRY(refill(s, err));
        const uint8_t *newline = s->text_len ? memchr(s->text, '\n', s->text_len) : NULL;
        s->overlong = s->text_len && !newline;
        take(s, newline ? (size_t)(newline - s->text) + 1 : s->text_len);
    }
    return LM_OK;
}

lm_status lm_stream_line(lm_stream *s, lm_str *line, bool *eof, lm_err *err)
{
    lm_str_clear(line);
    LM_TRY(drop_line(s, err));
    LM_TRY(refill(s, err));
    *eof = s->text_len == 0;
    if (*eof) return LM_OK;

    bool first = s->place == 0, ended = false;
    s->number++;
    s->line_place = s->place;
    while (!ended && s->text_len) {
        const uint8_t *newline = memchr(s->text, '\n', s->text_len);
        size_t n = newline ? (size_t)(newline - s->text) : s->text_len;
        if (n > s->max_line - line->len) {
            s->overlong = true;
            lm_str_free(line);
            return lm_fail(err, LM_E_FORMAT, "%s: line %lld: longer than %zu bytes", s->name, (long long)s->number,
                           s->max_line);
        }
        lm_str_append(line, s->text, n);
        ended = newline != NULL;
        take(s, n + ended);
        if (!ended) LM_TRY(refill(s, err));
    }
    if (ended && line->len && line->data[line->len - 1] == '\r') line->data[--line->len] = '\0';
    if (first) drop_mark(s, line);
    return LM_OK;
}

void lm_stream_limit(lm_stream *s, size_t bytes) { s->max_line = bytes; }
bool lm_stream_broken(const lm_stream *s) { return s->broken; }

lm_status lm_stream_read(lm_stream *s, void *buffer, size_t n, size_t *got, lm_err *err)
{
    for (*got = 0; *got < n; ) {
        LM_TRY(refill(s, err));
        if (!s->text_len) break;
        size_t some = s->text_len < n - *got ? s->text_len : n - *got;
        memcpy((uint8_t *)buffer + *got, s->text, some);
        take(s, some);
        *got += some;
    }
    return LM_OK;
}

const char *lm_stream_name(const lm_stream *s) { return s->name; }
int64_t lm_stream_number(const lm_stream *s) { return s->number; }
int64_t lm_stream_line_place(const lm_stream *s) { return s->packing == PLAIN && s->size ? s->line_place : -1; }
double lm_stream_fraction(const lm_stream *s)
{
    double unread = (double)(s->in_len - s->in_at);
    return s->size > 0 ? ((double)s->read - unread) / (double)s->size : 0;
}

int64_t lm_stream_place(const lm_stream *s) { return s->place; }
