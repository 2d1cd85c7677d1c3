/* What a corpus holds: lengths, scripts, duplicates, diversity of n-grams; in one reading and little memory.
 *
 * A row of instructions (a conversation, a prompt with its answer) counts as the text of all its parts.
 *
 * Lengths are counted in bins of a quarter of an octave, in which percentiles are interpolated.  How many
 * documents, lines and n-grams of words are different is estimated (Flajolet et al. 2007, HyperLogLog, with
 * 2^14 registers: a standard error of 0.8%). */
#ifndef LM_DATA_STATS_H
#define LM_DATA_STATS_H

#include "data/clean.h"

enum { LM_STATS_NGRAMS = 3, LM_HYPERLOGLOG_BITS = 14 };

/* Counts how many of the hashes put into it are different. */
typedef struct lm_hyperloglog {
    uint8_t registers[1 << LM_HYPERLOGLOG_BITS];
} lm_hyperloglog;
void lm_hyperloglog_put(lm_hyperloglog *h, uint64_t hash);
void lm_hyperloglog_merge(lm_hyperloglog *into, const lm_hyperloglog *from);
double lm_hyperloglog_count(const lm_hyperloglog *h);

/* Numbers from 0 on. */
typedef struct lm_lengths {
    int64_t n, sum, least, most;
    int64_t bins[LM_CLEAN_COUNT_BINS];       /* as lm_histogram_begin has them */
} lm_lengths;
double lm_lengths_percentile(const lm_lengths *l, double share);         /* 0.5 is the median */

/* The document that is nearest to a topic's centre; of equals the one of the lowest line, and then the least text. */
typedef struct lm_topic_nearest {
    double score;
    int64_t line;
    char *text;                              /* its beginning; NULL: the topic has no document */
} lm_topic_nearest;

typedef struct lm_data_stats {
    int64_t documents, empty, bytes, lines;
    lm_lengths chars, words;                 /* of documents */
    lm_counts counts;
    lm_hyperloglog *documents_seen, *lines_seen;
    lm_hyperloglog *ngrams_seen;             /* [LM_STATS_NGRAMS], for n = 1 .. */
    int64_t ngrams[LM_STATS_NGRAMS];
    lm_strings languages;                    /* those that the model knows, if one was given */
    int64_t *of_language;                    /* documents whose most probable language it is */
    lm_strings topics;                       /* and those of a model of topics */
    int64_t *of_topic;                       /* [topics.n + 1]; the last counts documents without one */
    lm_topic_nearest *nearest;               /* [topics.n] */
    lm_json *roles, *templates;              /* objects of counts: messages by who speaks, rows by the template that they say they are from */
    lm_lengths messages;                     /* of rows that have any */
    lm_skipped skipped;
} lm_data_stats;

typedef struct lm_data_stats_options {
    const char *field, *format, *separator;
    int on_error;                            /* as in lm_clean_options */
    const char *languages, *topics;          /* models of `data learn --kind language` and `--kind topics`, or NULL */
} lm_data_stats_options;

lm_status lm_data_stats_files(lm_data_stats *out, const lm_strings *paths, const lm_data_stats_options *options, lm_err *err);
void lm_data_stats_free(lm_data_stats *stats);

#endif
