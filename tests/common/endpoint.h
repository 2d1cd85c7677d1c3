/* An endpoint that speaks OpenAI's chat completions and follows a script: a process of its own, on a port of its own. */
#ifndef LM_TEST_ENDPOINT_H
#define LM_TEST_ENDPOINT_H

#include <sys/types.h>

/* What the test sees of it, and may change while it runs. */
typedef struct endpoint_state {
    int requests;                  /* that came */
    int busy;                      /* so many next ones are answered 503 */
    int keyed;                     /* requests with "Authorization: Bearer sesame" */
    int patience;                  /* > 0: the so-many-th request from now on is not answered until this is 0 again */
    int cut;                       /* answers say that they were cut off */
} endpoint_state;

/* The answer to the last message of a request, for the endpoint to free; NULL: it is refused with 400. */
typedef char *(*endpoint_script)(const char *question);

typedef struct endpoint {
    int port;
    pid_t pid;
    volatile endpoint_state *state;
} endpoint;

int endpoint_start(endpoint *e, endpoint_script script);           /* 0, or -1 */
void endpoint_stop(endpoint *e);

#endif
