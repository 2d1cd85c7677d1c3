/* Work over all rows of a source in rounds: some are read, all threads work on them, and what came of them
 * is taken in the order of the files.  Memory does not grow with the number of rows. */
#ifndef LM_DATA_ROUNDS_H
#define LM_DATA_ROUNDS_H

#include "data/source.h"

enum { LM_ROUND_ROWS = 1024 };

/* Reads the rows of a round, which the caller frees: up to LM_ROUND_ROWS of them, or a MiB for each thread, at most
 * 8 MiB.  *n counts those read also after a failure; *more is false at the end of the source. */
lm_status lm_round_read(lm_source *source, lm_row rows[LM_ROUND_ROWS], int64_t *n, bool *more, lm_err *err);

typedef struct lm_row_work {
    size_t slot_size;                    /* bytes that `each` leaves for `take`; cleared once, kept from round to round */
    void (*slot_free)(void *slot);       /* what a slot owns; NULL: nothing */

    /* On several threads at once, `worker` of them being the caller: 0 .. lm_threads() - 1.  NULL: nothing. */
    void (*each)(void *context, int worker, lm_row *row, void *slot);

    /* On one thread, row after row.  May take the row's object or text over. */
    lm_status (*take)(void *context, lm_row *row, void *slot, lm_err *err);
} lm_row_work;

/* Stops at the first failure, and with LM_E_INTERRUPT when the user asks to stop. */
lm_status lm_rows_work(lm_source *source, const lm_row_work *work, void *context, lm_err *err);

/* Appends the row as a line of JSON; plain text becomes {"text": ...}. */
void lm_row_put_json(lm_str *out, const lm_row *row);

/* Makes `text` the row's text, in the field that it was read from (NULL for plain text). */
void lm_row_set_text(lm_row *row, const char *field, lm_span text);

#endif
