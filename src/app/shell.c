#include "app/shell.h"

#include "backend/backend.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- help --------------------------------------------------------------------- */

void lm_help_entry(lm_str *out, const char *name, const char *summary)
{
    lm_str_printf(out, "  %-14s %s\n", name, summary);
}

/* The order in which people meet them; a group that is not named here comes last. */
static const char *const groups[] = { "models", "training", "data", "this machine", NULL };

static bool listed(const char *group)
{
    for (int i = 0; groups[i]; i++)
        if (strcmp(groups[i], group) == 0) return true;
    return false;
}

/* One heading and its commands; a NULL group takes those that no heading has. */
static void put_group(lm_str *out, const char *group)
{
    bool open = false;
    for (int i = 0; lm_command_registry[i]; i++) {
        const lm_command *c = lm_command_registry[i];
        if (group ? strcmp(c->group, group) != 0 : listed(c->group)) continue;
        if (!open) lm_str_printf(out, "\n%s\n", group ? group : "more");
        open = true;
        lm_help_entry(out, c->name, c->summary);
    }
}

void lm_shell_overview(lm_str *out)
{
    lm_str_puts(out, "malmoi " LM_VERSION ": a language model through its whole life, in one program\n\n"
                     "  malmoi train clm --model MODEL --adapter lora --data TEXT.txt --out tuned\n"
                     "  malmoi generate MODEL --adapter tuned --prompt \"Once upon a time\"\n");
    for (int i = 0; groups[i]; i++) put_group(out, groups[i]);
    put_group(out, NULL);
    lm_str_puts(out, "\nmalmoi COMMAND --help shows an example and every option.\n");
}

/* Every line of `text`, two columns in. */
static void put_indented(lm_str *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        lm_str_printf(out, "  %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void lm_shell_help(lm_str *out, const lm_call *call)
{
    const lm_command *c = call->command;
    if (c->example) {
        put_indented(out, c->example);
        lm_str_putc(out, '\n');
    }
    lm_str_printf(out, "malmoi %s%s%s %s\n%s\n", call->parent ? call->parent : "", call->parent ? " " : "", c->name,
                  c->usage ? c->usage : c->commands ? "COMMAND [options]" : "[options]", c->summary);
    if (c->commands) {
        lm_str_puts(out, "\ncommands\n");
        for (int i = 0; c->commands[i]; i++) lm_help_entry(out, c->commands[i]->name, c->commands[i]->summary);
        return;
    }
    if (c->topics) {
        lm_str_putc(out, '\n');
        c->topics(out);
    }
    lm_str_putc(out, '\n');
    lm_options_help(call->sets, out);
    if (c->notes) lm_str_printf(out, "\n%s%s", c->notes, lm_ends_with(c->notes, "\n") ? "" : "\n");
}

/* ---- options ------------------------------------------------------------------ */

static const lm_option common_options[] = {
    LM_OPTION(INT, lm_common, threads, "threads", .fallback = "0", .metavar = "N", .max = 4096,
              .help = "threads to compute with (0: every core this process may use)"),
    LM_OPTION(STRING, lm_common, backend, "backend", .fallback = "auto", .metavar = "NAME",
              .help = "kernels: auto, avx512, avx2 or ref"),
    LM_OPTION(FLAG, lm_common, verbose, "verbose", .help = "tell more on stderr"),
    LM_OPTION(FLAG, lm_common, quiet, "quiet", .help = "tell only what failed"),
    { 0 },
};

static void add_set(lm_call *call, const char *title, const lm_option *options, void *values)
{
    LM_ASSERT(call->n_sets < LM_CALL_SETS);
    const lm_option_set set[] = { { .title = title, .options = options, .values = values }, { 0 } };
    lm_options_defaults(set);
    call->sets[call->n_sets++] = set[0];
}

void lm_shell_common(lm_call *call)
{
    add_set(call, "Everywhere", common_options, &call->common);
}

void *lm_call_add(lm_call *call, const char *title, const lm_option *options, size_t size)
{
    void *values = lm_calloc(1, size);
    add_set(call, title, options, values);
    return values;
}

void lm_shell_free(lm_call *call)
{
    lm_options_free(call->sets);
    for (int i = 0; i < call->n_sets; i++)
        if (call->sets[i].values != &call->common) free(call->sets[i].values);
    free(call->args.items);
}

const char *lm_call_peek(const lm_call *call, const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (int i = 0; i < call->argc && strcmp(call->argv[i], "--") != 0; i++) {
        const char *arg = call->argv[i];
        if (!lm_starts_with(arg, "--") || strncmp(arg + 2, name, n) != 0) continue;
        if (arg[2 + n] == '=') found = arg + 3 + n;
        else if (arg[2 + n] == '\0' && i + 1 < call->argc) found = call->argv[i + 1];
    }
    return found;
}

/* ---- arguments ---------------------------------------------------------------- */

const void *lm_call_pick(lm_call *call, const char *what, const void *registry, lm_err *err)
{
    const char *names[128];
    const void *const *entries = registry;
    size_t n = 0;
    for (; entries[n] && n < sizeof names / sizeof *names - 1; n++) names[n] = *(const char *const *)entries[n];
    names[n] = NULL;

    const char *word = call->argc > 0 && call->argv[0][0] != '-' ? call->argv[0] : NULL;
    if (!word) {
        if (call->help) return NULL;
        lm_str list = { 0 };
        for (size_t i = 0; i < n; i++) lm_str_printf(&list, "%s%s", i ? ", " : "", names[i]);
        lm_fail(err, LM_E_USAGE, "%s needs one of these first: %s", call->command->name, list.data ? list.data : "(none)");
        lm_str_free(&list);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], word) != 0) continue;
        call->argc--, call->argv++;
        return entries[i];
    }
    const char *near = lm_nearest(word, names);
    lm_fail(err, LM_E_USAGE, "%s: no %s '%s'%s%s%s", call->command->name, what, word, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
    return NULL;
}

lm_status lm_call_args(const lm_call *call, int min, int max, const char *what, lm_err *err)
{
    int n = call->args.n;
    const char *name = call->command->name;
    if (max >= 0 && n > max) {
        if (max == 0) return lm_fail(err, LM_E_USAGE, "%s: expected only options, found '%s'", name, call->args.items[0]);
        return lm_fail(err, LM_E_USAGE, "%s: expected %s, found also '%s'", name, what, call->args.items[max]);
    }
    if (n < min) return lm_fail(err, LM_E_USAGE, "%s: expected %s, found %s", name, what, n ? call->args.items[n - 1] : "nothing");
    return LM_OK;
}

lm_status lm_call_model(const lm_call *call, const char *option, const char **model, int *next, lm_err *err)
{
    *next = 0;
    *model = option;
    if (!option && call->args.n > 0) *model = call->args.items[(*next)++];
    if (*model) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: no model given; use --model FOLDER or name it first", call->command->name);
}

lm_status lm_call_kernels(const lm_call *call, lm_kernels *k, lm_err *err)
{
    memset(k, 0, sizeof *k);
    return lm_backend(k, call->common.backend, err);
}

/* ---- output ------------------------------------------------------------------- */

void lm_print_json(lm_json *doc)
{
    LM_ASSERT(doc != NULL);
    lm_str text = { 0 };
    lm_json_text(&text, doc, 0);
    puts(text.data);
    lm_str_free(&text);
    lm_json_free(doc);
}

lm_json *lm_json_utf8(const char *text, size_t n)
{
    lm_str clean = { 0 };
    lm_str_reserve(&clean, n);
    while (n > 0) {
        size_t valid = lm_utf8_valid(text, n);
        lm_str_append(&clean, text, valid);
        if (valid < n) lm_str_put_rune(&clean, 0xFFFD), valid++;
        text += valid, n -= valid;
    }
    lm_json *string = json_stringn_nocheck(clean.data, clean.len);
    lm_str_free(&clean);
    return string;
}

/* The sink of lm_log; `context` is the lm_common of the call. */
static void log_to_stderr(lm_level level, const char *text, void *context)
{
    const lm_common *common = context;
    if (level == LM_LOG_WARN) fprintf(stderr, "malmoi: warning: %s\n", text);
    else if (level == LM_LOG_INFO ? !common->quiet : common->verbose) fprintf(stderr, "%s\n", text);
}

void lm_shell_log(const lm_common *common)
{
    lm_log_set(log_to_stderr, (void *)common);
}

lm_status lm_shell_flush(lm_err *err)
{
    errno = 0;
    bool failed = ferror(stdout) | (fflush(stdout) != 0);
    if (!failed && (close(STDOUT_FILENO) == 0 || errno == EBADF)) return LM_OK;   /* EBADF: closed all along, nothing lost */
    return lm_fail(err, LM_E_IO, "standard output: %s", errno ? strerror(errno) : "could not be written");
}
