/* What long work tells: a progress line on a terminal, plain lines elsewhere, JSONL in a file.
 * The library never prints by itself: it calls the sink, which the program sets. */
#ifndef LM_BASE_LOG_H
#define LM_BASE_LOG_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum lm_level { LM_LOG_DEBUG, LM_LOG_INFO, LM_LOG_WARN } lm_level;

/* Where messages go; the default sink drops them.  `text` has no newline.  The sink is set before
 * threads start and is called on the thread that has something to say. */
typedef void (*lm_log_sink)(lm_level level, const char *text, void *context);
void lm_log_set(lm_log_sink sink, void *context);
void lm_log(lm_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A progress line: redrawn in place on a terminal at most ten times a second, printed every
 * `seconds` elsewhere.  Quiet when stream is NULL. */
typedef struct lm_progress {
    FILE *stream;
    bool terminal;
    double last, every;
    size_t drawn;                     /* columns of the line that stands */
} lm_progress;
lm_progress lm_progress_start(FILE *stream, double seconds);
void lm_progress_draw(lm_progress *p, bool force, const char *format, ...) __attribute__((format(printf, 3, 4)));
void lm_progress_clear(lm_progress *p);                   /* takes the line away, to print something else */
void lm_progress_end(lm_progress *p);                     /* leaves the last line standing */

/* "2d 03h", "1h 02m", "3m 20s", "12s"; "1.4 GiB", "17 B"; "7.2B", "12.3k", "999".  What is no finite
 * number, and a negative time, is "?".  buffer of at least 24 bytes; returned. */
char *lm_format_seconds(char *buffer, double seconds);
char *lm_format_bytes(char *buffer, double bytes);
char *lm_format_count(char *buffer, double count);

double lm_now(void);                                      /* seconds, monotonic */

/* JSONL: one object a line, written whole so that a reader never sees half a line among others.
 * Opening for append mends what a killed writer left: a last line without its newline is completed
 * when it is a JSON document, and cut off when it is not.  Otherwise the file begins empty.
 * One writer a file. */
typedef struct lm_jsonl lm_jsonl;
lm_jsonl *lm_jsonl_open(const char *path, bool append, lm_err *err);

/* Takes the object.  NULL (json_pack refuses NaN and infinity) is an error, and so is a full disk,
 * after which the file ends with the last whole line. */
lm_status lm_jsonl_put(lm_jsonl *log, lm_json *object, lm_err *err);
void lm_jsonl_close(lm_jsonl *log);                       /* takes NULL */

#endif
