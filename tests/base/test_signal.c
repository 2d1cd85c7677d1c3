/* The first signal is counted, the second ends the process the way it ends by default. */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/signal.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* How a child ends that gets these signals, one after another; 0 ends the list. */
static int child_ends(const int *signals, int clear_after_first)
{
    pid_t child = fork();
    if (child == 0) {
        lm_interrupt_watch();
        if (lm_interrupted() != 0) _exit(90);
        for (int i = 0; signals[i]; i++) {
            raise(signals[i]);
            if (lm_interrupted() != 1) _exit(91);
            if (i == 0 && clear_after_first) lm_interrupt_clear();
        }
        _exit(lm_interrupted());
    }
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

static void test_once_and_twice(void **state)
{
    (void)state;
    int how = child_ends((const int[]){ SIGINT, 0 }, 0);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 1);
    how = child_ends((const int[]){ SIGINT, SIGINT, 0 }, 0);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGINT);
    how = child_ends((const int[]){ SIGINT, SIGTERM, 0 }, 0);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM);
    how = child_ends((const int[]){ SIGINT, SIGINT, 0 }, 1);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 1);
}

static void test_ignored_stays_ignored(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_IGN);
        lm_interrupt_watch();
        raise(SIGINT);
        raise(SIGINT);
        _exit(lm_interrupted());
    }
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_once_and_twice), cmocka_unit_test(test_ignored_stays_ignored) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
