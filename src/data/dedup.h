/* Duplicates: documents, or pieces of them, that a corpus holds more than once.
 *
 * A method is one file, data/dedup/<name>.c.  The corpus is read twice.  The first time a method keeps of
 * each document what it needs (on disk where it is much), then finds what belongs together; the second
 * time documents are written, or left out, or written without the pieces that stand elsewhere as well.  Lines of plain
 * files that stay whole are copied instead (data/dedup/copy.h).
 * Of a cluster of whole documents one is kept, by a rule.  About 60 bytes a document stay in memory. */
#ifndef LM_DATA_DEDUP_H
#define LM_DATA_DEDUP_H

#include "base/option.h"
#include "data/dedup/groups.h"
#include "data/dedup/spill.h"
#include "data/hashes.h"
#include "data/labelled.h"
#include "data/source.h"

#include <stdio.h>

typedef struct lm_dedup lm_dedup;
typedef struct lm_dedup_run lm_dedup_run;
typedef struct lm_against lm_against;

/* What a method keeps of one document until it is added.  {0} is empty; the buffers are used again. */
typedef struct lm_digest {
    lm_str text;
    lm_hashes hashes, keys;
} lm_digest;

/* What it needs on the way, one for each thread. */
typedef struct lm_digest_room {
    lm_str text, other;                  /* the normal form; a step on the way to it */
    lm_hashes hashes;
    lm_hash_set set;
} lm_digest_room;
void lm_digest_free(lm_digest *d);                       /* both take {0} */
void lm_digest_room_free(lm_digest_room *room);

struct lm_dedup {
    const char *name, *source, *help;    /* help: one line */
    const lm_option *options;            /* over options_size bytes */
    size_t options_size;

    lm_status (*open)(lm_dedup_run *run, lm_err *err);                   /* makes run->state */
    void (*digest)(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text);      /* on any thread */
    bool (*fits)(const lm_dedup_run *run, const lm_digest *digest);      /* one that comes from a file has the form of this run's */
    lm_status (*add)(lm_dedup_run *run, const lm_digest *digest, lm_err *err);       /* of document run->n, in order */
    lm_status (*solve)(lm_dedup_run *run, lm_err *err);                  /* joins run->clusters, or finds the pieces */

    /* For methods that take pieces out: appends what is left of the next document.  NULL: whole documents go. */
    void (*edit)(lm_dedup_run *run, lm_str *out, lm_span text);

    void (*describe)(const lm_dedup_run *run, lm_json *report);          /* adds members; NULL: nothing to tell */
    void (*close)(void *state);
};

extern const lm_dedup *const lm_dedup_registry[];
const lm_dedup *lm_dedup_find(const char *name);         /* or NULL */

typedef struct lm_dedup_options {
    lm_strings against;                  /* evaluation sets that the corpus must not overlap with */
    const char *out, *report, *clusters; /* files; clusters: JSONL of all, NULL: not written */
    const char *keep;                    /* "first", "longest" or "newest:FIELD" */
    const char *field;                   /* of a row that holds its text; NULL: the usual names */
    const char *format, *separator;      /* as in lm_source_options */
    const char *folder;                  /* for temporary files; NULL: that of `out`.  Where one is given, a run that was
                                            killed leaves there what its first reading found, and the next goes on from that */
    int64_t memory;                      /* bytes */
    int64_t against_ngram;
    bool against_keep;                   /* overlaps are reported only */
    bool nfc, space, lower, punctuation; /* how a text is normalised: LM_NORMAL_* */
    int on_error;                        /* 0: a malformed row is an error; 1: it is counted */
} lm_dedup_options;

/* A document as the driver remembers it. */
typedef struct lm_dedup_document {
    uint64_t rank, tie;                  /* by the rule: the highest rank is kept, then the lowest tie, then the first */
    int64_t line, bytes;                 /* bytes: of text */
    int64_t place;                       /* where its line begins in its file, which is `length` bytes long; -1: it is no line of a plain file */
    uint32_t length, path;
} lm_dedup_document;

struct lm_dedup_run {
    const lm_dedup *method;
    const void *options;                 /* the method's own */
    const lm_dedup_options *common;
    unsigned normal;                     /* LM_NORMAL_* */
    const char *folder;
    void *state;                         /* the method's own */
    int64_t n;                           /* documents so far */
    lm_clusters clusters;                /* for solve and after */
};

/* The counts of a run. */
typedef struct lm_dedup_result {
    int64_t documents, kept, removed, edited, clusters, largest, contaminated, hits;
    int64_t bytes, kept_bytes;           /* of text */
    int64_t resumed;                     /* rows that a killed run had looked at */
    double seconds;
    lm_skipped skipped;
} lm_dedup_result;

/* `paths` are read twice, so that standard input cannot be one.  Nothing is left of `out` unless all went well. */
lm_status lm_dedup_files(lm_dedup_result *result, const lm_strings *paths, const lm_dedup *method, const void *method_options,
                         const lm_dedup_options *options, lm_err *err);
void lm_dedup_result_free(lm_dedup_result *result);

/* ---- overlap with evaluation sets (data/dedup/against.c) ---- */

/* Every text field of every row of `paths`, as word n-grams (of letters and digits in lower case).  Borrows nothing. */
lm_status lm_against_open(lm_against **out, const lm_strings *paths, const char *format, int n, lm_err *err);
void lm_against_free(lm_against *a);                     /* takes NULL */

/* A document's n-grams that an evaluation set has too, and the rows they come from. */
typedef struct lm_overlap {
    int64_t row;                         /* number of the evaluation row */
    int64_t ngrams;                      /* of the document that the row has */
    lm_str text;                         /* the first of them */
} lm_overlap;
typedef struct lm_overlaps {
    lm_overlap *items;
    size_t n, cap;
} lm_overlaps;
void lm_against_find(const lm_against *a, lm_overlaps *out, lm_digest_room *room, lm_span text);      /* any thread; out is cleared */
lm_overlap *lm_overlaps_add(lm_overlaps *o);             /* one more, whose text may still be that of an earlier use */
void lm_overlaps_free(lm_overlaps *o);
int64_t lm_against_rows(const lm_against *a);            /* rows are numbers below this */
char *lm_against_place(const lm_against *a, int64_t row);        /* "test.jsonl:12"; the caller frees */

#endif
