/* malmoi data review: what a person thinks of what `data clean` kept and rejected. */
#include "app/data.h"

#include "base/table.h"
#include "data/review.h"

#include <stdio.h>

typedef struct review_values {
    const char *kept, *rejected, *field, *out, *page, *out_kept, *out_rejected;
    lm_strings merge;
    int64_t per_stratum, seed;
    bool json;
} review_values;

static const lm_option options[] = {
    LM_OPTION(STRING, review_values, kept, "kept", .metavar = "FILE", .help = "what `data clean --out` wrote"),
    LM_OPTION(STRING, review_values, rejected, "rejected", .metavar = "FILE", .help = "what `data clean --rejected` wrote"),
    LM_OPTION(STRING, review_values, out, "out", .metavar = "FILE", .help = "the sample to be judged: a table if its name ends in .tsv, else JSONL"),
    LM_OPTION(STRING, review_values, page, "page", .metavar = "FILE.html", .help = "the same as a page with buttons"),
    LM_OPTION(INT, review_values, per_stratum, "per-stratum", .fallback = "20", .min = 1, .max = 1e5, .help = "documents that are drawn of the kept ones, and of those of each filter"),
    LM_OPTION(INT, review_values, seed, "seed", .fallback = "0", .min = 0, .max = 9e18, .help = "which ones"),
    LM_OPTION(LIST, review_values, merge, "merge", .metavar = "VERDICTS,...", .help = "samples with their verdicts (good or bad): tell how right each filter was"),
    LM_OPTION(STRING, review_values, out_kept, "out-kept", .metavar = "FILE", .help = "with --merge: the kept documents as the verdicts have them"),
    LM_OPTION(STRING, review_values, out_rejected, "out-rejected", .metavar = "FILE", .help = "with --merge: the others"),
    LM_OPTION(STRING, review_values, field, "field", .metavar = "NAME", .help = "of a row that holds its text (default: text, document, sentence, review or content)"),
    LM_OPTION(FLAG, review_values, json, "json", .help = "print the counts as JSON"),
    { 0 },
};

static bool is_kept(const lm_review_stratum *s) { return !strcmp(s->name, "kept"); }

/* Verdicts that agree with what was done. */
static int64_t right(const lm_review_stratum *s) { return is_kept(s) ? s->good : s->bad; }

static lm_json *review_json(const lm_review *r)
{
    lm_json *strata = json_array();
    for (int i = 0; i < r->n; i++) {
        const lm_review_stratum *s = &r->items[i];
        double low, high;
        int64_t judged = s->good + s->bad;
        lm_wilson(right(s), judged, &low, &high);
        json_array_append_new(strata, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "stratum", s->name, "documents", (json_int_t)s->documents, "drawn", (json_int_t)s->drawn, "good",
                                                (json_int_t)s->good, "bad", (json_int_t)s->bad, "open", (json_int_t)s->open, "precision", judged ? (double)right(s) / (double)judged : 0.0, "low", low,
                                                "high", high));
    }
    return json_pack("{s:o, s:I, s:I}", "strata", strata, "to_kept", (json_int_t)r->to_kept, "to_rejected", (json_int_t)r->to_rejected);
}

static void print_drawn(const lm_review *r, const review_values *v)
{
    int64_t all = 0;
    lm_str out = {0};
    lm_table t = lm_table_start("lrr");
    lm_table_cells(&t, "stratum", "documents", "drawn");
    lm_table_rule(&t);
    for (int i = 0; i < r->n; i++) {
        lm_table_put(&t, "%s", r->items[i].name);
        lm_table_put(&t, "%lld", (long long)r->items[i].documents);
        lm_table_put(&t, "%lld", (long long)r->items[i].drawn);
        all += r->items[i].drawn;
    }
    lm_table_print(&t, &out);
    lm_table_free(&t);
    printf("%s\n%s: %lld documents to judge; write good or bad as verdict, then --merge it\n", out.data, v->out, (long long)all);
    lm_str_free(&out);
}

static void print_merged(const lm_review *r, const review_values *v)
{
    lm_str out = {0};
    lm_table t = lm_table_start("lrrrrrrr");
    lm_table_cells(&t, "stratum", "documents", "good", "bad", "open", "right", "95% from", "to");
    lm_table_rule(&t);
    for (int i = 0; i < r->n; i++) {
        const lm_review_stratum *s = &r->items[i];
        int64_t judged = s->good + s->bad;
        double low, high;
        if (!s->drawn) continue;
        lm_wilson(right(s), judged, &low, &high);
        lm_table_put(&t, "%s", s->name);
        lm_table_put(&t, "%lld", (long long)s->documents);
        lm_table_put(&t, "%lld", (long long)s->good);
        lm_table_put(&t, "%lld", (long long)s->bad);
        lm_table_put(&t, "%lld", (long long)s->open);
        lm_table_put(&t, judged ? "%.1f%%" : "-", judged ? 100 * (double)right(s) / (double)judged : 0);
        lm_table_put(&t, "%.1f%%", 100 * low);
        lm_table_put(&t, "%.1f%%", 100 * high);
    }
    lm_table_print(&t, &out);
    lm_table_free(&t);
    fputs(out.data, stdout);
    if (v->out_kept) printf("\n%lld documents went back to %s, %lld went to %s\n", (long long)r->to_kept, v->out_kept, (long long)r->to_rejected, v->out_rejected);
    lm_str_free(&out);
}

static lm_status check(const review_values *v, lm_err *err)
{
    if (!v->kept && !v->rejected) return lm_fail(err, LM_E_USAGE, "expected --kept, --rejected, or both");
    if (!v->merge.n && !v->out) return lm_fail(err, LM_E_USAGE, "expected --out for a sample, or --merge with verdicts");
    if (!v->out_kept != !v->out_rejected) return lm_fail(err, LM_E_USAGE, "expected --out-kept and --out-rejected together");
    if (v->out_kept && (!v->merge.n || !v->kept || !v->rejected)) return lm_fail(err, LM_E_USAGE, "--out-kept: expected --merge, --kept and --rejected with it");
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const review_values *v = call->values;
    LM_TRY(lm_call_args(call, 0, 0, "", err));
    LM_TRY(check(v, err));
    lm_review_files files = { .kept = (char *)(uintptr_t)v->kept, .rejected = (char *)(uintptr_t)v->rejected, .field = v->field };
    lm_review r;
    lm_status status = v->merge.n ? lm_review_merge(&r, &files, &v->merge, v->out_kept, v->out_rejected, err)
                                  : lm_review_draw(&r, &files, v->per_stratum, (uint64_t)v->seed, v->out, v->page, err);
    if (status == LM_OK && v->json) lm_print_json(review_json(&r));
    else if (status == LM_OK && v->merge.n) print_merged(&r, v);
    else if (status == LM_OK) print_drawn(&r, v);
    lm_review_free(&r);
    return status;
}

const lm_command lm_data_review = {
    .name = "review",
    .summary = "draw a sample of what clean kept and rejected, and merge what a person says of it",
    .usage = "--kept FILE --rejected FILE (--out SAMPLE | --merge VERDICTS) [options]",
    .example = "malmoi data review --kept clean.jsonl --rejected rejected.jsonl --per-stratum 30 --out sample.tsv --page sample.html\n"
               "malmoi data review --kept clean.jsonl --rejected rejected.jsonl --merge sample.tsv --out-kept clean2.jsonl --out-rejected rejected2.jsonl",
    .options = options,
    .values_size = sizeof(review_values),
    .run = run,
};
