/* Options from a JSON object. */
#include "fuzz/every_option.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_json *doc = lm_json_parse((const char *)data, size, "fuzz", NULL);
    if (!doc) return 0;
    every_option v;
    const lm_option_set sets[] = { { .options = every_table, .values = &v }, {0} };
    lm_options_defaults(sets);
    lm_err err = {0};
    lm_status status = lm_options_json(sets, doc, "fuzz", &err);
    LM_ASSERT(status == err.code && (status == LM_OK) == (err.message[0] == '\0'));
    check_every_option(&v, sets);
    lm_options_free(sets);
    lm_json_free(doc);
    return 0;
}
