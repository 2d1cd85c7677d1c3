/* malmoi tokenizer stats: what several tokenizers make of the same text, side by side.
 *
 * Fertility is tokens per eojeol, a word between white space; the share of the vocabulary that is used counts
 * distinct ids.  Special tokens around a text are left out.  A line is a text; of a line of JSON, its "text". */
#include "app/bars.h"
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "io/stream.h"
#include "token/tokenizer.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct stats_options {
    lm_strings data;
    const char *plot;
    int64_t limit;
    bool json;
} stats_options;

static const lm_option options[] = {
    LM_OPTION(LIST, stats_options, data, "data", .metavar = "FILE,...", .help = "text or JSONL, plain or gzip or zstd", .required = true),
    LM_OPTION(INT, stats_options, limit, "limit", .metavar = "MB", .fallback = "100", .help = "of text that is read at most; 0: all", .min = 0, .max = 1e9),
    LM_OPTION(STRING, stats_options, plot, "plot", .metavar = "FILE.svg", .help = "draw the table as bars"),
    LM_OPTION(FLAG, stats_options, json, "json", .help = "print [{...}, ...]"),
    { 0 },
};

typedef struct stats {
    char *name;
    int vocab, used;
    int64_t tokens, unknown, eojeols, characters, bytes;
    double seconds;
    uint8_t *seen;                   /* [vocab] */
} stats;

/* ---- counting ---------------------------------------------------------------------------------- */

static void count_text(stats *s, lm_span text)
{
    bool inside = false;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        i += (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        bool space = lm_rune_is_space(rune);
        if (!space && !inside) s->eojeols++;
        inside = !space;
        s->characters++;
    }
    s->bytes += (int64_t)text.len;
}

static void count_ids(stats *s, const lm_ids *ids, int32_t unk)
{
    s->tokens += (int64_t)ids->len;
    for (size_t i = 0; i < ids->len; i++) {
        s->unknown += ids->data[i] == unk;
        if (!s->seen[ids->data[i]]) s->seen[ids->data[i]] = 1, s->used++;
    }
}

/* The text of a line: of JSON with a member "text" that, else the line.  *document keeps it. */
static lm_span text_of(const lm_str *line, lm_json **document)
{
    *document = line->len && line->data[0] == '{' ? lm_json_parse(line->data, line->len, "line", NULL) : NULL;
    const lm_json *text = *document ? lm_json_get(*document, "text") : NULL;
    if (json_is_string(text)) return lm_span_of(json_string_value(text), json_string_length(text));
    return lm_span_of(line->data ? line->data : "", line->len);
}

static lm_status measure_file(stats *s, const lm_tokenizer *tk, lm_encoder *encoder, const char *path, int64_t limit, lm_err *err)
{
    lm_stream *stream;
    LM_TRY(lm_stream_open(&stream, path, err));
    lm_str line = {0};
    lm_ids ids = {0};
    lm_status status = LM_OK;
    for (bool eof = false; !status && (!limit || s->bytes < limit);) {
        lm_json *document;
        status = lm_stream_line(stream, &line, &eof, err);
        if (status || eof) break;
        lm_span text = text_of(&line, &document);
        lm_ids_clear(&ids);
        double begin = lm_now();
        status = lm_encoder_run(encoder, &ids, text.data, text.len, 0, err);
        s->seconds += lm_now() - begin;
        count_text(s, text);
        if (!status) count_ids(s, &ids, lm_unk_id(tk));
        lm_json_free(document);
    }
    lm_ids_free(&ids);
    lm_str_free(&line);
    lm_stream_close(stream);
    return status;
}

/* The last two parts of a path, which tell a folder's tokenizer.json from another's. */
static char *short_name(const char *path)
{
    const char *name = lm_path_name(path), *from = name;
    if (from > path) from--;
    while (from > path && from[-1] != '/') from--;
    return lm_strdup(from);
}

static lm_status measure(stats *s, const char *path, const stats_options *o, lm_err *err)
{
    lm_tokenizer *tk;
    LM_TRY(lm_tokenizer_load(&tk, path, err));
    s->name = short_name(path);
    s->vocab = lm_tokenizer_vocab_size(tk);
    s->seen = lm_calloc((size_t)s->vocab, 1);
    lm_encoder *encoder = lm_encoder_new(tk);
    lm_status status = LM_OK;
    for (int i = 0; i < o->data.n && !status; i++) status = measure_file(s, tk, encoder, o->data.items[i], o->limit * 1000000, err);
    if (!status && !s->bytes) status = lm_fail(err, LM_E_FORMAT, "%s: no text in it", o->data.items[0]);
    lm_encoder_free(encoder);
    lm_tokenizer_free(tk);
    return status;
}

/* ---- showing ------------------------------------------------------------------------------------- */

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static const struct {
    const char *key, *head, *title, *unit;
    int digits;
} measures[] = {
    { "tokens_per_eojeol", "tokens/eojeol", "Tokens per eojeol (fewer is shorter)", "", 3 },
    { "tokens_per_character", "tokens/char", "Tokens per character (fewer is shorter)", "", 3 },
    { "bytes_per_token", "bytes/token", "Bytes per token (more is shorter)", "", 2 },
    { "unknown_percent", "unknown %", "Unknown tokens", " %", 3 },
    { "vocabulary_percent", "used %", "Vocabulary used", " %", 1 },
    { "megabytes_per_second", "MB/s", "Speed of encoding, one thread", " MB/s", 1 },
};
enum { MEASURES = sizeof measures / sizeof *measures };

static double value_of(const stats *s, int measure)
{
    switch (measure) {
    case 0: return ratio((double)s->tokens, (double)s->eojeols);
    case 1: return ratio((double)s->tokens, (double)s->characters);
    case 2: return ratio((double)s->bytes, (double)s->tokens);
    case 3: return 100 * ratio((double)s->unknown, (double)s->tokens);
    case 4: return 100 * ratio(s->used, s->vocab);
    default: return ratio((double)s->bytes / 1e6, s->seconds);
    }
}

static void print_table(const stats *all, int n)
{
    lm_str out = {0};
    lm_table t = lm_table_start("lrrrrrrrr");
    lm_table_texts(&t, (const char *const[]){ "tokenizer", "vocabulary", "tokens", measures[0].head, measures[1].head, measures[2].head, measures[3].head, measures[4].head, measures[5].head, NULL });
    lm_table_rule(&t);
    for (int i = 0; i < n; i++) {
        lm_table_put(&t, "%s", all[i].name);
        lm_table_put(&t, "%d", all[i].vocab);
        lm_table_put(&t, "%lld", (long long)all[i].tokens);
        for (int m = 0; m < MEASURES; m++) lm_table_put(&t, "%.*f", measures[m].digits, value_of(&all[i], m));
    }
    lm_table_print(&t, &out);
    lm_str_printf(&out, "%lld bytes, %lld characters, %lld eojeols\n", (long long)all[0].bytes, (long long)all[0].characters, (long long)all[0].eojeols);
    fwrite(out.data, 1, out.len, stdout);
    lm_str_free(&out);
    lm_table_free(&t);
}

static void print_json(const stats *all, int n)
{
    lm_json *list = json_array();
    for (int i = 0; i < n; i++) {
        const stats *s = &all[i];
        lm_json *row = json_pack("{s:s, s:i, s:I, s:I, s:i, s:I, s:I, s:I}", "tokenizer", s->name, "vocabulary", s->vocab, "tokens", (json_int_t)s->tokens,
                                 "unknown", (json_int_t)s->unknown, "used", s->used, "eojeols", (json_int_t)s->eojeols, "characters", (json_int_t)s->characters,
                                 "bytes", (json_int_t)s->bytes);
        for (int m = 0; m < MEASURES; m++) json_object_set_new(row, measures[m].key, json_real(value_of(s, m)));
        json_array_append_new(list, row);
    }
    lm_print_json(list);
}

static lm_status plot(const char *path, const stats *all, int n, lm_err *err)
{
    const char **names = lm_malloc((size_t)n * sizeof *names);
    double *values = lm_malloc((size_t)n * MEASURES * sizeof *values);
    lm_panel panels[MEASURES];
    for (int i = 0; i < n; i++) names[i] = all[i].name;
    for (int m = 0; m < MEASURES; m++) {
        for (int i = 0; i < n; i++) values[m * n + i] = value_of(&all[i], m);
        panels[m] = (lm_panel){ measures[m].title, measures[m].unit, values + m * n };
    }
    lm_str out = {0};
    lm_bars_svg(&out, "Tokenizers side by side", names, n, panels, MEASURES);
    lm_status status = lm_file_write(path, out.data, out.len, err);
    lm_str_free(&out);
    free(names);
    free(values);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const stats_options *o = call->values;
    LM_TRY(lm_call_args(call, 1, -1, "TOKENIZER ...", err));
    int n = call->args.n;
    stats *all = lm_calloc((size_t)n, sizeof *all);
    lm_status status = LM_OK;
    for (int i = 0; i < n && !status; i++) status = measure(&all[i], call->args.items[i], o, err);
    if (!status && o->plot) status = plot(o->plot, all, n, err);
    if (!status) o->json ? print_json(all, n) : print_table(all, n);
    for (int i = 0; i < n; i++) free(all[i].name), free(all[i].seen);
    free(all);
    return status;
}

const lm_command lm_tokenizer_stats = {
    .name = "stats",
    .summary = "fertility, unknown rate, vocabulary use and speed on a text, for several tokenizers",
    .usage = "TOKENIZER ... --data FILE [options]",
    .example = "malmoi tokenizer stats model other/tokenizer.json --data corpus.jsonl.zst\nmalmoi tokenizer stats a b c --data text.txt --plot tokenizers.svg",
    .options = options,
    .values_size = sizeof(stats_options),
    .run = run,
};
