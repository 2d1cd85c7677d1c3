/* A judge: who answers a question in words, an OpenAI-compatible endpoint or a model of one's own. */
#ifndef LM_APP_JUDGE_H
#define LM_APP_JUDGE_H

#include "app/open.h"

typedef struct lm_judge lm_judge;

typedef struct lm_judge_options {
    const char *endpoint;                    /* "http://localhost:8000/v1"; NULL: the model is a folder */
    const char *model;                       /* what the endpoint calls it, or the folder */
    const char *key;                         /* of the endpoint, or NULL */
    const char *load_in;                     /* of a folder, or NULL */
    int dtype;
    int64_t max_tokens;                      /* of an answer */
    int64_t retries;                         /* when an endpoint fails to answer, or is busy */
    double temperature, seconds;             /* and how long an answer may take there */
    int64_t seed;
} lm_judge_options;

/* `options` outlives the judge. */
lm_status lm_judge_open(lm_judge **out, const lm_call *call, const lm_judge_options *options, lm_err *err);
void lm_judge_close(lm_judge *j);            /* takes NULL */

/* The answer to a question, appended; `system` may be NULL. */
lm_status lm_judge_ask(lm_judge *j, lm_str *answer, const char *system, const char *question, lm_err *err);

#endif
