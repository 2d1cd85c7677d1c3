#include "reward/extract.h"

#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Where `what` begins for the last time, or NULL. */
static const char *last_of(lm_span text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = text.len >= n ? text.len - n + 1 : 0; i-- > 0;)
        if (!memcmp(text.data + i, what, n)) return text.data + i;
    return NULL;
}

/* Up to the brace that closes the one before `inner`. */
static bool braced(lm_span *out, lm_span inner)
{
    int depth = 1;
    for (size_t i = 0; i < inner.len; i++) {
        depth += inner.data[i] == '{';
        depth -= inner.data[i] == '}';
        if (!depth) {
            *out = lm_trim(lm_span_of(inner.data, i));
            return true;
        }
    }
    return false;
}

bool lm_final_answer(lm_span *out, lm_span text, const char *marker)
{
    bool boxed = !strcmp(marker, "boxed");
    const char *mark = boxed ? "\\boxed{" : marker, *at = last_of(text, mark);
    if (!at) return false;
    at += strlen(mark);
    lm_span rest = lm_span_of(at, text.len - (size_t)(at - text.data));
    if (boxed) return braced(out, rest);
    const char *line = memchr(rest.data, '\n', rest.len);
    if (line) rest.len = (size_t)(line - rest.data);
    *out = lm_trim(rest);
    return true;
}

/* The number that begins at text[i] with a digit, without its commas, into `spelled`; returns where it ends. */
static size_t spell(char *spelled, size_t most, lm_span text, size_t i)
{
    size_t n = 0;
    bool point = false;
    for (; i < text.len && n < most - 1; i++) {
        char c = text.data[i], next = i + 1 < text.len ? text.data[i + 1] : 0;
        bool comma = c == ',' && !point && i + 3 < text.len && is_digit(next) && is_digit(text.data[i + 2]) && is_digit(text.data[i + 3]);
        if (comma) continue;
        if (c == '.' && !point && is_digit(next)) point = true;
        else if (!is_digit(c)) break;
        spelled[n++] = c;
    }
    spelled[n] = '\0';
    return i;
}

bool lm_last_number(double *out, lm_span text)
{
    char spelled[64];
    bool found = false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i])) continue;
        bool minus = i && text.data[i - 1] == '-';
        i = spell(spelled, sizeof spelled, text, i);
        *out = (minus ? -1 : 1) * strtod(spelled, NULL);
        found = true;
    }
    return found;
}

lm_status lm_row_answer(lm_str *out, const lm_json *row, lm_err *err)
{
    const lm_json *answer = lm_json_get(row, "answer");
    if (json_is_string(answer)) lm_str_append(out, json_string_value(answer), json_string_length(answer));
    else if (json_is_integer(answer)) lm_str_printf(out, "%lld", (long long)json_integer_value(answer));
    else if (json_is_real(answer)) lm_str_printf(out, "%.17g", json_real_value(answer));
    else return lm_fail(err, LM_E_FORMAT, "field \"answer\" %s: expected text or a number", answer ? "is something else" : "is missing");
    return LM_OK;
}

lm_status lm_row_has_answer(const void *own, const lm_json *row, lm_err *err)
{
    (void)own;
    lm_str answer = {0};
    lm_status status = lm_row_answer(&answer, row, err);
    lm_str_free(&answer);
    return status;
}
