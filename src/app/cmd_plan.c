/* malmoi plan: what a training run will take, without computing it. */
#include "app/training.h"

#include <string.h>

/* `plan train clm ...` takes a command line as it stands. */
static lm_status prepare(lm_call *call, lm_err *err)
{
    if (call->argc > 0 && !strcmp(call->argv[0], "train")) call->argc--, call->argv++;
    return lm_training_prepare(call, err);
}

static lm_status run(lm_call *call, lm_err *err)
{
    lm_training *training = call->own;
    lm_plan plan;
    LM_TRY(lm_call_args(call, 0, 0, "no argument but the objective", err));
    LM_TRY(lm_call_kernels(call, &training->kernels, err));
    LM_TRY(lm_plan_make(&plan, &training->config, err));
    lm_print_plan(&plan, training->config.o->json);
    return LM_OK;
}

const lm_command lm_command_plan = {
    .name = "plan", .group = "training", .summary = "memory, steps and tokens of a training run before any work",
    .usage = "[train] OBJECTIVE --model FOLDER --data FILE [options of train]",
    .example = "malmoi plan train clm --model MODEL --adapter lora --data text.txt",
    .notes = "Takes the command line of a run as it stands.  The data is read; nothing is computed or written.",
    .options = lm_train_option_table, .values_size = sizeof(lm_train_options),
    .prepare = prepare, .topics = lm_training_topics, .run = run,
};
