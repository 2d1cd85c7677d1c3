#include "data/dataset.h"

#include "base/map.h"
#include "base/thread.h"
#include "data/rounds.h"

#include <stdlib.h>
#include <string.h>

void lm_example_put(lm_example *e, const int32_t *ids, size_t n, bool supervised)
{
    if (e->n + n > e->cap) {
        e->cap = 2 * (e->n + n) + 64;
        e->tokens = lm_realloc(e->tokens, e->cap * sizeof *e->tokens);
    }
    for (size_t i = 0; i < n; i++) e->tokens[e->n++] = (lm_token)ids[i] | (supervised ? LM_TOKEN_SUPERVISED : 0);
}

void lm_example_label(lm_example *e, size_t i, int label)
{
    LM_ASSERT(i > 0 && i < e->n && label >= 0 && label < LM_TOKEN_LABELS);
    e->tokens[i] = (lm_token)lm_token_value(e->tokens[i]) | LM_TOKEN_SUPERVISED | (lm_token)(label + 1) << LM_TOKEN_LABEL_SHIFT;
}

void lm_example_end(lm_example *e, float value)
{
    if (e->n_parts == e->cap_parts) {
        e->cap_parts = 2 * e->cap_parts + 4;
        e->parts = lm_realloc(e->parts, e->cap_parts * sizeof *e->parts);
    }
    e->parts[e->n_parts++] = (lm_example_part){ .end = e->n, .value = value };
}

void lm_example_apart(lm_example *e)
{
    LM_ASSERT(e->n_parts);
    e->parts[e->n_parts - 1].last = true;
}

void lm_example_free(lm_example *e)
{
    free(e->tokens);
    free(e->parts);
    lm_str_free(&e->note);
    *e = (lm_example){0};
}

/* ---- rows are rendered in rounds: some are read, all threads render them, the results are appended ---- */

typedef struct worker {
    lm_encoder *encoder;
    lm_ids ids;
    int64_t failed;                      /* row of the first failure, or -1 */
    lm_err err;
} worker;

typedef struct round_of_rows {
    const lm_renderer *renderer;
    bool skips;                          /* rows that cannot be learnt from are passed over */
    lm_row rows[LM_ROUND_ROWS];
    lm_example examples[LM_ROUND_ROWS];
    char *why[LM_ROUND_ROWS];               /* such a row: what is wrong with it */
    int64_t n;
    worker *workers;
    int64_t n_workers;
} round_of_rows;

/* Whether one of its sequences, of which the first token is never learnt, teaches nothing. */
static bool teaches_nothing(const lm_example *e)
{
    const lm_example_part whole = { .end = e->n }, *parts = e->n_parts ? e->parts : &whole;
    for (size_t i = 0, at = 0; i < (e->n_parts ? e->n_parts : 1); at = parts[i++].end) {
        bool learns = false;
        for (size_t j = at + 1; j < parts[i].end && !learns; j++) learns = e->tokens[j] >> 31;
        if (!learns) return true;
    }
    return false;
}

/* Worker w takes rows w, w + n_workers, ...: neighbours differ little in length. */
static void render_rows(int64_t begin, int64_t end, void *context)
{
    round_of_rows *r = context;
    for (int64_t w = begin; w < end; w++) {
        worker *me = &r->workers[w];
        for (int64_t i = w; i < r->n && me->failed < 0; i += r->n_workers) {
            lm_example *e = &r->examples[i];
            e->n = e->n_parts = 0, e->lost = 0, e->skipped = false;
            lm_str_clear(&e->note);
            lm_ids_clear(&me->ids);
            lm_status status = r->renderer->render(r->renderer->context, e, &r->rows[i], me->encoder, &me->ids, &me->err);
            if (status == LM_OK && r->skips && !e->skipped && teaches_nothing(e)) status = lm_fail(&me->err, LM_E_FORMAT, "no token to learn");
            if (status == LM_E_FORMAT && r->skips) {
                r->why[i] = lm_strdup(me->err.message);
                lm_err_clear(&me->err);
            } else if (status != LM_OK) me->failed = i;
        }
    }
}

static lm_status render_round(round_of_rows *r, lm_err *err)
{
    lm_parallel(r->n_workers, 1, render_rows, r);
    const worker *first = NULL;
    for (int64_t w = 0; w < r->n_workers; w++)
        if (r->workers[w].failed >= 0 && (!first || r->workers[w].failed < first->failed)) first = &r->workers[w];
    if (!first) return LM_OK;
    const lm_row *row = &r->rows[first->failed];
    return lm_fail(err, first->err.code, "%s:%lld: %s", row->path, (long long)row->line, first->err.message);
}

/* ---- the buffer ---- */

static int32_t path_index(lm_dataset *d, const char *path)
{
    if (d->n_paths && !strcmp(d->paths[d->n_paths - 1], path)) return d->n_paths - 1;
    d->paths = lm_realloc(d->paths, (size_t)(d->n_paths + 1) * sizeof *d->paths);
    d->paths[d->n_paths] = lm_strdup(path);
    return d->n_paths++;
}

static void make_room(lm_dataset *d, size_t tokens, size_t documents)
{
    if (tokens > d->token_cap) {
        d->token_cap = tokens + tokens / 2 + 1024;
        d->tokens = lm_realloc(d->tokens, d->token_cap * sizeof *d->tokens);
    }
    if (documents > d->document_cap) {
        d->document_cap = 2 * documents;
        d->documents = lm_realloc(d->documents, d->document_cap * sizeof *d->documents);
    }
}

void lm_dataset_add(lm_dataset *d, const lm_example *e, const char *path, int64_t line)
{
    if (e->skipped) {
        d->n_skipped++;
        return;
    }
    const lm_example_part whole = { .end = e->n }, *parts = e->n_parts ? e->parts : &whole;
    size_t n = e->n_parts ? e->n_parts : 1, at = 0;
    make_room(d, (size_t)d->n_tokens + e->n, (size_t)d->n + n + 1);
    if (e->n) memcpy(d->tokens + d->n_tokens, e->tokens, e->n * sizeof *e->tokens);
    for (size_t i = 0; i < n; at = parts[i++].end) {
        d->documents[d->n++] = (lm_document){ .begin = d->n_tokens + (int64_t)at, .line = line, .note = d->notes.len,
                                              .path = path_index(d, path), .value = parts[i].value, .joins = i > 0 && !parts[i - 1].last };
        if (i == 0) lm_str_append(&d->notes, e->note.data, e->note.len);
        for (size_t j = at + 1; j < parts[i].end; j++) d->n_supervised += e->tokens[j] >> 31;     /* nothing predicts the first */
    }
    d->n_tokens += (int64_t)e->n;
    d->parted |= e->n_parts > 0;
    d->n_truncated += e->lost > 0;
    d->lost += e->lost;
    d->documents[d->n] = (lm_document){ .begin = d->n_tokens, .note = d->notes.len };
}

/* Rows are passed over only where the source counts them. */
static void pass_over(round_of_rows *r, lm_source *source, int64_t i)
{
    lm_err err = {0};
    lm_fail(&err, LM_E_FORMAT, "%s:%lld: %s", r->rows[i].path, (long long)r->rows[i].line, r->why[i]);
    lm_source_pass_over(source, &err);
    free(r->why[i]);
    r->why[i] = NULL;
}

static lm_status read_all(lm_dataset *d, round_of_rows *r, lm_source *source, lm_err *err)
{
    int64_t before = d->n;
    bool more = true;
    while (more) {
        lm_status status = lm_round_read(source, r->rows, &r->n, &more, err);
        if (status == LM_OK) status = render_round(r, err);
        for (int64_t i = 0; i < r->n; i++) {
            if (r->why[i]) pass_over(r, source, i);
            else if (status == LM_OK) lm_dataset_add(d, &r->examples[i], r->rows[i].path, r->rows[i].line);
            d->n_bytes += (int64_t)r->rows[i].bytes;
            lm_row_free(&r->rows[i]);
        }
        LM_TRY(status);
    }
    if (d->n == before) return lm_fail(err, LM_E_FORMAT, "%s: holds no row to train on", lm_source_name(source));
    return LM_OK;
}

lm_status lm_dataset_append(lm_dataset *d, lm_source *source, const lm_tokenizer *tk, const lm_renderer *renderer, lm_err *err)
{
    round_of_rows *r = lm_calloc(1, sizeof *r);
    r->renderer = renderer;
    r->skips = lm_source_skips(source);
    r->n_workers = lm_threads();
    r->workers = lm_calloc((size_t)r->n_workers, sizeof *r->workers);
    for (int64_t w = 0; w < r->n_workers; w++) r->workers[w] = (worker){ .encoder = lm_encoder_new(tk), .failed = -1 };

    lm_status status = read_all(d, r, source, err);

    for (int64_t w = 0; w < r->n_workers; w++) {
        lm_encoder_free(r->workers[w].encoder);
        lm_ids_free(&r->workers[w].ids);
    }
    for (int64_t i = 0; i < LM_ROUND_ROWS; i++) lm_example_free(&r->examples[i]);
    free(r->workers);
    free(r);
    return status;
}

lm_status lm_dataset_read(lm_dataset *d, lm_source *source, const lm_tokenizer *tk, const lm_renderer *renderer, lm_err *err)
{
    *d = (lm_dataset){0};
    lm_status status = lm_dataset_append(d, source, tk, renderer, err);
    if (status != LM_OK) lm_dataset_free(d);
    return status;
}

void lm_dataset_free(lm_dataset *d)
{
    for (int i = 0; i < d->n_paths; i++) free(d->paths[i]);
    free(d->paths);
    free(d->tokens);
    free(d->documents);
    lm_str_free(&d->notes);
    *d = (lm_dataset){0};
}

int64_t lm_dataset_rows(const lm_dataset *d, int64_t begin, int64_t end)
{
    int64_t rows = 0;
    for (int64_t i = begin; i < end; i++) rows += !d->documents[i].joins;
    return rows;
}

char *lm_document_place(const lm_dataset *d, int64_t i)
{
    lm_str place = {0};
    lm_str_printf(&place, "%s:%lld", d->paths[d->documents[i].path], (long long)d->documents[i].line);
    return lm_str_take(&place);
}

uint64_t lm_dataset_hash(const lm_dataset *d)
{
    uint64_t hash = lm_hash(d->tokens, (size_t)d->n_tokens * sizeof *d->tokens, 0);
    if (d->notes.len) hash = lm_hash(d->notes.data, d->notes.len, hash);
    for (int64_t i = 0; i < d->n; i++) {
        hash = lm_hash(&d->documents[i].begin, sizeof d->documents[i].begin, hash);
        if (d->documents[i].value != 0) hash = lm_hash(&d->documents[i].value, sizeof d->documents[i].value, hash);
    }
    return hash;
}
