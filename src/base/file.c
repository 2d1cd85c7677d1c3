#define _GNU_SOURCE
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static lm_status refused(lm_err *err, const char *path, const char *deed, int reason)
{
    return lm_fail(err, LM_E_IO, "%s: cannot %s: %s", path, deed, strerror(reason));
}

/* ---- reading ----------------------------------------------------------------- */

static lm_status open_to_read(int *fd, struct stat *st, const char *path, lm_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return refused(err, path, "open", errno);
    if (fstat(*fd, st) == 0 && !S_ISDIR(st->st_mode)) return LM_OK;
    int reason = S_ISDIR(st->st_mode) ? EISDIR : errno;
    close(*fd);
    return refused(err, path, "read", reason);
}

static lm_status too_large(lm_err *err, const char *path, size_t limit)
{
    return lm_fail(err, LM_E_FORMAT, "%s: larger than the %zu bytes that are read here", path, limit);
}

lm_status lm_file_read(lm_str *out, const char *path, size_t limit, lm_err *err)
{
    int fd;
    struct stat st;
    *out = (lm_str){0};
    LM_TRY(open_to_read(&fd, &st, path, err));
    lm_status status = LM_OK;
    if (S_ISREG(st.st_mode)) {
        if ((uint64_t)st.st_size > limit) {
            status = too_large(err, path, limit);
            goto out;
        }
        out->cap = (size_t)st.st_size + 23;            /* one more would do to see the end without growing */
        out->data = lm_memory_large(out->cap + 1);
    }
    for (;;) {                                        /* a pipe has no size, and a file may grow */
        lm_str_reserve(out, out->len + (out->cap > out->len ? 1 : 65536));
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            status = refused(err, path, "read", errno);
            goto out;
        }
        out->len += (size_t)n;
        if (out->len > limit) {
            status = too_large(err, path, limit);
            goto out;
        }
    }
    out->data[out->len] = '\0';
out:
    close(fd);
    if (status != LM_OK) lm_str_free(out);
    return status;
}

lm_status lm_file_map(lm_mapping *out, const char *path, lm_err *err)
{
    int fd;
    struct stat st;
    *out = (lm_mapping){0};
    LM_TRY(open_to_read(&fd, &st, path, err));
    lm_status status = LM_OK;
    if (!S_ISREG(st.st_mode)) {
        status = lm_fail(err, LM_E_IO, "%s: cannot map: not a regular file", path);
    } else if (st.st_size == 0) {
        out->data = (const uint8_t *)"";              /* the system maps no empty range */
    } else {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) status = refused(err, path, "map", errno);
        else *out = (lm_mapping){ .data = data, .size = (size_t)st.st_size };
    }
    close(fd);
    return status;
}

void lm_mapping_free(lm_mapping *mapping)
{
    if (!mapping) return;
    if (mapping->size) munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (lm_mapping){0};
}

void lm_mapping_unload(const void *data, size_t n)
{
    const uintptr_t page = 4096;
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page, end = ((uintptr_t)data + n) / page * page;
    if (end > begin) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* ---- writing ----------------------------------------------------------------- */

enum { NAME_PART = 180, TEMPORARIES = 1000 };   /* a name of 180 bytes leaves room in NAME_MAX for the rest */

static char *folder_of(const char *path)
{
    size_t n = (size_t)(lm_path_name(path) - path);
    if (n == 0) return lm_strdup(".");
    while (n > 1 && path[n - 1] == '/') n--;
    return lm_strndup(path, n);
}

/* A file without a name in the target's folder, which goes with a process that is killed.  -1 where the file system has none, or
 * no way to give it a name later. */
static int open_nameless(const char *path, mode_t mode)
{
    char *folder = folder_of(path);
    int fd = access("/proc/self/fd", X_OK) == 0 ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode) : -1;
    free(folder);
    return fd;
}

/* Gives the nameless file `from`, or a new one where from < 0, the name `.NAME.tmp-PID[-i]` beside the target.  What a killed process
 * left is stepped over.  The descriptor, or -1. */
static int name_temporary(char **temporary, const char *path, int from, mode_t mode)
{
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", from);
    size_t folder = (size_t)(lm_path_name(path) - path);
    for (int i = 0; i < TEMPORARIES; i++) {
        lm_str name = {0};
        lm_str_append(&name, path, folder);
        lm_str_printf(&name, ".%.*s.tmp-%ld", NAME_PART, path + folder, (long)getpid());
        if (i) lm_str_printf(&name, "-%d", i);
        int fd = from < 0 ? open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) : linkat(AT_FDCWD, source, AT_FDCWD, name.data, AT_SYMLINK_FOLLOW) ? -1 : from;
        *temporary = lm_str_take(&name);
        if (fd >= 0) return fd;
        int reason = errno;
        free(*temporary);
        *temporary = NULL;
        errno = reason;
        if (reason != EEXIST) return -1;
    }
    return -1;
}

lm_status lm_writer_open(lm_writer *w, const char *path, lm_err *err)
{
    *w = (lm_writer){0};
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) return refused(err, path, "write", EISDIR);
    if (*lm_path_name(path) == '\0') return lm_fail(err, LM_E_IO, "%s: cannot write: no file name", *path ? path : "\"\"");

    /* A link keeps pointing where it pointed: the file behind it is what is replaced. */
    char *real = exists ? realpath(path, NULL) : NULL;
    w->path = real ? real : lm_strdup(path);
    bool device = w->device = exists && !S_ISREG(st.st_mode);        /* a terminal, /dev/null, a pipe: nothing to rename over */
    int fd = device ? open(w->path, O_WRONLY | O_CLOEXEC) : open_nameless(w->path, 0666);
    if (fd < 0 && !device) fd = name_temporary(&w->temporary, w->path, -1, 0666);
    if (fd < 0) {
        lm_status status = refused(err, path, "write", errno);
        lm_writer_abort(w);
        return status;
    }
    if (exists && !device && fchmod(fd, st.st_mode & 07777) != 0) errno = 0;   /* the rights of the old file, if we may */
    w->stream = fdopen(fd, "wb");
    if (w->stream) return LM_OK;
    lm_status status = refused(err, path, "write", errno);
    close(fd);
    lm_writer_abort(w);
    return status;
}

/* Makes the rename itself durable.  Some file systems cannot sync a folder; they say EINVAL. */
static int sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return 0;                             /* a folder may be writable and not readable */
    int reason = fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
    close(fd);
    return reason;
}

lm_status lm_writer_commit(lm_writer *w, lm_err *err)
{
    LM_ASSERT(w->stream);
    bool device = w->device;
    errno = 0;
    bool failed = ferror(w->stream) != 0;
    int reason = fflush(w->stream) == 0 ? 0 : errno;
    if (failed && !reason) reason = ENOSPC;           /* stdio forgot the reason; nearly always this one */
    if (!reason && !device && fsync(fileno(w->stream)) != 0) reason = errno;
    if (!reason && !device && !w->temporary && name_temporary(&w->temporary, w->path, fileno(w->stream), 0) < 0) reason = errno;
    if (fclose(w->stream) != 0 && !reason) reason = errno;
    w->stream = NULL;
    if (!reason && !device && rename(w->temporary, w->path) != 0) reason = errno;
    if (!reason && !device) {
        free(w->temporary);
        w->temporary = NULL;
        reason = sync_folder(w->path);
    }
    lm_status status = reason ? refused(err, w->path, "write", reason) : LM_OK;
    lm_writer_abort(w);
    return status;
}

void lm_writer_abort(lm_writer *w)
{
    if (!w) return;
    if (w->stream) fclose(w->stream);
    if (w->temporary) unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    *w = (lm_writer){0};
}

lm_status lm_file_can_write(const char *path, lm_err *err)
{
    lm_writer w;
    if (!path) return LM_OK;
    LM_TRY(lm_writer_open(&w, path, err));
    lm_writer_abort(&w);
    return LM_OK;
}

lm_status lm_file_write(const char *path, const void *bytes, size_t n, lm_err *err)
{
    lm_writer w;
    LM_TRY(lm_writer_open(&w, path, err));
    if (n) fwrite(bytes, 1, n, w.stream);             /* commit reports what went wrong */
    return lm_writer_commit(&w, err);
}

/* ---- paths ------------------------------------------------------------------- */

bool lm_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool lm_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

lm_status lm_make_dirs(const char *path, lm_err *err)
{
    char *part = lm_strdup(path);
    lm_status status = LM_OK;
    for (char *p = part; status == LM_OK && *p; ) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        char held = *p;
        *p = '\0';
        if (mkdir(part, 0777) != 0) {
            int reason = errno;
            if (!lm_is_dir(part)) status = refused(err, part, "make the folder", reason == EEXIST ? ENOTDIR : reason);
        }
        *p = held;
    }
    free(part);
    return status;
}

char *lm_path_join(const char *folder, const char *name)
{
    lm_str path = {0};
    lm_str_puts(&path, folder);
    if (path.len && path.data[path.len - 1] != '/') lm_str_putc(&path, '/');
    lm_str_puts(&path, name);
    return lm_str_take(&path);
}

const char *lm_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

lm_status lm_folder_lock(int *lock, const char *folder, lm_err *err)
{
    *lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0) return lm_fail(err, LM_E_IO, "%s: cannot open: %s", folder, strerror(errno));
    if (!flock(*lock, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) return LM_OK;
    lm_folder_unlock(lock);
    return lm_fail(err, LM_E_IO, "%s: another process is at work there", folder);
}

void lm_folder_unlock(int *lock)
{
    if (*lock >= 0) close(*lock);
    *lock = -1;
}
