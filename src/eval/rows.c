#include "eval/rows.h"

static lm_status read_all(const lm_eval *e, lm_source *source, lm_status (*each)(void *to, const lm_row *row, lm_err *err), void *to, lm_err *err)
{
    int64_t n = 0;
    for (bool more = true;; n++) {
        lm_row row = { 0 };
        LM_TRY(lm_source_next(source, &row, &more, err));
        if (!more) return n ? LM_OK : lm_fail(err, LM_E_FORMAT, "%s: holds no row", lm_source_name(source));
        lm_status status = each(to, &row, err);
        if (status != LM_OK) lm_context(err, "%s:%lld", row.path, (long long)row.line);
        lm_row_free(&row);
        LM_TRY(status);
        if (e->progress && !e->progress(e->context, -1)) return lm_fail(err, LM_E_INTERRUPT, "stopped after %lld rows", (long long)n + 1);
    }
}

lm_status lm_eval_rows(const lm_eval *e, const char *format, lm_status (*each)(void *to, const lm_row *row, lm_err *err), void *to, lm_err *err)
{
    lm_source *source;
    LM_TRY(lm_source_open(&source, &e->data, &(lm_source_options){ .format = format }, err));
    lm_status status = read_all(e, source, each, to, err);
    lm_source_close(source);
    return status;
}
