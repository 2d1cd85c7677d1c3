/* Cleaning: a corpus through a pipeline of filters, in one reading and in memory that does not grow with it.
 *
 * Rows are filtered by all threads and written in their order: kept ones, with the text that the filters left,
 * to one file; rejected ones, as they came and with "rejected_by" and "reason", to another.  The report says
 * of each filter how many documents it saw, rejected and changed, how what it measures is distributed, and
 * shows examples. */
#ifndef LM_DATA_CLEAN_H
#define LM_DATA_CLEAN_H

#include "data/filter.h"

typedef struct lm_clean_options {
    const char *out, *rejected;          /* JSONL; rejected may be NULL */
    const char *report;                  /* JSON, or HTML where its name ends in .html; NULL: none */
    const char *field;                   /* of a row that holds its text; NULL: the usual names */
    const char *format, *separator;      /* as in lm_source_options */
    int on_error;                        /* 0: a malformed row is an error; 1: it is counted */
} lm_clean_options;

/* How a measure is distributed: shares in bins of 1/BINS, counts in bins of an eighth of an octave. */
enum { LM_CLEAN_BINS = 50, LM_CLEAN_PER_OCTAVE = 4, LM_CLEAN_COUNT_BINS = 160, LM_CLEAN_EXAMPLES = 5 };
typedef struct lm_histogram {
    int64_t n, kept[LM_CLEAN_COUNT_BINS], rejected[LM_CLEAN_COUNT_BINS];
    double sum, least, most;
} lm_histogram;

/* Documents of a kind, such as a language. */
typedef struct lm_clean_kind {
    const char *name;                            /* the filter's */
    int64_t kept, rejected;
} lm_clean_kind;

typedef struct lm_clean_filter {
    int64_t seen, rejected, changed, cut;        /* cut: bytes */
    int64_t rejected_bytes;
    int64_t tallies[LM_DOC_VALUES];
    lm_histogram *histograms;                    /* one a measure */
    int n_measures, n_tallies;
    lm_clean_kind *kinds;
    int n_kinds;
    struct { char *place, *reason, *text; } examples[LM_CLEAN_EXAMPLES];
    int n_examples;
} lm_clean_filter;

typedef struct lm_clean_result {
    int64_t documents, kept, changed, bytes, kept_bytes;
    lm_clean_filter *filters;            /* as many as the pipeline has */
    int n_filters;
    double seconds;
    lm_skipped skipped;
} lm_clean_result;

/* Nothing is left of the files unless all went well. */
lm_status lm_clean_files(lm_clean_result *result, const lm_strings *paths, const lm_pipeline *pipeline, const lm_clean_options *options, lm_err *err);
void lm_clean_result_free(lm_clean_result *result);

/* The report as a document, and as a page that needs nothing else (data/clean_page.c). */
lm_json *lm_clean_json(const lm_clean_result *result, const lm_pipeline *pipeline);
void lm_clean_html(lm_str *out, const lm_clean_result *result, const lm_pipeline *pipeline);

/* Where a bin of a histogram begins. */
double lm_histogram_begin(bool counts, int bin);
int lm_histogram_bin(double count);                      /* the one of counts that it falls into */
void lm_histogram_add(lm_histogram *h, bool counts, double value, bool kept);

#endif
