/* Options from a YAML text. */
#include "fuzz/every_option.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    every_option v;
    const lm_option_set sets[] = { { .options = every_table, .values = &v }, {0} };
    lm_options_defaults(sets);
    lm_err err = {0};
    lm_status status = lm_options_yaml_text(sets, (const char *)data, size, "fuzz", &err);
    LM_ASSERT(status == err.code && (status == LM_OK) == (err.message[0] == '\0'));
    check_every_option(&v, sets);
    lm_options_free(sets);
    return 0;
}
