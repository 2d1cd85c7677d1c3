/* Running the program under test ($MALMOI, else build/malmoi) and looking at what came of it. */
#ifndef LM_TEST_PROGRAM_H
#define LM_TEST_PROGRAM_H

#include "base/str.h"

#include <sys/types.h>

typedef struct program {
    int code;                      /* exit status, or -1 when a signal ended it */
    int signal;                    /* that signal, or 0 */
    lm_str out, err;
} program;

/* Runs it with the arguments (NULL-terminated) and `input` on stdin (NULL: empty) until it ends. */
void program_run(program *p, const char *input, const char *const *args);
void program_free(program *p);

/* The same, the arguments as one line cut at spaces ('' is an empty one, nothing else is quoted). */
void program_line(program *p, const char *input, const char *line);

/* A program that runs while the test does something to it.  Its stdin stays open. */
typedef struct running {
    pid_t pid;
    int in, out, err;
} running;
void program_start(running *r, const char *line);
void program_wait_for(running *r, lm_str *out, size_t bytes);      /* until that much has come on stdout */
void program_finish(running *r, program *p);                       /* closes stdin, takes what it says, waits */

#endif
