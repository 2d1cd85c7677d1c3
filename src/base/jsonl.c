/* The JSONL writer of base/log.h.  A line goes out in one write to a descriptor opened for append,
 * so that a reader, and a kill, see it whole or not at all in all but the rarest cases (a full disk,
 * a signal between two parts of a very long line); those are mended here or at the next opening. */
#define _GNU_SOURCE
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lm_jsonl {
    int fd;
    char *path;
    lm_str line;      /* kept, so that a put allocates nothing */
};

static lm_status refused(lm_err *err, const char *path, const char *deed)
{
    return lm_fail(err, LM_E_IO, "%s: cannot %s: %s", path, deed, strerror(errno));
}

static bool write_whole(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        bytes += done, n -= (size_t)done;
    }
    return true;
}

/* What follows the last newline of the file; *begin is where that starts. */
static lm_status read_tail(lm_str *tail, off_t *begin, int fd, const char *path, lm_err *err)
{
    enum { LONGEST = 1 << 26 };
    off_t end = lseek(fd, 0, SEEK_END);
    char chunk[4096];
    *begin = end;
    while (*begin > 0) {
        size_t want = *begin < (off_t)sizeof chunk ? (size_t)*begin : sizeof chunk;
        ssize_t got = pread(fd, chunk, want, *begin - (off_t)want);
        if (got != (ssize_t)want) return refused(err, path, "read");
        const char *newline = memrchr(chunk, '\n', want);
        size_t keep = newline ? want - (size_t)(newline + 1 - chunk) : want;
        *begin -= (off_t)keep;
        if (newline) break;
        if (end - *begin > LONGEST) return lm_fail(err, LM_E_FORMAT, "%s: not JSONL: a line of more than %d bytes", path, LONGEST);
    }
    lm_str_reserve(tail, (size_t)(end - *begin));
    ssize_t got = pread(fd, tail->data, (size_t)(end - *begin), *begin);
    if (got != end - *begin) return refused(err, path, "read");
    tail->len = (size_t)got;
    return LM_OK;
}

static lm_status mend(int fd, const char *path, lm_err *err)
{
    lm_str tail = {0};
    off_t begin;
    lm_status status = read_tail(&tail, &begin, fd, path, err);
    if (status == LM_OK && tail.len) {
        lm_json *doc = lm_json_parse(tail.data, tail.len, path, NULL);
        bool done = json_is_object(doc) ? write_whole(fd, "\n", 1) : ftruncate(fd, begin) == 0;
        if (!done) status = refused(err, path, "write");
        lm_json_free(doc);
    }
    lm_str_free(&tail);
    return status;
}

lm_jsonl *lm_jsonl_open(const char *path, bool append, lm_err *err)
{
    struct stat st;
    bool device = stat(path, &st) == 0 && !S_ISREG(st.st_mode);   /* /dev/stdout, a pipe: nothing to mend */
    int fd = device ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
                    : open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | (append ? 0 : O_TRUNC), 0666);
    if (fd < 0) {
        refused(err, path, "write");
        return NULL;
    }
    if (append && !device && mend(fd, path, err) != LM_OK) {
        close(fd);
        return NULL;
    }
    lm_jsonl *log = lm_calloc(1, sizeof *log);
    log->fd = fd;
    log->path = lm_strdup(path);
    return log;
}

lm_status lm_jsonl_put(lm_jsonl *log, lm_json *object, lm_err *err)
{
    if (!object) return lm_fail(err, LM_E_NUMERIC, "%s: expected a row of finite numbers, found NaN or infinity", log->path);
    lm_str_clear(&log->line);
    lm_json_text(&log->line, object, 0);
    lm_str_putc(&log->line, '\n');
    lm_json_free(object);
    off_t end = lseek(log->fd, 0, SEEK_END);
    if (write_whole(log->fd, log->line.data, log->line.len)) return LM_OK;
    lm_status status = refused(err, log->path, "write");
    if (end >= 0 && ftruncate(log->fd, end) != 0) lm_context(err, "a torn last line is left");
    return status;
}

void lm_jsonl_close(lm_jsonl *log)
{
    if (!log) return;
    close(log->fd);
    free(log->path);
    lm_str_free(&log->line);
    free(log);
}
