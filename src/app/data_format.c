/* malmoi data format: rows of published data sets as rows that training reads, as they are or phrased by templates. */
#include "app/data.h"
#include "app/instruct.h"

#include "base/log.h"
#include "data/format.h"
#include "data/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct format_values {
    lm_format_options o;
    lm_instruct_call instruct;
    lm_strings fields, keep, columns;
    int on_error;
    bool json;
} format_values;

static const lm_option options[] = {
    LM_OPTION(STRING, format_values, o.out, "out", .metavar = "FILE", .help = "the rows, as JSONL"),
    LM_OPTION(STRING, format_values, o.kind, "kind", .fallback = "auto", .metavar = "NAME", .help = "what the rows are; see below (auto: by their fields)"),
    LM_OPTION(STRING, format_values, o.to, "to", .fallback = "auto", .metavar = "SHAPE", .help = "what they become; see below (auto: what is usual for their kind)"),
    LM_OPTION(LIST, format_values, fields, "field", .metavar = "ROLE=NAME,..", .help = "a field's name in these files: question=문의"),
    LM_OPTION(LIST, format_values, keep, "keep", .metavar = "NAME,..", .help = "further fields that go along as they are"),
    LM_OPTION(LIST, format_values, columns, "columns", .metavar = "NAME,..", .help = "names of the columns of a CSV or TSV file whose first line has none"),
    LM_OPTION(STRING, format_values, o.format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, format_values, o.separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(CHOICE, format_values, on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a row that cannot be used ends the run, or is counted and listed"),
    LM_OPTION(STRING, format_values, instruct.file, "template", .metavar = "FILE.yaml", .help = "phrase the rows as instructions by this template set"),
    LM_OPTION(STRING, format_values, instruct.name, "template-set", .metavar = "NAME", .help = "or by one that comes with the program"),
    LM_OPTION(FLAG, format_values, instruct.list, "list", .help = "show the template sets that come with the program, with an example each"),
    LM_OPTION(STRING, format_values, instruct.profile, "profile", .metavar = "FILE.yaml", .help = "phrase this one object instead of files: name: .., maker: .. (--template-set identity.ko)"),
    LM_OPTION(INT, format_values, instruct.seed, "seed", .fallback = "0", .max = 9e15, .help = "which phrasings and shots are drawn"),
    LM_OPTION(INT, format_values, instruct.how.per_row, "per-row", .fallback = "1", .min = 1, .max = 1000, .help = "phrasings of each row"),
    LM_OPTION(FLAG, format_values, instruct.how.all, "all", .help = "every phrasing that fits"),
    LM_OPTION(INT, format_values, instruct.how.shots, "shots", .fallback = "0", .max = 64, .help = "other rows, with their answers, shown before each"),
    LM_OPTION(FLAG, format_values, instruct.how.cot, "cot", .help = "phrasings that reason before they answer"),
    LM_OPTION(REAL, format_values, instruct.how.invert, "invert", .fallback = "0", .max = 1, .help = "share of phrasings that ask for the input instead"),
    LM_OPTION(FLAG, format_values, json, "json", .help = "print what was done as JSON"),
    { 0 },
};

static void topics(lm_str *out)
{
    lm_str_puts(out, "--kind, with the fields of each\n");
    for (const lm_row_kind *const *k = lm_row_kind_registry; *k; k++) lm_help_entry(out, (*k)->name, (*k)->help);
    lm_str_puts(out, "\n--to, with what becomes it\n");
    for (int s = 0; s < LM_SHAPES; s++) {
        lm_str from = {0};
        for (const lm_row_kind *const *k = lm_row_kind_registry; *k; k++)
            if (lm_shape_becomes((*k)->shape, (lm_shape)s)) lm_str_printf(&from, "%s%s", from.len ? ", " : "", (*k)->name);
        lm_help_entry(out, lm_shape_names[s], from.data);
        lm_str_free(&from);
    }
}

static void join(lm_str *out, const lm_strings *list)
{
    for (int i = 0; i < list->n; i++) lm_str_printf(out, "%s%s", i ? ", " : "", list->items[i]);
}

/* One line about what the rows were taken for. */
static void tell(const lm_format_result *r)
{
    lm_str used = {0}, unused = {0};
    join(&used, &r->used);
    join(&unused, &r->unused);
    if (r->used.n)
        lm_log(LM_LOG_INFO, "%s (from %s) as %s%s%s%s", r->kind->name, used.data, lm_shape_names[r->to], unused.len ? "; not kept: " : "",
               unused.len ? unused.data : "", unused.len ? " (--keep)" : "");
    lm_str_free(&used);
    lm_str_free(&unused);
}

static lm_json *list_of(const lm_strings *list)
{
    lm_json *array = json_array();
    for (int i = 0; i < list->n; i++) json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static void print(const lm_format_result *r, const format_values *v)
{
    if (v->json)
        lm_print_json(json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:o}", "kind", r->kind->name, "to", lm_shape_names[r->to], "fields", list_of(&r->used), "not_kept",
                                list_of(&r->unused), "rows", (json_int_t)(r->rows + r->skipped.n), "written", (json_int_t)r->written, "passed_over", (json_int_t)r->skipped.n, "errors",
                                list_of(&r->skipped.messages)));
    else printf("%s: %" PRId64 " rows of %" PRId64 "; passed over: %" PRId64 "\n", v->o.out, r->written, r->rows + r->skipped.n, r->skipped.n);
}

static lm_status convert(lm_call *call, const format_values *v, lm_err *err)
{
    lm_format_result r;
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    lm_status status = lm_format_files(&r, &call->args, &v->o, err);
    tell(&r);
    lm_skipped_tell(&r.skipped);
    if (status == LM_OK) print(&r, v);
    lm_format_result_free(&r);
    return status;
}

static lm_status phrase(lm_call *call, format_values *v, lm_err *err)
{
    lm_instruct_call *c = &v->instruct;
    bool auto_to = !strcmp(v->o.to, "auto");
    if (strcmp(v->o.kind, "auto")) return lm_fail(err, LM_E_USAGE, "--kind: a template set says itself which fields it reads");
    if (!auto_to && strcmp(v->o.to, "messages") && strcmp(v->o.to, "prompt_completion"))
        return lm_fail(err, LM_E_USAGE, "--to %s: instructions become messages or prompt_completion", v->o.to);
    c->o = (lm_instruct_options){ .out = v->o.out, .format = v->o.format, .separator = v->o.separator, .keep = &v->keep, .columns = v->o.columns,
                                  .completions = !strcmp(v->o.to, "prompt_completion"), .skip = v->on_error };
    c->how.fields = &v->fields;
    c->json = v->json;
    return lm_instruct_run(call, c, err);
}

static lm_status run(lm_call *call, lm_err *err)
{
    format_values *v = call->values;
    v->o.fields = &v->fields, v->o.keep = &v->keep, v->o.skip = v->on_error;
    v->o.columns = v->columns.n ? &v->columns : NULL;
    if (v->instruct.list) return lm_instruct_list(v->json, err);
    if (!v->o.out) return lm_fail(err, LM_E_USAGE, "expected --out FILE");
    bool templates = v->instruct.file || v->instruct.name;
    if (v->instruct.profile && !templates) return lm_fail(err, LM_E_USAGE, "--profile: expected --template-set identity.ko (or another) with it");
    return templates ? phrase(call, v, err) : convert(call, v, err);
}

const lm_command lm_data_format = {
    .name = "format",
    .summary = "turn published data sets into rows that train reads, by templates if need be",
    .usage = "IN... --out FILE [options]",
    .example = "malmoi data format alpaca.jsonl --out chats.jsonl\n"
               "malmoi data format pairs.jsonl --to labelled --out kto.jsonl\n"
               "malmoi data format questions.csv --field question=문의,answer=답변내용 --to prompt_completion --out sft.jsonl\n"
               "malmoi data format acts.jsonl.zst --template-set statute --out instructions.jsonl\n"
               "malmoi data format reviews.tsv --template-set nsmc --shots 3 --invert 0.1 --out instructions.jsonl\n"
               "malmoi data format --profile me.yaml --template-set identity.ko --all --out identity.jsonl",
    .notes = "What a template set is made of stands in docs/data.md; templates/ holds those that come with the program.",
    .options = options,
    .values_size = sizeof(format_values),
    .topics = topics,
    .run = run,
};
