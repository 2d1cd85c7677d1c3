/* Template sets: a YAML text becomes a set or a message that names its place; a set makes of its example, every way, the same
 * UTF-8 twice. */
#include "common/test.h"
#include "data/instruct.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lm_json *phrase(const lm_template_set *set, const lm_json *example, bool cot)
{
    lm_json *rows = json_array();
    lm_instruct_result r = {0};
    lm_err err = {0};
    const lm_instruct_options o = { .how = { .all = true, .cot = cot }, .completions = cot };
    lm_status status = lm_instruct_object(rows, &r, set, example, &o, &err);
    LM_ASSERT(status == err.code && (status == LM_OK) == !*err.message && !strpbrk(err.message, "\n"));
    LM_ASSERT(status != LM_OK || (int64_t)json_array_size(rows) == r.written);
    return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_template_set *set;
    lm_err err = {0};
    lm_status status = lm_template_set_parse(&set, (const char *)data, size, "fuzz", &err);
    LM_ASSERT(status == err.code && (status == LM_OK) == (set != NULL));
    LM_ASSERT(status == LM_OK || (lm_starts_with(err.message, "fuzz:") && !strpbrk(err.message, "\n")));
    const lm_json *example = set ? lm_template_set_about(set).example : NULL;
    for (int cot = 0; cot < 2 && example; cot++) {
        lm_json *first = phrase(set, example, cot), *second = phrase(set, example, cot);
        lm_str text = {0};
        LM_ASSERT(json_equal(first, second));
        lm_json_text(&text, first, 0);
        LM_ASSERT(lm_utf8_valid(text.data, text.len) == text.len);
        lm_str_free(&text);
        lm_json_free(first);
        lm_json_free(second);
    }
    lm_template_set_free(set);
    return 0;
}
