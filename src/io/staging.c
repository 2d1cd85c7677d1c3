#define _GNU_SOURCE
#include "io/staging.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK_FDS = 16 };
static const char mark[] = ".tmp-";          /* followed by the process id */

static lm_status refused(lm_err *err, const char *path, const char *deed, int reason)
{
    return lm_fail(err, LM_E_IO, "%s: cannot %s: %s", path, deed, strerror(reason));
}

/* ---- trees ------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type, (void)place;
    return remove(path) == 0 ? 0 : errno;
}

/* 0, or the system's reason. */
static int remove_tree(const char *path)
{
    int reason = nftw(path, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS);
    return reason < 0 ? errno : reason;
}

/* Some file systems cannot sync a folder; they say EINVAL. */
static int sync_entry(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)place;
    if (type == FTW_SL) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int reason = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return reason;
}

static int sync_tree(const char *path)
{
    int reason = nftw(path, sync_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS);
    return reason < 0 ? errno : reason;
}

static bool is_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return false;
    int n = 0;
    while (n < 3 && readdir(dir)) n++;       /* "." and ".." are two */
    closedir(dir);
    return n == 2;
}

/* ---- names ------------------------------------------------------------------- */

static char *parent_of(const char *path)
{
    size_t n = (size_t)(lm_path_name(path) - path);
    while (n > 1 && path[n - 1] == '/') n--;
    return n ? lm_strndup(path, n) : lm_strdup(".");
}

static char *without_slash(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return lm_strndup(path, n);
}

/* target has no slash at its end. */
static char *temporary_of(const char *target)
{
    lm_str name = {0};
    lm_str_printf(&name, "%s%s%ld", target, mark, (long)getpid());
    return lm_str_take(&name);
}

/* The process of a temporary name, or 0. */
static pid_t owner_of(const char *name)
{
    const char *at = strstr(name, mark);
    if (!at) return 0;
    char *end;
    long pid = strtol(at + strlen(mark), &end, 10);
    return *end == '\0' && pid > 0 && pid < INT32_MAX ? (pid_t)pid : 0;
}

void lm_staging_sweep(const char *parent, const char *prefix)
{
    DIR *dir = opendir(parent);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir)); ) {
        pid_t pid = lm_starts_with(entry->d_name, prefix) ? owner_of(entry->d_name) : 0;
        if (pid == 0 || pid == getpid() || kill(pid, 0) == 0 || errno != ESRCH) continue;
        char *path = lm_path_join(parent, entry->d_name);
        remove_tree(path);                   /* what cannot be removed is in nobody's way */
        free(path);
    }
    closedir(dir);
}

/* ---- the folder -------------------------------------------------------------- */

static void forget(lm_staging *s)
{
    free(s->target);
    free(s->path);
    *s = (lm_staging){0};
}

lm_status lm_staging_begin(lm_staging *s, const char *target, bool replace, lm_err *err)
{
    *s = (lm_staging){0};
    if (!replace && lm_file_exists(target) && !(lm_is_dir(target) && is_empty(target)))
        return lm_fail(err, LM_E_USAGE, "%s: exists already; choose another folder, or say --force to replace it", target);
    s->target = without_slash(target);
    s->path = temporary_of(s->target);

    char *parent = parent_of(s->target);
    lm_status status = lm_make_dirs(parent, err);
    if (status == LM_OK) {
        lm_staging_sweep(parent, lm_path_name(s->target));
        remove_tree(s->path);                /* of an earlier process that had our number */
        if (mkdir(s->path, 0777) != 0) status = refused(err, s->path, "make the folder", errno);
    }
    free(parent);
    if (status != LM_OK) forget(s);
    return status;
}

/* Puts the new folder in place of an old one in one step where the file system can.  0, or the reason. */
static int take_name(const char *path, const char *target)
{
    if (rename(path, target) == 0) return 0;                    /* nothing there, or an empty folder */
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) return errno;
    if (renameat2(AT_FDCWD, path, AT_FDCWD, target, RENAME_EXCHANGE) == 0) {
        remove_tree(path);                   /* what stays of the old one is swept another time */
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) return errno;
    int reason = remove_tree(target);
    return reason ? reason : rename(path, target) == 0 ? 0 : errno;
}

lm_status lm_staging_commit(lm_staging *s, lm_err *err)
{
    LM_ASSERT(s->path);
    int reason = sync_tree(s->path);
    if (!reason) reason = take_name(s->path, s->target);
    if (!reason) {
        char *parent = parent_of(s->target);
        reason = sync_entry(parent, NULL, FTW_D, NULL);
        free(parent);
    }
    lm_status status = reason ? refused(err, s->target, "write the folder", reason) : LM_OK;
    lm_staging_abort(s);
    return status;
}

void lm_staging_abort(lm_staging *s)
{
    if (!s) return;
    if (s->path && lm_file_exists(s->path)) remove_tree(s->path);
    forget(s);
}

lm_status lm_staging_remove(const char *folder, lm_err *err)
{
    char *name = without_slash(folder), *path = temporary_of(name);
    int reason = rename(name, path) == 0 ? remove_tree(path) : errno;
    free(name);
    free(path);
    return reason ? refused(err, folder, "remove", reason) : LM_OK;
}

lm_status lm_staging_end(lm_staging *s, lm_status written, lm_err *err)
{
    if (written == LM_OK) return lm_staging_commit(s, err);
    lm_staging_abort(s);
    return written;
}
