/* The settings of a training run that do not belong to an objective, an optimiser or an adapter. */
#ifndef LM_TRAIN_OPTIONS_H
#define LM_TRAIN_OPTIONS_H

#include "base/option.h"

enum { LM_SAVE_ROUNDS = 10 };                      /* --save-every of an objective with rounds, which take minutes */

typedef struct lm_train_options {
    const char *model, *load_in, *out, *adapter, *optimizer, *optim_paged, *format, *separator;
    lm_strings data, val_data;
    int64_t steps, batch_size, accumulate, context, seed, save_every, keep, eval_every, patience, checkpointing_keep;
    double epochs, lr, warmup, decay, min_lr, clip, val_split;
    int schedule, dtype, on_error;
    bool shuffle, pack, in_order, truncate, resume, force, overwrite, checkpointing, deterministic, dry_run, json;
} lm_train_options;

extern const lm_option lm_train_option_table[];

#endif
