/* Files: read whole, mapped, and written so that nothing existing is ever half-written.
 * Messages name the path and the system's reason. */
#ifndef LM_BASE_FILE_H
#define LM_BASE_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <stdio.h>

/* The whole file as a string; refuses one larger than `limit` bytes. */
lm_status lm_file_read(lm_str *out, const char *path, size_t limit, lm_err *err);

/* A read-only mapping of a file.  {0} is none; an empty file has size 0 and data that is not NULL.
 * Nobody may cut the file short while it is mapped: the system answers the next read with SIGBUS. */
typedef struct lm_mapping {
    const uint8_t *data;
    size_t size;
} lm_mapping;
lm_status lm_file_map(lm_mapping *out, const char *path, lm_err *err);
void lm_mapping_free(lm_mapping *mapping);

/* Says that `n` mapped bytes will not be read soon: their whole pages leave this process's memory and
 * come back from the file if they are read after all. */
void lm_mapping_unload(const void *data, size_t n);

/* Atomic writing: a temporary file in the target's folder that takes its name on commit
 * (flush, fsync, rename, fsync of the folder) and vanishes on abort.  Write through `stream`;
 * errors of the stream, a full disk among them, surface in commit, which ends the writer either way.
 * The new file has the rights of the old one.  A symbolic link keeps its place: the file behind it is
 * replaced.  What is not a regular file (/dev/null, a pipe) is written to directly.  Until commit the file has
 * no name, so that a process that is killed leaves nothing; where the file system has no such files it leaves
 * `.NAME.tmp-PID`, which nothing reads and later writers step over. */
typedef struct lm_writer {
    FILE *stream;
    char *path, *temporary;      /* temporary: its name until it has that of path; NULL while it has none */
    bool device;
} lm_writer;
lm_status lm_writer_open(lm_writer *w, const char *path, lm_err *err);
lm_status lm_writer_commit(lm_writer *w, lm_err *err);
void lm_writer_abort(lm_writer *w);                               /* no-op after commit, and on {0} */

/* Whether a writer can be opened there, for files that are written at the end of long work; NULL can. */
lm_status lm_file_can_write(const char *path, lm_err *err);

/* Writes `n` bytes to path atomically. */
lm_status lm_file_write(const char *path, const void *bytes, size_t n, lm_err *err);

bool lm_file_exists(const char *path);
bool lm_is_dir(const char *path);
lm_status lm_make_dirs(const char *path, lm_err *err);            /* mkdir -p */
/* Takes a folder for this process, until the lock is closed or the process ends.  LM_E_IO when another one has it;
 * a file system that knows no locks gives one to everybody. */
lm_status lm_folder_lock(int *lock, const char *folder, lm_err *err);
void lm_folder_unlock(int *lock);                                 /* takes -1, and leaves it */
char *lm_path_join(const char *folder, const char *name);         /* caller frees */
const char *lm_path_name(const char *path);                       /* what follows the last slash */

#endif
