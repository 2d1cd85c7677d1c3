/* Text streams: a file read once from front to back, plain, gzip or zstd, in bounded memory.
 *
 * The packing is recognised by the first bytes, never by the name; files of several gzip members or
 * zstd frames read as one text.  A stream that ends inside one is an error, not an end. */
#ifndef LM_IO_STREAM_H
#define LM_IO_STREAM_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lm_stream lm_stream;

/* Opens a path, or standard input for "-". */
lm_status lm_stream_open(lm_stream **out, const char *path, lm_err *err);
void lm_stream_close(lm_stream *s);                                /* takes NULL */

/* The next line without its "\n" or "\r\n"; the last one needs none.  *eof says that there was no line
 * more (`line` is then empty).  A byte order mark in front of the first line is dropped.  Bytes are not
 * checked to be UTF-8.  LM_E_FORMAT for damaged packing and for a line longer than the limit. */
lm_status lm_stream_line(lm_stream *s, lm_str *line, bool *eof, lm_err *err);

/* The longest line that is read; 1 GiB unless set.  After the error the stream goes on behind that line. */
void lm_stream_limit(lm_stream *s, size_t bytes);

/* Whether reading or unpacking has failed, so that nothing more comes. */
bool lm_stream_broken(const lm_stream *s);

/* Up to n bytes as they come; *got < n only at the end.  Lines and bytes may be read in turn. */
lm_status lm_stream_read(lm_stream *s, void *buffer, size_t n, size_t *got, lm_err *err);

const char *lm_stream_name(const lm_stream *s);                    /* the path, or "standard input" */
int64_t lm_stream_number(const lm_stream *s);                      /* of the line read last, from 1 */
int64_t lm_stream_line_place(const lm_stream *s);                  /* where it begins in the file; -1 where that is packed, or none */
double lm_stream_fraction(const lm_stream *s);                     /* of the file that is read, 0..1; 0 for a pipe */
int64_t lm_stream_place(const lm_stream *s);                       /* bytes of unpacked text read so far */

#endif
