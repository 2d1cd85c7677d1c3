/* malmoi recipe: runs the steps of a file, each as a process of its own, and passes over those that stand.
 *
 * A step stands when the note that it left (FOLDER/NAME.json) has the same arguments, the files that it read are as
 * they were (size and time), and what it made is there.  What was made from other settings or files is put aside
 * under another name and made again, and so is what a step that was killed left.  A training that was stopped goes on
 * from its checkpoint. */
#include "app/command.h"
#include "app/recipe.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/signal.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct recipe_options {
    lm_strings set;
    const char *notes;
    bool dry_run;
} recipe_options;

static const lm_option options[] = {
    LM_OPTION(LIST, recipe_options, set, "set", .metavar = "NAME=VALUE", .help = "another value than the file has; may be repeated"),
    LM_OPTION(STRING, recipe_options, notes, "notes", .metavar = "FOLDER",
              .help = "where notes of finished steps are kept (default: beside the file, its name with .done)"),
    LM_OPTION(FLAG, recipe_options, dry_run, "dry-run", .help = "print the commands and which of them would run"),
    { 0 },
};

/* ---- notes ---- */

/* "size:time" of a file; of a folder that of its files; the caller frees.  NULL: nothing is there. */
static char *state_of(const char *path)
{
    struct stat st;
    lm_str s = { 0 };
    if (stat(path, &st)) return NULL;
    if (!S_ISDIR(st.st_mode)) {
        lm_str_printf(&s, "%lld:%lld.%09ld", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        return lm_str_take(&s);
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *file = lm_path_join(path, entries[i]->d_name), *state = lm_is_dir(file) ? NULL : state_of(file);
        if (state) lm_str_printf(&s, "%s %s\n", entries[i]->d_name, state);
        free(state);
        free(file);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    uint64_t hash = lm_hash(s.data ? s.data : "", s.len, 0);
    lm_str_clear(&s);
    lm_str_printf(&s, "%016llx", (unsigned long long)hash);
    return lm_str_take(&s);
}

static lm_json *strings_json(const lm_strings *list)
{
    lm_json *out = json_array();
    for (int i = 0; i < list->n; i++) json_array_append_new(out, lm_json_utf8(list->items[i], strlen(list->items[i])));
    return out;
}

/* The files that a step reads, with their states: of its paths those that are there and that it did not make. */
static lm_json *inputs_of(const lm_recipe_step *s, const lm_json *made)
{
    lm_json *out = json_object();
    for (int i = 0; i < s->paths.n; i++) {
        char *state = lm_json_lists(made, lm_span_of(s->paths.items[i], strlen(s->paths.items[i]))) ? NULL : state_of(s->paths.items[i]);
        if (state) json_object_set_new(out, s->paths.items[i], json_string(state));
        free(state);
    }
    return out;
}

/* What a step makes: its out and stdout, and paths that were no input. */
static lm_json *made_by(const lm_recipe_step *s, const lm_json *inputs)
{
    lm_json *out = json_array();
    if (s->out) json_array_append_new(out, json_string(s->out));
    if (s->save) json_array_append_new(out, json_string(s->save));
    for (int i = 0; i < s->paths.n; i++)
        if (!json_object_get(inputs, s->paths.items[i]) && lm_file_exists(s->paths.items[i]))
            json_array_append_new(out, json_string(s->paths.items[i]));
    return out;
}

typedef enum standing { NEW, BEGUN, DONE, STALE } standing;

/* How a step stands by its note (NULL: none). */
static standing standing_of(const lm_recipe_step *s, const lm_json *note)
{
    if (!note) return NEW;
    const lm_json *made = json_object_get(note, "made");
    lm_json *arguments = strings_json(&s->arguments), *inputs = inputs_of(s, made);
    bool same = json_equal(arguments, json_object_get(note, "arguments")) && json_equal(inputs, json_object_get(note, "inputs"));
    bool done = json_is_true(json_object_get(note, "done")), there = true;
    for (size_t i = 0; i < json_array_size(made); i++) there &= lm_file_exists(json_string_value(json_array_get(made, i)));
    lm_json_free(arguments);
    lm_json_free(inputs);
    return !same ? STALE : !done ? BEGUN : there ? DONE : NEW;
}

/* Of what a step is about to make, that which is not there already, or which an attempt before it made (NULL: none). */
static lm_json *to_make(const lm_recipe_step *s, const lm_json *inputs, const lm_json *before)
{
    lm_json *all = made_by(s, inputs), *out = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        lm_json *path = json_array_get(all, i);
        bool ours = lm_json_lists(before, lm_span_of(json_string_value(path), json_string_length(path)));
        if (ours || !lm_file_exists(json_string_value(path))) json_array_append(out, path);
    }
    lm_json_free(all);
    return out;
}

/* Takes made. */
static lm_status write_note(const lm_recipe_step *s, const char *path, lm_json *inputs, lm_json *made, bool done, lm_err *err)
{
    lm_json *note = json_pack("{s:o, s:O, s:o, s:b}", "arguments", strings_json(&s->arguments), "inputs", inputs, "made", made, "done", done);
    lm_status status = lm_json_write(note, path, err);
    lm_json_free(note);
    return status;
}

/* ---- running ---- */

/* NAME -> NAME.old, or the first NAME.old-K that is free. */
static lm_status put_aside(const char *path, const char *why, lm_err *err)
{
    lm_str name = { 0 };
    lm_str_printf(&name, "%s.old", path);
    for (int i = 2; lm_file_exists(name.data); i++) {
        lm_str_clear(&name);
        lm_str_printf(&name, "%s.old-%d", path, i);
    }
    lm_status status = rename(path, name.data) ? lm_fail(err, LM_E_IO, "%s: cannot be put aside as %s: %s", path, name.data, strerror(errno)) : LM_OK;
    if (status == LM_OK) lm_log(LM_LOG_INFO, "%s was %s; it is %s now", path, why, name.data);
    lm_str_free(&name);
    return status;
}

static lm_status put_made_aside(const lm_json *note, const char *why, lm_err *err)
{
    const lm_json *made = json_object_get(note, "made");
    for (size_t i = 0; i < json_array_size(made); i++) {
        const char *path = json_string_value(json_array_get(made, i));
        if (lm_file_exists(path)) LM_TRY(put_aside(path, why, err));
    }
    return LM_OK;
}

/* Whether a training that was begun has something to go on from. */
static bool resumes(const lm_recipe_step *s, standing st)
{
    if (st != BEGUN || strcmp(s->arguments.items[0], "train") || !s->out) return false;
    char *run = lm_path_join(s->out, "run.json");
    bool there = lm_file_exists(run);
    free(run);
    return there;
}

static char *line_of(const lm_recipe_step *s, bool resume)
{
    lm_str line = { 0 };
    lm_str_puts(&line, "malmoi");
    for (int i = 0; i < s->arguments.n; i++) {
        bool quote = strpbrk(s->arguments.items[i], " \t\n\"'$&|;<>()*?\\") || !*s->arguments.items[i];
        lm_str_printf(&line, quote ? " '%s'" : " %s", s->arguments.items[i]);
    }
    if (resume) lm_str_puts(&line, " --resume");
    if (s->save) lm_str_printf(&line, " > %s", s->save);
    return lm_str_take(&line);
}

/* The child's process: never returns.  In a group of its own, so that Ctrl-C reaches it once, from its parent,
 * without which it stops as well. */
static _Noreturn void become(const lm_recipe_step *s, bool resume, FILE *save)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    char **argv = lm_calloc((size_t)s->arguments.n + 3, sizeof *argv);
    argv[0] = lm_strdup("malmoi");
    memcpy(argv + 1, s->arguments.items, (size_t)s->arguments.n * sizeof *argv);
    if (resume) argv[s->arguments.n + 1] = lm_strdup("--resume");
    if (save) dup2(fileno(save), STDOUT_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* Waits for the child, and hands on a wish to stop. */
static lm_status wait_for(const lm_recipe_step *s, pid_t child, lm_err *err)
{
    const struct timespec pause = { .tv_nsec = 20000000 };
    int status;
    bool told = false;
    pid_t ended;
    while ((ended = waitpid(child, &status, WNOHANG)) != child) {
        if (ended < 0 && errno != EINTR) return lm_fail(err, LM_E_IO, "%s: %s", s->name, strerror(errno));
        if (lm_interrupted() && !told) told = kill(child, SIGINT) == 0;
        nanosleep(&pause, NULL);
    }
    if (lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped in step %s; the same command goes on", s->name);
    if (WIFSIGNALED(status)) return lm_fail(err, LM_E_IO, "step %s was ended by signal %d; the same command goes on", s->name, WTERMSIG(status));
    return WEXITSTATUS(status) ? lm_fail(err, LM_E_IO, "step %s failed", s->name) : LM_OK;
}

static lm_status run_child(const lm_recipe_step *s, bool resume, lm_err *err)
{
    lm_writer save = { 0 };
    if (s->save) LM_TRY(lm_writer_open(&save, s->save, err));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) become(s, resume, save.stream);
    lm_status status = child < 0 ? lm_fail(err, LM_E_IO, "%s: no process: %s", s->name, strerror(errno)) : wait_for(s, child, err);
    if (status == LM_OK && s->save) return lm_writer_commit(&save, err);
    lm_writer_abort(&save);
    return status;
}

static lm_status make(const lm_recipe_step *s, const char *note_path, const lm_json *note, standing st, lm_err *err)
{
    const lm_json *before = json_object_get(note, "made");
    if (st == STALE) LM_TRY(put_made_aside(note, "made from other settings or files", err));
    if (st == BEGUN && !resumes(s, st)) LM_TRY(put_made_aside(note, "left by a step that did not end", err));
    lm_json *inputs = inputs_of(s, before);
    lm_status status = write_note(s, note_path, inputs, to_make(s, inputs, before), false, err);
    if (status == LM_OK) status = run_child(s, resumes(s, st), err);
    if (status == LM_OK) status = write_note(s, note_path, inputs, made_by(s, inputs), true, err);
    lm_json_free(inputs);
    return status;
}

static lm_status do_step(const lm_recipe *r, int i, const char *notes, bool dry_run, lm_err *err)
{
    static const char *const says[] = { [NEW] = "runs", [BEGUN] = "goes on", [DONE] = "stands", [STALE] = "runs again" };
    const lm_recipe_step *s = &r->steps[i];
    lm_str path = { 0 };
    lm_str_printf(&path, "%s/%s.json", notes, s->name);
    lm_json *note = lm_file_exists(path.data) ? lm_json_read(path.data, err) : NULL;
    lm_status status = err->code;
    if (status == LM_OK) {
        standing st = standing_of(s, note);
        char *line = line_of(s, resumes(s, st));
        if (dry_run) printf("%s: %s\n  %s\n", s->name, says[st], line);
        else if (st == DONE) lm_log(LM_LOG_INFO, "step %d of %d, %s: stands", i + 1, r->n, s->name);
        else lm_log(LM_LOG_INFO, "step %d of %d, %s: %s", i + 1, r->n, s->name, line);
        if (!dry_run && st != DONE) status = make(s, path.data, note, st, err);
        free(line);
    }
    lm_json_free(note);
    lm_str_free(&path);
    return status;
}

static char *notes_beside(const char *path)
{
    lm_str s = { 0 };
    const char *name = lm_path_name(path), *point = strrchr(name, '.');
    lm_str_append(&s, path, point && point > name ? (size_t)(point - path) : strlen(path));
    lm_str_puts(&s, ".done");
    return lm_str_take(&s);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const recipe_options *o = call->values;
    LM_TRY(lm_call_args(call, 1, 1, "FILE", err));
    lm_recipe r;
    LM_TRY(lm_recipe_read(&r, call->args.items[0], &o->set, err));
    char *notes = o->notes ? lm_strdup(o->notes) : notes_beside(call->args.items[0]);
    lm_interrupt_watch();
    lm_status status = o->dry_run ? LM_OK : lm_make_dirs(notes, err);
    for (int i = 0; i < r.n && status == LM_OK; i++) status = do_step(&r, i, notes, o->dry_run, err);
    free(notes);
    lm_recipe_free(&r);
    return status;
}

const lm_command lm_command_recipe = {
    .name = "recipe", .group = "training", .summary = "run the steps of a file, and only those that do not stand",
    .usage = "FILE [options]", .example = "malmoi recipe examples/recipes/sft-dpo.yaml --set base=MODEL",
    .notes = "A step is a command: \"name\", \"run\" (train sft), \"stdout\", and every other key an option.  ${name} stands for\n"
             "one of the \"values\".  A step whose options and files have not changed is not run again; a training that was\n"
             "stopped goes on.  Nothing is deleted: what is out of date is renamed.",
    .options = options, .values_size = sizeof(recipe_options), .run = run,
};
