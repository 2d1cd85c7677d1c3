#define _GNU_SOURCE
#include "data/dedup/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t CHUNK = 1 << 20;                     /* what is written at once */

void lm_spill_init(lm_spill *s, const char *folder, size_t limit) { *s = (lm_spill){ .folder = folder, .limit = limit, .fd = -1 }; }

/* Where the system does not give away as many addresses, fewer. */
static lm_status make_room(lm_spill *s, lm_err *err)
{
    void *room = MAP_FAILED;
    for (s->cap = s->limit > CHUNK ? s->limit : CHUNK; s->cap >= CHUNK; s->cap /= 2) {
        room = mmap(NULL, s->cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room != MAP_FAILED) break;
    }
    if (room == MAP_FAILED) return lm_fail(err, LM_E_NOMEM, "no memory for what is kept of the documents: %s", strerror(errno));
    s->room = room;
    if (s->limit > s->cap) s->limit = s->cap;
    return LM_OK;
}

static lm_status failed(const lm_spill *s, lm_err *err)
{
    return lm_fail(err, LM_E_IO, "%s: cannot write what does not fit into memory: %s", s->folder, strerror(errno));
}

static lm_status open_file(lm_spill *s, lm_err *err)
{
    lm_str name = {0};
    lm_str_printf(&name, "%s/.malmoi-XXXXXX", s->folder);
    s->fd = mkostemp(name.data, O_CLOEXEC);
    if (s->fd >= 0) unlink(name.data);
    lm_str_free(&name);
    return s->fd >= 0 ? LM_OK : failed(s, err);
}

static lm_status write_bytes(lm_spill *s, const uint8_t *bytes, size_t n, lm_err *err)
{
    while (n) {
        ssize_t done = write(s->fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return failed(s, err);
        bytes += done;
        n -= (size_t)done;
    }
    return LM_OK;
}

static lm_status write_room(lm_spill *s, lm_err *err)
{
    LM_TRY(write_bytes(s, s->room, s->len, err));
    s->len = 0;
    return LM_OK;
}

/* From then on, the first part of the room is a buffer. */
static lm_status begin_file(lm_spill *s, lm_err *err)
{
    LM_TRY(open_file(s, err));
    LM_TRY(write_room(s, err));
    if (s->cap > CHUNK) munmap(s->room + CHUNK, s->cap - CHUNK);
    s->cap = CHUNK;
    return LM_OK;
}

lm_status lm_spill_put(lm_spill *s, const void *bytes, size_t n, lm_err *err)
{
    if (!s->room) LM_TRY(make_room(s, err));
    s->size += n;
    if (s->fd < 0 && s->size > s->limit) LM_TRY(begin_file(s, err));
    if (n > s->cap - s->len) LM_TRY(write_room(s, err));
    if (n > s->cap) return write_bytes(s, bytes, n, err);
    if (n) memcpy(s->room + s->len, bytes, n);
    s->len += n;
    return LM_OK;
}

lm_status lm_spill_seal(lm_spill *s, const void **data, lm_err *err)
{
    *data = s->size ? s->room : NULL;
    if (s->fd < 0) return LM_OK;
    LM_TRY(write_room(s, err));
    s->map = mmap(NULL, s->size, PROT_READ, MAP_SHARED, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return lm_fail(err, LM_E_NOMEM, "%s: a temporary file of %zu bytes cannot be mapped: %s", s->folder, s->size, strerror(errno));
    }
    *data = s->map;
    return LM_OK;
}

void lm_spill_free(lm_spill *s)
{
    if (s->map) munmap(s->map, s->size);
    if (s->fd >= 0) close(s->fd);
    if (s->room) munmap(s->room, s->cap);
    s->map = NULL;
    s->room = NULL;
    s->fd = -1;
}
