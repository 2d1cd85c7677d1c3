/* Templates: whatever compiles renders or is refused within its limits, to UTF-8 with a mark for each byte. */
#include "data/jinja.h"

#include <string.h>

static const char variables[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \" 안녕 <|x|> \"},"
    " {\"role\": \"assistant\", \"content\": \"a\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"k\": [1, 2.5, null]}}}]}],"
    " \"tools\": [{\"type\": \"function\"}], \"add_generation_prompt\": true, \"n\": -3}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0};
    lm_jinja *t;
    lm_status status = lm_jinja_compile(&t, (const char *)data, size, "fuzz", &err);
    LM_ASSERT((t == NULL) == (status != LM_OK) && status == err.code);
    if (t) {
        lm_json *variable = lm_json_parse(variables, strlen(variables), "fuzz", &err);
        lm_marked out = {0};
        const lm_jinja_input input = { .data = variable, .now = 1, .steps = 20000, .memory = 16 << 20 };
        status = lm_jinja_render(t, &out, &input, &err);
        LM_ASSERT(status == err.code && out.marks.len == out.text.len);
        LM_ASSERT(!out.text.len || lm_utf8_valid(out.text.data, out.text.len) == out.text.len);
        lm_marked_free(&out);
        lm_json_free(variable);
        lm_jinja_free(t);
    }
    LM_ASSERT(lm_utf8_valid(err.message, strlen(err.message)) == strlen(err.message));
    return 0;
}
