#define _GNU_SOURCE
#include "data/dedup/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t CHUNK = 1 << 20;

void lm_spill_init(lm_spill *s, const char *folder, size_t limit) { *s = (lm_spill){ .folder = folder, .limit = limit, .fd = -1 }; }

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

static lm_status write_room(lm_spill *s, lm_err *err)
{
    for (size_t at = 0; at < s->room.len;) {
        ssize_t n = write(s->fd, s->room.data + at, s->room.len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(s, err);
        at += (size_t)n;
    }
    s->written += s->room.len;
    lm_str_clear(&s->room);
    return LM_OK;
}

lm_status lm_spill_put(lm_spill *s, const void *bytes, size_t n, lm_err *err)
{
    lm_str_append(&s->room, bytes, n);
    s->size += n;
    if (s->fd < 0 && s->size > s->limit) {
        LM_TRY(open_file(s, err));
        LM_TRY(write_room(s, err));
        lm_str_free(&s->room);
    }
    return s->fd >= 0 && s->room.len >= CHUNK ? write_room(s, err) : LM_OK;
}

lm_status lm_spill_seal(lm_spill *s, const void **data, lm_err *err)
{
    *data = s->size ? s->room.data : NULL;
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
    lm_str_free(&s->room);
    s->map = NULL;
    s->fd = -1;
}
