/* JSON Lines: one object a line.  Empty lines are passed over. */
#include "data/source.h"

#include <string.h>

/* One room serves for all lines that are parsed here. */
static void trade(lm_row_reader *r, lm_row *row)
{
    lm_str other = row->text;
    row->text = r->line;
    r->line = other;
}

static lm_status next(lm_row_reader *r, lm_row *row, bool *more, lm_err *err)
{
    bool end = false;
    trade(r, row);
    do LM_TRY(lm_stream_line(r->stream, &row->text, &end, err));
    while (!end && strspn(row->text.data, " \t") == row->text.len);
    *more = !end;
    row->line = lm_stream_number(r->stream);
    row->bytes = row->text.len + 1;
    row->place = lm_stream_line_place(r->stream);
    row->raw = *more;
    if (*more && r->options->raw) return LM_OK;
    LM_TRY(lm_row_parse(row, err));
    trade(r, row);
    return LM_OK;
}

static const char *const endings[] = { ".jsonl", ".ndjson", NULL };

const lm_row_format lm_row_format_jsonl = { .name = "jsonl", .endings = endings, .next = next };
