#include "data/rounds.h"

#include "base/signal.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A round of rows and what is made of them should stay in the caches; it ends threads' work together, so that each has
 * some of its own. */
static const size_t THREAD_BYTES = 1 << 20, MOST_BYTES = 8 << 20;

typedef struct round_of_rows {
    const lm_row_work *work;
    void *context;
    lm_row rows[LM_ROUND_ROWS];
    uint8_t *slots;                      /* [LM_ROUND_ROWS] of slot_size */
    int64_t n;
    _Atomic int64_t next;                /* the first row that nobody works on */
} round_of_rows;

static void *slot_of(round_of_rows *r, int64_t i) { return r->slots + (size_t)i * r->work->slot_size; }

lm_status lm_round_read(lm_source *source, lm_row rows[LM_ROUND_ROWS], int64_t *n, bool *more, lm_err *err)
{
    size_t bytes = 0, most = (size_t)lm_threads() * THREAD_BYTES;
    if (most > MOST_BYTES) most = MOST_BYTES;
    for (*n = 0; *n < LM_ROUND_ROWS && bytes < most; ++*n) {
        LM_TRY(lm_source_next(source, &rows[*n], more, err));
        if (!*more) break;
        bytes += rows[*n].bytes;
    }
    return LM_OK;
}

/* A worker takes the next rows as it is done with others: their lengths may differ much. */
static void work_some(int64_t begin, int64_t end, void *context)
{
    round_of_rows *r = context;
    for (int64_t w = begin; w < end; w++)
        for (int64_t i; (i = atomic_fetch_add(&r->next, 1)) < r->n;) r->work->each(r->context, (int)w, &r->rows[i], slot_of(r, i));
}

static lm_status take_round(round_of_rows *r, lm_status status, lm_err *err)
{
    for (int64_t i = 0; i < r->n; i++) {
        if (status == LM_OK) status = r->work->take(r->context, &r->rows[i], slot_of(r, i), err);
        lm_row_free(&r->rows[i]);
    }
    return status;
}

lm_status lm_rows_work(lm_source *source, const lm_row_work *work, void *context, lm_err *err)
{
    round_of_rows *r = lm_calloc(1, sizeof *r);
    r->work = work;
    r->context = context;
    r->slots = lm_calloc(LM_ROUND_ROWS, work->slot_size + !work->slot_size);
    lm_status status = LM_OK;
    for (bool more = true; more && status == LM_OK;) {
        status = lm_round_read(source, r->rows, &r->n, &more, err);
        atomic_store(&r->next, 0);
        if (status == LM_OK && work->each) lm_parallel(lm_threads(), 1, work_some, r);
        status = take_round(r, status, err);
        if (status == LM_OK && lm_interrupted()) status = lm_fail(err, LM_E_INTERRUPT, "stopped; nothing was written");
    }
    for (int64_t i = 0; i < LM_ROUND_ROWS && work->slot_free; i++) work->slot_free(slot_of(r, i));
    free(r->slots);
    free(r);
    return status;
}

void lm_row_put_json(lm_str *out, const lm_row *row)
{
    lm_json *text = row->object ? NULL : json_pack("{s:s%}", "text", row->text.data ? row->text.data : "", row->text.len);
    if (!row->object && !text) LM_BUG("a row that was read is not UTF-8");
    lm_json_text(out, row->object ? row->object : text, 0);
    lm_str_putc(out, '\n');
    lm_json_free(text);
}

void lm_row_set_text(lm_row *row, const char *field, lm_span text)
{
    if (row->object) {
        json_object_set_new_nocheck(row->object, field, json_stringn_nocheck(text.data ? text.data : "", text.len));
        return;
    }
    lm_str copy = {0};
    lm_str_append(&copy, text.data, text.len);
    lm_str_free(&row->text);
    row->text = copy;
}
