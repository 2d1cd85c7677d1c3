/* malmoi data judge: preferences that a judge makes (RLAIF).
 *
 * Every pair of a row's answers is shown twice, in both orders; a judge that prefers another answer when they change
 * places has no preference, and the pair is left out.  What the judge said is kept line by line beside the result, so
 * that a run that stops goes on with --resume and asks nothing twice.
 *
 * Sources: Bai et al. 2022, "Constitutional AI", section 4.1; Lee et al. 2023, "RLAIF", section 2.3 (both orders). */
#include "app/asker.h"
#include "app/data.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/signal.h"
#include "data/rubric.h"
#include "data/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct judge_values {
    lm_asker_options judge;
    const char *out, *log, *prompt, *format;
    lm_strings rubrics;
    int64_t max_tokens;
    double temperature;
    bool resume, overwrite, json;
} judge_values;

static const lm_option options[] = {
    LM_OPTION(LIST, judge_values, rubrics, "rubric", .required = true, .metavar = "FILE,..", .help = "how it is asked; each gives preferences of its own (examples/rubrics)"),
    LM_OPTION(STRING, judge_values, out, "out", .required = true, .metavar = "FILE", .help = "the preferences, as JSONL"),
    LM_OPTION(STRING, judge_values, log, "verdicts", .metavar = "FILE", .help = "everything that the judge said (default: OUT with .verdicts.jsonl behind it)"),
    LM_OPTION(STRING, judge_values, prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked, text or messages"),
    LM_OPTION(INT, judge_values, max_tokens, "max-tokens", .fallback = "512", .min = 1, .max = 1 << 20, .help = "of what the judge says"),
    LM_OPTION(REAL, judge_values, temperature, "temperature", .fallback = "0", .max = 10, .help = "of the judge"),
    LM_OPTIONS_ASKER(judge_values, judge),
    LM_OPTION(STRING, judge_values, format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv or tsv (default: by their names)"),
    LM_OPTION(FLAG, judge_values, resume, "resume", .help = "go on where a run stopped"),
    LM_OPTION(FLAG, judge_values, overwrite, "overwrite", .help = "throw away what a run before said"),
    LM_OPTION(FLAG, judge_values, json, "json", .help = "print the counts as JSON"),
    { 0 },
};

typedef struct work {
    const judge_values *v;
    lm_asker_link *link;
    lm_asker judge;
    lm_rubric *rubrics;                      /* [v->rubrics.n] */
    lm_source *source;
    char *log_path;
    lm_map *known;                           /* what was asked before: key to index of said */
    lm_json *said;                           /* lines of the log */
    lm_jsonl *log;
    lm_str kept;                             /* preferences so far, as JSONL */
    int64_t pairs, asked, preferred, equal, ties, torn, unclear;       /* equal: answers of the same text, which nobody is asked about */
} work;

/* ---- one pair ---- */

/* Text of a prompt or an answer: itself, or "role: content" for each message. */
static char *text_of(const lm_json *value)
{
    lm_str text = {0};
    size_t i;
    lm_json *message;
    lm_str_puts(&text, json_is_string(value) ? json_string_value(value) : "");
    json_array_foreach((json_t *)(uintptr_t)value, i, message) {
        const char *role = json_string_value(json_object_get(message, "role")), *content = json_string_value(json_object_get(message, "content"));
        bool alone = json_array_size(value) == 1;
        if (content) lm_str_printf(&text, "%s%s%s%s", i ? "\n\n" : "", alone || !role ? "" : role, alone || !role ? "" : ": ", content);
    }
    return lm_str_take(&text);
}

typedef struct pair {
    const lm_rubric *rubric;
    const char *prompt, *answer[2];
    int64_t line;                            /* of the row */
    size_t place[2];                         /* of the answers in it */
} pair;

/* What tells a question from every other; the answers' texts are part of it, so that changed data is asked anew. */
static char *key_of(const work *w, const pair *p)
{
    lm_str all = {0}, key = {0};
    lm_str_printf(&all, "%s\n%s\n%s\n%s\n%s", w->v->judge.model, p->rubric->ask, p->prompt, p->answer[0], p->answer[1]);
    lm_str_printf(&key, "%s:%" PRId64 ":%zu:%zu:%016" PRIx64, p->rubric->name, p->line, p->place[0], p->place[1], lm_hash(all.data, all.len, 0));
    lm_str_free(&all);
    return lm_str_take(&key);
}

static lm_verdict verdict_named(const lm_json *name)
{
    for (int v = 0; json_is_string(name) && lm_verdict_names[v]; v++)
        if (!strcmp(json_string_value(name), lm_verdict_names[v])) return (lm_verdict)v;
    return LM_VERDICT_NONE;
}

static void settled(void *context, lm_asking *q) { (void)context, (void)q; }

/* What was said in one order, and what it decided, to the ends of two lists. */
static void take_verdict(const pair *p, const lm_asking *q, lm_json *verdicts, lm_json *reasons)
{
    lm_span said = lm_span_of(q->answer.data ? q->answer.data : "", q->answer.len);
    json_array_append_new(reasons, json_stringn(said.data, said.len));
    json_array_append_new(verdicts, json_string(lm_verdict_names[lm_rubric_verdict(p->rubric, said)]));
}

static lm_status ask_both(work *w, const pair *p, const char *key, lm_json **line, lm_err *err)
{
    lm_json *verdicts = json_array(), *reasons = json_array();
    lm_str question[2] = { {0} };
    lm_asking asking[2] = { {0} };
    lm_status status = LM_OK;
    for (int first = 0; first < 2; first++) {
        const char *a = p->answer[first], *b = p->answer[!first];
        lm_rubric_question(&question[first], p->rubric, lm_span_of(p->prompt, strlen(p->prompt)), lm_span_of(a, strlen(a)), lm_span_of(b, strlen(b)));
        asking[first] = (lm_asking){ .system = p->rubric->system, .text = question[first].data, .temperature = w->v->temperature, .max_tokens = w->v->max_tokens };
    }
    w->judge.ask(w->judge.self, asking, 2, settled, NULL);
    for (int i = 0; i < 2; i++) {
        if (asking[i].err.code == LM_OK) take_verdict(p, &asking[i], verdicts, reasons);
        else status = lm_fail(err, asking[i].err.code, "%s", asking[i].err.message);
        lm_str_free(&asking[i].answer), lm_str_free(&question[i]);
    }
    *line = json_pack("{s:s, s:s, s:I, s:[I, I], s:s, s:o, s:o}", "key", key, "rubric", p->rubric->name, "line", (json_int_t)p->line, "answers",
                      (json_int_t)p->place[0] + 1, (json_int_t)p->place[1] + 1, "judge", w->v->judge.model, "verdicts", verdicts, "reasons", reasons);
    if (status != LM_OK) return status;
    w->asked += 2;
    return lm_jsonl_put(w->log, json_incref(*line), err);
}

/* Both orders as one: the answer that won both, a tie, or nothing. */
static void count(work *w, const pair *p, const lm_json *row, const lm_json *line)
{
    const lm_json *verdicts = json_object_get(line, "verdicts");
    lm_verdict a = verdict_named(json_array_get(verdicts, 0)), b = verdict_named(json_array_get(verdicts, 1));
    w->pairs++;
    if (a == LM_VERDICT_NONE || b == LM_VERDICT_NONE) w->unclear++;
    else if (a == LM_VERDICT_TIE && b == LM_VERDICT_TIE) w->ties++;
    else if (a == LM_VERDICT_TIE || b == LM_VERDICT_TIE || a == b) w->torn++;
    else {
        int best = a == LM_VERDICT_FIRST ? 0 : 1;
        const lm_json *list = json_object_get(row, "completions");
        lm_json *chosen = list ? json_array_get(list, p->place[best]) : json_object_get(row, best ? "rejected" : "chosen");
        lm_json *rejected = list ? json_array_get(list, p->place[!best]) : json_object_get(row, best ? "chosen" : "rejected");
        lm_json *preference = json_pack("{s:O*, s:O, s:O, s:s, s:s, s:O}", w->v->prompt, json_object_get(row, w->v->prompt), "chosen", chosen, "rejected",
                                        rejected, "rubric", p->rubric->name, "judge", w->v->judge.model, "reasons", json_object_get(line, "reasons"));
        lm_json_text(&w->kept, preference, 0);
        lm_str_putc(&w->kept, '\n');
        lm_json_free(preference);
        w->preferred++;
    }
}

static lm_status judge_pair(work *w, const pair *p, const lm_json *row, lm_err *err)
{
    char *key = key_of(w, p);
    int64_t before = lm_map_get(w->known, key, strlen(key), -1);
    lm_json *line = NULL;
    lm_status status = LM_OK;
    if (before >= 0) line = json_incref(json_array_get(w->said, (size_t)before));
    else status = ask_both(w, p, key, &line, err);
    if (status == LM_OK) count(w, p, row, line);
    lm_json_free(line);
    free(key);
    return status;
}

/* ---- rows ---- */

/* The answers of a row, NULL-terminated, or NULL. */
static char **answers_of(const lm_json *row)
{
    const lm_json *list = json_object_get(row, "completions"), *chosen = json_object_get(row, "chosen"), *rejected = json_object_get(row, "rejected");
    size_t n = list ? json_array_size(list) : chosen && rejected ? 2 : 0;
    if (n < 2) return NULL;
    char **texts = lm_calloc(n + 1, sizeof *texts);
    for (size_t i = 0; i < n; i++) texts[i] = text_of(list ? json_array_get(list, i) : i ? rejected : chosen);
    return texts;
}

static lm_status judge_row(work *w, const lm_row *row, lm_err *err)
{
    char **texts = row->object ? answers_of(row->object) : NULL;
    if (!texts) return lm_fail(err, LM_E_FORMAT, "expected \"completions\", two or more, or \"chosen\" and \"rejected\"");
    char *prompt = text_of(lm_json_get(row->object, w->v->prompt));
    lm_status status = LM_OK;
    for (int r = 0; r < w->v->rubrics.n; r++)
        for (size_t i = 0; texts[i]; i++)
            for (size_t j = i + 1; texts[j] && status == LM_OK; j++) {
                if (!strcmp(texts[i], texts[j])) {
                    w->equal++;
                    continue;
                }
                const pair p = { .rubric = &w->rubrics[r], .prompt = prompt, .answer = { texts[i], texts[j] }, .line = row->line, .place = { i, j } };
                status = judge_pair(w, &p, row->object, err);
                if (!lm_interrupted() || (status != LM_OK && status != LM_E_INTERRUPT)) continue;
                lm_err_clear(err);
                status = lm_fail(err, LM_E_INTERRUPT, "stopped after %" PRId64 " pairs; the same command with --resume goes on", w->pairs);
            }
    for (size_t i = 0; texts[i]; i++) free(texts[i]);
    free(texts);
    free(prompt);
    return status;
}

static lm_status judge_rows(work *w, lm_err *err)
{
    for (bool more = true;;) {
        lm_row row = {0};
        LM_TRY(lm_source_next(w->source, &row, &more, err));
        if (!more) return LM_OK;
        lm_status status = judge_row(w, &row, err);
        if (status == LM_E_FORMAT || status == LM_E_MISMATCH) lm_context(err, "%s:%" PRId64, row.path, row.line);
        lm_row_free(&row);
        LM_TRY(status);
    }
}

/* ---- what was said before ---- */

static lm_status read_log(work *w, lm_err *err)
{
    lm_source *before;
    LM_TRY(lm_source_open(&before, &(lm_strings){ &w->log_path, 1 }, &(lm_source_options){ .format = "jsonl" }, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(before, &row, &more, err);
        if (status != LM_OK || !more) break;
        const char *key = json_string_value(json_object_get(row.object, "key"));
        if (key && lm_map_put(w->known, key, strlen(key), (int64_t)json_array_size(w->said))) json_array_append(w->said, row.object);
        lm_row_free(&row);
    }
    lm_source_close(before);
    return status;
}

static lm_status open_log(work *w, lm_err *err)
{
    const judge_values *v = w->v;
    lm_str path = {0};
    lm_str_printf(&path, "%s%s", v->log ? v->log : v->out, v->log ? "" : ".verdicts.jsonl");
    w->log_path = lm_str_take(&path);
    w->known = lm_map_new(64);
    w->said = json_array();
    bool there = lm_file_exists(w->log_path);
    if (there && !v->resume && !v->overwrite)
        return lm_fail(err, LM_E_USAGE, "%s: a run before stands there; --resume goes on with it, --overwrite throws it away", w->log_path);
    w->log = lm_jsonl_open(w->log_path, v->resume, err);
    if (!w->log) return err->code;
    return there && v->resume ? read_log(w, err) : LM_OK;
}

/* ---- the command ---- */

static lm_status open_all(work *w, lm_call *call, lm_err *err)
{
    const judge_values *v = call->values;
    w->rubrics = lm_calloc((size_t)v->rubrics.n, sizeof *w->rubrics);
    for (int i = 0; i < v->rubrics.n; i++) LM_TRY(lm_rubric_read(&w->rubrics[i], v->rubrics.items[i], err));
    LM_TRY(lm_source_open(&w->source, &call->args, &(lm_source_options){ .format = v->format }, err));
    LM_TRY(open_log(w, err));
    return lm_asker_open(&w->link, &w->judge, call, &v->judge, err);
}

static void print(const work *w)
{
    if (w->v->json)
        lm_print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pairs", (json_int_t)w->pairs, "equal", (json_int_t)w->equal, "preferences", (json_int_t)w->preferred, "ties",
                                (json_int_t)w->ties, "order_decided", (json_int_t)w->torn, "unclear", (json_int_t)w->unclear, "questions", (json_int_t)w->asked));
    else
        printf("%s: %" PRId64 " preferences of %" PRId64 " pairs; left out: %" PRId64 " of equal answers, %" PRId64 " ties, %" PRId64 " that hung on the order, %" PRId64 " without a verdict\n",
               w->v->out, w->preferred, w->pairs, w->equal, w->ties, w->torn, w->unclear);
}

static lm_status judge_all(work *w, lm_call *call, lm_err *err)
{
    LM_TRY(open_all(w, call, err));
    lm_interrupt_watch();
    lm_status status = judge_rows(w, err);
    if (status != LM_OK && w->asked && status != LM_E_INTERRUPT)
        lm_log(LM_LOG_WARN, "%s: what the judge said so far; --resume goes on", w->log_path);
    LM_TRY(status);
    LM_TRY(lm_file_write(w->v->out, w->kept.data ? w->kept.data : "", w->kept.len, err));
    print(w);
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    work w = { .v = call->values };
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    lm_status status = judge_all(&w, call, err);
    lm_asker_close(w.link);
    for (int i = 0; w.rubrics && i < w.v->rubrics.n; i++) lm_rubric_free(&w.rubrics[i]);
    free(w.rubrics);
    lm_source_close(w.source);
    lm_jsonl_close(w.log);
    if (w.known) lm_map_free(w.known);
    lm_json_free(w.said);
    lm_str_free(&w.kept);
    free(w.log_path);
    return status;
}

const lm_command lm_data_judge = {
    .name = "judge",
    .summary = "let a judge prefer one of two answers, and keep what it says (RLAIF)",
    .usage = "IN... --model NAME --rubric FILE --out FILE [options]",
    .example = "malmoi data judge answers.jsonl --endpoint http://localhost:8000/v1 --model NAME --rubric examples/rubrics/helpful.en.yaml --out pairs.jsonl\n"
               "malmoi data judge answers.jsonl --model FOLDER --rubric examples/rubrics/honest.ko.yaml --out pairs.jsonl --resume",
    .notes = "A row has \"prompt\" and \"completions\", or \"chosen\" and \"rejected\".  Every pair is shown in both orders; only what wins both is a preference.",
    .options = options,
    .values_size = sizeof(judge_values),
    .run = run,
};
