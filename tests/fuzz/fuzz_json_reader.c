/* The JSON cursor: a walk that makes nothing and a document that is made accept the same text, except for
 * keys that stand twice; counting brackets finds the same end; what a walk skips is well-formed by itself, and strings are valid UTF-8. */
#include "base/json_reader.h"

#include <string.h>

static void check_list(lm_json_reader *r, char bracket, int depth);

static void check_value(lm_json_reader *r, int depth)
{
    lm_str buffer = {0};
    lm_span text;
    int64_t whole;
    double real;
    char first = lm_json_peek(r);
    lm_json_reader again = *r;
    again.err = NULL;
    if ((first == '{' || first == '[') && depth < 8) check_list(r, first, depth);
    else if (first == '"' && lm_json_string(r, &buffer, &text)) LM_ASSERT(lm_utf8_valid(text.data, text.len) == text.len);
    else if (first == '-' && lm_json_number(&again, &real)) lm_json_number(r, &real);
    else if (first >= '0' && first <= '9' && lm_json_integer(&again, &whole)) lm_json_integer(r, &whole), LM_ASSERT(whole >= 0);
    else text = lm_json_skip(r);
    lm_str_free(&buffer);
}

static void check_list(lm_json_reader *r, char bracket, int depth)
{
    lm_str buffer = {0};
    lm_span key;
    lm_json_open(r, bracket);
    while (bracket == '{' ? lm_json_key(r, &buffer, &key) : lm_json_item(r)) check_value(r, depth + 1);
    lm_str_free(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_span text = lm_span_of((const char *)data, size);
    lm_err err = {0};
    lm_json_reader skipping, walking;
    lm_json_reader_init(&skipping, text, "fuzz", &err);
    lm_span value = lm_json_skip(&skipping);
    bool skipped = lm_json_reader_end(&skipping) == LM_OK;
    LM_ASSERT(skipped == (err.code == LM_OK));
    LM_ASSERT(lm_utf8_valid(err.message, strlen(err.message)) == strlen(err.message) && !strchr(err.message, '\n'));

    if (skipped) {                                          /* counting brackets finds the same end */
        lm_json_reader_init(&walking, text, "fuzz", NULL);
        lm_span balanced = lm_json_balance(&walking);
        LM_ASSERT(balanced.data == value.data && balanced.len == value.len);
    }
    lm_json_reader_init(&walking, text, "fuzz", NULL);
    check_value(&walking, 0);
    LM_ASSERT(!skipped || lm_json_reader_end(&walking) == LM_OK);

    err = (lm_err){0};
    lm_json *document = lm_json_parse(text.data, size, "fuzz", &err);
    LM_ASSERT(skipped || !document);
    LM_ASSERT(document || !skipped || strstr(err.message, "duplicate key") || strstr(err.message, "largest double"));
    if (document) {
        lm_json *part = lm_json_parse(value.data, value.len, "part", NULL);
        LM_ASSERT(part && json_equal(document, part));
        lm_json_free(part);
    }
    lm_json_free(document);
    return 0;
}
