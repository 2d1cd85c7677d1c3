#define _GNU_SOURCE
#include "data/dedup/copy.h"

#include "base/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 1 << 17 };                 /* bytes that are copied at once: they stay in the second cache */

typedef struct copier {
    FILE *out;
    const char *name;
    const char *path;                    /* of the file that is open */
    int fd;                              /* -1: none */
    char room[ROOM];
} copier;

bool lm_dedup_lie_plain(const lm_dedup_document *documents, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (documents[i].place < 0) return false;
    return true;
}

static lm_status open_file(copier *c, const char *path, lm_err *err)
{
    if (c->path == path) return LM_OK;
    if (c->fd >= 0) close(c->fd);
    c->path = path;
    c->fd = open(path, O_RDONLY | O_CLOEXEC);
    return c->fd >= 0 ? LM_OK : lm_fail(err, LM_E_IO, "%s: cannot open: %s", path, strerror(errno));
}

static lm_status copy_bytes(copier *c, int64_t at, int64_t end, lm_err *err)
{
    while (at < end) {
        if (lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped; nothing was written");
        ssize_t n = pread(c->fd, c->room, end - at < ROOM ? (size_t)(end - at) : ROOM, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lm_fail(err, LM_E_IO, "%s: cannot read: %s", c->path, strerror(errno));
        if (!n) return lm_fail(err, LM_E_MISMATCH, "%s: was changed while duplicates were looked for", c->path);
        fwrite(c->room, 1, (size_t)n, c->out);
        at += n;
    }
    putc('\n', c->out);
    return ferror(c->out) ? lm_fail(err, LM_E_IO, "%s: cannot be written: is the disk full?", c->name) : LM_OK;
}

/* Whether only a line feed stands between the two. */
static bool follows(const lm_dedup_document *a, const lm_dedup_document *b) { return b->path == a->path && b->place == a->place + a->length + 1; }

lm_status lm_dedup_copy(FILE *out, const char *name, const lm_strings *paths, const lm_dedup_document *documents, int64_t n, const uint8_t *dropped, lm_err *err)
{
    copier *c = lm_malloc(sizeof *c);
    c->out = out, c->name = name, c->path = NULL, c->fd = -1;
    lm_status status = LM_OK;
    for (int64_t i = 0, last; i < n && status == LM_OK; i = last + 1) {
        last = i;
        if (lm_bit(dropped, i)) continue;
        while (last + 1 < n && !lm_bit(dropped, last + 1) && follows(&documents[last], &documents[last + 1])) last++;
        status = open_file(c, paths->items[documents[i].path], err);
        if (status == LM_OK) status = copy_bytes(c, documents[i].place, documents[last].place + documents[last].length, err);
    }
    if (c->fd >= 0) close(c->fd);
    free(c);
    return status;
}
