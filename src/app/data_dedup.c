/* malmoi data dedup: a corpus without what it holds twice. */
#include "app/data.h"

#include "base/log.h"
#include "base/memory.h"
#include "data/dedup.h"
#include "data/source.h"

#include <stdio.h>

typedef struct dedup_values {
    lm_dedup_options o;
    const char *method;
    bool json;
} dedup_values;

static const lm_option options[] = {
    LM_OPTION(STRING, dedup_values, method, "method", .fallback = "exact", .metavar = "NAME", .help = "what counts as a duplicate; see below"),
    LM_OPTION(STRING, dedup_values, o.out, "out", .metavar = "FILE", .required = true, .help = "the rows that stay, as JSONL, in their order"),
    LM_OPTION(STRING, dedup_values, o.report, "report", .metavar = "FILE", .help = "counts, settings, clusters and hits as JSON"),
    LM_OPTION(STRING, dedup_values, o.clusters, "clusters", .metavar = "FILE", .help = "every cluster of two and more as JSONL: which row was kept, which were not"),
    LM_OPTION(STRING, dedup_values, o.keep, "keep", .fallback = "first", .metavar = "RULE", .help = "of a cluster: first, longest, or newest:FIELD (the latest date or greatest number there)"),
    LM_OPTION(LIST, dedup_values, o.against, "against", .metavar = "FILE,...", .help = "evaluation sets; rows that share an n-gram with them go too, and every hit is reported"),
    LM_OPTION(INT, dedup_values, o.against_ngram, "against-ngram", .fallback = "13", .min = 4, .max = 64, .help = "words of such an n-gram"),
    LM_OPTION(FLAG, dedup_values, o.against_keep, "against-keep", .help = "report such rows only"),
    LM_OPTION(STRING, dedup_values, o.field, "field", .metavar = "NAME", .help = "of a row that holds its text (default: text, document, sentence, review or content)"),
    LM_OPTION(FLAG, dedup_values, o.nfc, "nfc", .fallback = "true", .help = "texts are compared in Unicode's normal form C"),
    LM_OPTION(FLAG, dedup_values, o.space, "space", .fallback = "true", .help = "any white space counts as one space"),
    LM_OPTION(FLAG, dedup_values, o.lower, "lower", .help = "upper and lower case are the same"),
    LM_OPTION(FLAG, dedup_values, o.punctuation, "ignore-punctuation", .help = "punctuation and symbols do not count"),
    LM_OPTION(STRING, dedup_values, o.format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, dedup_values, o.separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(CHOICE, dedup_values, o.on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a malformed row ends the run, or is counted and listed"),
    LM_OPTION(INT, dedup_values, o.memory, "memory", .fallback = "2Gi", .min = 1 << 16, .max = 1e15, .metavar = "BYTES", .help = "for what is kept of the documents; more goes to disk"),
    LM_OPTION(STRING, dedup_values, o.folder, "work", .metavar = "FOLDER", .help = "where temporary files go, and what a killed run goes on from (default: beside --out, and nothing)"),
    LM_OPTION(FLAG, dedup_values, json, "json", .help = "print the counts as JSON"),
    { 0 },
};

static lm_status prepare(lm_call *call, lm_err *err)
{
    const char *name = lm_call_peek(call, "method");
    const lm_dedup *method = lm_dedup_find(name ? name : "exact");
    if (!method && !call->help) return lm_fail(err, LM_E_USAGE, "--method: there is no '%s'; malmoi data dedup --help lists them", name);
    if (method && method->options) call->own = lm_call_add(call, method->name, method->options, method->options_size);
    return LM_OK;
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "--method (with its own options in `malmoi data dedup --method NAME --help`)\n");
    for (const lm_dedup *const *m = lm_dedup_registry; *m; m++) lm_help_entry(out, (*m)->name, (*m)->help);
}

static void print(const lm_dedup_result *r, const dedup_values *v)
{
    if (v->json) {
        lm_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "method", v->method, "documents", (json_int_t)r->documents, "kept", (json_int_t)r->kept,
                                "removed", (json_int_t)r->removed, "edited", (json_int_t)r->edited, "clusters", (json_int_t)r->clusters, "contaminated",
                                (json_int_t)r->contaminated, "hits", (json_int_t)r->hits, "skipped", (json_int_t)r->skipped.n, "seconds", r->seconds));
        return;
    }
    char a[24], b[24], took[24];
    printf("%s: kept %lld of %lld documents, %s of %s of text, in %s\n", v->o.out, (long long)r->kept, (long long)r->documents, lm_format_bytes(a, (double)r->kept_bytes),
           lm_format_bytes(b, (double)r->bytes), lm_format_seconds(took, r->seconds));
    if (r->clusters) printf("%lld clusters of two and more, the largest of %lld\n", (long long)r->clusters, (long long)r->largest);
    if (r->resumed) printf("%lld rows had been looked at by a run that was killed\n", (long long)r->resumed);
    if (r->edited) printf("%lld documents lost a part\n", (long long)r->edited);
    if (v->o.against.n) printf("%lld documents overlap with evaluation sets, in %lld hits\n", (long long)r->contaminated, (long long)r->hits);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const dedup_values *v = call->values;
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    lm_memory_keep((size_t)16 << 20);
    lm_dedup_result result;
    lm_status status = lm_dedup_files(&result, &call->args, lm_dedup_find(v->method), call->own, &v->o, err);
    lm_skipped_tell(&result.skipped);
    if (status == LM_OK) print(&result, v);
    lm_dedup_result_free(&result);
    return status;
}

const lm_command lm_data_dedup = {
    .name = "dedup",
    .summary = "leave out documents, or parts of them, that stand there twice, or in an evaluation set",
    .usage = "IN... --out FILE [options]",
    .example = "malmoi data dedup corpus.jsonl.zst --out unique.jsonl\n"
               "malmoi data dedup acts.jsonl --method minhash --threshold 0.8 --keep newest:effective --out acts.unique.jsonl --report report.json\n"
               "malmoi data dedup corpus.jsonl --against test.jsonl --out clean.jsonl --report hits.json",
    .options = options,
    .values_size = sizeof(dedup_values),
    .prepare = prepare,
    .topics = topics,
    .run = run,
};
