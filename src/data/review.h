/* What a person thinks of what `data clean` did: a stratified sample to judge, and the verdicts brought back.
 *
 * Strata are the documents that were kept, and those that each filter rejected.  A verdict says whether a document is
 * good enough to be trained on.  Of a filter's sample, the share of bad ones is its precision, with Wilson's interval
 * for 95% (Wilson 1927):
 *
 *   (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)        z = 1.96 */
#ifndef LM_DATA_REVIEW_H
#define LM_DATA_REVIEW_H

#include "data/source.h"

typedef struct lm_review_files {
    char *kept, *rejected;               /* what `data clean` wrote; either may be NULL in drawing */
    const char *field;                   /* of a row that holds its text; NULL: the usual names */
} lm_review_files;

/* One stratum: how many documents it has, and how many of those judged were good. */
typedef struct lm_review_stratum {
    char *name;                          /* "kept", or the filter's */
    int64_t documents, drawn, good, bad, open;           /* open: drawn, and without a verdict */
} lm_review_stratum;

typedef struct lm_review {
    lm_review_stratum *items;
    int n;
    int64_t to_kept, to_rejected;        /* rows that changed sides */
} lm_review;
void lm_review_free(lm_review *r);                       /* takes {0} */

/* Draws up to `per_stratum` rows of each stratum, the same for the same seed, into `out`: a table to mark where its name
 * ends in .tsv, else JSONL.  Each row has stratum, line, id, reason, an empty verdict, and the text, of which a table
 * has the white space as single spaces.  `page`, unless NULL: the same as a page with buttons, which saves verdicts. */
lm_status lm_review_draw(lm_review *r, const lm_review_files *files, int64_t per_stratum, uint64_t seed, const char *out, const char *page, lm_err *err);

/* Counts the verdicts ("good", "bad", or nothing) and, where `kept` and `rejected` are not NULL, writes both files anew:
 * what was judged good of the rejected follows the kept ones, what was judged bad of the kept ones the rejected, as
 * rejected_by "review".  LM_E_MISMATCH where a verdict's row is no longer what it was. */
lm_status lm_review_merge(lm_review *r, const lm_review_files *files, const lm_strings *verdicts, const char *kept, const char *rejected, lm_err *err);

/* Ends of Wilson's interval for `hits` of n; 0 and 1 where n is 0. */
void lm_wilson(int64_t hits, int64_t n, double *low, double *high);

#endif
