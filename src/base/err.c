#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lm_status lm_fail(lm_err *err, lm_status code, const char *format, ...)
{
    if (err && err->code == LM_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        lm_one_line(err->message);
        err->code = code;
    }
    return code;
}

lm_status lm_context(lm_err *err, const char *format, ...)
{
    if (!err || err->code == LM_OK) return LM_OK;
    char text[2 * sizeof err->message + 2];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof err->message, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof err->message) return err->code;
    snprintf(text + n, sizeof text - (size_t)n, ": %s", err->message);
    text[sizeof err->message - 1] = '\0';             /* the end of a long chain is what is lost */
    lm_one_line(text);
    memcpy(err->message, text, sizeof err->message);
    return err->code;
}

void lm_err_clear(lm_err *err)
{
    if (!err) return;
    err->code = LM_OK;
    err->message[0] = '\0';
}

_Noreturn void lm_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "malmoi: bug at %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
