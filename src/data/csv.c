/* Comma-separated values (RFC 4180): the first line names the columns; a field in double quotes may hold
 * commas, line breaks, and quotes written twice.  Line breaks inside a field are read as "\n". */
#include "data/source.h"

static void push(lm_strings *fields, lm_str *field)
{
    lm_strings_push(fields, lm_strndup(field->data ? field->data : "", field->len));
    lm_str_clear(field);
}

static lm_status unclosed(const lm_row *row, lm_err *err)
{
    return lm_fail(err, LM_E_FORMAT, "%s:%lld: a field's double quote is not closed", row->path, (long long)row->line);
}

/* One record, whose first line is in r->line; takes further lines while a quote is open. */
static lm_status record(lm_row_reader *r, lm_row *row, lm_strings *fields, lm_str *field, lm_err *err)
{
    bool quoted = false;
    for (size_t i = 0;; i++) {
        if (i == r->line.len) {
            if (!quoted) break;
            bool more;
            LM_TRY(lm_row_line(r, &more, err));
            if (!more) return unclosed(row, err);
            row->bytes += r->line.len + 1;
            lm_str_putc(field, '\n');
            i = (size_t)-1;
            continue;
        }
        char c = r->line.data[i];
        if (quoted && c == '"' && i + 1 < r->line.len && r->line.data[i + 1] == '"') lm_str_putc(field, c), i++;
        else if (quoted && c == '"') quoted = false;
        else if (quoted) lm_str_putc(field, c);
        else if (c == ',') push(fields, field);
        else if (c == '"' && !field->len) quoted = true;
        else lm_str_putc(field, c);
    }
    push(fields, field);
    return LM_OK;
}

static lm_status next(lm_row_reader *r, lm_row *row, bool *more, lm_err *err)
{
    bool header = true;
    while (header) {
        do LM_TRY(lm_row_line(r, more, err));
        while (*more && !r->line.len);
        if (!*more) return LM_OK;
        row->line = lm_stream_number(r->stream);
        row->bytes = r->line.len + 1;
        lm_strings fields = {0};
        lm_str field = {0};
        lm_status status = record(r, row, &fields, &field, err);
        lm_str_free(&field);
        if (status == LM_OK) status = lm_row_from_fields(r, row, &fields, &header, err);
        lm_strings_free(&fields);
        LM_TRY(status);
    }
    return LM_OK;
}

static const char *const endings[] = { ".csv", NULL };

const lm_row_format lm_row_format_csv = { .name = "csv", .endings = endings, .next = next };
