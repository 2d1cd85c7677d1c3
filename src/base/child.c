#define _GNU_SOURCE
#include "base/child.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_LINE = 1 << 20 };

extern char **environ;

static int spawn(pid_t *pid, int end, const char *command)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t how;
    sigset_t none, ours;
    char *words[] = { "sh", "-c", (char *)(uintptr_t)command, NULL };
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_adddup2(&actions, end, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, end, STDOUT_FILENO);
    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT), sigaddset(&ours, SIGTERM), sigaddset(&ours, SIGPIPE);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &ours);
    int failed = posix_spawn(pid, "/bin/sh", &actions, &how, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&how);
    return failed;
}

lm_status lm_child_start(lm_child *c, const char *command, lm_err *err)
{
    int ends[2];
    pid_t pid;
    *c = (lm_child){0};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return lm_fail(err, LM_E_IO, "%s: %s", command, strerror(errno));
    int failed = spawn(&pid, ends[1], command);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return lm_fail(err, LM_E_IO, "%s: %s", command, strerror(failed));
    }
    c->pid = pid;
    c->wire = ends[0];
    return LM_OK;
}

void lm_child_stop(lm_child *c)
{
    if (c->pid) {
        close(c->wire);
        kill(-(pid_t)c->pid, SIGKILL);
        while (waitpid((pid_t)c->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    lm_str_free(&c->behind);
    *c = (lm_child){0};
}

/* Why it does not answer any more. */
static lm_status ended(const lm_child *c, lm_err *err)
{
    int how;
    siginfo_t info = {0};
    for (int tries = 0; tries < 20; tries++) {           /* its end of the wire closes a moment before it has ended */
        if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) break;
        poll(NULL, 0, 10);
    }
    how = info.si_status;
    if (!info.si_pid) return lm_fail(err, LM_E_IO, "the program closed its output");
    if (info.si_code == CLD_EXITED) return lm_fail(err, LM_E_IO, "the program ended with status %d", how);
    return lm_fail(err, LM_E_IO, "the program was ended by signal %d", how);
}

/* Waits until the wire is ready for `events`. */
static lm_status ready(const lm_child *c, short events, double until, double seconds, lm_err *err)
{
    for (;;) {
        double left = until - lm_now();
        struct pollfd wire = { .fd = c->wire, .events = events };
        if (left <= 0) return lm_fail(err, LM_E_IO, "the program gave no answer in %g seconds", seconds);
        int n = poll(&wire, 1, left > 3600 ? 3600000 : (int)(left * 1000) + 1);
        if (n > 0) return LM_OK;
        if (n < 0 && errno != EINTR) return lm_fail(err, LM_E_IO, "the program: %s", strerror(errno));
    }
}

static lm_status send_all(const lm_child *c, const char *data, size_t n, double until, double seconds, lm_err *err)
{
    while (n) {
        LM_TRY(ready(c, POLLOUT, until, seconds, err));
        ssize_t sent = send(c->wire, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return ended(c, err);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return lm_fail(err, LM_E_IO, "the program: %s", strerror(errno));
        if (sent > 0) data += sent, n -= (size_t)sent;
    }
    return LM_OK;
}

/* The first line of what was read, taken off it. */
static bool take_line(lm_child *c, lm_str *out)
{
    const char *end = c->behind.len ? memchr(c->behind.data, '\n', c->behind.len) : NULL;
    if (!end) return false;
    size_t n = (size_t)(end - c->behind.data);
    lm_str_append(out, c->behind.data, n);
    memmove(c->behind.data, end + 1, c->behind.len - n - 1);
    c->behind.len -= n + 1;
    return true;
}

lm_status lm_child_ask(lm_child *c, lm_str *out, lm_span line, double seconds, lm_err *err)
{
    double until = lm_now() + seconds;
    lm_str_clear(out);
    LM_TRY(send_all(c, line.data, line.len, until, seconds, err));
    LM_TRY(send_all(c, "\n", 1, until, seconds, err));
    while (!take_line(c, out)) {
        char part[4096];
        if (c->behind.len > MOST_LINE) return lm_fail(err, LM_E_IO, "the program's line is longer than %d bytes", MOST_LINE);
        LM_TRY(ready(c, POLLIN, until, seconds, err));
        ssize_t n = recv(c->wire, part, sizeof part, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) return ended(c, err);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return lm_fail(err, LM_E_IO, "the program: %s", strerror(errno));
        if (n > 0) lm_str_append(&c->behind, part, (size_t)n);
    }
    return LM_OK;
}
