/* malmoi data mix: several sources in stated proportions, shuffled. */
#include "app/data.h"

#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "data/mix.h"
#include "data/source.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct mix_values {
    lm_mix_options o;
    const char *recipe, *report, *topic, *difficulty, *format, *separator;
    int64_t rows, cap, bins;
    double temperature;
    int rule;
    bool json;
} mix_values;

static const char *const rules[] = { "auto", "weights", "sizes", NULL };

static const lm_option options[] = {
    LM_OPTION(STRING, mix_values, o.out, "out", .metavar = "FILE", .required = true, .help = "the rows, as JSONL, in random order"),
    LM_OPTION(INT, mix_values, rows, "rows", .min = 1, .max = 1e12, .help = "how many (default: the most of which none comes twice)"),
    LM_OPTION(CHOICE, mix_values, rule, "rates", .choices = rules, .fallback = "auto", .help = "of sources without a fixed share: by their weights, or by their sizes; auto: weights where one is given"),
    LM_OPTION(REAL, mix_values, temperature, "temperature", .fallback = "1", .min = 0.01, .max = 1e6, .help = "of sizes: 1 is proportional, higher is more equal"),
    LM_OPTION(INT, mix_values, cap, "cap", .min = 1, .max = 1e15, .metavar = "ROWS", .help = "a source counts as no larger than this"),
    LM_OPTION(STRING, mix_values, topic, "topic", .metavar = "FIELD | MODEL.safetensors", .help = "within a source, rows with each value of this field, or of each topic by a model of `data learn --kind topics`, are equally many, as far as there are"),
    LM_OPTION(STRING, mix_values, difficulty, "difficulty", .metavar = "FIELD", .help = "the same for bins of this number, cut so that equally many rows fall into each"),
    LM_OPTION(INT, mix_values, bins, "bins", .fallback = "5", .min = 2, .max = 1000, .help = "of --difficulty"),
    LM_OPTION(STRING, mix_values, recipe, "recipe", .metavar = "FILE.yaml", .help = "sources and stages from a file, instead of IN and the options above"),
    LM_OPTION(STRING, mix_values, o.stage, "stage", .metavar = "NAME", .help = "write this one only, as it is behind those before it (default: all, one after the other)"),
    LM_OPTION(STRING, mix_values, o.source_field, "source-field", .metavar = "NAME", .help = "every row says in this field which source it is from"),
    LM_OPTION(INT, mix_values, o.parts, "parts", .fallback = "1", .min = 1, .max = 99999, .help = "files of equally many rows; -00001-of-00004 and so on goes into their names"),
    LM_OPTION(INT, mix_values, o.seed, "seed", .fallback = "1", .min = 0, .max = 1e15, .help = "of the order, and of which rows are left out"),
    LM_OPTION(STRING, mix_values, report, "report", .metavar = "FILE", .help = "what each stage took from each source, as JSON"),
    LM_OPTION(STRING, mix_values, format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, mix_values, separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(CHOICE, mix_values, o.on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a malformed row ends the run, or is counted and listed"),
    LM_OPTION(INT, mix_values, o.memory, "memory", .fallback = "2Gi", .min = 0, .max = 1e15, .metavar = "BYTES", .help = "of rows that are held; beyond, all of them go to disk"),
    LM_OPTION(STRING, mix_values, o.folder, "work", .metavar = "FOLDER", .help = "where temporary files go (default: beside --out)"),
    LM_OPTION(FLAG, mix_values, json, "json", .help = "print the report"),
    { 0 },
};

/* One stage, from the command line. */
static lm_status from_options(lm_mix *m, const lm_call *call, lm_err *err)
{
    const mix_values *v = call->values;
    for (int i = 0; i < call->args.n; i++) LM_TRY(lm_mix_add(m, call->args.items[i], err));
    for (int i = 0; i < m->n_sources; i++) {
        lm_mix_source *s = &m->sources[i];
        lm_mix_source_set(s, v->format, v->separator, v->topic, v->difficulty, v->bins);
    }
    lm_mix_stage *stage = lm_mix_add_stage(m);
    stage->rows = v->rows;
    stage->rule = v->rule;
    stage->temperature = v->temperature;
    stage->cap = v->cap;
    return LM_OK;
}

static lm_status from_recipe(lm_mix *m, const lm_call *call, lm_err *err)
{
    const mix_values *v = call->values;
    if (call->args.n) return lm_fail(err, LM_E_USAGE, "%s: sources are given by --recipe or one by one, not both", call->args.items[0]);
    LM_TRY(lm_mix_read(m, v->recipe, err));
    if (!m->n_stages) lm_mix_add_stage(m);
    if (v->rows && m->n_stages == 1) m->stages[0].rows = v->rows;
    else if (v->rows) return lm_fail(err, LM_E_USAGE, "--rows: %s says for each of its stages how many rows it has", v->recipe);
    return LM_OK;
}

static void print(const lm_mix_result *r, const mix_values *v)
{
    char bytes[24];
    const lm_json *stage, *part;
    size_t i, k;
    lm_str out = {0};
    lm_table t = lm_table_start("llrrr");
    lm_table_cells(&t, "stage", "source", "share", "rows", "repeated");
    lm_table_rule(&t);
    json_array_foreach(json_object_get(r->report, "stages"), i, stage)
        json_array_foreach(json_object_get(stage, "sources"), k, part) {
            lm_table_put(&t, "%s", k ? "" : json_string_value(json_object_get(stage, "stage")));
            lm_table_put(&t, "%s", json_string_value(json_object_get(part, "source")));
            lm_table_put(&t, "%.2f%%", 100 * json_number_value(json_object_get(part, "share")));
            lm_table_put(&t, "%lld", (long long)json_integer_value(json_object_get(part, "rows")));
            lm_table_put(&t, "%lld", (long long)json_integer_value(json_object_get(part, "repeated")));
        }
    lm_table_print(&t, &out);
    lm_table_free(&t);
    printf("%s: %lld rows, %s\n\n%s", v->o.out, (long long)r->rows, lm_format_bytes(bytes, (double)r->bytes), out.data);
    lm_str_free(&out);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const mix_values *v = call->values;
    lm_mix mix = {0};
    lm_mix_result result = {0};
    lm_status status = (v->recipe ? from_recipe : from_options)(&mix, call, err);
    if (status == LM_OK) status = lm_file_can_write(v->report, err);
    if (status == LM_OK) status = lm_mix_files(&result, &mix, &v->o, err);
    lm_skipped_tell(&result.skipped);
    if (status == LM_OK && v->report) status = lm_json_write(result.report, v->report, err);
    if (status == LM_OK && v->json) lm_print_json(json_incref(result.report));
    else if (status == LM_OK) print(&result, v);
    lm_mix_result_free(&result);
    lm_mix_free(&mix);
    return status;
}

const lm_command lm_data_mix = {
    .name = "mix",
    .summary = "rows of several sources in stated proportions, shuffled",
    .usage = "IN[:WEIGHT | :SHARE%]... --out FILE [options]",
    .example = "malmoi data mix chat.jsonl:3 statutes.jsonl:1 --rows 100k --out mix.jsonl\n"
               "malmoi data mix tasks.jsonl chat.jsonl corpus.jsonl.zst:10% --temperature 2 --cap 50k --out mix.jsonl --report mix.json\n"
               "malmoi data mix --recipe stages.yaml --out mix.jsonl",
    .options = options,
    .values_size = sizeof(mix_values),
    .run = run,
};
