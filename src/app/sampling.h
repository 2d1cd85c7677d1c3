/* The sampling options of a command that generates. */
#ifndef LM_APP_SAMPLING_H
#define LM_APP_SAMPLING_H

#include "app/command.h"
#include "infer/sampler.h"

/* A command's `prepare`: adds the options and leaves their lm_sampling in call->own.  What the model's
 * generation_config.json says comes after our own defaults and before what the user gives. */
lm_status lm_call_sampling(lm_call *call, lm_err *err);

#endif
