/* What the first reading makes of a row: as a value, and as bytes that a killed run is taken up from (journal.h). */
#ifndef LM_DATA_DEDUP_RECORD_H
#define LM_DATA_DEDUP_RECORD_H

#include "data/dedup.h"

typedef struct lm_dedup_record {
    lm_digest digest;
    lm_overlaps overlaps;
    lm_dedup_document document;          /* line 0: the row cannot be used, err says why */
    lm_err err;
} lm_dedup_record;

void lm_dedup_record_free(lm_dedup_record *r);           /* takes {0} */
void lm_dedup_record_put(lm_str *out, const lm_dedup_record *r);

/* Overwrites *r, whose buffers are used again; false: these bytes are no record. */
bool lm_dedup_record_get(lm_dedup_record *r, lm_span bytes);

#endif
