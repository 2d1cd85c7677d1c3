/* Tab-separated values: the first line names the columns; a field ends at a tab or at the end of the line
 * and is taken as it stands, quotes included (IANA text/tab-separated-values). */
#include "data/source.h"

#include <string.h>

static lm_strings split(const lm_str *line)
{
    lm_strings fields = {0};
    for (const char *begin = line->data, *end = line->data + line->len; begin; ) {
        const char *tab = memchr(begin, '\t', (size_t)(end - begin));
        lm_strings_push(&fields, lm_strndup(begin, (size_t)((tab ? tab : end) - begin)));
        begin = tab ? tab + 1 : NULL;
    }
    return fields;
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
        lm_strings fields = split(&r->line);
        lm_status status = lm_row_from_fields(r, row, &fields, &header, err);
        lm_strings_free(&fields);
        LM_TRY(status);
    }
    return LM_OK;
}

static const char *const endings[] = { ".tsv", NULL };

const lm_row_format lm_row_format_tsv = { .name = "tsv", .endings = endings, .next = next };
