/* JSON Lines: one object a line.  Empty lines are passed over. */
#include "data/source.h"

#include <string.h>

static lm_status next(lm_row_reader *r, lm_row *row, bool *more, lm_err *err)
{
    do LM_TRY(lm_row_line(r, more, err));
    while (*more && strspn(r->line.data, " \t") == r->line.len);
    if (!*more) return LM_OK;
    row->line = lm_stream_number(r->stream);
    row->bytes = r->line.len + 1;
    lm_str place = {0};
    lm_str_printf(&place, "%s:%lld", row->path, (long long)row->line);
    row->object = lm_json_parse(r->line.data, r->line.len, place.data, err);
    if (row->object && !json_is_object(row->object)) {
        lm_row_free(row);
        lm_fail(err, LM_E_FORMAT, "%s: expected an object, {\"...\": ...}", place.data);
    }
    lm_str_free(&place);
    return row->object ? LM_OK : LM_E_FORMAT;
}

static const char *const endings[] = { ".jsonl", ".ndjson", NULL };

const lm_row_format lm_row_format_jsonl = { .name = "jsonl", .endings = endings, .next = next };
