/* The report of a cleaning as a page: what each filter cost, the distribution of what it measures, with kept
 * documents in blue and rejected ones in red, and examples of what it rejected.  One file, no scripts. */
#include "data/clean.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLOT_WIDTH = 420, PLOT_HEIGHT = 110, KINDS_SHOWN = 50 };

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>data clean</title>\n<style>\n"
    "body { font: 15px/1.5 'Noto Sans KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }\n"
    "h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; border-top: 1px solid #ddd; padding-top: 1rem }\n"
    "table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: right } td:first-child, th:first-child { text-align: left }\n"
    ".source, figcaption { color: #666; font-size: .87rem } figure { display: inline-block; margin: .5rem 1.2rem .5rem 0 }\n"
    "blockquote { margin: .6rem 0; padding: .3rem .8rem; border-left: 3px solid #c8574a; background: #faf6f5; white-space: pre-wrap; overflow-wrap: anywhere }\n"
    "blockquote b { font-weight: normal; color: #933; display: block; font-size: .87rem } .bar { background: #c8574a; height: .8rem; display: inline-block } .kept { background: #3b6fb6 }\n"
    "</style>\n";

static void put_text(lm_str *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': lm_str_puts(out, "&amp;"); break;
        case '<': lm_str_puts(out, "&lt;"); break;
        case '>': lm_str_puts(out, "&gt;"); break;
        case '"': lm_str_puts(out, "&quot;"); break;
        default: lm_str_putc(out, (unsigned char)*text < 0x20 && *text != '\n' ? ' ' : *text);
        }
    }
}

static void put_bar(lm_str *out, double x, double width, double bottom, double height, const char *colour)
{
    if (height > 0) lm_str_printf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, bottom - height, width, height, colour);
}

/* Bins from the first to the last that is not empty. */
static void put_histogram(lm_str *out, const lm_measure *m, const lm_histogram *h)
{
    int first = 0, last = (m->counts ? LM_CLEAN_COUNT_BINS : LM_CLEAN_BINS) - 1;
    int64_t most = 1;
    char from[32], to[32];
    if (!h->n) return;
    while (first < last && !(h->kept[first] + h->rejected[first])) first++;
    while (last > first && !(h->kept[last] + h->rejected[last])) last--;
    for (int b = first; b <= last; b++) most = h->kept[b] + h->rejected[b] > most ? h->kept[b] + h->rejected[b] : most;
    double step = (double)PLOT_WIDTH / (last - first + 1), width = step > 2 ? step - 1 : step;
    lm_str_printf(out, "<figure><svg width=\"%d\" height=\"%d\" role=\"img\"><rect width=\"%d\" height=\"%d\" fill=\"#f4f5f7\"/>", PLOT_WIDTH, PLOT_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT);
    for (int b = first; b <= last; b++) {
        double x = step * (b - first), unit = (PLOT_HEIGHT - 6.0) / (double)most, kept = unit * (double)h->kept[b], gone = unit * (double)h->rejected[b];
        put_bar(out, x, width, PLOT_HEIGHT, kept, "#3b6fb6");
        put_bar(out, x, width, PLOT_HEIGHT - kept, gone, "#c8574a");
    }
    snprintf(from, sizeof from, "%.4g", lm_histogram_begin(m->counts, first));
    snprintf(to, sizeof to, "%.4g", lm_histogram_begin(m->counts, last + 1));
    lm_str_printf(out, "</svg><figcaption>%s: %s to %s, mean %.4g%s</figcaption></figure>\n", m->name, from, to, h->sum / (double)h->n, m->counts ? ", logarithmic" : "");
}

static int64_t documents_of(const lm_clean_kind *kind) { return kind->kept + kind->rejected; }

static int by_documents(const void *a, const void *b)
{
    const lm_clean_kind *x = *(const lm_clean_kind *const *)a, *y = *(const lm_clean_kind *const *)b;
    int64_t more = documents_of(y) - documents_of(x);
    return more ? (more > 0) - (more < 0) : (x > y) - (x < y);
}

/* The kinds that most documents are of, such as languages. */
static void put_kinds(lm_str *out, const lm_clean_filter *f)
{
    const lm_clean_kind **most = lm_malloc((size_t)f->n_kinds * sizeof *most);
    for (int k = 0; k < f->n_kinds; k++) most[k] = &f->kinds[k];
    qsort(most, (size_t)f->n_kinds, sizeof *most, by_documents);
    lm_str_puts(out, "<table><tr><th>kind<th>kept<th>rejected<th>of all<th></tr>\n");
    for (int i = 0; i < f->n_kinds && i < KINDS_SHOWN && documents_of(most[i]); i++) {
        double kept = (double)most[i]->kept / (double)f->seen, gone = (double)most[i]->rejected / (double)f->seen;
        lm_str_puts(out, "<tr><td>");
        put_text(out, most[i]->name);
        lm_str_printf(out, "<td>%" PRId64 "<td>%" PRId64 "<td>%.2f%%<td style=\"text-align:left\"><span class=\"bar kept\" style=\"width:%.1frem\"></span><span class=\"bar\" style=\"width:%.1frem\"></span></tr>\n",
                      most[i]->kept, most[i]->rejected, 100 * (kept + gone), 16 * kept, 16 * gone);
    }
    lm_str_puts(out, "</table>\n");
    free(most);
}

static void put_settings(lm_str *out, const lm_filter_use *use)
{
    const lm_option_set sets[2] = { { .options = use->filter->options, .values = use->options } };
    if (!use->filter->options) return;
    lm_json *settings = lm_options_dump(sets, false);
    const char *key;
    lm_json *value;
    json_object_foreach(settings, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        lm_str_printf(out, " &middot; %s ", key);
        put_text(out, text ? text : "?");
        free(text);
    }
    lm_json_free(settings);
}

static void put_filter(lm_str *out, const lm_clean_filter *f, const lm_filter_use *use)
{
    char cut[24];
    lm_str_printf(out, "<h2>%s</h2>\n<p>", use->filter->name);
    put_text(out, use->filter->help);
    lm_str_printf(out, "<br><span class=\"source\">");
    put_text(out, use->filter->source);
    put_settings(out, use);
    lm_str_printf(out, "</span></p>\n<p>Of %" PRId64 " documents it rejected %" PRId64 " (%.2f%%) and changed %" PRId64 ", taking away %s.", f->seen, f->rejected,
                  f->seen ? 100.0 * (double)f->rejected / (double)f->seen : 0, f->changed, lm_format_bytes(cut, (double)(f->cut > 0 ? f->cut : 0)));
    for (int t = 0; t < f->n_tallies; t++) lm_str_printf(out, "%s %s: %" PRId64, t ? "," : " Found", use->filter->tallies[t], f->tallies[t]);
    lm_str_puts(out, "</p>\n");
    for (int m = 0; m < f->n_measures; m++) put_histogram(out, &use->filter->measures[m], &f->histograms[m]);
    if (f->n_kinds && f->seen) put_kinds(out, f);
    for (int e = 0; e < f->n_examples; e++) {
        lm_str_puts(out, "<blockquote><b>");
        put_text(out, f->examples[e].place);
        lm_str_puts(out, ": ");
        put_text(out, f->examples[e].reason);
        lm_str_puts(out, "</b>");
        put_text(out, f->examples[e].text);
        lm_str_puts(out, "</blockquote>\n");
    }
}

static void put_overview(lm_str *out, const lm_clean_result *r, const lm_pipeline *p)
{
    char a[24], b[24], took[24];
    lm_str_printf(out, "<h1>data clean</h1>\n<p>Kept %" PRId64 " of %" PRId64 " documents (%.2f%%), %s of %s of text; %" PRId64 " of them were changed. It took %s.", r->kept, r->documents,
                  r->documents ? 100.0 * (double)r->kept / (double)r->documents : 0, lm_format_bytes(a, (double)r->kept_bytes), lm_format_bytes(b, (double)r->bytes), r->changed,
                  lm_format_seconds(took, r->seconds));
    if (r->skipped.n) lm_str_printf(out, " %" PRId64 " rows were malformed and passed over.", r->skipped.n);
    lm_str_puts(out, "</p>\n<table><tr><th>filter<th>seen<th>rejected<th>of all<th>changed<th></tr>\n");
    for (int i = 0; i < p->n; i++) {
        const lm_clean_filter *f = &r->filters[i];
        double share = r->documents ? (double)f->rejected / (double)r->documents : 0;
        lm_str_printf(out, "<tr><td>%s<td>%" PRId64 "<td>%" PRId64 "<td>%.2f%%<td>%" PRId64 "<td style=\"text-align:left\"><span class=\"bar\" style=\"width:%.1frem\"></span></tr>\n",
                      p->items[i].filter->name, f->seen, f->rejected, 100 * share, f->changed, 16 * share);
    }
    lm_str_puts(out, "</table>\n");
}

void lm_clean_html(lm_str *out, const lm_clean_result *r, const lm_pipeline *p)
{
    lm_str_puts(out, head);
    put_overview(out, r, p);
    for (int i = 0; i < p->n; i++) put_filter(out, &r->filters[i], &p->items[i]);
    for (int i = 0; i < r->skipped.messages.n; i++) {
        lm_str_puts(out, i ? "<br>" : "<h2>malformed rows</h2>\n<p>");
        put_text(out, r->skipped.messages.items[i]);
    }
    lm_str_puts(out, "\n</html>\n");
}
