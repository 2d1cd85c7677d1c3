#define _GNU_SOURCE
#include "base/arena.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

lm_status lm_arena_init(lm_arena *arena, const char *name, size_t size, lm_arena_kind kind, lm_err *err)
{
    const size_t page = (size_t)2 << 20;
    *arena = (lm_arena){ .name = name, .kind = kind };
    if (size > SIZE_MAX - page)
        return lm_fail(err, LM_E_NOMEM, "%s arena: %zu bytes exceed the address space", name, size);
    size = (size + page - 1) / page * page;
    int rights = kind == LM_ARENA_COUNT ? PROT_NONE : PROT_READ | PROT_WRITE;
    void *base = mmap(NULL, size, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return lm_fail(err, LM_E_NOMEM, "%s arena: the system refused %zu MiB of address space", name, size >> 20);
    if (kind == LM_ARENA_REAL) madvise(base, size, MADV_HUGEPAGE);   /* advice only; either answer is fine */
    arena->base = base;
    arena->size = size;
    return LM_OK;
}

/* A file of `size` bytes without a name; -1 with errno set when there is none to be had. */
static int nameless_file(const char *folder, size_t size)
{
    char *path = lm_path_join(folder, ".paged-XXXXXX");
    int fd = mkstemp(path), reason = 0;
    if (fd >= 0) {
        unlink(path);
        reason = posix_fallocate(fd, 0, (off_t)size);
        if (reason) close(fd), fd = -1, errno = reason;
    }
    free(path);
    return fd;
}

lm_status lm_arena_init_file(lm_arena *arena, const char *name, size_t size, const char *folder, lm_err *err)
{
    const size_t page = (size_t)2 << 20;
    *arena = (lm_arena){ .name = name, .kind = LM_ARENA_REAL };
    if (size > (size_t)INT64_MAX - page) return lm_fail(err, LM_E_NOMEM, "%s arena: %zu bytes exceed the address space", name, size);
    size = (size / page + 1) * page;
    int fd = nameless_file(folder, size);
    if (fd < 0) return lm_fail(err, LM_E_IO, "%s: no room for a file of %zu MiB: %s", folder, size >> 20, strerror(errno));
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED) return lm_fail(err, LM_E_NOMEM, "%s arena: the system refused to map %zu MiB of %s", name, size >> 20, folder);
    arena->base = base;
    arena->size = size;
    return LM_OK;
}

void lm_arena_small_pages(lm_arena *arena) { madvise(arena->base, arena->size, MADV_NOHUGEPAGE); }

void lm_arena_free(lm_arena *arena)
{
    if (!arena || !arena->base) return;
    munmap(arena->base, arena->size);
    *arena = (lm_arena){0};
}

void *lm_arena_alloc(lm_arena *arena, size_t bytes)
{
    if (bytes > arena->size - arena->used) return NULL;
    size_t need = (bytes + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
    if (need > arena->size - arena->used) return NULL;
    void *block = arena->base + arena->used;
    arena->used += need;
    if (arena->used > arena->peak) arena->peak = arena->used;
    return block;
}

void *lm_arena_zalloc(lm_arena *arena, size_t bytes)
{
    LM_ASSERT(arena->kind == LM_ARENA_REAL);
    void *block = lm_arena_alloc(arena, bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

void lm_arena_release(lm_arena *arena, size_t mark)
{
    LM_ASSERT(mark <= arena->used);
    arena->used = mark;
}
