/* Rows of training data: in a format that its length chooses, each row is UTF-8, comes after the one before, and has bytes of the
 * file; and the same file gives the same rows or the same error again. */
#include "common/test.h"
#include "base/map.h"
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A number that stands for what the row holds. */
static uint64_t check_row(const lm_row *row, int64_t line, size_t left)
{
    lm_str text = {0};
    LM_ASSERT(row->line > line && row->bytes <= left + 1);       /* a last line without its end */
    if (row->object) lm_json_text(&text, row->object, 0);
    else lm_str_append(&text, row->text.data, row->text.len);
    LM_ASSERT(!text.len || lm_utf8_valid(text.data, text.len) == text.len);
    uint64_t hash = lm_hash(text.data ? text.data : "", text.len, (uint64_t)row->line);
    lm_str_free(&text);
    return hash;
}

static lm_status read_rows(const char *path, const lm_source_options *options, size_t size, uint64_t *sum, lm_err *err)
{
    const lm_strings paths = { .items = (char *[]){ (char *)path }, .n = 1 };
    lm_source *s;
    LM_TRY(lm_source_open(&s, &paths, options, err));
    lm_status status = LM_OK;
    bool more = true;
    for (int64_t line = 0; more && !status; ) {
        lm_row row = {0};
        status = lm_source_next(s, &row, &more, err);
        if (!status && more) {
            *sum = *sum * 31 + check_row(&row, line, size);
            line = row.line;
            LM_ASSERT(row.bytes <= size + 1);
        }
        lm_row_free(&row);
    }
    lm_source_close(s);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = test_path("fuzz.rows");
    FILE *out = fopen(path, "wb");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
    size_t formats = 0;
    while (lm_row_format_registry[formats]) formats++;
    const lm_source_options options = { .format = lm_row_format_registry[size % formats]->name, .separator = "---" };
    lm_err first = {0}, second = {0};
    uint64_t sum = 0, again = 0;
    lm_status status = read_rows(path, &options, size, &sum, &first);
    LM_ASSERT(status == first.code && status == read_rows(path, &options, size, &again, &second) && sum == again);
    LM_ASSERT(!strcmp(first.message, second.message) && !strpbrk(first.message, "\n\r\033"));
    remove(path);
    free(path);
    return 0;
}
