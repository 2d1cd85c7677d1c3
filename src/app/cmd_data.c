/* malmoi data: from raw text to text that can be trusted. */
#include "app/data.h"

static const lm_command *const commands[] = { &lm_data_clean, &lm_data_learn, &lm_data_review, &lm_data_dedup, &lm_data_mix, &lm_data_pack, &lm_data_format, &lm_data_grow, &lm_data_stats_command, &lm_data_inspect, &lm_data_judge, &lm_data_agreement, NULL };

const lm_command lm_command_data = {
    .name = "data",
    .group = "data",
    .summary = "clean texts, find duplicates, mix sources, make instructions, look at what is there",
    .example = "malmoi data dedup corpus.jsonl --method minhash --out unique.jsonl",
    .commands = commands,
};
