/* The report of a cleaning as JSON. */
#include "data/clean.h"

static lm_json *histogram_json(const lm_measure *m, const lm_histogram *h)
{
    lm_json *bins = json_array();
    for (int b = 0; b < (m->counts ? LM_CLEAN_COUNT_BINS : LM_CLEAN_BINS); b++)
        if (h->kept[b] || h->rejected[b])
            json_array_append_new(bins, json_pack("{s:f, s:f, s:I, s:I}", "from", lm_histogram_begin(m->counts, b), "to", lm_histogram_begin(m->counts, b + 1), "kept",
                                                  (json_int_t)h->kept[b], "rejected", (json_int_t)h->rejected[b]));
    return json_pack("{s:s, s:I, s:f, s:f, s:f, s:o}", "name", m->name, "documents", (json_int_t)h->n, "mean", h->n ? h->sum / (double)h->n : 0.0, "least", h->least, "most",
                     h->most, "bins", bins);
}

static lm_json *filter_json(const lm_clean_filter *f, const lm_filter_use *use)
{
    const lm_option_set sets[2] = { { .options = use->filter->options, .values = use->options } };
    lm_json *measures = json_array(), *tallies = json_object(), *examples = json_array(), *kinds = json_object();
    for (int m = 0; m < f->n_measures; m++) json_array_append_new(measures, histogram_json(&use->filter->measures[m], &f->histograms[m]));
    for (int t = 0; t < f->n_tallies; t++) json_object_set_new(tallies, use->filter->tallies[t], json_integer(f->tallies[t]));
    for (int k = 0; k < f->n_kinds; k++)
        json_object_set_new(kinds, f->kinds[k].name, json_pack("{s:I, s:I}", "kept", (json_int_t)f->kinds[k].kept, "rejected", (json_int_t)f->kinds[k].rejected));
    for (int e = 0; e < f->n_examples; e++)
        json_array_append_new(examples, json_pack("{s:s, s:s, s:s}", "row", f->examples[e].place, "reason", f->examples[e].reason, "text", f->examples[e].text));
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "filter", use->filter->name, "source", use->filter->source, "settings",
                     use->filter->options ? lm_options_dump(sets, false) : json_object(), "seen", (json_int_t)f->seen, "rejected", (json_int_t)f->rejected, "rejected_bytes",
                     (json_int_t)f->rejected_bytes, "changed", (json_int_t)f->changed, "bytes_cut", (json_int_t)f->cut, "tallies", tallies, "measures", measures, "kinds", kinds, "examples", examples);
}

lm_json *lm_clean_json(const lm_clean_result *r, const lm_pipeline *p)
{
    lm_json *filters = json_array(), *skipped = json_array();
    for (int i = 0; i < p->n; i++) json_array_append_new(filters, filter_json(&r->filters[i], &p->items[i]));
    for (int i = 0; i < r->skipped.messages.n; i++) json_array_append_new(skipped, json_string(r->skipped.messages.items[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:{s:I, s:o}, s:o}", "documents", (json_int_t)r->documents, "kept", (json_int_t)r->kept, "changed", (json_int_t)r->changed,
                     "bytes", (json_int_t)r->bytes, "kept_bytes", (json_int_t)r->kept_bytes, "seconds", r->seconds, "skipped", "count", (json_int_t)r->skipped.n, "first", skipped,
                     "filters", filters);
}
