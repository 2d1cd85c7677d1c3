/* Another program that answers lines: one is written to its standard input, one is read from its standard
 * output.  What it says on standard error goes where ours does. */
#ifndef LM_BASE_CHILD_H
#define LM_BASE_CHILD_H

#include "base/err.h"
#include "base/str.h"

typedef struct lm_child {
    long pid;                            /* 0: none is running */
    int wire;                            /* a socket, both ways */
    lm_str behind;                       /* read, and not yet asked for */
} lm_child;

/* Starts `sh -c command` in a process group of its own, so that Ctrl-C is ours alone. */
lm_status lm_child_start(lm_child *c, const char *command, lm_err *err);

/* Sends a line (its newline is added) and waits up to `seconds` for the next one, which comes without its newline.
 * LM_E_IO says what went wrong instead: it ended, it is silent, its line is longer than 1 MiB. */
lm_status lm_child_ask(lm_child *c, lm_str *out, lm_span line, double seconds, lm_err *err);

/* Ends it, with what it started; takes {0} and one that has ended. */
void lm_child_stop(lm_child *c);

#endif
