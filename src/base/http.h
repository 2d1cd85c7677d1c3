/* HTTP, as a client: a body is posted, a body comes back.
 *
 * libcurl behind one file, opened when it is first wanted, so that what never asks anyone needs no library for it. */
#ifndef LM_BASE_HTTP_H
#define LM_BASE_HTTP_H

#include "base/err.h"
#include "base/str.h"

typedef struct lm_http_request {
    const char *url;                     /* http:// or https:// */
    const char *const *headers;          /* "Name: value", NULL-terminated */
    lm_span body;
    double seconds;                      /* for all of it */
} lm_http_request;

/* Posts; *status is the reply's number and `body` (appended to, up to 16 MiB) what it holds, whatever the number.
 * LM_E_IO where there is no reply; LM_E_UNSUPPORTED where this build or machine has no libcurl.  Redirections are not
 * followed. */
lm_status lm_http_post(long *status, lm_str *body, const lm_http_request *request, lm_err *err);

#endif
