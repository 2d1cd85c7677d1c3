#define _GNU_SOURCE
#include "base/log.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- messages ---------------------------------------------------------------- */

static struct { lm_log_sink call; void *context; } sink;

void lm_log_set(lm_log_sink call, void *context)
{
    sink.call = call;
    sink.context = context;
}

void lm_log(lm_level level, const char *format, ...)
{
    if (!sink.call) return;
    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lm_one_line(text);
    sink.call(level, text, sink.context);
}

double lm_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- progress ---------------------------------------------------------------- */

lm_progress lm_progress_start(FILE *stream, double seconds)
{
    const char *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;    /* an editor's shell, that cannot redraw */
    bool terminal = stream && !dumb && isatty(fileno(stream));
    return (lm_progress){ .stream = stream, .terminal = terminal, .last = -INFINITY, .every = terminal ? 0.1 : seconds };
}

/* One column is left free: a full line makes some terminals wrap. */
static size_t width_of(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return (size_t)size.ws_col - 1;
    return 79;
}

void lm_progress_draw(lm_progress *p, bool force, const char *format, ...)
{
    if (!p->stream) return;
    double now = lm_now();
    if (!force && now - p->last < p->every) return;
    p->last = now;

    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) text[i] = ' ';
    if (p->terminal) {
        n = lm_text_fit(text, n, width_of(p->stream));
        fprintf(p->stream, "\r%.*s\033[K", (int)n, text);
    } else {
        fprintf(p->stream, "%s\n", text);
    }
    p->drawn = lm_text_width(text, n);
    fflush(p->stream);
}

void lm_progress_clear(lm_progress *p)
{
    if (!p->stream || !p->terminal || !p->drawn) return;
    fputs("\r\033[K", p->stream);
    fflush(p->stream);
    p->drawn = 0;
}

void lm_progress_end(lm_progress *p)
{
    if (!p->stream || !p->terminal || !p->drawn) return;
    fputc('\n', p->stream);
    fflush(p->stream);
    p->drawn = 0;
}

/* ---- numbers for people ------------------------------------------------------ */

enum { TEXT = 24 };

char *lm_format_seconds(char *buffer, double seconds)
{
    double s = round(seconds);
    if (!(s >= 0 && s < 1e9)) {
        snprintf(buffer, TEXT, "?");
        return buffer;
    }
    int whole = (int)s, m = whole / 60, h = m / 60, d = h / 24;
    if (d) snprintf(buffer, TEXT, "%dd %02dh", d, h % 24);
    else if (h) snprintf(buffer, TEXT, "%dh %02dm", h, m % 60);
    else if (m) snprintf(buffer, TEXT, "%dm %02ds", m, whole % 60);
    else snprintf(buffer, TEXT, "%ds", whole);
    return buffer;
}

/* x in the largest unit where it is at least 1, with one decimal; units[0] is for x as it is. */
static char *format_scaled(char *buffer, double x, double step, const char *const *units, int n)
{
    if (!isfinite(x)) {
        snprintf(buffer, TEXT, "?");
        return buffer;
    }
    int unit = 0;
    while (unit + 1 < n && fabs(x) >= step - (unit ? 0.05 : 0.5)) x /= step, unit++;   /* as it will be rounded */
    if (fabs(x) >= 1e6) snprintf(buffer, TEXT, "%.3g%s", x, units[unit]);
    else if (unit == 0 && x == round(x)) snprintf(buffer, TEXT, "%.0f%s", x, units[unit]);
    else snprintf(buffer, TEXT, "%.1f%s", x, units[unit]);
    return buffer;
}

char *lm_format_bytes(char *buffer, double bytes)
{
    static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB" };
    return format_scaled(buffer, bytes, 1024, units, 6);
}

char *lm_format_count(char *buffer, double count)
{
    static const char *const units[] = { "", "k", "M", "B", "T" };
    return format_scaled(buffer, count, 1000, units, 5);
}
