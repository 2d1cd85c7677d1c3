/* A list of bytes that grows at its end and is read once it is whole: in memory while it is small, in a
 * nameless file beyond that, which vanishes with the process.
 *
 * The memory that it may use is set aside as addresses when it begins, and becomes real page by page as it is filled:
 * growing copies nothing. */
#ifndef LM_DATA_DEDUP_SPILL_H
#define LM_DATA_DEDUP_SPILL_H

#include "base/err.h"
#include "base/str.h"

typedef struct lm_spill {
    const char *folder;                  /* where its file would be */
    size_t limit;                        /* bytes that it may keep in memory */
    uint8_t *room;                       /* all of the list, or what is not written yet; NULL before the first byte */
    size_t len, cap;                     /* of the room */
    size_t size;                         /* of the list */
    int fd;                              /* -1: no file */
    void *map;
} lm_spill;

/* Borrows folder. */
void lm_spill_init(lm_spill *s, const char *folder, size_t limit);

/* LM_E_IO for a full disk, LM_E_NOMEM where the system has no room for as little as a MiB. */
lm_status lm_spill_put(lm_spill *s, const void *bytes, size_t n, lm_err *err);

/* All of it, aligned to 8 bytes; nothing may be put after.  NULL when it is empty. */
lm_status lm_spill_seal(lm_spill *s, const void **data, lm_err *err);
void lm_spill_free(lm_spill *s);         /* takes {0} with fd < 0, and a spill of which only init ran */

#endif
