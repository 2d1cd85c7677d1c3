/* A file of records that a killed run is taken up from.
 *
 * The file begins with a key, which says what the records belong to.  Records are written in parts, each with its length
 * and a hash: a part that was being written when the run was killed is not whole, and the file ends before it.
 * Numbers are those of the machine: the file is for the run that wrote it, not for others. */
#ifndef LM_DATA_DEDUP_JOURNAL_H
#define LM_DATA_DEDUP_JOURNAL_H

#include "base/err.h"
#include "base/str.h"

typedef struct lm_journal {
    char *path;
    int fd;
    int64_t end;                         /* of the parts that are whole and known */
    lm_str part;                         /* records that are not written yet; while reading, those of a part ... */
    size_t at;                           /* ... and how far they are read */
    bool reading;                        /* there may be more parts */
} lm_journal;

/* Makes the file, or opens it to be read.  LM_E_MISMATCH where it has another key, LM_E_IO where another process has it. */
lm_status lm_journal_open(lm_journal *j, const char *path, lm_span key, lm_err *err);

/* The next record, borrowed until the next call; *more false: there is none, and records may be put. */
lm_status lm_journal_next(lm_journal *j, lm_span *record, bool *more, lm_err *err);
lm_status lm_journal_put(lm_journal *j, lm_span record, lm_err *err);

/* Writes what is left, as far as the disk has room; `done` removes the file.  Takes {0}. */
void lm_journal_close(lm_journal *j, bool done);

#endif
