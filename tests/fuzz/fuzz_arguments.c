/* Options from a command line: each line of the input is one argument. */
#include "fuzz/every_option.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = lm_strndup((const char *)data, size), *rest = text;
    char **argv = NULL;
    int argc = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL; ) {
        argv = lm_realloc(argv, (size_t)(argc + 1) * sizeof *argv);
        argv[argc++] = line;
    }

    every_option v;
    const lm_option_set sets[] = { { .options = every_table, .values = &v }, {0} };
    lm_options_defaults(sets);
    lm_strings positional;
    lm_err err = {0};
    lm_status status = lm_options_parse(sets, argc, argv, &positional, &err);
    LM_ASSERT(status == err.code && (status == LM_OK || status == LM_E_USAGE));
    LM_ASSERT(positional.n <= argc);
    check_every_option(&v, sets);

    free(positional.items);
    lm_options_free(sets);
    free(argv);
    free(text);
    return 0;
}
