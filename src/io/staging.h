/* A folder that appears whole or not at all: written under a temporary name beside its own, made
 * durable, then renamed. */
#ifndef LM_IO_STAGING_H
#define LM_IO_STAGING_H

#include "base/err.h"

#include <stdbool.h>

typedef struct lm_staging {
    char *target;                            /* the folder's name in the end */
    char *path;                              /* where to write until then: TARGET.tmp-PID; NULL: none begun */
} lm_staging;

/* Makes an empty folder to write into (and the parents of the target).  Unless `replace`, a target that
 * exists and is not an empty folder is refused (LM_E_USAGE).  Sweeps what killed processes left for it. */
lm_status lm_staging_begin(lm_staging *s, const char *target, bool replace, lm_err *err);

/* Syncs every file and folder in it and gives it its name, in place of what stood there.  On failure
 * the target is as it was and the temporary folder is gone. */
lm_status lm_staging_commit(lm_staging *s, lm_err *err);
void lm_staging_abort(lm_staging *s);                  /* no-op after commit, and on {0} */

/* Commits when what was written succeeded, aborts when it failed; returns what became of it. */
lm_status lm_staging_end(lm_staging *s, lm_status written, lm_err *err);

/* Removes a folder with all it holds.  It loses its name at once, so that no half of it is ever seen. */
lm_status lm_staging_remove(const char *folder, lm_err *err);

/* Removes the temporary folders and files in `parent` that begin with `prefix` and whose process
 * is no more. */
void lm_staging_sweep(const char *parent, const char *prefix);

#endif
