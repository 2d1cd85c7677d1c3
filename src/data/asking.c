#define _GNU_SOURCE                                          /* memmem */
#include "data/asking.h"

#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

void lm_asking_fill(lm_str *out, const char *text, const lm_filling *fillings, int n)
{
    for (const char *at = text; *at;) {
        int i = 0;
        while (i < n && !lm_starts_with(at, fillings[i].place)) i++;
        if (i == n) {
            lm_str_putc(out, *at++);
            continue;
        }
        lm_str_append(out, fillings[i].text.data, fillings[i].text.len);
        at += strlen(fillings[i].place);
    }
}

int lm_asking_mark(lm_span answer, const char *const *marks, int n)
{
    int found = -1;
    const char *last = NULL, *end = answer.data + answer.len;
    for (int i = 0; i < n; i++)
        for (const char *at = marks[i] ? answer.data : NULL; at && (at = memmem(at, (size_t)(end - at), marks[i], strlen(marks[i]))); at++)
            if (!last || at > last) last = at, found = i;
    return found;
}

/* ---- parts ---- */

/* Bytes of the mark at the beginning of a line, with the signs around it; 0: it does not stand there. */
static size_t mark_length(lm_span line, const char *mark)
{
    static const char number[] = "{number}";
    size_t i = 0;
    while (i < line.len && strchr("*#->_ \t", line.data[i])) i++;
    for (; *mark; mark++) {
        if (lm_starts_with(mark, number)) {
            if (i == line.len || !is_digit(line.data[i])) return 0;
            while (i < line.len && is_digit(line.data[i])) i++;
            mark += sizeof number - 2;
        } else if (i == line.len || line.data[i++] != *mark) return 0;
    }
    while (i < line.len && strchr("*_", line.data[i])) i++;
    return i;
}

int lm_asking_parts(lm_asking_part *out, int most, lm_span answer, const char *const *marks, int n)
{
    int parts = 0;
    const char *end = answer.data + answer.len;
    for (const char *line = answer.data, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        size_t length = 0;
        int mark = 0;
        while (mark < n && !(length = mark_length(lm_span_of(line, (size_t)(next - line)), marks[mark]))) mark++;
        if (mark < n && parts == most) break;
        if (mark < n) out[parts++] = (lm_asking_part){ mark, lm_span_of(line + length, 0) };
        if (parts) out[parts - 1].text.len = (size_t)(next - out[parts - 1].text.data);
    }
    for (int i = 0; i < parts; i++) out[i].text = lm_trim(out[i].text);
    return parts;
}

/* ---- scores ---- */

/* A number of one or two digits at `at`, up to `end`, which `close` follows; 0: there is none. */
static int read_score(const char *at, const char *end, const char *close)
{
    int score = 0, digits = 0;
    size_t n = strlen(close);
    for (; at < end && is_digit(*at) && digits < 3; at++, digits++) score = 10 * score + (*at - '0');
    bool closed = (size_t)(end - at) >= n && !memcmp(at, close, n) && (n || at == end);
    return digits && closed && score >= 1 && score <= 10 ? score : 0;
}

int lm_asking_score(lm_span answer)
{
    int score = 0;
    const char *end = answer.data + answer.len;
    for (const char *at = answer.data; (at = memmem(at, (size_t)(end - at), "[[", 2)); at += 2) {
        int here = read_score(at + 2, end, "]]");
        if (here) score = here;
    }
    if (score) return score;
    answer = lm_trim(answer);
    return read_score(answer.data, answer.data + answer.len, "");
}
