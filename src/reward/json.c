/* 1 when the answer, trimmed, is one JSON document, else 0. */
#include "reward/extract.h"
#include "reward/reward.h"

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    (void)own, (void)err;
    for (int64_t i = 0; i < n; i++) {
        lm_span text = lm_trim(attempts[i].text);
        lm_json *doc = lm_json_parse(text.data, text.len, "answer", NULL);
        out[i] = doc != NULL;
        lm_json_free(doc);
    }
    return LM_OK;
}

const lm_reward lm_reward_json = { .name = "json", .help = "1 when the answer is valid JSON", .score = score };
