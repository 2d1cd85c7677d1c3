/* malmoi, the program: finds the command, has its options parsed, runs it, and turns what came of it
 * into one line and an exit code.  Everything else is in the library. */
#include "app/command.h"
#include "app/shell.h"

#include "base/log.h"
#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lm_command *find(const lm_command *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (strcmp((*commands)->name, name) == 0) return *commands;
    return NULL;
}

/* LM_E_USAGE with the nearest name. */
static lm_status unknown(const lm_command *const *commands, const char *parent, const char *name, lm_err *err)
{
    const char *names[128];
    size_t n = 0;
    while (commands[n] && n < sizeof names / sizeof *names - 1) {
        names[n] = commands[n]->name;
        n++;
    }
    names[n] = NULL;
    const char *near = lm_nearest(name, names);
    if (near) {
        return lm_fail(err, LM_E_USAGE, "%s%sno command '%s'; did you mean '%s'?", parent ? parent : "",
                       parent ? ": " : "", name, near);
    }
    return lm_fail(err, LM_E_USAGE, "%s%sno command '%s'; malmoi %s%s--help lists them", parent ? parent : "",
                   parent ? ": " : "", name, parent ? parent : "", parent ? " " : "");
}

/* Steps into a table of commands: sets call->command to the one that argv names, or leaves the table
 * itself when there is nothing but --help. */
static lm_status descend(lm_call *call, lm_err *err)
{
    while (call->command->commands) {
        const lm_command *table = call->command;
        if (call->argc == 0 && !call->help) {
            return lm_fail(err, LM_E_USAGE, "%s needs a command; malmoi %s --help lists them", table->name, table->name);
        }
        if (call->argc == 0 || call->argv[0][0] == '-') return LM_OK;
        const lm_command *next = find(table->commands, call->argv[0]);
        if (!next) return unknown(table->commands, table->name, call->argv[0], err);
        call->parent = table->name;
        call->command = next;
        call->argc--, call->argv++;
    }
    return LM_OK;
}

static void print_help(const lm_call *call)
{
    lm_str text = { 0 };
    lm_shell_help(&text, call);
    fwrite(text.data, 1, text.len, stdout);
    lm_str_free(&text);
}

static lm_status run(lm_call *call, lm_err *err)
{
    LM_TRY(descend(call, err));
    const lm_command *c = call->command;
    if (c->options) call->values = lm_call_add(call, NULL, c->options, c->values_size);
    if (c->prepare && !c->commands) LM_TRY(c->prepare(call, err));
    lm_shell_common(call);
    if (call->help) {
        print_help(call);
        return LM_OK;
    }
    if (c->commands) return lm_fail(err, LM_E_USAGE, "%s: expected a command, found '%s'", c->name, call->argv[0]);

    LM_TRY(lm_options_parse(call->sets, call->argc, call->argv, &call->args, err));
    LM_TRY(lm_options_check(call->sets, err));
    lm_shell_log(&call->common);
    lm_threads_set((int)call->common.threads);
    return c->run(call, err);
}

static bool is_help(const char *arg) { return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0; }

static bool asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i])) return true;
    return false;
}

static lm_status dispatch(int argc, char **argv, lm_err *err)
{
    bool help = argc > 1 && strcmp(argv[1], "help") == 0;    /* `help merge` is `merge --help` */
    if (help && argc > 2) argc--, argv++;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("malmoi %s\n", LM_VERSION);
        return LM_OK;
    }
    if (argc < 2 || is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        lm_str text = { 0 };
        lm_shell_overview(&text);
        fwrite(text.data, 1, text.len, argc < 2 ? stderr : stdout);
        lm_str_free(&text);
        return argc < 2 ? LM_E_USAGE : LM_OK;
    }
    lm_call call = { .command = find(lm_command_registry, argv[1]), .argc = argc - 2, .argv = argv + 2,
                     .help = help || asks_help(argc - 2, argv + 2) };
    if (!call.command) return unknown(lm_command_registry, NULL, argv[1], err);
    lm_status status = run(&call, err);
    lm_shell_free(&call);
    return status;
}

int main(int argc, char **argv)
{
    lm_threads_spin_briefly(argv);
    signal(SIGPIPE, SIG_IGN);   /* a reader that went away is a failed write, with its own exit code */
    signal(SIGXFSZ, SIG_IGN);   /* so is a file that reached its limit */
    lm_err err = { 0 };
    lm_status status = dispatch(argc, argv, &err);
    if (lm_shell_flush(&err) != LM_OK && status == LM_OK) status = err.code;
    if (err.code != LM_OK && err.message[0]) fprintf(stderr, "malmoi: %s\n", err.message);
    if (status == LM_E_INTERRUPT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return status == LM_OK ? 0 : status == LM_E_USAGE ? 2 : 1;
}
