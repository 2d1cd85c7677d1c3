/* Messages, the progress line as a terminal and as a file get it, numbers for people, and JSONL
 * that stays whole. */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/file.h"
#include "base/log.h"

#include <math.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void keep(lm_level level, const char *text, void *context)
{
    lm_str_printf(context, "%d:%s;", (int)level, text);
}

static void test_sink(void **state)
{
    (void)state;
    lm_str got = {0};
    lm_log(LM_LOG_WARN, "dropped");
    lm_log_set(keep, &got);
    lm_log(LM_LOG_INFO, "%d rows", 3);
    lm_log(LM_LOG_WARN, "one row empty");
    lm_log_set(NULL, NULL);
    lm_log(LM_LOG_WARN, "dropped");
    assert_string_equal(got.data, "1:3 rows;2:one row empty;");
    lm_str_free(&got);
}

static void test_progress_in_a_file(void **state)
{
    (void)state;
    char *path = test_path("progress");
    FILE *stream = fopen(path, "w");
    lm_progress p = lm_progress_start(stream, 3600);
    assert_false(p.terminal);
    for (int i = 0; i < 5; i++) lm_progress_draw(&p, false, "step %d", i);   /* the first; the rest is too soon */
    lm_progress_draw(&p, true, "last\nstep");
    lm_progress_clear(&p);
    lm_progress_end(&p);
    fclose(stream);
    lm_str text;
    assert_int_equal(lm_file_read(&text, path, 1000, NULL), LM_OK);
    assert_string_equal(text.data, "step 0\nlast step\n");
    lm_str_free(&text);
    lm_progress quiet = lm_progress_start(NULL, 0);
    lm_progress_draw(&quiet, true, "nothing");
    lm_progress_end(&quiet);
    free(path);
}

/* What a terminal of 20 columns is sent: at most 19 columns, whole characters, the rest cleared. */
static void test_progress_on_a_terminal(void **state)
{
    (void)state;
    setenv("TERM", "xterm", 1);
    int master, slave;
    struct winsize size = { .ws_row = 24, .ws_col = 20 };
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    FILE *stream = fdopen(slave, "w");
    lm_progress p = lm_progress_start(stream, 3600);
    assert_true(p.terminal);
    lm_progress_draw(&p, true, "말모이 말모이 말모이 말모이");
    assert_int_equal(p.drawn, 18);                      /* 6+1+6+1+4: the next takes two */
    lm_progress_draw(&p, false, "too soon");
    lm_progress_draw(&p, true, "short");
    lm_progress_end(&p);
    lm_progress_end(&p);
    char got[256] = {0};
    size_t n = 0;
    while (!strstr(got, "\n")) {
        ssize_t more = read(master, got + n, sizeof got - 1 - n);
        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_string_equal(got, "\r말모이 말모이 말모\033[K\rshort\033[K\r\n");
    setenv("TERM", "dumb", 1);
    assert_false(lm_progress_start(stream, 1).terminal);
    fclose(stream);
    close(master);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct { char *(*format)(char *, double); double x; const char *want; } cases[] = {
        { lm_format_seconds, 0, "0s" }, { lm_format_seconds, 12.4, "12s" }, { lm_format_seconds, 59.6, "1m 00s" },
        { lm_format_seconds, 200, "3m 20s" }, { lm_format_seconds, 3720, "1h 02m" }, { lm_format_seconds, 3599.7, "1h 00m" },
        { lm_format_seconds, 183600, "2d 03h" }, { lm_format_seconds, -1, "?" }, { lm_format_seconds, NAN, "?" },
        { lm_format_seconds, INFINITY, "?" }, { lm_format_seconds, 1e300, "?" },
        { lm_format_bytes, 0, "0 B" }, { lm_format_bytes, 17, "17 B" }, { lm_format_bytes, 1023, "1023 B" }, { lm_format_bytes, 1024, "1.0 KiB" },
        { lm_format_bytes, 1.4 * (1 << 30), "1.4 GiB" }, { lm_format_bytes, 1048575, "1.0 MiB" }, { lm_format_bytes, 0x1p60, "1024.0 PiB" },
        { lm_format_count, 999, "999" }, { lm_format_count, 999.7, "1.0k" }, { lm_format_count, 12345, "12.3k" }, { lm_format_count, 999960, "1.0M" },
        { lm_format_count, 7.24e9, "7.2B" }, { lm_format_count, 12.5, "12.5" }, { lm_format_count, -1500, "-1.5k" }, { lm_format_count, NAN, "?" },
        { lm_format_count, 1e300, "1e+288T" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buffer[24];
        assert_string_equal(cases[i].format(buffer, cases[i].x), cases[i].want);
    }
    double before = lm_now();
    assert_true(lm_now() >= before);
}

static void put_row(const char *path, bool append, int row)
{
    lm_err err = {0};
    lm_jsonl *log = lm_jsonl_open(path, append, &err);
    if (!log) fail_msg("%s", err.message);
    assert_int_equal(lm_jsonl_put(log, json_pack("{s:i}", "row", row), &err), LM_OK);
    lm_jsonl_close(log);
}

static void check(const char *path, const char *want)
{
    lm_str text;
    assert_int_equal(lm_file_read(&text, path, 1 << 24, NULL), LM_OK);
    assert_string_equal(text.data, want);
    lm_str_free(&text);
}

static void test_jsonl(void **state)
{
    (void)state;
    char *path = test_path("log.jsonl");
    put_row(path, true, 1);
    put_row(path, true, 2);
    check(path, "{\"row\": 1}\n{\"row\": 2}\n");
    put_row(path, false, 3);
    check(path, "{\"row\": 3}\n");
    static const struct { const char *left, *mended; } cases[] = {
        { "", "{\"row\": 4}\n" }, { "{\"a\": 1}\n{\"b\": ", "{\"a\": 1}\n{\"row\": 4}\n" }, { "{\"a\": 1}\n{\"b\": 2}", "{\"a\": 1}\n{\"b\": 2}\n{\"row\": 4}\n" },
        { "{\"torn", "{\"row\": 4}\n" }, { "{\"a\": 1}\n12", "{\"a\": 1}\n{\"row\": 4}\n" }, { "\n", "\n{\"row\": 4}\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lm_file_write(path, cases[i].left, strlen(cases[i].left), NULL), LM_OK);
        put_row(path, true, 4);
        check(path, cases[i].mended);
    }
    lm_str torn = {0};                                  /* a torn line longer than one read */
    lm_str_puts(&torn, "{\"a\": 1}\n{\"b\": \"");
    for (int i = 0; i < 10000; i++) lm_str_putc(&torn, 'x');
    assert_int_equal(lm_file_write(path, torn.data, torn.len, NULL), LM_OK);
    put_row(path, true, 4);
    check(path, "{\"a\": 1}\n{\"row\": 4}\n");
    lm_str_free(&torn);
    free(path);
}

static void test_jsonl_errors(void **state)
{
    (void)state;
    lm_err err = {0};
    assert_null(lm_jsonl_open("/nowhere/log", true, &err));
    assert_int_equal(err.code, LM_E_IO);
    char *path = test_path("full.jsonl");
    lm_jsonl *log = lm_jsonl_open(path, true, NULL);
    assert_int_equal(lm_jsonl_put(log, json_pack("{s:f}", "loss", (double)NAN), NULL), LM_E_NUMERIC);
    assert_int_equal(lm_jsonl_put(log, json_pack("{s:f}", "loss", 0.1), NULL), LM_OK);

    struct rlimit before, small;                        /* a disk that fills up in the middle of a line */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 40;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    lm_status status = lm_jsonl_put(log, json_pack("{s:s}", "text", "a line that does not fit into what is left"), NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, LM_E_IO);
    check(path, "{\"loss\": 0.1}\n");
    lm_jsonl_close(log);
    lm_jsonl_close(NULL);

    log = lm_jsonl_open("/dev/full", true, NULL);
    assert_non_null(log);
    lm_err_clear(&err);
    assert_int_equal(lm_jsonl_put(log, json_object(), &err), LM_E_IO);
    lm_jsonl_close(log);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sink), cmocka_unit_test(test_progress_in_a_file), cmocka_unit_test(test_progress_on_a_terminal),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_jsonl), cmocka_unit_test(test_jsonl_errors),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
