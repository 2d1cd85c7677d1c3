/* malmoi data agreement: how far labellers, or judges, agree beyond chance (data/kappa.h). */
#include "app/data.h"

#include "base/map.h"
#include "data/kappa.h"
#include "data/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct agreement_values {
    lm_strings fields;
    const char *list, *format;
    bool json;
} agreement_values;

static const lm_option options[] = {
    LM_OPTION(LIST, agreement_values, fields, "fields", .metavar = "NAME,..", .help = "fields of a row that hold one labeller's label each"),
    LM_OPTION(STRING, agreement_values, list, "list", .fallback = "labels", .metavar = "NAME", .help = "without --fields: the field that lists all labels of a row"),
    LM_OPTION(STRING, agreement_values, format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv or tsv (default: by their names)"),
    LM_OPTION(FLAG, agreement_values, json, "json", .help = "one JSON object"),
    { 0 },
};

typedef struct work {
    const agreement_values *v;
    lm_map *names;                           /* label to number */
    int32_t *labels, n_names;                /* [rows, raters] */
    int64_t rows, raters;
    size_t cap;
} work;

/* A label's number: of its text as JSON, so that 1 and "1" are two. */
static lm_status number_of(int32_t *out, work *w, const lm_json *label, lm_err *err)
{
    if (!label || json_is_null(label) || json_is_object(label) || json_is_array(label))
        return lm_fail(err, LM_E_FORMAT, "expected a label from each labeller, found %s", !label || json_is_null(label) ? "none" : "a list or an object");
    lm_str text = {0};
    lm_json_text(&text, label, 0);
    if (lm_map_put(w->names, text.data, text.len, w->n_names)) w->n_names++;
    *out = (int32_t)lm_map_get(w->names, text.data, text.len, 0);
    lm_str_free(&text);
    return LM_OK;
}

static lm_status add_row(work *w, const lm_row *row, lm_err *err)
{
    const lm_json *list = row->object ? json_object_get(row->object, w->v->list) : NULL;
    int64_t n = w->v->fields.n ? w->v->fields.n : (int64_t)json_array_size(list);
    if (!row->object || n < 2) return lm_fail(err, LM_E_FORMAT, "expected a list \"%s\" of two labels or more, or --fields", w->v->list);
    if (w->rows && n != w->raters) return lm_fail(err, LM_E_FORMAT, "%" PRId64 " labels, the rows before have %" PRId64, n, w->raters);
    w->raters = n;
    size_t needed = (size_t)((w->rows + 1) * n);
    if (needed > w->cap) w->labels = lm_realloc(w->labels, (w->cap = 2 * needed) * sizeof *w->labels);
    for (int64_t i = 0; i < n; i++) {
        const lm_json *label = w->v->fields.n ? json_object_get(row->object, w->v->fields.items[i]) : json_array_get(list, (size_t)i);
        LM_TRY(number_of(&w->labels[w->rows * n + i], w, label, err));
    }
    w->rows++;
    return LM_OK;
}

static lm_status read_rows(work *w, const lm_call *call, lm_err *err)
{
    lm_source *source;
    LM_TRY(lm_source_open(&source, &call->args, &(lm_source_options){ .format = w->v->format }, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status != LM_OK || !more) break;
        status = add_row(w, &row, err);
        if (status != LM_OK) lm_context(err, "%s:%" PRId64, row.path, row.line);
        lm_row_free(&row);
    }
    if (status == LM_OK && !w->rows) status = lm_fail(err, LM_E_FORMAT, "%s: holds no row", lm_source_name(source));
    lm_source_close(source);
    return status;
}

/* ---- numbers ---- */

static lm_json *number(double x) { return isnan(x) ? json_null() : json_real(x); }

static double cohen(const work *w, int64_t a, int64_t b, double *alike)
{
    int32_t *x = lm_malloc((size_t)w->rows * sizeof *x), *y = lm_malloc((size_t)w->rows * sizeof *y);
    int64_t same = 0;
    for (int64_t i = 0; i < w->rows; i++) {
        x[i] = w->labels[i * w->raters + a], y[i] = w->labels[i * w->raters + b];
        same += x[i] == y[i];
    }
    double kappa = lm_cohen_kappa(x, y, w->rows, w->n_names);
    *alike = (double)same / (double)w->rows;
    free(x), free(y);
    return kappa;
}

static lm_json *name_of(const work *w, int64_t rater) { return w->v->fields.n ? json_string(w->v->fields.items[rater]) : json_integer(rater + 1); }

static lm_json *report(const work *w)
{
    lm_json *pairs = json_array();
    for (int64_t a = 0; a < w->raters; a++)
        for (int64_t b = a + 1; b < w->raters; b++) {
            double alike, kappa = cohen(w, a, b, &alike);
            json_array_append_new(pairs, json_pack("{s:[o, o], s:f, s:o}", "between", name_of(w, a), name_of(w, b), "agreement", alike, "cohen_kappa", number(kappa)));
        }
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "rows", (json_int_t)w->rows, "labellers", (json_int_t)w->raters, "labels", (json_int_t)w->n_names,
                     "fleiss_kappa", number(lm_fleiss_kappa(w->labels, w->rows, w->raters, w->n_names)), "pairs", pairs);
}

static void print(const lm_json *doc)
{
    size_t i;
    lm_json *pair;
    printf("%lld rows, %lld labellers, %lld labels\n", (long long)json_integer_value(json_object_get(doc, "rows")),
           (long long)json_integer_value(json_object_get(doc, "labellers")), (long long)json_integer_value(json_object_get(doc, "labels")));
    printf("Fleiss' kappa  %.4f\n", json_number_value(json_object_get(doc, "fleiss_kappa")));
    json_array_foreach(json_object_get(doc, "pairs"), i, pair) {
        lm_str between = {0};
        lm_json_text(&between, json_object_get(pair, "between"), 0);
        printf("%s  agree %.4f  Cohen's kappa %.4f\n", between.data, json_number_value(json_object_get(pair, "agreement")),
               json_number_value(json_object_get(pair, "cohen_kappa")));
        lm_str_free(&between);
    }
}

static lm_status run(lm_call *call, lm_err *err)
{
    work w = { .v = call->values };
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    w.names = lm_map_new(16);
    lm_status status = read_rows(&w, call, err);
    lm_json *doc = status == LM_OK ? report(&w) : NULL;
    if (doc && !w.v->json) print(doc), lm_json_free(doc);
    else if (doc) lm_print_json(doc);
    lm_map_free(w.names);
    free(w.labels);
    return status;
}

const lm_command lm_data_agreement = {
    .name = "agreement",
    .summary = "how far labellers or judges agree beyond chance: Cohen's and Fleiss' kappa",
    .usage = "IN... [options]",
    .example = "malmoi data agreement labelled.jsonl --fields ann,ben,cho\n"
               "malmoi data agreement verdicts.jsonl --list verdicts",
    .options = options,
    .values_size = sizeof(agreement_values),
    .run = run,
};
