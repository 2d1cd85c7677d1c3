#include "common/test.h"
#include "common/program.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *executable(void)
{
    const char *path = getenv("MALMOI");
    return path ? path : "build/malmoi";
}

static void start(running *r, const char *const *args)
{
    int in[2], out[2], err[2];
    assert_int_equal(pipe(in) | pipe(out) | pipe(err), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        const char *argv[64] = { executable() };
        for (int i = 0; args[i] && i < 62; i++) argv[i + 1] = args[i];
        dup2(in[0], 0), dup2(out[1], 1), dup2(err[1], 2);
        for (int i = 0; i < 2; i++) close(in[i]), close(out[i]), close(err[i]);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    close(in[0]), close(out[1]), close(err[1]);
    r->in = in[1], r->out = out[0], r->err = err[0];
}

/* Reads what is there; false at the end of the stream. */
static bool take(int fd, lm_str *text)
{
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0) lm_str_append(text, buffer, (size_t)n);
    return n > 0 || (n < 0 && errno == EINTR);
}

void program_wait_for(running *r, lm_str *out, size_t bytes)
{
    while (out->len < bytes && take(r->out, out));
    assert_true(out->len >= bytes);
}

void program_finish(running *r, program *p)
{
    close(r->in);
    struct pollfd fds[2] = { { .fd = r->out, .events = POLLIN }, { .fd = r->err, .events = POLLIN } };
    lm_str *texts[2] = { &p->out, &p->err };
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, 180000) <= 0) kill(r->pid, SIGKILL);        /* three minutes of silence: it hangs */
        for (int i = 0; i < 2; i++)
            if (fds[i].fd >= 0 && fds[i].revents && !take(fds[i].fd, texts[i])) close(fds[i].fd), fds[i].fd = -1;
    }
    int status;
    while (waitpid(r->pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    p->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    lm_str_append(&p->out, "", 0);                                    /* data is never NULL */
    lm_str_append(&p->err, "", 0);
}

static void run_with_input(program *p, running *r, const char *input)
{
    signal(SIGPIPE, SIG_IGN);
    size_t n = input ? strlen(input) : 0;
    while (n > 0) {                                                   /* far below what a pipe holds */
        ssize_t written = write(r->in, input, n);
        if (written < 0) break;
        input += written, n -= (size_t)written;
    }
    program_finish(r, p);
}

void program_run(program *p, const char *input, const char *const *args)
{
    running r;
    *p = (program){ 0 };
    start(&r, args);
    run_with_input(p, &r, input);
}

/* Cuts `line` (changed) into args. */
static void cut(char *line, const char *args[64])
{
    int n = 0;
    for (char *word = strtok(line, " "); word && n < 62; word = strtok(NULL, " ")) args[n++] = strcmp(word, "''") ? word : "";
    args[n] = NULL;
}

void program_line(program *p, const char *input, const char *line)
{
    const char *args[64];
    char *copy = lm_strdup(line);
    cut(copy, args);
    program_run(p, input, args);
    free(copy);
}

void program_start(running *r, const char *line)
{
    const char *args[64];
    char *copy = lm_strdup(line);
    cut(copy, args);
    start(r, args);
    free(copy);
}

void program_free(program *p)
{
    lm_str_free(&p->out);
    lm_str_free(&p->err);
}
