/* malmoi data: from raw text to text that can be trusted. */
#include "app/data.h"

#include "base/log.h"

enum { TOLD = 5 };

void lm_data_warn_skipped(const lm_skipped *skipped)
{
    for (int i = 0; i < skipped->messages.n && i < TOLD; i++) lm_log(LM_LOG_WARN, "passed over: %s", skipped->messages.items[i]);
    if (skipped->n > TOLD) lm_log(LM_LOG_WARN, "passed over %lld rows in all", (long long)skipped->n);
}

static const lm_command *const commands[] = { &lm_data_clean, &lm_data_dedup, &lm_data_judge, &lm_data_agreement, NULL };

const lm_command lm_command_data = {
    .name = "data",
    .group = "data",
    .summary = "clean texts, find duplicates, look at what is there",
    .example = "malmoi data dedup corpus.jsonl --method minhash --out unique.jsonl",
    .commands = commands,
};
