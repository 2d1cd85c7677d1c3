/* Rows of training data, from files of several formats, one after the other.
 *
 * A row is an object (JSONL, CSV, TSV) or a text.  A format is one file, data/<name>.c; packed files
 * (gzip, zstd) are read by io/stream whatever their format.  Everything is checked to be UTF-8. */
#ifndef LM_DATA_SOURCE_H
#define LM_DATA_SOURCE_H

#include "base/json.h"
#include "base/option.h"
#include "io/stream.h"

typedef struct lm_row {
    const char *path;                    /* of its file; the source's */
    int64_t line;                        /* its first line, from 1 */
    size_t bytes;                        /* that it took in the file */
    int64_t place;                       /* of a line of JSONL in a plain file: where it begins; else -1 */
    lm_json *object;                     /* NULL for plain text */
    lm_str text;                         /* plain text, or the line of a raw row */
    bool raw;                            /* a line of JSONL that nobody has looked at yet */
} lm_row;
void lm_row_free(lm_row *row);           /* what it owns; takes {0} */

/* Makes the object of a raw row, whose line stays in text; nothing to do for others.  Messages name file and line. */
lm_status lm_row_parse(lm_row *row, lm_err *err);

/* The text of a row: itself, or its string field `field`.  LM_E_FORMAT tells what the row has instead. */
lm_status lm_row_text(const lm_row *row, const char *field, lm_span *out, lm_err *err);

/* Its field `field` that is true or false, or 1 or 0. */
lm_status lm_row_truth(const lm_row *row, const char *field, bool *out, lm_err *err);

/* Whether the row is an object with that field. */
bool lm_row_has(const lm_row *row, const char *field);

/* Rows that could not be used and were passed over: how many, and what was wrong with the first of them. */
enum { LM_SKIPPED_LISTED = 100 };
typedef struct lm_skipped {
    int64_t n;
    lm_strings messages;                 /* at most LM_SKIPPED_LISTED */
} lm_skipped;
void lm_skipped_tell(const lm_skipped *skipped);     /* warns (lm_log) of the first few, and of how many they are */
void lm_skipped_free(lm_skipped *skipped);   /* takes {0} */

/* The choices of --on-error: 0 ends the run at a malformed row, 1 leaves it out and counts it. */
extern const char *const lm_on_error[];

typedef struct lm_source_options {
    const char *format;                  /* of every file; NULL or "auto": by its name */
    const char *separator;               /* plain text: the line that stands between two documents; NULL: none */
    bool raw;                            /* rows of JSONL come as lines, for lm_row_parse on other threads */
    lm_skipped *skipped;                 /* malformed rows are counted here; NULL: the first one is an error */
    const lm_strings *columns;           /* names of a table's columns whose first line holds none (or these); NULL: it holds them */
} lm_source_options;

typedef struct lm_source lm_source;

/* Paths are files, "-" for standard input, folders, of which every file with a known ending is read
 * in the order of names, or patterns as a shell has them ("acts-*.jsonl.zst") where no file is called so.  Every file is looked at before the first is read.  Paths are copied; options
 * are the caller's. */
lm_status lm_source_open(lm_source **out, const lm_strings *paths, const lm_source_options *options, lm_err *err);
lm_status lm_source_next(lm_source *s, lm_row *row, bool *more, lm_err *err);      /* *more false: no row */

/* For a row that came well but cannot be used: counts it where such rows are passed over, and forgets the
 * error; else gives it back. */
lm_status lm_source_pass_over(lm_source *s, lm_err *err);
bool lm_source_skips(const lm_source *s);                                          /* it passes over such rows */
const char *lm_source_name(const lm_source *s);                                    /* of its first file */
void lm_source_stamp(const lm_source *s, lm_str *out);                             /* appends "name size time" of each file, a line each */
void lm_source_close(lm_source *s);                                                /* takes NULL */

/* ---- for formats ---- */

/* One file that is being read. */
typedef struct lm_row_reader {
    lm_stream *stream;
    const lm_source_options *options;
    lm_str line;                         /* room for the format */
    lm_strings header;                   /* column names of a table, once read */
    bool done;                           /* a format of one row has given it */
} lm_row_reader;

typedef struct lm_row_format {
    const char *name;
    const char *const *endings;          /* ".jsonl", NULL-terminated */
    /* Fills line, bytes and object or text; *more false at the end of the file. */
    lm_status (*next)(lm_row_reader *r, lm_row *row, bool *more, lm_err *err);
} lm_row_format;

extern const lm_row_format *const lm_row_format_registry[];

/* The next line of the file, known to be UTF-8, into r->line.  Messages name file and line. */
lm_status lm_row_line(lm_row_reader *r, bool *more, lm_err *err);

/* The first call takes the fields over as column names; later ones make row->object of them.  *header
 * says which it was. */
lm_status lm_row_from_fields(lm_row_reader *r, lm_row *row, lm_strings *fields, bool *header, lm_err *err);

#endif
