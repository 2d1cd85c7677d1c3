/* Errors: a status to branch on and one line of text to show.
 *
 * I/O and configuration return an lm_status and fill an lm_err.  The first
 * message wins, because the first failure is the cause; callers add context in
 * front of it ("model.safetensors: tensor lm_head.weight: ...").  A message has
 * no newline, no "error:" and names what was expected and what was found.
 * A broken invariant of our own is not an error but a bug: LM_BUG aborts. */
#ifndef LM_BASE_ERR_H
#define LM_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

typedef enum lm_status {
    LM_OK = 0,
    LM_E_USAGE,        /* the command line or an option file; the program exits 2 */
    LM_E_IO,           /* the operating system refused: missing, unreadable, full */
    LM_E_FORMAT,       /* bytes that do not follow their format */
    LM_E_MISMATCH,     /* two things that must agree do not (shape, vocabulary, base) */
    LM_E_UNSUPPORTED,  /* well-formed, but nothing here implements it */
    LM_E_NOMEM,        /* a large allocation was refused */
    LM_E_NUMERIC,      /* NaN or infinity where a number must stand */
    LM_E_INTERRUPT,    /* the user asked to stop */
} lm_status;

typedef struct lm_err {
    lm_status code;
    char message[1000];
} lm_err;

/* Records a failure and returns `code`, so that `return lm_fail(...)` reads well.
 * An err that already holds a failure keeps it.  err may be NULL. */
lm_status lm_fail(lm_err *err, lm_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message, if there is one; returns err's code. */
lm_status lm_context(lm_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Forgets the failure, for a caller that has dealt with it. */
void lm_err_clear(lm_err *err);

/* Stops the program with file, line and message: an invariant of malmoi itself is broken. */
_Noreturn void lm_bug(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define LM_BUG(...) lm_bug(__FILE__, __LINE__, __VA_ARGS__)
#define LM_ASSERT(cond) ((cond) ? (void)0 : LM_BUG("assertion failed: %s", #cond))

/* Leaves the enclosing function with the status of a call that failed. */
#define LM_TRY(call)                          \
    do {                                      \
        lm_status lm_try_status = (call);     \
        if (lm_try_status != LM_OK) return lm_try_status; \
    } while (0)

#endif
