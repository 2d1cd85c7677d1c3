/* malmoi data clean: a corpus through a pipeline of filters. */
#include "app/data.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/table.h"
#include "data/clean.h"
#include "data/source.h"

#include <stdio.h>

typedef struct clean_values {
    lm_clean_options o;
    lm_strings filters, presets;
    const char *pipeline;
    bool json;
} clean_values;

static const lm_option options[] = {
    LM_OPTION(STRING, clean_values, o.out, "out", .metavar = "FILE", .required = true, .help = "the documents that are kept, as JSONL"),
    LM_OPTION(LIST, clean_values, presets, "preset", .metavar = "NAME,...", .help = "filters that go together; see below"),
    LM_OPTION(LIST, clean_values, filters, "filter", .metavar = "NAME[:KEY=VALUE,...]", .help = "one filter with its settings, after those of presets; may be repeated"),
    LM_OPTION(STRING, clean_values, pipeline, "pipeline", .metavar = "FILE.yaml", .help = "filters from a file: each a key, with a list of key=value"),
    LM_OPTION(STRING, clean_values, o.rejected, "rejected", .metavar = "FILE", .help = "the others, with rejected_by and reason"),
    LM_OPTION(STRING, clean_values, o.report, "report", .metavar = "FILE", .help = "what each filter cost: JSON, or a page with pictures if its name ends in .html"),
    LM_OPTION(STRING, clean_values, o.field, "field", .metavar = "NAME", .help = "of a row that holds its text (default: text, document, sentence, review or content)"),
    LM_OPTION(STRING, clean_values, o.format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, clean_values, o.separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(CHOICE, clean_values, o.on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a malformed row ends the run, or is counted and listed"),
    LM_OPTION(FLAG, clean_values, json, "json", .help = "print the report as JSON"),
    { 0 },
};

static void list_settings(lm_str *out, const lm_filter *f)
{
    if (f->options) lm_str_printf(out, "  %-14s  ", "");
    for (const lm_option *o = f->options; o && o->name; o++) lm_str_printf(out, "%s%s=%s", o == f->options ? "" : ", ", o->name, o->fallback ? o->fallback : o->type == LM_OPT_FLAG ? "false" : "");
    if (f->options) lm_str_putc(out, '\n');
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "--preset\n");
    for (const lm_preset *p = lm_presets; p->name; p++) lm_help_entry(out, p->name, p->help);
    lm_str_puts(out, "\n--filter, with the settings it has by itself; lists are joined by +\n");
    for (const lm_filter *const *f = lm_filter_registry; *f; f++) {
        lm_help_entry(out, (*f)->name, (*f)->help);
        list_settings(out, *f);
    }
}

static lm_status build(lm_pipeline *p, const clean_values *v, lm_err *err)
{
    for (int i = 0; i < v->presets.n; i++) LM_TRY(lm_pipeline_preset(p, v->presets.items[i], err));
    if (v->pipeline) {
        lm_str text = {0};
        LM_TRY(lm_file_read(&text, v->pipeline, 1 << 20, err));
        lm_status status = lm_pipeline_yaml(p, text.data, text.len, v->pipeline, err);
        lm_str_free(&text);
        LM_TRY(status);
    }
    LM_TRY(lm_pipeline_add(p, &v->filters, err));
    if (!p->n) return lm_fail(err, LM_E_USAGE, "expected --preset, --filter or --pipeline; malmoi data clean --help lists what there is");
    return lm_pipeline_open(p, err);
}

static void print(const lm_clean_result *r, const lm_pipeline *p, const clean_values *v)
{
    if (v->json) {
        lm_print_json(lm_clean_json(r, p));
        return;
    }
    char a[24], b[24], took[24];
    lm_table t = lm_table_start("lrrr");
    lm_str out = {0};
    lm_table_cells(&t, "filter", "seen", "rejected", "changed");
    lm_table_rule(&t);
    for (int i = 0; i < p->n; i++) {
        lm_table_put(&t, "%s", p->items[i].filter->name);
        lm_table_put(&t, "%lld", (long long)r->filters[i].seen);
        lm_table_put(&t, "%lld", (long long)r->filters[i].rejected);
        lm_table_put(&t, "%lld", (long long)r->filters[i].changed);
    }
    lm_table_print(&t, &out);
    lm_table_free(&t);
    printf("%s\n%s: kept %lld of %lld documents, %s of %s of text, in %s\n", out.data, v->o.out, (long long)r->kept, (long long)r->documents,
           lm_format_bytes(a, (double)r->kept_bytes), lm_format_bytes(b, (double)r->bytes), lm_format_seconds(took, r->seconds));
    lm_str_free(&out);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const clean_values *v = call->values;
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    lm_memory_keep((size_t)64 << 20);
    lm_pipeline pipeline = {0};
    lm_status status = build(&pipeline, v, err);
    if (status == LM_OK) {
        lm_clean_result result;
        status = lm_clean_files(&result, &call->args, &pipeline, &v->o, err);
        lm_skipped_tell(&result.skipped);
        if (status == LM_OK) print(&result, &pipeline, v);
        lm_clean_result_free(&result);
    }
    lm_pipeline_free(&pipeline);
    return status;
}

const lm_command lm_data_clean = {
    .name = "clean",
    .summary = "keep what is worth training on: filters for quality, repetition, language and personal data",
    .usage = "IN... --out FILE [options]",
    .example = "malmoi data clean corpus.jsonl.zst --preset korean --out clean.jsonl --rejected rejected.jsonl --report report.html\n"
               "malmoi data clean reviews.tsv --filter unicode --filter length:min-words=3,max-words=500 --filter personal --out clean.jsonl",
    .options = options,
    .values_size = sizeof(clean_values),
    .topics = topics,
    .run = run,
};
