/* malmoi data grow: instruction data from a few seeds, written by a model that is asked (data/grow.h). */
#include "app/asker.h"
#include "app/data.h"
#include "app/shipped.h"

#include "base/log.h"
#include "base/signal.h"
#include "base/table.h"
#include "data/grow.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct grow_values {
    lm_grow_options o;
    lm_asker_options asker;
    const char *method, *language, *prompts, *report, *state, *format;
    int64_t requests;
    int unit, on_error;
    bool resume, overwrite, json;
} grow_values;

static const lm_option options[] = {
    LM_OPTION(STRING, grow_values, method, "method", .required = true, .metavar = "NAME", .help = "self_instruct: new tasks like the seeds; evol_instruct: harder ones out of them"),
    LM_OPTION(INT, grow_values, o.rows, "rows", .required = true, .min = 1, .max = 1e9, .help = "how many to grow"),
    LM_OPTION(STRING, grow_values, o.out, "out", .required = true, .metavar = "FILE", .help = "the rows, as JSONL: messages, and where they come from"),
    LM_OPTIONS_ASKER(grow_values, asker),
    LM_OPTION(STRING, grow_values, language, "language", .metavar = "NAME", .help = "of the questions: ko, en (default: Korean where most letters of the seeds are Hangul)"),
    LM_OPTION(STRING, grow_values, prompts, "prompts", .metavar = "FILE.yaml", .help = "ask in these words instead (prompts/grow.en.yaml is how it begins)"),
    LM_OPTION(INT, grow_values, requests, "requests", .min = 1, .max = 1e12, .help = "ask no more than this many questions"),
    LM_OPTION(REAL, grow_values, o.threshold, "threshold", .fallback = "0.7", .min = 0.01, .max = 1.01, .help = "a task whose ROUGE-L with another reaches this is not new"),
    LM_OPTION(CHOICE, grow_values, unit, "unit", .choices = lm_rouge_units, .fallback = "mixed", .help = "of ROUGE-L: words, characters, or words and, of Hangul and Chinese, characters"),
    LM_OPTION(FLAG, grow_values, o.difficulty, "difficulty", .fallback = "true", .help = "have every task judged from 1 to 10, in the field \"difficulty\""),
    LM_OPTION(INT, grow_values, o.shortest, "shortest", .fallback = "6", .max = 1e6, .help = "characters of an instruction"),
    LM_OPTION(INT, grow_values, o.longest, "longest", .fallback = "2000", .min = 1, .max = 1e6, .help = "characters of an instruction"),
    LM_OPTION(INT, grow_values, o.per_prompt, "per-prompt", .fallback = "8", .min = 1, .max = 256, .help = "self_instruct: tasks that are asked for at once"),
    LM_OPTION(INT, grow_values, o.seeds_shown, "seeds-shown", .fallback = "6", .min = 1, .max = 256, .help = "self_instruct: seeds among the examples shown for them"),
    LM_OPTION(INT, grow_values, o.grown_shown, "grown-shown", .fallback = "2", .max = 256, .help = "self_instruct: tasks that grew before among them"),
    LM_OPTION(INT, grow_values, o.instances, "instances", .fallback = "1", .min = 1, .max = 64, .help = "self_instruct: examples of each task, a row each"),
    LM_OPTION(LIST, grow_values, o.operations, "operations", .metavar = "NAME,..", .help = "evol_instruct: of constraints, deepen, concretise, reasoning, complicate, breadth (default: all)"),
    LM_OPTION(INT, grow_values, o.depth, "depth", .fallback = "4", .min = 1, .max = 1000, .help = "evol_instruct: times that a seed is evolved before it begins again"),
    LM_OPTION(INT, grow_values, o.max_tokens, "max-tokens", .fallback = "1024", .min = 1, .max = 1 << 20, .help = "of an answer; one that is cut off there is not kept"),
    LM_OPTION(REAL, grow_values, o.temperature, "temperature", .fallback = "0.7", .max = 10, .help = "of what is written; verdicts are asked for at 0"),
    LM_OPTION(INT, grow_values, o.batch, "batch", .fallback = "8", .min = 1, .max = 4096, .help = "tasks that grow side by side, from the same pool"),
    LM_OPTION(INT, grow_values, o.tries, "tries", .fallback = "2", .min = 1, .max = 100, .help = "times that a question is asked whose answer cannot be read"),
    LM_OPTION(INT, grow_values, o.patience, "patience", .fallback = "20", .min = 1, .max = 1e9, .help = "rounds without a row after which it ends"),
    LM_OPTION(STRING, grow_values, o.rejected, "rejected", .metavar = "FILE", .help = "what was left out, each with its reason, as JSONL"),
    LM_OPTION(STRING, grow_values, report, "report", .metavar = "FILE", .help = "what came of it, as JSON"),
    LM_OPTION(STRING, grow_values, state, "answers", .metavar = "FILE", .help = "everything that the model said (default: OUT with .answers.jsonl behind it)"),
    LM_OPTION(FLAG, grow_values, resume, "resume", .help = "go on where a run stopped, also for more rows"),
    LM_OPTION(FLAG, grow_values, overwrite, "overwrite", .help = "throw away what a run before said"),
    LM_OPTION(STRING, grow_values, format, "format", .metavar = "NAME", .help = "of the seeds' files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(CHOICE, grow_values, on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a seed that cannot be used ends the run, or is counted and listed"),
    LM_OPTION(FLAG, grow_values, json, "json", .help = "print the report"),
    { 0 },
};

typedef struct work {
    grow_values *v;
    lm_grow_seeds seeds;
    lm_grow_prompts prompts;
    lm_asker_link *link;
    lm_asker asker;
    lm_replies *replies;
    lm_grow_result result;
    lm_progress line;
    char *prompts_path, *state;
} work;

/* ---- opening ---- */

static lm_status unknown(const char *option, const char *word, const char *const *known, lm_err *err)
{
    lm_str list = {0};
    for (int i = 0; known[i]; i++) lm_str_printf(&list, "%s%s", i ? ", " : "", known[i]);
    lm_fail(err, LM_E_USAGE, "%s: expected one of %s, found \"%s\"", option, list.data, word);
    lm_str_free(&list);
    return LM_E_USAGE;
}

static lm_status find_method(grow_values *v, lm_err *err)
{
    const char *names[16] = {0};
    for (int i = 0; lm_growth_registry[i] && i < 15; i++) {
        names[i] = lm_growth_registry[i]->name;
        if (!strcmp(names[i], v->method)) v->o.method = lm_growth_registry[i];
    }
    if (!v->o.method) return unknown("--method", v->method, names, err);
    const char *const *known = v->o.method->operations;
    for (int i = 0; i < v->o.operations.n; i++) {
        const char *wanted = v->o.operations.items[i];
        int k = 0;
        if (!known) return lm_fail(err, LM_E_USAGE, "--operations: %s has none to choose from", v->method);
        while (known[k] && strcmp(known[k], wanted)) k++;
        if (!known[k]) return unknown("--operations", wanted, known, err);
    }
    return LM_OK;
}

static lm_status find_prompts(work *w, lm_err *err)
{
    char *folder;
    lm_str name = {0};
    if (w->v->prompts) {
        w->prompts_path = lm_strdup(w->v->prompts);
        return LM_OK;
    }
    LM_TRY(lm_shipped_folder(&folder, "prompts", err));
    lm_str_printf(&name, "grow.%s", w->v->language ? w->v->language : w->seeds.hangul > 0.5 ? "ko" : "en");
    lm_status status = lm_shipped_file(&w->prompts_path, folder, name.data, ".yaml", err);
    lm_str_free(&name);
    free(folder);
    return status;
}

static lm_json *hash_text(uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

/* What the answers, and what is made of them, follow from. */
static lm_json *settings_of(const work *w)
{
    const lm_grow_options *o = &w->v->o;
    lm_json *chosen = json_array();
    for (int i = 0; i < o->operations.n; i++) json_array_append_new(chosen, json_string(o->operations.items[i]));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "method", o->method->name, "model", o->model, "seeds",
                     hash_text(w->seeds.hash), "prompts", hash_text(w->prompts.hash), "seed", (json_int_t)o->seed, "batch", (json_int_t)o->batch, "tries", (json_int_t)o->tries,
                     "max_tokens", (json_int_t)o->max_tokens, "temperature", o->temperature, "threshold", o->threshold, "unit", lm_rouge_units[o->unit], "difficulty", o->difficulty,
                     "shortest", (json_int_t)o->shortest, "longest", (json_int_t)o->longest, "per_prompt", (json_int_t)o->per_prompt, "seeds_shown", (json_int_t)o->seeds_shown,
                     "grown_shown", (json_int_t)o->grown_shown, "instances", (json_int_t)o->instances, "depth", (json_int_t)o->depth, "operations", chosen);
}

static lm_status open_replies(work *w, lm_err *err)
{
    const grow_values *v = w->v;
    lm_str path = {0};
    lm_str_printf(&path, "%s%s", v->state ? v->state : v->o.out, v->state ? "" : ".answers.jsonl");
    w->state = lm_str_take(&path);
    lm_json *settings = settings_of(w);
    lm_status status = lm_replies_open(&w->replies, w->state, settings, v->resume, v->overwrite, v->requests, &w->asker, err);
    lm_json_free(settings);
    return status;
}

static void tell(void *context, int64_t rows, int64_t rejected, int64_t asked)
{
    work *w = context;
    lm_progress_draw(&w->line, false, "%" PRId64 " of %" PRId64 " rows, %" PRId64 " left out, %" PRId64 " questions", rows, w->v->o.rows, rejected, asked);
}

static lm_status open_all(work *w, lm_call *call, lm_err *err)
{
    grow_values *v = w->v;
    LM_TRY(find_method(v, err));
    LM_TRY(lm_grow_seeds_read(&w->seeds, &call->args, v->format, v->on_error, err));
    lm_skipped_tell(&w->seeds.skipped);
    LM_TRY(find_prompts(w, err));
    LM_TRY(lm_grow_prompts_read(&w->prompts, w->prompts_path, v->o.method->needs, err));
    v->o.prompts = &w->prompts, v->o.seeds = &w->seeds, v->o.unit = (lm_rouge_unit)v->unit;
    v->o.model = v->asker.endpoint ? v->asker.model : lm_path_name(v->asker.model), v->o.seed = v->asker.seed;
    v->o.tell = tell, v->o.context = w;
    LM_TRY(lm_asker_open(&w->link, &w->asker, call, &v->asker, err));
    lm_log(LM_LOG_INFO, "%" PRId64 " seeds; asked by %s", w->seeds.n, lm_path_name(w->prompts_path));
    return open_replies(w, err);
}

/* ---- what came of it ---- */

static void print_counts(const work *w)
{
    const lm_grow_result *r = &w->result;
    lm_str out = {0}, reasons = {0};
    const char *operation;
    lm_json *counts;
    lm_table t = lm_table_start("lrr");
    lm_table_cells(&t, "operation", "rows", "left out");
    lm_table_rule(&t);
    json_object_foreach(r->counts, operation, counts) {
        int64_t kept = json_integer_value(json_object_get(counts, "kept")), all = 0;
        const char *what;
        lm_json *n;
        json_object_foreach(counts, what, n) all += json_integer_value(n);
        lm_table_put(&t, "%s", operation);
        lm_table_put(&t, "%" PRId64, kept);
        lm_table_put(&t, "%" PRId64, all - kept);
    }
    if (json_object_size(r->counts)) lm_table_print(&t, &out);
    lm_table_free(&t);
    for (int i = 0; i < LM_GROW_REASONS; i++)
        if (r->rejected[i]) lm_str_printf(&reasons, "%s%s %" PRId64, reasons.len ? ", " : "", lm_grow_reasons[i], r->rejected[i]);
    printf("%s: %" PRId64 " of %" PRId64 " rows from %" PRId64 " seeds and %" PRId64 " questions\n%s%s\nleft out: %s; without difficulty: %" PRId64 "; unfinished: %" PRId64 "\n", w->v->o.out, r->rows,
           w->v->o.rows, w->seeds.n, lm_replies_count(w->replies), out.len ? "\n" : "", out.len ? out.data : "", reasons.len ? reasons.data : "none", r->unscored, r->unfinished);
    lm_str_free(&out), lm_str_free(&reasons);
}

/* Which of a run's ends are failures. */
static lm_status judge_end(const work *w, lm_err *err)
{
    const lm_grow_result *r = &w->result;
    if (r->end == LM_GROW_SILENT) return lm_fail(err, LM_E_IO, "%.600s; %" PRId64 " rows so far, --resume goes on", r->why, r->rows);
    if (r->end == LM_GROW_STOPPED) return lm_fail(err, LM_E_INTERRUPT, "stopped after %" PRId64 " rows; the same command with --resume goes on", r->rows);
    if (r->end == LM_GROW_BUDGET && r->rows) lm_log(LM_LOG_WARN, "--requests %" PRId64 ": spent before all rows had grown; --resume with more goes on", w->v->requests);
    if (r->end == LM_GROW_IDLE && r->rows) lm_log(LM_LOG_WARN, "no row in the last %" PRId64 " rounds (--patience); more seeds, or a higher --temperature, would help", w->v->o.patience);
    if (r->rows) return LM_OK;
    int most = 0;
    for (int i = 1; i < LM_GROW_REASONS; i++)
        if (r->rejected[i] > r->rejected[most]) most = i;
    return lm_fail(err, LM_E_FORMAT, "%s: no row was kept of %" PRId64 " that grew; most were left out as %s%s%.500s (--rejected shows them)", w->v->o.out, r->refused,
                   r->refused ? lm_grow_reasons[most] : "unfinished", most == LM_GROW_UNANSWERED && *r->why ? ": " : "", most == LM_GROW_UNANSWERED ? r->why : "");
}

static lm_status grow(work *w, lm_call *call, lm_err *err)
{
    const grow_values *v = w->v;
    LM_TRY(open_all(w, call, err));
    lm_interrupt_watch();
    w->line = lm_progress_start(call->common.quiet ? NULL : stderr, 10);
    lm_status status = lm_grow_run(&w->result, &v->o, w->replies, err);
    lm_progress_clear(&w->line);
    LM_TRY(status);
    lm_json *report = lm_grow_report(&w->result, &v->o, w->replies);
    if (v->report) status = lm_json_write(report, v->report, err);
    if (v->json && status == LM_OK) lm_print_json(json_incref(report));
    else if (status == LM_OK && w->result.end != LM_GROW_SILENT) print_counts(w);
    lm_json_free(report);
    return status == LM_OK ? judge_end(w, err) : status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    work w = { .v = call->values };
    LM_TRY(lm_call_args(call, 1, -1, "SEEDS...", err));
    lm_status status = grow(&w, call, err);
    lm_grow_result_free(&w.result);
    lm_replies_close(w.replies);
    lm_asker_close(w.link);
    lm_grow_prompts_free(&w.prompts);
    lm_grow_seeds_free(&w.seeds);
    free(w.prompts_path), free(w.state);
    return status;
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "--method\n");
    for (const lm_growth *const *m = lm_growth_registry; *m; m++) lm_help_entry(out, (*m)->name, (*m)->summary);
}

const lm_command lm_data_grow = {
    .name = "grow",
    .summary = "let a model write more instruction data out of a few seeds (Self-Instruct, Evol-Instruct)",
    .usage = "SEEDS... --method NAME --rows N --model NAME --out FILE [options]",
    .example = "malmoi data grow seeds.jsonl --method self_instruct --rows 1000 --endpoint http://localhost:8000/v1 --model NAME --out grown.jsonl\n"
               "malmoi data grow grown.jsonl --method evol_instruct --rows 2000 --model FOLDER --out evolved.jsonl --report grow.json\n"
               "malmoi data mix evolved.jsonl --difficulty difficulty --out balanced.jsonl",
    .notes = "A seed has \"instruction\" (with \"input\" or Self-Instruct's \"instances\"), or is a row that data format reads.  Answers are kept line by line: a run that stops goes on with --resume.",
    .options = options,
    .values_size = sizeof(grow_values),
    .topics = topics,
    .run = run,
};
