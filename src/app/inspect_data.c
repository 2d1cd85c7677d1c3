/* Training data as the model will see it: what a row becomes, which tokens are learnt, where it is cut.
 *
 * The objective renders the row, as in training; a document's first token is never learnt, because
 * nothing stands before it.  Where an objective splits long documents, "│" marks where a new block
 * begins; where it does not, the tokens beyond the context are marked as cut. */
#include "app/inspect.h"

#include "backend/backend.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SHOWN = 2000 };                  /* tokens of a row; a text file is one row */

typedef enum style { PLAIN, LEARNT, CUT, SPECIAL, N_STYLES } style;

/* On a terminal colours; elsewhere brackets, so that a pipe keeps what matters. */
static const struct { const char *begin, *end; } looks[2][N_STYLES] = {
    { { "", "" }, { "[", "]" }, { "~", "~" }, { "", "" } },
    { { "\033[2m", "\033[0m" }, { "\033[32m", "\033[0m" }, { "\033[31;9m", "\033[0m" }, { "\033[7m", "\033[0m" } },
};

typedef struct viewer {
    const lm_inspect_rows *v;
    lm_model *model;
    lm_tokenizer *tokenizer;
    const lm_objective *objective;
    lm_task task;
    void *own_options;                       /* the objective's defaults, when it was not named */
    int64_t context;
    lm_encoder *encoder;
    lm_ids ids;
    lm_example example;
} viewer;

/* ---- one row ----------------------------------------------------------------- */

static bool learnt(const viewer *w, size_t i)
{
    return i > 0 && (w->example.tokens[i] & LM_TOKEN_SUPERVISED) && (w->objective->splits || (int64_t)i < w->context);
}

static int64_t count_learnt(const viewer *w)
{
    int64_t n = 0;
    for (size_t i = 0; i < w->example.n; i++) n += learnt(w, i);
    return n;
}

static int64_t count_cut(const viewer *w)
{
    int64_t n = (int64_t)w->example.n;
    return w->objective->splits || n <= w->context ? 0 : n - w->context;
}

static style style_of(const viewer *w, size_t i)
{
    if (!w->objective->splits && (int64_t)i >= w->context) return CUT;
    return learnt(w, i) ? LEARNT : PLAIN;
}

/* The tokens from *i on that look the same, as one piece of text; *i becomes where they end. */
static lm_status show_run(lm_str *out, const viewer *w, size_t *i, size_t end, lm_decoder *decoder, lm_err *err)
{
    const style now = style_of(w, *i);
    const bool colour = w->v->colour;
    const size_t begin = *i;
    lm_status status = LM_OK;
    lm_str_puts(out, looks[colour][now].begin);
    for (; *i < end && style_of(w, *i) == now && status == LM_OK; ++*i) {
        int32_t id = lm_token_value(w->example.tokens[*i]);
        bool block = w->objective->splits && *i && (int64_t)*i % w->context == 0;
        if (block && *i > begin) break;
        if (block) lm_str_puts(out, "│");
        bool special = colour && lm_token_is_special(w->tokenizer, id);
        if (special) lm_str_puts(out, looks[colour][SPECIAL].begin);
        status = lm_decoder_push(decoder, id, out, err);
        if (special) {
            lm_str_puts(out, looks[colour][SPECIAL].end);
            lm_str_puts(out, looks[colour][now].begin);
        }
    }
    lm_str_puts(out, looks[colour][now].end);
    return status;
}

static lm_status show_row(lm_str *out, const viewer *w, const lm_row *row, lm_err *err)
{
    size_t n = w->example.n, shown = n < MOST_SHOWN ? n : MOST_SHOWN;
    lm_str_printf(out, "%s:%" PRId64 ": %zu tokens, %" PRId64 " learnt", row->path, row->line, n, count_learnt(w));
    if (count_cut(w)) lm_str_printf(out, ", %" PRId64 " beyond the context of %" PRId64, count_cut(w), w->context);
    lm_str_putc(out, '\n');
    lm_decoder *decoder = lm_decoder_new(w->tokenizer, 0);
    lm_status status = LM_OK;
    for (size_t i = 0; i < shown && status == LM_OK; ) status = show_run(out, w, &i, shown, decoder, err);
    lm_decoder_finish(decoder, out);
    lm_decoder_free(decoder);
    if (shown < n) lm_str_printf(out, "... and %zu more tokens", n - shown);
    lm_str_puts(out, "\n\n");
    return status;
}

static lm_status add_row(lm_json *rows, viewer *w, const lm_row *row, lm_err *err)
{
    lm_str text = {0};
    lm_json *ids = json_array(), *mask = json_array();
    lm_ids_clear(&w->ids);
    for (size_t i = 0; i < w->example.n; i++) {
        json_array_append_new(ids, json_integer(lm_token_value(w->example.tokens[i])));
        json_array_append_new(mask, json_integer(learnt(w, i)));
        lm_ids_push(&w->ids, lm_token_value(w->example.tokens[i]));
    }
    lm_status status = lm_decode(w->tokenizer, &text, w->ids.data, w->ids.len, 0, err);
    lm_json *entry = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "file", row->path, "line", (json_int_t)row->line,
                               "tokens", (json_int_t)w->example.n, "learnt", (json_int_t)count_learnt(w),
                               "cut", (json_int_t)count_cut(w), "ids", ids, "mask", mask);
    lm_json *string = json_stringn(text.data ? text.data : "", text.len);      /* NULL when a token cuts a character */
    if (string) json_object_set_new(entry, "text", string);
    json_array_append_new(rows, entry);
    lm_str_free(&text);
    return status;
}

/* ---- opening ----------------------------------------------------------------- */

static const lm_objective *objective_for(const lm_row *row)
{
    return lm_objective_find(row->object && !lm_row_has(row, "text") ? "sft" : "clm");
}

static lm_status choose_objective(viewer *w, const lm_row *row, lm_err *err)
{
    w->objective = w->v->objective ? w->v->objective : objective_for(row);
    const void *options = w->v->options;
    if (!w->v->objective && w->objective->options) {
        w->own_options = lm_calloc(1, w->objective->options_size);
        lm_options_defaults((const lm_option_set[]){ { NULL, w->objective->options, w->own_options }, {0} });
        options = w->own_options;
    }
    int32_t eos = lm_eos_id(w->tokenizer);
    if (eos < 0 && w->model->config.n_eos) eos = (int32_t)w->model->config.eos_id[0];
    w->task = (lm_task){ .objective = w->objective, .options = options, .model = w->model, .tokenizer = w->tokenizer, .eos = eos };
    return w->objective->prepare ? w->objective->prepare(&w->task, err) : LM_OK;
}

static lm_status view_row(viewer *w, lm_str *text, lm_json *rows, const lm_row *row, lm_err *err)
{
    if (!w->objective) LM_TRY(choose_objective(w, row, err));
    w->example.n = 0;
    lm_ids_clear(&w->ids);
    if (w->objective->render(&w->task, &w->example, row, w->encoder, &w->ids, err) != LM_OK)
        return lm_context(err, "%s:%" PRId64, row->path, row->line);
    return rows ? add_row(rows, w, row, err) : show_row(text, w, row, err);
}

static lm_status view_rows(viewer *w, lm_source *source, lm_str *text, lm_json *rows, lm_err *err)
{
    int64_t last = w->v->first + w->v->count - 1;
    lm_status status = LM_OK;
    bool more = true;
    for (int64_t i = 1; i <= last && more && status == LM_OK; i++) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status == LM_OK && more && i >= w->v->first) status = view_row(w, text, rows, &row, err);
        if (status == LM_OK && !more && i <= w->v->first)
            status = lm_fail(err, LM_E_FORMAT, "%s: has %" PRId64 " rows, expected one numbered %" PRId64, w->v->path, i - 1, w->v->first);
        lm_row_free(&row);
    }
    return status;
}

static lm_status open_viewer(viewer *w, const lm_kernels *k, lm_err *err)
{
    LM_TRY(lm_model_load(&w->model, w->v->model, k, err));
    LM_TRY(lm_tokenizer_load(&w->tokenizer, w->v->model, err));
    w->context = w->v->context ? w->v->context : lm_model_context(w->model, 0);
    w->encoder = lm_encoder_new(w->tokenizer);
    return LM_OK;
}

static void close_viewer(viewer *w)
{
    if (w->objective && w->objective->release) w->objective->release(&w->task);
    if (w->own_options) lm_options_free((const lm_option_set[]){ { NULL, w->objective->options, w->own_options }, {0} });
    free(w->own_options);
    free(w->example.tokens);
    lm_ids_free(&w->ids);
    lm_encoder_free(w->encoder);
    lm_tokenizer_free(w->tokenizer);
    lm_model_free(w->model);
}

lm_status lm_inspect_data(lm_str *text, lm_json *doc, const lm_inspect_rows *view, lm_err *err)
{
    viewer w = { .v = view };
    lm_kernels k = {0};
    lm_source *source = NULL;
    char *path = (char *)(uintptr_t)view->path;
    lm_json *rows = doc ? json_array() : NULL;
    lm_status status = lm_backend(&k, "null", err);
    if (status == LM_OK) status = open_viewer(&w, &k, err);
    if (status == LM_OK) status = lm_source_open(&source, &(lm_strings){ &path, 1 }, &(lm_source_options){0}, err);
    if (status == LM_OK) status = view_rows(&w, source, text, rows, err);
    if (w.objective && doc) json_object_set_new(doc, "objective", json_string(w.objective->name));
    if (rows) json_object_set_new(doc, "examples", rows);
    lm_source_close(source);
    close_viewer(&w);
    return status;
}

/* ---- without a model --------------------------------------------------------- */

static void count_fields(lm_json *fields, lm_json *object)
{
    const char *key;
    lm_json *value;
    json_object_foreach(object, key, value) {
        json_int_t so_far = json_integer_value(json_object_get(fields, key));
        json_object_set_new(fields, key, json_integer(so_far + 1));
    }
}

lm_status lm_inspect_rows_of(lm_json *doc, const char *path, lm_err *err)
{
    lm_source *source;
    char *copy = (char *)(uintptr_t)path;
    LM_TRY(lm_source_open(&source, &(lm_strings){ &copy, 1 }, &(lm_source_options){0}, err));
    lm_json *fields = json_object();
    int64_t rows = 0, bytes = 0;
    lm_status status = LM_OK;
    for (bool more = true; more && status == LM_OK; ) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status == LM_OK && more) {
            rows++, bytes += (int64_t)row.bytes;
            count_fields(fields, row.object);
        }
        lm_row_free(&row);
    }
    lm_source_close(source);
    json_object_set_new(doc, "rows", json_integer(rows));
    json_object_set_new(doc, "bytes", json_integer(bytes));
    json_object_set_new(doc, "fields", fields);
    return status;
}
