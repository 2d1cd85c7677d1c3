/* 1 when a regular expression (PCRE2, UTF-8) matches somewhere in the answer, else 0.
 *
 * An answer on which the expression takes more than MATCH_LIMIT steps counts as not matching: what a model writes
 * must not decide how long a run takes.  A comma in the expression is written "\," on the command line. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "reward/reward.h"

#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 1000000 };

typedef struct expression {
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *match;
} expression;

static void close_expression(void *own)
{
    expression *e = own;
    pcre2_match_data_free(e->match);
    pcre2_match_context_free(e->limits);
    pcre2_code_free(e->code);
    free(e);
}

static lm_status open_expression(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    (void)means;
    int number;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)argument, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &number, &at, NULL);
    if (!code) {
        PCRE2_UCHAR why[120];
        pcre2_get_error_message(number, why, sizeof why);
        return lm_fail(err, LM_E_USAGE, "the expression is wrong at character %zu: %s", (size_t)at + 1, (const char *)why);
    }
    expression *e = *own = lm_calloc(1, sizeof *e);
    *e = (expression){ .code = code, .limits = pcre2_match_context_create(NULL), .match = pcre2_match_data_create_from_pattern(code, NULL) };
    if (!e->limits || !e->match) return lm_fail(err, LM_E_NOMEM, "no memory for the expression");
    pcre2_set_match_limit(e->limits, MATCH_LIMIT);
    return LM_OK;
}

/* A byte-level model may write what is no UTF-8: such bytes match nothing. */
static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    (void)err;
    const expression *e = own;
    for (int64_t i = 0; i < n; i++) {
        lm_span text = attempts[i].text;
        out[i] = pcre2_match(e->code, (PCRE2_SPTR)text.data, text.len, 0, 0, e->match, e->limits) >= 0;
    }
    return LM_OK;
}

const lm_reward lm_reward_regex = {
    .name = "regex", .help = "1 when the regular expression matches in the answer", .argument = "EXPRESSION", .needs_argument = true,
    .open = open_expression, .close = close_expression, .score = score,
};
