/* 1 when the last number of the answer equals the last one of the row's "answer", else 0.
 *
 * 1,234 is 1234 and 3.0 is 3; numbers are equal within a millionth of their size.  With a marker, only what
 * follows it counts, as for `exact`. */
#include "reward/extract.h"
#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>

static lm_status open_marker(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    (void)means, (void)err;
    *own = argument ? lm_strdup(argument) : NULL;
    return LM_OK;
}

static bool number_of(double *out, lm_span text, const char *marker)
{
    lm_span final;
    if (marker && lm_final_answer(&final, text, marker)) text = final;
    return lm_last_number(out, text);
}

static lm_status known_number(double *out, const char *marker, const lm_json *row, lm_err *err)
{
    lm_str known = {0};
    lm_status status = lm_row_answer(&known, row, err);
    if (status == LM_OK && !number_of(out, lm_span_of(known.data ? known.data : "", known.len), marker))
        status = lm_fail(err, LM_E_FORMAT, "field \"answer\" has no number");
    lm_str_free(&known);
    return status;
}

static lm_status check(const void *own, const lm_json *row, lm_err *err)
{
    double number;
    return known_number(&number, own, row, err);
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    for (int64_t i = 0; i < n; i++) {
        double known, given;
        lm_span final;
        LM_TRY(known_number(&known, own, attempts[i].row, err));
        bool found = (!own || lm_final_answer(&final, attempts[i].text, own)) && number_of(&given, attempts[i].text, own);
        out[i] = found && fabs(given - known) <= 1e-6 * fmax(1, fabs(known));
    }
    return LM_OK;
}

const lm_reward lm_reward_numeric = {
    .name = "numeric", .help = "1 when the last number of the answer is that of the row's \"answer\"; with a marker, behind it",
    .argument = "MARKER", .open = open_marker, .close = free, .check = check, .score = score,
};
