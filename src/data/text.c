/* Plain text: the whole file is one document, byte for byte, unless a separator is given.  Then every
 * line that equals it ends a document, whose lines are joined by "\n"; empty documents are passed over. */
#include "data/source.h"

#include <string.h>

static lm_status check_utf8(const lm_row *row, const lm_str *text, lm_err *err)
{
    size_t valid = lm_utf8_valid(text->data, text->len);
    if (valid == text->len) return LM_OK;
    int64_t line = row->line;
    for (size_t i = 0; i < valid; i++) line += text->data[i] == '\n';
    return lm_fail(err, LM_E_FORMAT, "%s:%lld: byte %zu of the file (0x%02x) is not UTF-8", row->path, (long long)line,
                   valid + 1, (unsigned char)text->data[valid]);
}

static lm_status whole(lm_row_reader *r, lm_row *row, bool *more, lm_err *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    row->line = 1;
    for (size_t got = 1; got; ) {
        lm_str_reserve(&row->text, row->text.len + row->text.len / 2 + (1 << 16));
        size_t room = row->text.cap - row->text.len - 1;
        LM_TRY(lm_stream_read(r->stream, row->text.data + row->text.len, room, &got, err));
        row->text.len += got;
    }
    row->text.data[row->text.len] = 0;
    row->bytes = row->text.len;
    r->done = true;
    *more = row->text.len > 0;
    LM_TRY(check_utf8(row, &row->text, err));
    if (lm_starts_with(row->text.data, mark)) {
        row->text.len -= strlen(mark);
        memmove(row->text.data, row->text.data + strlen(mark), row->text.len + 1);
    }
    return LM_OK;
}

static lm_status next(lm_row_reader *r, lm_row *row, bool *more, lm_err *err)
{
    *more = false;
    if (r->done) return LM_OK;
    const char *separator = r->options->separator;
    if (!separator) return whole(r, row, more, err);
    for (;;) {
        LM_TRY(lm_row_line(r, more, err));
        bool ends = !*more || !strcmp(r->line.data ? r->line.data : "", separator);
        row->bytes += *more ? r->line.len + 1 : 0;
        if (ends && (row->text.len || !*more)) break;
        if (ends) continue;
        if (row->text.len) lm_str_putc(&row->text, '\n');
        else row->line = lm_stream_number(r->stream);
        lm_str_append(&row->text, r->line.data, r->line.len);
    }
    r->done = !*more;
    *more = row->text.len > 0;
    return LM_OK;
}

static const char *const endings[] = { ".txt", ".text", ".md", NULL };

const lm_row_format lm_row_format_text = { .name = "text", .endings = endings, .next = next };
