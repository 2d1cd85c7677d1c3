/* 1 when the answer is the row's "answer", else 0.
 *
 * Both are trimmed.  With a marker, what follows its last occurrence in its line counts (of an answer without it,
 * nothing does; the row's may be bare); "boxed" is the content of the last \boxed{..}. */
#include "reward/extract.h"
#include "reward/reward.h"

#include <stdlib.h>
#include <string.h>

static lm_status open_marker(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    (void)means, (void)err;
    *own = argument ? lm_strdup(argument) : NULL;
    return LM_OK;
}

static double score_one(const char *marker, const lm_attempt *a, lm_span known)
{
    lm_span given = lm_trim(a->text), final;
    if (marker && !lm_final_answer(&given, a->text, marker)) return 0;
    if (marker && lm_final_answer(&final, known, marker)) known = final;
    known = lm_trim(known);
    return given.len == known.len && !memcmp(given.data, known.data, known.len);
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    lm_str known = {0};
    lm_status status = LM_OK;
    for (int64_t i = 0; i < n && status == LM_OK; i++) {
        lm_str_clear(&known);
        status = lm_row_answer(&known, attempts[i].row, err);
        if (status == LM_OK) out[i] = score_one(own, &attempts[i], lm_span_of(known.data ? known.data : "", known.len));
    }
    lm_str_free(&known);
    return status;
}

const lm_reward lm_reward_exact = {
    .name = "exact", .help = "1 when the answer is the row's \"answer\"; with a marker, what follows it (boxed: \\boxed{..})",
    .argument = "MARKER", .open = open_marker, .close = free, .check = lm_row_has_answer, .score = score,
};
