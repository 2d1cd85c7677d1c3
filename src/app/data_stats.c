/* malmoi data stats: what a corpus holds. */
#include "app/data.h"
#include "app/lessons.h"

#include "base/log.h"
#include "base/table.h"
#include "data/source.h"
#include "data/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stats_values {
    lm_data_stats_options o;
    const char *model, *objective;
    int64_t context;
    bool json;
} stats_values;

static const lm_option options[] = {
    LM_OPTION(STRING, stats_values, o.field, "field", .metavar = "NAME", .help = "of a row that holds its text (default: text, document, sentence, review or content)"),
    LM_OPTION(STRING, stats_values, o.format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, stats_values, o.separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(STRING, stats_values, o.languages, "languages", .metavar = "MODEL", .help = "also count languages, by a model of `data learn --kind language`"),
    LM_OPTION(STRING, stats_values, o.topics, "topics", .metavar = "MODEL", .help = "also count topics, by a model of `data learn --kind topics`"),
    LM_OPTION(STRING, stats_values, model, "model", .metavar = "FOLDER", .help = "also count what this model would learn, and what its context cuts off"),
    LM_OPTION(STRING, stats_values, objective, "objective", .fallback = "sft", .metavar = "NAME", .help = "of --model: clm or sft"),
    LM_OPTION(INT, stats_values, context, "context", .max = 1 << 24, .help = "of --model: tokens that a row may have (0: as many as the model allows)"),
    LM_OPTION(CHOICE, stats_values, o.on_error, "on-error", .choices = lm_on_error, .fallback = "skip", .help = "a malformed row ends the run, or is counted and listed"),
    LM_OPTION(FLAG, stats_values, json, "json", .help = "print one JSON object"),
    { 0 },
};

static const double shares[] = { 0.05, 0.25, 0.5, 0.75, 0.95, 0.99 };
static const char *const share_names[] = { "5%", "25%", "50%", "75%", "95%", "99%" };
enum { SHARES = sizeof shares / sizeof *shares };

/* An estimate, which is never more than there are. */
static double distinct(const lm_hyperloglog *h, int64_t n)
{
    double estimate = lm_hyperloglog_count(h);
    return estimate < (double)n ? estimate : (double)n;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static lm_json *lengths_json(const lm_lengths *l)
{
    lm_json *percentiles = json_object();
    for (int i = 0; i < SHARES; i++) json_object_set_new(percentiles, share_names[i], json_real(lm_lengths_percentile(l, shares[i])));
    return json_pack("{s:f, s:I, s:I, s:I, s:o}", "mean", ratio((double)l->sum, (double)l->n), "least", (json_int_t)l->least, "most", (json_int_t)l->most, "sum", (json_int_t)l->sum,
                     "percentiles", percentiles);
}

static lm_json *languages_json(const lm_data_stats *s)
{
    lm_json *languages = json_object();
    for (int l = 0; l < s->languages.n; l++) json_object_set_new(languages, s->languages.items[l], json_integer(s->of_language[l]));
    return languages;
}

typedef struct name_count {
    const char *name;
    long long count;
} name_count;

static int by_count(const void *a, const void *b)
{
    const name_count *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->name, y->name);
}

/* Names with their counts, the greatest first, for the caller to free. */
static name_count *sorted(lm_json *counts)
{
    name_count *list = lm_malloc((json_object_size(counts) + 1) * sizeof *list);
    size_t n = 0;
    const char *name;
    lm_json *count;
    json_object_foreach(counts, name, count) list[n++] = (name_count){ name, (long long)json_integer_value(count) };
    qsort(list, n, sizeof *list, by_count);
    return list;
}

static lm_json *counts_json(lm_json *counts)
{
    lm_json *out = json_object();
    name_count *list = sorted(counts);
    for (size_t i = 0; i < json_object_size(counts); i++) json_object_set_new(out, list[i].name, json_integer(list[i].count));
    free(list);
    return out;
}

static void put_counts(lm_str *out, const char *what, lm_json *counts)
{
    enum { SHOWN = 20 };
    size_t n = json_object_size(counts);
    if (!n) return;
    name_count *list = sorted(counts);
    lm_str_puts(out, what);
    for (size_t i = 0; i < n && i < SHOWN; i++) lm_str_printf(out, "%s %s %lld", i ? "," : "", list[i].name, list[i].count);
    if (n > SHOWN) lm_str_printf(out, " and %zu more", n - SHOWN);
    lm_str_putc(out, '\n');
    free(list);
}

static lm_json *topics_json(const lm_data_stats *s)
{
    lm_json *topics = json_array();
    for (int k = 0; k < s->topics.n; k++)
        json_array_append_new(topics, json_pack("{s:s, s:I, s:f, s:s?}", "topic", s->topics.items[k], "documents", (json_int_t)s->of_topic[k], "share",
                                                ratio((double)s->of_topic[k], (double)s->documents), "example", s->nearest[k].text));
    if (s->topics.n) json_array_append_new(topics, json_pack("{s:n, s:I, s:f, s:n}", "topic", "documents", (json_int_t)s->of_topic[s->topics.n], "share",
                                                              ratio((double)s->of_topic[s->topics.n], (double)s->documents), "example"));
    return topics;
}

static lm_json *lessons_json(const lm_lessons *l)
{
    return l ? json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "objective", l->objective, "context", (json_int_t)l->context, "rows", (json_int_t)l->rows, "tokens", (json_int_t)l->tokens,
                         "supervised_tokens", (json_int_t)l->supervised, "truncated_rows", (json_int_t)l->cut, "lost_tokens", (json_int_t)l->lost, "lost_supervised_tokens",
                         (json_int_t)l->lost_supervised, "rows_left_without_a_lesson", (json_int_t)l->untaught, "skipped_rows", (json_int_t)l->skipped)
             : NULL;
}

static void print_lessons(const lm_lessons *l)
{
    char tokens[24], lost[24];
    printf("\nlearnt       %.1f%% of %s tokens in %lld rows, as %s\n", 100 * ratio((double)l->supervised, (double)l->tokens), lm_format_count(tokens, (double)l->tokens), (long long)l->rows, l->objective);
    printf("cut off      %lld rows (%.2f%%) at a context of %lld: %s tokens, %.2f%% of what is learnt; nothing is left of %lld rows\n", (long long)l->cut, 100 * ratio((double)l->cut, (double)l->rows),
           (long long)l->context, lm_format_count(lost, (double)l->lost), 100 * ratio((double)l->lost_supervised, (double)l->supervised), (long long)l->untaught);
}

/* lessons: NULL where nobody asked. */
static void print_json(const lm_data_stats *s, const lm_lessons *lessons)
{
    lm_json *scripts = json_object(), *ngrams = json_array(), *skipped = json_array();
    for (int i = 0; i < LM_SCRIPTS; i++)
        if (s->counts.script[i]) json_object_set_new(scripts, lm_script_names[i], json_real(ratio((double)s->counts.script[i], (double)s->counts.letters)));
    for (int n = 0; n < LM_STATS_NGRAMS; n++)
        json_array_append_new(ngrams, json_pack("{s:i, s:I, s:f}", "n", n + 1, "count", (json_int_t)s->ngrams[n], "different", distinct(&s->ngrams_seen[n], s->ngrams[n])));
    for (int i = 0; i < s->skipped.messages.n; i++) json_array_append_new(skipped, json_string(s->skipped.messages.items[i]));
    double all = (double)s->counts.runes;
    lm_print_json(json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:{s:f, s:f, s:f, s:f, s:f}, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o*, s:{s:I, s:o}}", "documents", (json_int_t)s->documents, "empty",
                            (json_int_t)s->empty, "bytes", (json_int_t)s->bytes, "lines", (json_int_t)s->lines, "characters", lengths_json(&s->chars), "words", lengths_json(&s->words),
                            "scripts", scripts, "shares", "letters", ratio((double)s->counts.letters, all), "digits", ratio((double)s->counts.digits, all), "punctuation",
                            ratio((double)s->counts.punctuation, all), "symbols", ratio((double)s->counts.symbols, all), "spaces", ratio((double)s->counts.spaces, all),
                            "different_documents", distinct(s->documents_seen, s->documents), "different_lines", distinct(s->lines_seen, s->lines), "ngrams", ngrams, "languages", languages_json(s), "topics",
                            topics_json(s), "roles", counts_json(s->roles), "templates", counts_json(s->templates), "messages", lengths_json(&s->messages), "lessons",
                            lessons_json(lessons), "skipped", "count",
                            (json_int_t)s->skipped.n, "first", skipped));
}

static void put_lengths(lm_table *t, const char *name, const lm_lengths *l)
{
    char text[24];
    lm_table_put(t, "%s", name);
    lm_table_put(t, "%s", lm_format_count(text, ratio((double)l->sum, (double)l->n)));
    lm_table_put(t, "%lld", (long long)l->least);
    for (int i = 0; i < SHARES; i++) lm_table_put(t, "%.0f", lm_lengths_percentile(l, shares[i]));
    lm_table_put(t, "%lld", (long long)l->most);
}

static void print_text(const lm_data_stats *s)
{
    char a[24], b[24], c[24];
    lm_str out = {0};
    lm_table t = lm_table_start("lrrrrrrrrr");
    lm_str_printf(&out, "documents    %lld, %lld of them without a word; %s of text, %s characters, %s lines\n", (long long)s->documents, (long long)s->empty,
                  lm_format_bytes(a, (double)s->bytes), lm_format_count(b, (double)s->counts.runes), lm_format_count(c, (double)s->lines));
    if (s->skipped.n) lm_str_printf(&out, "malformed    %lld rows\n", (long long)s->skipped.n);
    lm_str_puts(&out, "letters     ");
    for (int i = 0; i < LM_SCRIPTS; i++)
        if (s->counts.script[i]) lm_str_printf(&out, " %s %.1f%%", lm_script_names[i], 100 * ratio((double)s->counts.script[i], (double)s->counts.letters));
    double all = (double)s->counts.runes;
    lm_str_printf(&out, "\ncharacters   letters %.1f%%, digits %.1f%%, punctuation %.1f%%, symbols %.1f%%, white space %.1f%%\n", 100 * ratio((double)s->counts.letters, all),
                  100 * ratio((double)s->counts.digits, all), 100 * ratio((double)s->counts.punctuation, all), 100 * ratio((double)s->counts.symbols, all),
                  100 * ratio((double)s->counts.spaces, all));
    if (s->languages.n) lm_str_puts(&out, "languages   ");
    for (int l = 0; l < s->languages.n; l++) lm_str_printf(&out, " %s %.1f%%", s->languages.items[l], 100 * ratio((double)s->of_language[l], (double)s->documents));
    if (s->languages.n) lm_str_putc(&out, '\n');
    put_counts(&out, "messages    ", s->roles);
    put_counts(&out, "templates   ", s->templates);
    lm_str_printf(&out, "repeated     about %.1f%% of the documents, %.1f%% of the lines\n", 100 * (1 - ratio(distinct(s->documents_seen, s->documents), (double)s->documents)),
                  100 * (1 - ratio(distinct(s->lines_seen, s->lines), (double)s->lines)));
    lm_str_puts(&out, "different   ");
    for (int n = 0; n < LM_STATS_NGRAMS; n++)
        lm_str_printf(&out, "%s about %.1f%% of the %s", n ? "," : "", 100 * ratio(distinct(&s->ngrams_seen[n], s->ngrams[n]), (double)s->ngrams[n]),
                      n == 0 ? "words" : n == 1 ? "pairs of words" : "triples");
    lm_str_puts(&out, "\n\n");
    lm_table_cells(&t, "per document", "mean", "least", "5%", "25%", "50%", "75%", "95%", "99%", "most");
    lm_table_rule(&t);
    put_lengths(&t, "characters", &s->chars);
    put_lengths(&t, "words", &s->words);
    if (s->messages.n) put_lengths(&t, "messages", &s->messages);
    lm_table_print(&t, &out);
    lm_table_free(&t);
    fputs(out.data, stdout);
    lm_str_free(&out);
}

static void print_topics(const lm_data_stats *s)
{
    lm_str out = {0};
    for (int k = 0; k < s->topics.n; k++)
        lm_str_printf(&out, "%s%5.1f%%  %s\n        %s\n", k ? "" : "\ntopics\n", 100 * ratio((double)s->of_topic[k], (double)s->documents), s->topics.items[k], s->nearest[k].text ? s->nearest[k].text : "");
    lm_str_printf(&out, "%5.1f%%  none\n", 100 * ratio((double)s->of_topic[s->topics.n], (double)s->documents));
    fputs(out.data, stdout);
    lm_str_free(&out);
}

/* What is wrong with rows has been told already, unless nothing could be learnt from any. */
static lm_status count_lessons(lm_lessons *out, const lm_call *call, lm_err *err)
{
    const stats_values *v = call->values;
    lm_skipped skipped = {0};
    const lm_source_options how = { .format = v->o.format, .separator = v->o.separator, .skipped = v->o.on_error ? &skipped : NULL };
    lm_status status = lm_lessons_count(out, &call->args, &how, v->model, v->objective, v->context, err);
    out->skipped += skipped.n;
    if (status != LM_OK) lm_skipped_tell(&skipped);
    lm_skipped_free(&skipped);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const stats_values *v = call->values;
    LM_TRY(lm_call_args(call, 1, -1, "IN...", err));
    lm_data_stats stats;
    lm_status status = lm_data_stats_files(&stats, &call->args, &v->o, err);
    lm_skipped_tell(&stats.skipped);
    lm_lessons lessons;
    if (status == LM_OK && v->model) status = count_lessons(&lessons, call, err);
    if (status == LM_OK && v->json) print_json(&stats, v->model ? &lessons : NULL);
    else if (status == LM_OK) {
        print_text(&stats);
        if (stats.topics.n) print_topics(&stats);
        if (v->model) print_lessons(&lessons);
    }
    lm_data_stats_free(&stats);
    return status;
}

const lm_command lm_data_stats_command = {
    .name = "stats",
    .summary = "lengths, scripts, repetition and diversity of a corpus",
    .usage = "IN... [options]",
    .example = "malmoi data stats corpus.jsonl.zst\n"
               "malmoi data stats chats.jsonl --topics topics.safetensors\n"
               "malmoi data stats chats.jsonl --model MODEL --objective sft --context 2048",
    .options = options,
    .values_size = sizeof(stats_values),
    .run = run,
};
