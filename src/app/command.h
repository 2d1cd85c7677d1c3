/* Commands: what a file cmd_<name>.c has to say, and what the shell around it (main.c) does for it.
 *
 * A command is one file that ends in `const lm_command lm_command_<name> = {`; nothing else is edited.
 * A function `run` gets an lm_call whose options are parsed and checked.  It writes its result to
 * stdout with stdio, and returns a status; the shell prints the error, looks after the exit code
 * (0 done, 1 failed, 2 bad usage) and reports a stdout that could not be written.
 *
 *     typedef struct echo_options { bool upper; } echo_options;
 *     static const lm_option options[] = {
 *         LM_OPTION(FLAG, echo_options, upper, "upper", .help = "in capitals"),
 *         { 0 },
 *     };
 *     static lm_status run(lm_call *call, lm_err *err)
 *     {
 *         const echo_options *o = call->values;
 *         LM_TRY(lm_call_args(call, 1, 1, "TEXT", err));
 *         printf("%s\n", call->args.items[0]);
 *         return LM_OK;
 *     }
 *     const lm_command lm_command_echo = {
 *         .name = "echo", .group = "models", .summary = "print a text",
 *         .usage = "TEXT [options]", .example = "malmoi echo hello",
 *         .options = options, .values_size = sizeof(echo_options), .run = run,
 *     };
 *
 * `--json`: a command that has the flag prints one JSON object (lm_print_json) and nothing else on
 * stdout.  What long work tells goes through lm_log and lm_progress to stderr.  A command that Ctrl-C
 * stops (base/signal.h) returns LM_E_INTERRUPT and ends by the signal, so that a shell's loop around
 * it stops as well. */
#ifndef LM_APP_COMMAND_H
#define LM_APP_COMMAND_H

#include "base/err.h"
#include "base/json.h"
#include "base/option.h"
#include "base/str.h"
#include "tensor/kernel.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lm_command lm_command;
typedef struct lm_call lm_call;

struct lm_command {
    const char *name;
    const char *group;                   /* "models", "training", "data", "this machine": heading in --help */
    const char *summary;                 /* one line, lower case, no full stop */
    const char *usage;                   /* what follows the name: "MODEL [options]" */
    const char *example;                 /* lines that work, shown first by --help */
    const char *notes;                   /* shown last by --help; NULL for none */
    const lm_option *options;            /* over values_size bytes, cleared; NULL for none */
    size_t values_size;

    /* A command that is only a table of others (`tokenizer encode`): a NULL-terminated list. */
    const lm_command *const *commands;

    /* Further option sets, chosen from the raw arguments before anything is parsed: an objective's, an
     * adapter's.  Uses lm_call_pick, lm_call_peek and lm_call_add.  For --help it is called with
     * call->help set and must then bear absent arguments.  NULL for none. */
    lm_status (*prepare)(lm_call *call, lm_err *err);

    /* Appends to --help what a registry offers (lm_help_entry).  NULL for none. */
    void (*topics)(lm_str *out);

    lm_status (*run)(lm_call *call, lm_err *err);
};

extern const lm_command *const lm_command_registry[];

enum { LM_CALL_SETS = 8 };

/* Options that every command takes. */
typedef struct lm_common {
    int64_t threads;
    bool verbose, quiet;
    const char *backend;
} lm_common;

/* One run of a command. */
struct lm_call {
    const lm_command *command;
    const char *parent;                  /* "tokenizer" of `tokenizer encode`, or NULL */
    int argc;                            /* arguments after the command's name ... */
    char **argv;                         /* ... not yet parsed */
    bool help;                           /* --help stands among them */
    void *values;                        /* of command->options; the shell frees them */
    lm_common common;
    lm_strings args;                     /* positional arguments, once parsed */
    lm_option_set sets[LM_CALL_SETS + 1];
    int n_sets;
    void *own;                           /* whatever prepare leaves for run; not freed */
};

/* ---- for prepare ---- */

/* Takes the first argument off and finds it in a registry whose descriptors all begin with
 * `const char *name`; `what` is "objective".  Returns the descriptor, or NULL with LM_E_USAGE (the
 * nearest name, or the list of names when there is no argument).  NULL without error for --help. */
const void *lm_call_pick(lm_call *call, const char *what, const void *registry, lm_err *err);

/* The text given to --name in the raw arguments (the last one counts), or NULL. */
const char *lm_call_peek(const lm_call *call, const char *name);

/* Adds an option set and returns its cleared values of `size` bytes, which the shell frees. */
void *lm_call_add(lm_call *call, const char *title, const lm_option *options, size_t size);

/* ---- for run ---- */

/* LM_E_USAGE unless there are at least `min` and at most `max` positional arguments (max < 0: any). */
lm_status lm_call_args(const lm_call *call, int min, int max, const char *what, lm_err *err);

/* The model of a command that takes it as --model or as its first argument (*next is set past it). */
lm_status lm_call_model(const lm_call *call, const char *option, const char **model, int *next, lm_err *err);

/* The kernels that --backend and --threads ask for; `k` is zeroed first. */
lm_status lm_call_kernels(const lm_call *call, lm_kernels *k, lm_err *err);

/* Prints a document (taken) on one line of stdout.  NULL (json_pack refuses NaN) is a bug. */
void lm_print_json(lm_json *doc);

/* A JSON string of any bytes: those that are not UTF-8 become U+FFFD. */
lm_json *lm_json_utf8(const char *text, size_t n);

/* "  name        summary" of a list in --help. */
void lm_help_entry(lm_str *out, const char *name, const char *summary);

#endif
