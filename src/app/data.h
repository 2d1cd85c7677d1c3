/* The subcommands of `malmoi data`, one file data_<name>.c each.  A new one is declared here and listed in cmd_data.c. */
#ifndef LM_APP_DATA_H
#define LM_APP_DATA_H

#include "app/command.h"

extern const lm_command lm_data_agreement, lm_data_clean, lm_data_dedup, lm_data_format, lm_data_grow, lm_data_inspect, lm_data_judge, lm_data_learn, lm_data_mix, lm_data_pack, lm_data_review,
    lm_data_stats_command;

#endif
