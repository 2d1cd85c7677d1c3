/* The rows that stay, copied from where they lie: for lines of plain files, which a second reading would only pass on.
 *
 * What stands together is copied together, with the line feeds between; each line ends in one, whatever it ended in. */
#ifndef LM_DATA_DEDUP_COPY_H
#define LM_DATA_DEDUP_COPY_H

#include "data/dedup.h"

/* Whether every document is a line whose place is known. */
bool lm_dedup_lie_plain(const lm_dedup_document *documents, int64_t n);

/* Appends to `out`, whose name is `name`, the lines of those of n documents whose bit in `dropped` is not set; a document's
 * path is one of `paths`.  LM_E_MISMATCH where a file is shorter than it was, LM_E_IO, LM_E_INTERRUPT. */
lm_status lm_dedup_copy(FILE *out, const char *name, const lm_strings *paths, const lm_dedup_document *documents, int64_t n, const uint8_t *dropped, lm_err *err);

#endif
