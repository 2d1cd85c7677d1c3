/* A list of bytes that grows at its end and is read once it is whole: in memory while it is small, in a
 * nameless file beyond that, which vanishes with the process. */
#ifndef LM_DATA_DEDUP_SPILL_H
#define LM_DATA_DEDUP_SPILL_H

#include "base/err.h"
#include "base/str.h"

typedef struct lm_spill {
    const char *folder;                  /* where its file would be */
    size_t limit;                        /* bytes that it may keep in memory */
    lm_str room;                         /* all of it, or what is not written yet */
    size_t size, written;
    int fd;                              /* -1: no file */
    void *map;
} lm_spill;

/* Borrows folder. */
void lm_spill_init(lm_spill *s, const char *folder, size_t limit);

/* LM_E_IO for a full disk. */
lm_status lm_spill_put(lm_spill *s, const void *bytes, size_t n, lm_err *err);

/* All of it, aligned to 8 bytes; nothing may be put after.  NULL when it is empty. */
lm_status lm_spill_seal(lm_spill *s, const void **data, lm_err *err);
void lm_spill_free(lm_spill *s);         /* takes {0} with fd < 0, and a spill of which only init ran */

#endif
