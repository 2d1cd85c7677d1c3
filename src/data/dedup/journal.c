#define _GNU_SOURCE
#include "data/dedup/journal.h"

#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t PART_BYTES = 1 << 18;
static const char mark[16] = "malmoi dedup 1\n";

typedef struct head {
    uint64_t bytes, hash;
} head;

static lm_status failed(const lm_journal *j, const char *what, lm_err *err) { return lm_fail(err, LM_E_IO, "%s: cannot be %s: %s", j->path, what, strerror(errno)); }

static lm_status write_at(lm_journal *j, const void *bytes, size_t n, int64_t at, lm_err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t some = pwrite(j->fd, (const char *)bytes + done, n - done, (off_t)(at + (int64_t)done));
        if (some < 0 && errno == EINTR) continue;
        if (some < 0) return failed(j, "written", err);
        done += (size_t)some;
    }
    return LM_OK;
}

/* False at the end of the file. */
static bool read_at(const lm_journal *j, void *bytes, size_t n, int64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t some = pread(j->fd, (char *)bytes + done, n - done, (off_t)(at + (int64_t)done));
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) return false;
        done += (size_t)some;
    }
    return true;
}

/* A part that is whole becomes j->part. */
static bool read_part(lm_journal *j)
{
    head h;
    struct stat info;
    if (fstat(j->fd, &info) || !read_at(j, &h, sizeof h, j->end)) return false;
    if (h.bytes > (uint64_t)(info.st_size - j->end) - sizeof h) return false;
    lm_str_clear(&j->part);
    lm_str_reserve(&j->part, (size_t)h.bytes);
    if (!read_at(j, j->part.data, (size_t)h.bytes, j->end + (int64_t)sizeof h)) return false;
    if (lm_hash(j->part.data, (size_t)h.bytes, 0) != h.hash) return false;
    j->part.len = (size_t)h.bytes;
    j->at = 0;
    j->end += (int64_t)(sizeof h + h.bytes);
    return true;
}

static lm_status write_part(lm_journal *j, lm_err *err)
{
    head h = { .bytes = j->part.len, .hash = lm_hash(j->part.data, j->part.len, 0) };
    if (!j->part.len) return LM_OK;
    LM_TRY(write_at(j, &h, sizeof h, j->end, err));
    LM_TRY(write_at(j, j->part.data, j->part.len, j->end + (int64_t)sizeof h, err));
    j->end += (int64_t)(sizeof h + h.bytes);
    lm_str_clear(&j->part);
    return LM_OK;
}

lm_status lm_journal_open(lm_journal *j, const char *path, lm_span key, lm_err *err)
{
    char found[sizeof mark];
    struct stat info;
    *j = (lm_journal){ .path = lm_strdup(path), .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) };
    if (j->fd < 0 || fstat(j->fd, &info)) return failed(j, "opened", err);
    if (flock(j->fd, LOCK_EX | LOCK_NB)) return lm_fail(err, LM_E_IO, "%s: another run is writing it", path);
    size_t had = info.st_size < (off_t)sizeof mark ? (size_t)info.st_size : sizeof mark;
    if (!read_at(j, found, had, 0) || memcmp(found, mark, had))
        return lm_fail(err, LM_E_FORMAT, "%s: expected what a run of data dedup left, found another file", path);
    j->end = sizeof mark;
    j->reading = had == sizeof mark && read_part(j);
    if (j->reading && (j->part.len != key.len || memcmp(j->part.data, key.data, key.len)))
        return lm_fail(err, LM_E_MISMATCH, "%s: was left by a run over other files, or with other options: remove it, or give another --work", path);
    if (j->reading) {
        j->at = j->part.len;
        return LM_OK;
    }
    LM_TRY(write_at(j, mark, sizeof mark, 0, err));      /* new, or killed before its key was whole */
    lm_str_clear(&j->part);
    lm_str_append(&j->part, key.data, key.len);
    return write_part(j, err);
}

lm_status lm_journal_next(lm_journal *j, lm_span *record, bool *more, lm_err *err)
{
    uint64_t n;
    if (j->reading && j->at == j->part.len && !read_part(j)) {
        j->reading = false;
        lm_str_clear(&j->part);
        if (ftruncate(j->fd, (off_t)j->end)) return failed(j, "written", err);
    }
    *more = j->reading;
    if (!*more) return LM_OK;
    bool fits = j->part.len - j->at >= sizeof n;
    if (fits) memcpy(&n, j->part.data + j->at, sizeof n);
    if (!fits || n > j->part.len - j->at - sizeof n) return lm_fail(err, LM_E_FORMAT, "%s: a record does not end", j->path);
    *record = lm_span_of(j->part.data + j->at + sizeof n, (size_t)n);
    j->at += sizeof n + (size_t)n;
    return LM_OK;
}

lm_status lm_journal_put(lm_journal *j, lm_span record, lm_err *err)
{
    uint64_t n = record.len;
    lm_str_append(&j->part, &n, sizeof n);
    lm_str_append(&j->part, record.data, record.len);
    return j->part.len >= PART_BYTES ? write_part(j, err) : LM_OK;
}

void lm_journal_close(lm_journal *j, bool done)
{
    if (!j->path) return;
    if (j->fd >= 0) {
        if (done) unlink(j->path);
        else if (!j->reading) write_part(j, NULL);
        close(j->fd);
    }
    lm_str_free(&j->part);
    free(j->path);
    *j = (lm_journal){0};
}
