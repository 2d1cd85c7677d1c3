#include "data/mix.h"

#include "base/file.h"
#include "base/rng.h"
#include "base/signal.h"
#include "data/mix/store.h"
#include "data/permute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_SHOWN = 1000 };
enum { STREAM_ORDER = 1, STREAM_ROWS = 2 };      /* what random numbers are drawn for */

/* A run of draws from one group, within a stage. */
typedef struct run {
    const lm_mix_group *group;
    int64_t end;                         /* of its draws among all of the stage */
    int64_t drawn;                       /* from the group, before the stage */
    uint64_t stream;
} run;

typedef struct mixing {
    const lm_mix *mix;
    const lm_mix_options *o;
    lm_mix_result *result;
    lm_mix_store store;
    lm_json *stages;
    lm_writer out;
    int64_t part, in_part, all;          /* the file that is written, from 1, and its rows so far; rows of all stages */
} mixing;

/* ---- which rows -------------------------------------------------------------------- */

/* Draws from the groups of a source, as equally as it goes: what is left of a pass through all of its rows, then whole
 * passes, then a part of one. */
static void share_out(const lm_mix_rows *rows, int64_t *counts, int64_t want)
{
    int n = rows->n_groups;
    int64_t *left = lm_malloc(2 * (size_t)n * sizeof *left + 1), *now = left + n, sum = 0;
    for (int g = 0; g < n; g++) counts[g] = 0;
    int64_t passes = 0;
    for (int g = 0; g < n; g++) passes += rows->groups[g].drawn;
    passes /= rows->n;
    for (int g = 0; g < n; g++) sum += left[g] = (passes + 1) * rows->groups[g].n - rows->groups[g].drawn;
    while (want > 0) {
        int64_t some = want < sum ? want : sum;
        lm_mix_level(now, left, n, some);
        for (int g = 0; g < n; g++) counts[g] += now[g];
        want -= some;
        int64_t whole = want / rows->n;
        for (int g = 0; g < n; g++) {
            counts[g] += whole * rows->groups[g].n;
            left[g] = rows->groups[g].n;
        }
        want -= whole * rows->n;
        sum = rows->n;
    }
    free(left);
}

static int64_t seen_before(const lm_mix_group *g, int64_t count)
{
    int64_t fresh = g->drawn < g->n ? g->n - g->drawn : 0;
    return count > fresh ? count - fresh : 0;
}

static int64_t left_of(const lm_mix_rows *rows)
{
    int64_t left = 0;
    for (int g = 0; g < rows->n_groups; g++) left += rows->groups[g].drawn < rows->groups[g].n ? rows->groups[g].n - rows->groups[g].drawn : 0;
    return left;
}

/* The runs of a stage; its row in the report; groups remember what is drawn. */
static lm_status plan_stage(mixing *x, const lm_mix_stage *stage, run **out, int *n_out, int64_t *n_rows, lm_err *err)
{
    const lm_mix *m = x->mix;
    int n = m->n_sources, groups = 0;
    for (int i = 0; i < n; i++) groups += x->store.sources[i].n_groups;
    double *rates = lm_malloc((size_t)n * sizeof *rates);
    int64_t *counts = lm_malloc((size_t)(2 * n + groups) * sizeof *counts), *sizes = counts + n, *of_groups = sizes + n;
    for (int i = 0; i < n; i++) sizes[i] = x->store.sources[i].n;
    lm_status status = lm_mix_rates(rates, m, stage, sizes, err);
    for (int i = 0; i < n; i++) sizes[i] = left_of(&x->store.sources[i]);
    *n_rows = status != LM_OK ? 0 : stage->rows ? stage->rows : lm_mix_most(rates, sizes, n);
    if (status == LM_OK && !*n_rows) status = lm_fail(err, LM_E_USAGE, "stage %s: a source has no row left that did not come yet: say how many rows the stage has", stage->name);
    if (status == LM_OK) {
        lm_mix_counts(counts, rates, n, *n_rows);
        run *runs = *out = lm_calloc((size_t)groups, sizeof *runs);
        lm_json *parts = json_array();
        int64_t at = 0;
        *n_out = 0;
        for (int i = 0; i < n; i++) {
            lm_mix_rows *rows = &x->store.sources[i];
            int64_t again = 0;
            share_out(rows, of_groups, counts[i]);
            for (int g = 0; g < rows->n_groups; g++) {
                lm_mix_group *group = &rows->groups[g];
                if (!of_groups[g]) continue;
                at += of_groups[g];
                runs[(*n_out)++] = (run){ .group = group, .end = at, .drawn = group->drawn, .stream = (uint64_t)i << 32 | (uint64_t)g };
                again += seen_before(group, of_groups[g]);
                group->drawn += of_groups[g];
            }
            x->result->repeated += again;
            if (rates[i] > 0) json_array_append_new(parts, json_pack("{s:s, s:f, s:I, s:I}", "source", m->sources[i].name, "share", rates[i], "rows", (json_int_t)counts[i], "repeated", (json_int_t)again));
        }
        json_array_append_new(x->stages, json_pack("{s:s, s:I, s:o}", "stage", stage->name, "rows", (json_int_t)*n_rows, "sources", parts));
    }
    free(rates);
    free(counts);
    return status;
}

/* The row that draw number q of the stage gives: each pass through a group has an order of its own. */
static uint32_t row_of(const run *runs, int n, int64_t q, uint64_t seed)
{
    int low = 0, high = n - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (runs[middle].end <= q) low = middle + 1;
        else high = middle;
    }
    const run *r = &runs[low];
    int64_t draw = r->drawn + q - (low ? runs[low - 1].end : 0);
    uint64_t stream[3] = { STREAM_ROWS, r->stream, (uint64_t)(draw / r->group->n) };
    return r->group->rows[lm_permute(draw % r->group->n, r->group->n, seed, lm_hash(stream, sizeof stream, 0))];
}

/* ---- writing ------------------------------------------------------------------------ */

/* "mix.jsonl" of 4 parts: mix-00001-of-00004.jsonl. */
static char *part_name(const mixing *x)
{
    const char *out = x->o->out, *name = lm_path_name(out), *dot = strchr(name, '.');
    lm_str path = {0};
    if (x->o->parts < 2) return lm_strdup(out);
    int stem = (int)(dot ? dot - out : (ptrdiff_t)strlen(out));
    lm_str_printf(&path, "%.*s-%05" PRId64 "-of-%05" PRId64 "%s", stem, out, x->part + 1, x->o->parts, dot ? dot : "");
    return lm_str_take(&path);
}

static lm_status next_part(mixing *x, lm_err *err)
{
    if (x->out.stream) LM_TRY(lm_writer_commit(&x->out, err));
    if (x->part == x->o->parts) return LM_OK;
    char *path = part_name(x);
    lm_status status = lm_writer_open(&x->out, path, err);
    free(path);
    x->in_part = 0;
    x->part++;
    return status;
}

static int64_t rows_of_part(const mixing *x) { return x->all / x->o->parts + (x->part <= x->all % x->o->parts); }

static lm_status write_row(mixing *x, uint32_t row, lm_err *err)
{
    lm_span line = lm_mix_store_line(&x->store, row);
    while (x->in_part == rows_of_part(x)) LM_TRY(next_part(x, err));
    fwrite(line.data, 1, line.len, x->out.stream);
    x->in_part++;
    x->result->rows++;
    x->result->bytes += (int64_t)line.len;
    return ferror(x->out.stream) ? lm_fail(err, LM_E_IO, "%s: cannot be written: is the disk full?", x->out.path) : LM_OK;
}

static lm_status write_stage(mixing *x, const run *runs, int n, int64_t rows, uint64_t stage, lm_err *err)
{
    enum { STRIDE = 4096 };
    uint64_t seed = (uint64_t)x->o->seed, stream[2] = { STREAM_ORDER, stage };
    for (int64_t i = 0; i < rows; i++) {
        if (i % STRIDE == 0 && lm_interrupted()) return lm_fail(err, LM_E_INTERRUPT, "stopped; the mixture is not whole");
        LM_TRY(write_row(x, row_of(runs, n, lm_permute(i, rows, seed, lm_hash(stream, sizeof stream, 0)), seed), err));
    }
    return LM_OK;
}

/* ---- the report ----------------------------------------------------------------------- */

static lm_json *sources_json(const mixing *x)
{
    lm_json *sources = json_array();
    for (int i = 0; i < x->mix->n_sources; i++) {
        const lm_mix_rows *rows = &x->store.sources[i];
        lm_json *groups = json_array();
        int64_t drawn = 0, unused = left_of(rows);
        for (int g = 0; g < rows->n_groups; g++) {
            drawn += rows->groups[g].drawn;
            if (rows->n_groups > 1 && g < GROUPS_SHOWN)
                json_array_append_new(groups, json_pack("{s:s, s:I, s:I}", "group", rows->groups[g].name, "has", (json_int_t)rows->groups[g].n, "drawn", (json_int_t)rows->groups[g].drawn));
        }
        json_array_append_new(sources, json_pack("{s:s, s:I, s:I, s:I, s:f, s:o}", "source", x->mix->sources[i].name, "has", (json_int_t)rows->n, "drawn", (json_int_t)drawn, "unused",
                                                 (json_int_t)unused, "passes", (double)drawn / (double)rows->n, "groups", groups));
    }
    return sources;
}

/* ---- all of it ------------------------------------------------------------------------ */

typedef struct plan {
    run *runs;
    int n;
    int64_t rows;
} plan;

static bool is_wanted(const mixing *x, int stage) { return !x->o->stage || !strcmp(x->o->stage, x->mix->stages[stage].name); }

static lm_status check_stage(const mixing *x, lm_err *err)
{
    lm_str names = {0};
    bool found = false;
    for (int i = 0; i < x->mix->n_stages; i++) {
        found |= is_wanted(x, i);
        lm_str_printf(&names, "%s%s", i ? ", " : "", x->mix->stages[i].name);
    }
    if (!found) lm_fail(err, LM_E_USAGE, "--stage: no stage is called \"%s\"; there is %s", x->o->stage, names.data);
    lm_str_free(&names);
    return found ? LM_OK : LM_E_USAGE;
}

static lm_status mix_stages(mixing *x, lm_err *err)
{
    const lm_mix *m = x->mix;
    plan *plans = lm_calloc((size_t)m->n_stages, sizeof *plans);
    lm_status status = LM_OK;
    for (int i = 0; i < m->n_stages && status == LM_OK; i++) {
        status = plan_stage(x, &m->stages[i], &plans[i].runs, &plans[i].n, &plans[i].rows, err);
        if (is_wanted(x, i)) x->all += plans[i].rows;
    }
    for (int i = 0; i < m->n_stages && status == LM_OK; i++)
        if (is_wanted(x, i)) status = write_stage(x, plans[i].runs, plans[i].n, plans[i].rows, (uint64_t)i, err);
    while (status == LM_OK && x->out.stream) status = next_part(x, err);
    for (int i = 0; i < m->n_stages; i++) free(plans[i].runs);
    free(plans);
    return status;
}

lm_status lm_mix_files(lm_mix_result *result, const lm_mix *m, const lm_mix_options *o, lm_err *err)
{
    *result = (lm_mix_result){0};
    LM_TRY(lm_mix_check(m, err));
    LM_ASSERT(m->n_stages > 0 && o->parts > 0);
    size_t n = (size_t)(lm_path_name(o->out) - o->out);
    char *folder = o->folder ? lm_strdup(o->folder) : n ? lm_strndup(o->out, n) : lm_strdup(".");
    mixing x = { .mix = m, .o = o, .result = result, .stages = json_array(), .store.spill.fd = -1 };
    lm_status status = check_stage(&x, err);
    if (status == LM_OK) status = next_part(&x, err);    /* before hours of work */
    if (status == LM_OK) status = lm_mix_store_read(&x.store, m, o, folder, &result->skipped, err);
    if (status == LM_OK) status = mix_stages(&x, err);
    if (status == LM_OK)
        result->report = json_pack("{s:I, s:I, s:I, s:I, s:O, s:o}", "rows", (json_int_t)result->rows, "bytes", (json_int_t)result->bytes, "repeated", (json_int_t)result->repeated, "skipped",
                                   (json_int_t)result->skipped.n, "stages", x.stages, "sources", sources_json(&x));
    lm_writer_abort(&x.out);
    lm_mix_store_free(&x.store);
    lm_json_free(x.stages);
    free(folder);
    return status;
}

void lm_mix_result_free(lm_mix_result *result)
{
    lm_json_free(result->report);
    lm_skipped_free(&result->skipped);
}
