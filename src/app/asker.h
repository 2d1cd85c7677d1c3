/* Who is asked in words: an endpoint that speaks OpenAI's chat completions, or a model of one's own. */
#ifndef LM_APP_ASKER_H
#define LM_APP_ASKER_H

#include "app/open.h"
#include "data/asking.h"

typedef struct lm_asker_options {
    const char *endpoint;                    /* "http://localhost:8000/v1"; NULL: the model is a folder */
    const char *model;                       /* what the endpoint calls it, or the folder */
    const char *key_variable;                /* of the environment, which holds the endpoint's key; or NULL */
    const char *load_in;                     /* of a folder, or NULL */
    int dtype;
    int64_t retries;                         /* when an endpoint fails to answer, or is busy */
    int64_t parallel;                        /* questions at once */
    double seconds;                          /* that an answer may take there */
    int64_t seed;
} lm_asker_options;

/* The options of a command whose values are a `type` with lm_asker_options in `field`. */
#define LM_OPTIONS_ASKER(type, field) \
    LM_OPTION(STRING, type, field.model, "model", .required = true, .metavar = "NAME", .help = "who is asked: what the endpoint calls it, or a model's folder"), \
    LM_OPTION(STRING, type, field.endpoint, "endpoint", .metavar = "URL", .help = "ask there instead: any that speaks OpenAI's chat completions, such as http://localhost:8000/v1"), \
    LM_OPTION(STRING, type, field.key_variable, "key-variable", .metavar = "NAME", .help = "environment variable that holds the endpoint's key"), \
    LM_OPTION(REAL, type, field.seconds, "timeout", .fallback = "120", .min = 0.1, .max = 86400, .help = "seconds that an endpoint may take for an answer"), \
    LM_OPTION(INT, type, field.retries, "retries", .fallback = "3", .max = 100, .help = "when it cannot be reached, or is busy"), \
    LM_OPTION(INT, type, field.parallel, "parallel", .fallback = "8", .min = 1, .max = 256, .help = "questions that are under way at once"), \
    LM_OPTION(STRING, type, field.load_in, "load-in", .metavar = "FORMAT", .help = "for a folder: hold the linears' weights in nf4, fp4 or int8, or all matrices in bf16"), \
    LM_OPTION(CHOICE, type, field.dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices, .help = "type to compute in, for a folder"), \
    LM_OPTION(INT, type, field.seed, "seed", .fallback = "0", .max = 9e15, .help = "of what is drawn: what it says at a temperature above 0, and what it is asked")

typedef struct lm_asker_link lm_asker_link;

/* `options` outlives the link; `*asker` is how it is asked.  LM_E_USAGE where the environment lacks the key. */
lm_status lm_asker_open(lm_asker_link **out, lm_asker *asker, const lm_call *call, const lm_asker_options *options, lm_err *err);
void lm_asker_close(lm_asker_link *link);    /* takes NULL */

#endif
