/* JSON: whatever is accepted can be written, and reads back as the same document. */
#include "base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0};
    lm_json *doc = lm_json_parse((const char *)data, size, "fuzz", &err);
    LM_ASSERT((doc == NULL) == (err.code != LM_OK));
    LM_ASSERT(lm_utf8_valid(err.message, strlen(err.message)) == strlen(err.message));
    if (!doc) return 0;

    for (int indent = 0; indent <= 2; indent += 2) {
        lm_str text = {0};
        lm_json_text(&text, doc, indent);
        lm_json *again = lm_json_parse(text.data, text.len, "again", &err);
        LM_ASSERT(again && json_equal(doc, again));
        lm_json_free(again);
        lm_str_free(&text);
    }

    int64_t whole;
    double real;
    const char *string;
    lm_json_opt_int(doc, "a", "fuzz", &whole, NULL);
    lm_json_opt_real(doc, "a", "fuzz", &real, NULL);
    if (lm_json_need_str(doc, "a", "fuzz", &string, NULL) == LM_OK) LM_ASSERT(lm_utf8_valid(string, strlen(string)) == strlen(string));
    lm_json_free(doc);
    return 0;
}
