/* The rows of all sources of a mixture, as lines of JSONL, and the groups that they fall into. */
#ifndef LM_DATA_MIX_STORE_H
#define LM_DATA_MIX_STORE_H

#include "base/map.h"
#include "data/dedup/spill.h"
#include "data/mix.h"

/* Rows of a source with the same topic and a difficulty in the same bin. */
typedef struct lm_mix_group {
    char *name;                          /* "law", "law, bin 2 of 5", or "" where a source has one group */
    uint32_t *rows;                      /* [n], in the store */
    int64_t n;
    int64_t drawn;                       /* so far, in all stages */
} lm_mix_group;

typedef struct lm_mix_rows {
    int64_t n;
    lm_mix_group *groups;
    int n_groups;
} lm_mix_rows;

typedef struct lm_mix_store {
    lm_spill spill;
    const char *text;                    /* all lines, once every source is read */
    uint64_t *ends;                      /* [n] where a line ends in it */
    int64_t n;
    size_t cap;
    lm_mix_rows *sources;                /* of each source of the mixture */
    int n_sources;
} lm_mix_store;

/* Reads every source.  LM_E_FORMAT where one holds no row. */
lm_status lm_mix_store_read(lm_mix_store *s, const lm_mix *m, const lm_mix_options *o, const char *folder, lm_skipped *skipped, lm_err *err);
void lm_mix_store_free(lm_mix_store *s);                 /* after a failure as well, and {0} with spill.fd < 0 */

static inline lm_span lm_mix_store_line(const lm_mix_store *s, uint32_t row)
{
    uint64_t begin = row ? s->ends[row - 1] : 0;
    return lm_span_of(s->text + begin, s->ends[row] - begin);
}

#endif
