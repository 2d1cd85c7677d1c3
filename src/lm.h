/* liblm: a language model through its whole life.  One include for all of it; link with -llm.
 *
 * What an application usually begins with:
 *     token/tokenizer.h   text to ids and back
 *     nn/model.h          load, make and save a model; nn/adapter.h: PEFT adapters on it
 *     infer/session.h     generate, one sequence or thousands together
 *     train/trainer.h     fit a model or an adapter to data
 *     eval/eval.h         measure it
 * Calls return an lm_status and fill an lm_err (base/err.h); the library never prints and never exits. */
#ifndef LM_H
#define LM_H

#include "backend/backend.h"
#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/option.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/thread.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "data/source.h"
#include "eval/eval.h"
#include "infer/classifier.h"
#include "infer/generation.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "io/folder.h"
#include "io/safetensors.h"
#include "io/save.h"
#include "io/stream.h"
#include "nn/adapter.h"
#include "nn/head.h"
#include "nn/model.h"
#include "ops/ops.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "tensor/tape.h"
#include "token/tokenizer.h"
#include "token/train.h"
#include "train/objective.h"
#include "train/trainer.h"

#endif
