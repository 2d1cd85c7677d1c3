/* Rows of published data: a line of JSON is of one kind or is refused with a reason; what a kind reads becomes each shape that it
 * may, and the row that is written is read again as the same kind of thing. */
#include "common/test.h"
#include "data/format.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lm_status read_sample(lm_sample *s, const lm_row_kind *kind, const lm_json *object, lm_err *err)
{
    lm_kind_row fields;
    *s = (lm_sample){0};
    LM_TRY(lm_kind_match(&fields, kind, NULL, object, err));
    return kind->read(s, &fields, err);
}

/* The kind whose own shape this is reads it. */
static void read_again(const lm_json *row, lm_shape shape)
{
    const lm_row_kind *kind = lm_kind_find(lm_shape_names[shape]);
    lm_sample s;
    lm_err err = {0};
    if (read_sample(&s, kind, row, &err) != LM_OK) LM_BUG("%s: %s", kind->name, err.message);
    lm_sample_free(&s);
}

static void try_kind(const lm_row_kind *kind, const lm_json *object)
{
    lm_sample s;
    lm_err err = {0};
    lm_status status = read_sample(&s, kind, object, &err);
    LM_ASSERT(status == err.code && (status == LM_OK) == !*err.message && !strpbrk(err.message, "\n"));
    for (int to = 0; to < LM_SHAPES && status == LM_OK; to++) {
        lm_json *rows = json_array();
        lm_err why = {0};
        if (lm_shape_becomes(kind->shape, (lm_shape)to) && lm_sample_put(rows, &s, kind->shape, (lm_shape)to, &why) == LM_OK) {
            LM_ASSERT(json_array_size(rows) > 0);
            for (size_t i = 0; i < json_array_size(rows); i++) read_again(json_array_get(rows, i), (lm_shape)to);
        }
        lm_json_free(rows);
    }
    lm_sample_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0}, none = {0};
    lm_row row = { .path = "fuzz", .line = 1, .object = lm_json_parse((const char *)data, size, "fuzz", &err) };
    const lm_row_kind *kind = NULL;
    if (json_is_object(row.object)) {
        lm_status status = lm_kind_detect(&kind, NULL, &row, &none);
        LM_ASSERT(status == none.code && (status == LM_OK) == (kind != NULL) && !strpbrk(none.message, "\n"));
        for (const lm_row_kind *const *k = lm_row_kind_registry; *k; k++) try_kind(*k, row.object);
    }
    lm_row_free(&row);
    return 0;
}
