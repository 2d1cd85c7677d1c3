#include "train/options.h"

#include "data/source.h"
#include "optim/schedule.h"

#include <math.h>
#include <stddef.h>

static const char *const dtypes[] = { "auto", "f32", "bf16", NULL };

#define OPTION(kind, field, name, ...) LM_OPTION(kind, lm_train_options, field, name, __VA_ARGS__)

const lm_option lm_train_option_table[] = {
    OPTION(STRING, model, "model", .required = true, .metavar = "FOLDER", .help = "model to start from, a Hugging Face folder"),
    OPTION(LIST, data, "data", .required = true, .metavar = "FILE[:WEIGHT],..", .help = "text, JSONL, CSV or TSV, plain, gzip or zstd; or folders of such; or one file of data pack. FILE:3 or FILE:10% says how many of the rows are its own, as in data mix"),
    OPTION(STRING, out, "out", .metavar = "FOLDER", .help = "where the result, its checkpoints and its log go"),

    OPTION(STRING, adapter, "adapter", .fallback = "none", .metavar = "METHOD", .help = "train an adapter and leave the model as it is"),
    OPTION(STRING, load_in, "load-in", .metavar = "FORMAT", .help = "hold the frozen model's linears in nf4, fp4 or int8 (QLoRA), or all its matrices in bf16"),
    OPTION(STRING, optimizer, "optimizer", .fallback = "adamw", .metavar = "METHOD", .help = "what makes an update of a gradient"),
    OPTION(STRING, optim_paged, "optim-paged", .metavar = "FOLDER", .help = "keep what the optimiser remembers in a file there, to be paged out when memory is short"),
    OPTION(INT, steps, "steps", .fallback = "0", .max = 1e12, .help = "updates to make; 0: as many as --epochs takes"),
    OPTION(REAL, epochs, "epochs", .fallback = "1", .min = 0.001, .max = 1e6, .help = "passes over the data, where --steps is not given"),
    OPTION(INT, batch_size, "batch-size", .fallback = "8", .min = 1, .max = 1 << 20, .help = "blocks in a pass through the model"),
    OPTION(INT, accumulate, "accumulate", .fallback = "1", .min = 1, .max = 1 << 20, .help = "passes added up for one update"),
    OPTION(INT, context, "context", .fallback = "0", .max = 1 << 24, .help = "tokens in a block; 0: what the model allows, for plain text up to 512"),
    OPTION(REAL, lr, "lr", .fallback = "0", .max = 100, .help = "learning rate; 0: 1e-4, with an adapter 1e-3"),
    OPTION(CHOICE, schedule, "schedule", .fallback = "cosine", .choices = lm_schedule_names, .help = "how the learning rate falls"),
    OPTION(REAL, warmup, "warmup", .fallback = "0.03", .max = 1e12, .help = "steps in which it climbs; below 1: share of all steps"),
    OPTION(REAL, decay, "decay", .fallback = "0.1", .max = 1e12, .help = "last steps of wsd, in which it falls; below 1: share of all steps"),
    OPTION(REAL, min_lr, "min-lr", .fallback = "0", .max = 100, .help = "learning rate that it falls towards"),
    OPTION(REAL, clip, "clip", .fallback = "1", .max = INFINITY, .help = "largest norm of all gradients together; 0: any"),
    OPTION(INT, seed, "seed", .fallback = "0", .max = 9e15, .help = "of the order, the split, dropout and fresh weights"),

    OPTION(CHOICE, dtype, "dtype", .fallback = "auto", .choices = dtypes, .help = "type to compute in; auto: bf16 where the machine has units for it"),
    OPTION(FLAG, checkpointing, "checkpointing", .help = "recompute activations in backward: less memory, a third more work"),
    OPTION(INT, checkpointing_keep, "checkpointing-keep", .fallback = "0", .max = 1e15, .metavar = "BYTES", .help = "of activations that checkpointing keeps all the same: what is dear to recompute, as far as it goes"),
    OPTION(FLAG, deterministic, "deterministic", .help = "the same bits for any number of threads"),

    OPTION(STRING, format, "format", .fallback = "auto", .metavar = "NAME", .help = "of the data: jsonl, csv, tsv or text; auto: by its name"),
    OPTION(STRING, separator, "document-separator", .metavar = "LINE", .help = "line between two documents of a text file; \"\": an empty line"),
    OPTION(CHOICE, on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a row that is malformed or teaches nothing ends the run, or is left out and counted"),
    OPTION(FLAG, pack, "pack", .help = "documents share a block without seeing each other (default: on for clm, off for sft)"),
    OPTION(FLAG, truncate, "truncate", .help = "cut off what is longer than the context, and count it"),
    OPTION(FLAG, shuffle, "shuffle", .fallback = "true", .help = "a new order in each epoch"),

    OPTION(LIST, val_data, "val-data", .metavar = "FILE,..", .help = "data to measure on"),
    OPTION(REAL, val_split, "val-split", .fallback = "0", .max = 0.9, .help = "share of the data's blocks to measure on instead"),
    OPTION(INT, eval_every, "eval-every", .fallback = "0", .max = 1e12, .help = "steps between measurements; 0: ten in all, and at the end"),
    OPTION(INT, patience, "patience", .fallback = "0", .max = 1e6, .help = "stop after so many measurements without a better one, and keep the best; 0: never"),

    OPTION(INT, save_every, "save-every", .fallback = "500", .max = 1e12, .help = "steps between checkpoints, where a step is a round 10 unless given; 0: only when stopped"),
    OPTION(INT, keep, "keep", .fallback = "2", .max = 1e6, .help = "checkpoints to keep; 0: all"),
    OPTION(FLAG, resume, "resume", .help = "go on from the last checkpoint in --out, to the same bits"),
    OPTION(FLAG, force, "force", .help = "with --resume, also where the adapter's base is another than the run began with"),
    OPTION(FLAG, overwrite, "overwrite", .help = "throw away the run that --out holds"),
    OPTION(FLAG, dry_run, "dry-run", .help = "print memory, steps and tokens; compute and write nothing"),
    OPTION(FLAG, json, "json", .help = "one JSON object on stdout"),
    { 0 },
};
