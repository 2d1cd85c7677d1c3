/* Errors: the first message stays, context comes in front, nothing overflows. */
#include "common/test.h"
#include "base/err.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_first_wins(void **state)
{
    (void)state;
    lm_err err = {0};
    assert_int_equal(lm_fail(&err, LM_E_FORMAT, "row %d", 3), LM_E_FORMAT);
    assert_int_equal(lm_fail(&err, LM_E_IO, "later"), LM_E_IO);       /* the caller's status is its own */
    assert_int_equal(err.code, LM_E_FORMAT);
    assert_string_equal(err.message, "row 3");
    assert_int_equal(lm_context(&err, "data/%s", "a.jsonl"), LM_E_FORMAT);
    assert_string_equal(err.message, "data/a.jsonl: row 3");
    lm_err_clear(&err);
    assert_int_equal(err.code, LM_OK);
    assert_string_equal(err.message, "");
    assert_int_equal(lm_context(&err, "nothing failed"), LM_OK);
    assert_string_equal(err.message, "");
}

static void test_null(void **state)
{
    (void)state;
    assert_int_equal(lm_fail(NULL, LM_E_IO, "nobody listens"), LM_E_IO);
    assert_int_equal(lm_context(NULL, "x"), LM_OK);
    lm_err_clear(NULL);
}

/* Messages longer than there is room for lose their end, contexts likewise. */
static void test_long(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    lm_err err = {0};
    lm_fail(&err, LM_E_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    lm_context(&err, "front");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "front: xxx", 10);
    lm_context(&err, "%s", text);                       /* a context that leaves no room for the cause is dropped */
    assert_memory_equal(err.message, "front: xxx", 10);
}

static lm_status tries(lm_status inner, int *reached)
{
    LM_TRY(inner);
    ++*reached;
    return LM_OK;
}

static void test_try(void **state)
{
    (void)state;
    int reached = 0;
    assert_int_equal(tries(LM_E_NOMEM, &reached), LM_E_NOMEM);
    assert_int_equal(reached, 0);
    assert_int_equal(tries(LM_OK, &reached), LM_OK);
    assert_int_equal(reached, 1);
}

static void test_bug_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        LM_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char got[512] = {0};
    assert_true(read(ends[0], got, sizeof got - 1) > 0);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
    assert_non_null(strstr(got, "test_err.c"));
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_wins), cmocka_unit_test(test_null), cmocka_unit_test(test_long),
        cmocka_unit_test(test_try), cmocka_unit_test(test_bug_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
