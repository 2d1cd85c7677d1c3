/* malmoi score: what a reward model gives the answers of a file, row by row. */
#include "app/command.h"
#include "app/open.h"

#include "base/file.h"
#include "base/log.h"
#include "base/signal.h"
#include "objective/scorer.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BY_MIN, BY_PRODUCT, BY_LAST, BY_MEAN };
static const char *const aggregates[] = { "min", "product", "last", "mean", NULL };

typedef struct score_options {
    const char *model, *load_in, *out, *format, *completion, *text, *template;
    lm_step_fields fields;
    lm_strings adapter, data, weights;
    int64_t context;
    int dtype, aggregate;
    bool probability, truncate, force, json;
} score_options;

static const lm_option options[] = {
    LM_OPTION(STRING, score_options, model, "model", .metavar = "FOLDER", .help = "the reward model; may also stand as the first argument"),
    LM_OPTION(LIST, score_options, adapter, "adapter", .metavar = "FOLDER,..", .help = "PEFT adapters over it"),
    LM_OPTION_ANY_BASE(score_options),
    LM_OPTION(LIST, score_options, data, "data", .metavar = "FILE", .required = true, .help = "rows to score: JSONL, CSV, TSV or text, also packed; - reads standard input"),
    LM_OPTION(STRING, score_options, out, "out", .metavar = "FILE", .help = "where the rows go, with their scores (default: standard output)"),
    LM_OPTION(STRING, score_options, fields.prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"),
    LM_OPTION(STRING, score_options, completion, "completion-field", .metavar = "NAME", .help = "field that answers (default: completion or completions)"),
    LM_OPTION(STRING, score_options, text, "text-field", .metavar = "NAME", .help = "field with a whole text instead (default: text, where there is no answer)"),
    LM_OPTION(STRING, score_options, fields.steps, "steps-field", .metavar = "NAME", .help = "for a model of steps: field with them (default: completions or completion)"),
    LM_OPTION(STRING, score_options, fields.separator, "step-separator", .metavar = "TEXT", .help = "text behind each step (default: the model's own, or \\n)"),
    LM_OPTION(CHOICE, score_options, aggregate, "aggregate", .fallback = "min", .choices = aggregates, .help = "what the steps of a solution come to"),
    LM_OPTION(LIST, score_options, weights, "weights", .metavar = "NAME=X,..", .help = "for a model of several criteria: how they add up (default: their mean)"),
    LM_OPTION(FLAG, score_options, probability, "probability", .help = "for a model of answers: sigmoid of the score, an orm's probability of being right"),
    LM_OPTION(STRING, score_options, template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's"),
    LM_OPTION(STRING, score_options, format, "format", .fallback = "auto", .metavar = "NAME", .help = "of the data: jsonl, csv, tsv or text; auto: by its name"),
    LM_OPTION(INT, score_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of an answer with its prompt at most (0: the model's limit)"),
    LM_OPTION(FLAG, score_options, truncate, "truncate", .help = "cut what is longer"),
    LM_OPTION_LOAD_IN(score_options),
    LM_OPTION(CHOICE, score_options, dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices, .help = "type to compute in"),
    LM_OPTION(FLAG, score_options, json, "json", .help = "one JSON object of the scores' count, mean, least and greatest; rows only to --out"),
    { 0 },
};

typedef struct work {
    const score_options *o;
    lm_opened m;
    lm_source *source;
    lm_scorer *scorer;
    double *weights;                     /* [labels] of criteria */
    lm_json **waiting;                   /* rows that have no score yet, of which `from` is the next */
    size_t from, n, cap;
    lm_writer writer;                    /* with --out */
    FILE *rows;                          /* NULL: they are not wanted */
    struct {
        int64_t n;
        double sum, least, greatest;
    } all;
} work;

/* ---- scores ---- */

static double aggregate(int how, const lm_json *steps)
{
    double least = INFINITY, product = 1, last = 0, sum = 0;
    size_t i;
    lm_json *step;
    json_array_foreach((json_t *)(uintptr_t)steps, i, step) {
        last = json_real_value(step);
        least = fmin(least, last);
        product *= last;
        sum += last;
    }
    return how == BY_MIN ? least : how == BY_PRODUCT ? product : how == BY_LAST ? last : sum / (double)json_array_size(steps);
}

static lm_json *steps_of(const lm_scored *s)
{
    lm_json *steps = json_array();
    for (int64_t i = 0; i < s->n; i++) json_array_append_new(steps, json_real(lm_step_probability(s->scores + i * s->labels, s->labels)));
    return steps;
}

static double total(const work *w, const float *scores)
{
    double sum = 0;
    for (int i = 0; i < w->m.model->labels.n; i++) sum += w->weights[i] * (double)scores[i];
    return w->o->probability ? 1 / (1 + exp(-sum)) : sum;
}

static lm_json *criteria_of(const work *w, const float *scores)
{
    const lm_strings *names = &w->m.model->labels;
    lm_json *all = json_object();
    for (int i = 0; i < names->n; i++) json_object_set_new(all, names->items[i], json_real((double)scores[i]));
    return all;
}

/* One answer of a row: "score"; several: "scores", as objectives that rank answers read them. */
static void put_answers(const work *w, lm_json *row, const lm_scored *s)
{
    bool several = json_is_array(json_object_get(row, "completions")), criteria = s->labels > 1;
    lm_json *scores = json_array(), *parts = json_array();
    for (int64_t i = 0; i < s->n; i++) {
        json_array_append_new(scores, json_real(total(w, s->scores + i * s->labels)));
        if (criteria) json_array_append_new(parts, criteria_of(w, s->scores + i * s->labels));
    }
    json_object_set(row, several ? "scores" : "score", several ? scores : json_array_get(scores, 0));
    if (criteria) json_object_set(row, "criteria", several ? parts : json_array_get(parts, 0));
    json_decref(scores);
    json_decref(parts);
}

static void put_steps(const work *w, lm_json *row, const lm_scored *s)
{
    lm_json *steps = steps_of(s);
    json_object_set_new(row, "score", json_real(aggregate(w->o->aggregate, steps)));
    json_object_set_new(row, "step_scores", steps);
}

static void count(work *w, const lm_json *score)
{
    size_t n = json_is_array(score) ? json_array_size(score) : 1;
    for (size_t i = 0; i < n; i++) {
        double x = json_real_value(json_is_array(score) ? json_array_get(score, i) : score);
        w->all.least = w->all.n ? fmin(w->all.least, x) : x;
        w->all.greatest = w->all.n ? fmax(w->all.greatest, x) : x;
        w->all.sum += x;
        w->all.n++;
    }
}

static void scored(void *to, const lm_scored *s)
{
    work *w = to;
    lm_json *row = w->waiting[w->from++];
    (w->m.model->labels_tokens ? put_steps : put_answers)(w, row, s);
    const lm_json *several = json_object_get(row, "scores");
    count(w, several ? several : json_object_get(row, "score"));
    if (w->rows) {
        lm_str line = {0};
        lm_json_text(&line, row, 0);
        lm_str_putc(&line, '\n');
        fwrite(line.data, 1, line.len, w->rows);
        lm_str_free(&line);
    }
    lm_json_free(row);
    if (w->from == w->n) w->from = w->n = 0;
}

/* ---- rows ---- */

static void wait_for_score(work *w, const lm_row *row)
{
    if (w->n == w->cap) {
        w->cap = 2 * w->cap + 64;
        w->waiting = lm_realloc(w->waiting, w->cap * sizeof *w->waiting);
    }
    w->waiting[w->n++] = row->object ? json_incref(row->object) : json_pack("{s:s%}", "text", row->text.data ? row->text.data : "", row->text.len);
}

static lm_status score_rows(work *w, lm_err *err)
{
    for (bool more = true;;) {
        lm_row row = {0};
        LM_TRY(lm_source_next(w->source, &row, &more, err));
        if (!more) break;
        wait_for_score(w, &row);
        lm_status status = lm_scorer_add(w->scorer, &row, err);
        if (status != LM_OK) lm_context(err, "%s:%lld", row.path, (long long)row.line);
        lm_row_free(&row);
        LM_TRY(status);
        if (lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped after %lld scores", (long long)w->all.n);
    }
    LM_TRY(lm_scorer_flush(w->scorer, err));
    return w->all.n ? LM_OK : lm_fail(err, LM_E_FORMAT, "%s: holds no row", lm_source_name(w->source));
}

/* ---- criteria ---- */

static lm_status read_weight(work *w, const char *text, lm_err *err)
{
    const lm_strings *names = &w->m.model->labels;
    const char *equals = strrchr(text, '=');
    char *end = NULL;
    double x = equals ? strtod(equals + 1, &end) : 0;
    if (!equals || end == equals + 1 || *end || !isfinite(x)) return lm_fail(err, LM_E_USAGE, "--weights %s: expected NAME=NUMBER", text);
    for (int i = 0; i < names->n; i++)
        if (strlen(names->items[i]) == (size_t)(equals - text) && !strncmp(names->items[i], text, (size_t)(equals - text))) {
            w->weights[i] = x;
            return LM_OK;
        }
    lm_str known = {0};
    for (int i = 0; i < names->n && known.len < 200; i++) lm_str_printf(&known, "%s%s", i ? ", " : "", names->items[i]);
    lm_fail(err, LM_E_USAGE, "--weights %s: the model's criteria are %s", text, known.data);
    lm_str_free(&known);
    return LM_E_USAGE;
}

/* Criteria that --weights does not name do not count. */
static lm_status read_weights(work *w, lm_err *err)
{
    int n = w->m.model->labels.n;
    w->weights = lm_calloc((size_t)n, sizeof *w->weights);
    for (int i = 0; i < n && !w->o->weights.n; i++) w->weights[i] = 1 / (double)n;
    for (int i = 0; i < w->o->weights.n; i++) LM_TRY(read_weight(w, w->o->weights.items[i], err));
    return LM_OK;
}

/* ---- the command ---- */

static lm_status open_all(work *w, const lm_call *call, const char *model, lm_err *err)
{
    const score_options *o = w->o;
    w->m.load_in = o->load_in;
    w->m.foreign = o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(&w->m, call, model, &o->adapter, o->dtype, err));
    LM_TRY(lm_open_tokenizer(&w->m, err));
    const lm_scorer_options how = { .context = o->context, .batch_tokens = 4096, .truncate = o->truncate, .compute = w->m.compute,
                                    .template = o->template, .completion = o->completion, .text = o->text, .fields = o->fields,
                                    .scored = scored, .to = w };
    LM_TRY(lm_scorer_new(&w->scorer, w->m.model, &w->m.kernels, w->m.tokenizer, &how, err));
    LM_TRY(read_weights(w, err));
    LM_TRY(lm_source_open(&w->source, &o->data, &(lm_source_options){ .format = o->format }, err));
    if (!o->out) {
        w->rows = o->json ? NULL : stdout;
        return LM_OK;
    }
    LM_TRY(lm_writer_open(&w->writer, o->out, err));
    w->rows = w->writer.stream;
    return LM_OK;
}

static lm_status score_all(work *w, const lm_call *call, const char *model, lm_err *err)
{
    LM_TRY(open_all(w, call, model, err));
    lm_interrupt_watch();
    LM_TRY(score_rows(w, err));
    if (w->o->out) LM_TRY(lm_writer_commit(&w->writer, err));
    int64_t cut = lm_scorer_truncated(w->scorer);
    if (cut) lm_log(LM_LOG_WARN, "%lld answers were cut to the context", (long long)cut);
    if (w->o->json)
        lm_print_json(json_pack("{s:I, s:f, s:f, s:f, s:I}", "scores", (json_int_t)w->all.n, "mean", w->all.sum / (double)w->all.n,
                                "min", w->all.least, "max", w->all.greatest, "truncated", (json_int_t)cut));
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    work w = { .o = call->values };
    const char *model;
    int next;
    LM_TRY(lm_call_model(call, w.o->model, &model, &next, err));
    LM_TRY(lm_call_args(call, next, next, "one MODEL", err));
    lm_status status = score_all(&w, call, model, err);
    lm_writer_abort(&w.writer);
    lm_scorer_free(w.scorer);
    lm_source_close(w.source);
    for (size_t i = w.from; i < w.n; i++) lm_json_free(w.waiting[i]);
    free(w.waiting);
    free(w.weights);
    lm_close(&w.m);
    return status;
}

const lm_command lm_command_score = {
    .name = "score",
    .group = "models",
    .summary = "give answers the scores of a reward model",
    .usage = "MODEL --data FILE [options]",
    .example = "malmoi score REWARD --data answers.jsonl --out scored.jsonl\n"
               "malmoi score PRM --data solutions.jsonl --aggregate product",
    .notes = "A row is {\"prompt\", \"completion\"} (or \"completions\", or \"messages\"), or a text; it comes out with its \"score\".\n"
             "MODEL is one that train reward, orm or prm made; a prm gives \"step_scores\" as well.",
    .options = options,
    .values_size = sizeof(score_options),
    .run = run,
};
