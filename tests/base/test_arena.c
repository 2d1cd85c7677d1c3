/* The invariants that open base/arena.h, over random sequences of calls. */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/arena.h"
#include "base/rng.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Blocks are aligned, lie in the range, follow one another, and keep what was written until released. */
static void test_random_sequences(void **state)
{
    (void)state;
    enum { STEPS = 4000, MOST = 500 };
    lm_arena a;
    assert_int_equal(lm_arena_init(&a, "test", (size_t)8 << 20, LM_ARENA_REAL, NULL), LM_OK);
    lm_rng rng = { .seed = 5 };
    struct { uint8_t *at; size_t n, mark; uint8_t fill; } blocks[MOST];
    size_t n_blocks = 0, peak = 0;
    for (int step = 0; step < STEPS; step++) {
        if (n_blocks == MOST || (n_blocks && lm_rng_below(&rng, 8) == 0)) {
            size_t keep = (size_t)lm_rng_below(&rng, n_blocks);
            lm_arena_release(&a, blocks[keep].mark);
            n_blocks = keep;
            continue;
        }
        size_t bytes = (size_t)lm_rng_below(&rng, 20000), mark = lm_arena_mark(&a);
        bool cleared = lm_rng_below(&rng, 2);
        uint8_t *at = cleared ? lm_arena_zalloc(&a, bytes) : lm_arena_alloc(&a, bytes);
        if (!at) {
            assert_true(bytes + LM_ALIGN > a.size - a.used);
            assert_int_equal(lm_arena_mark(&a), mark);
            lm_arena_reset(&a);
            n_blocks = 0;
            continue;
        }
        assert_int_equal((uintptr_t)at % LM_ALIGN, 0);
        assert_true(at == a.base + mark && at + bytes <= a.base + a.used && a.used <= a.size);
        for (size_t i = 0; cleared && i < bytes; i++) if (at[i]) fail_msg("zalloc left byte %zu", i);
        uint8_t fill = (uint8_t)(step % 255 + 1);
        memset(at, fill, bytes);
        blocks[n_blocks].at = at, blocks[n_blocks].n = bytes, blocks[n_blocks].mark = mark;
        blocks[n_blocks++].fill = fill;
        if (a.used > peak) peak = a.used;
        assert_int_equal(a.peak, peak);
        size_t some = (size_t)lm_rng_below(&rng, n_blocks);
        for (size_t i = 0; i < blocks[some].n; i++)
            if (blocks[some].at[i] != blocks[some].fill) fail_msg("block %zu was overwritten", some);
    }
    lm_arena_free(&a);
    lm_arena_free(&a);
    lm_arena_free(NULL);
}

static void test_edges(void **state)
{
    (void)state;
    lm_arena a;
    lm_err err = {0};
    assert_int_equal(lm_arena_init(&a, "test", 1, LM_ARENA_REAL, &err), LM_OK);
    size_t size = a.size;
    assert_true(size >= 1);
    assert_null(lm_arena_alloc(&a, size + 1));
    assert_null(lm_arena_alloc(&a, SIZE_MAX));
    assert_null(lm_arena_alloc(&a, SIZE_MAX - LM_ALIGN + 2));
    assert_int_equal(a.used, 0);
    uint8_t *all = lm_arena_alloc(&a, size);
    assert_non_null(all);
    all[0] = all[size - 1] = 1;
    assert_non_null(lm_arena_alloc(&a, 0));
    assert_null(lm_arena_alloc(&a, 1));
    lm_arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_int_equal(a.peak, size);
    lm_arena_free(&a);

    assert_int_equal(lm_arena_init(&a, "step", SIZE_MAX, LM_ARENA_REAL, &err), LM_E_NOMEM);
    assert_non_null(strstr(err.message, "step arena"));
    lm_err_clear(&err);
    assert_int_equal(lm_arena_init(&a, "step", SIZE_MAX / 2, LM_ARENA_REAL, &err), LM_E_NOMEM);
    lm_arena_free(&a);
}

static int ends_of(void (*deed)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        if (!freopen("/dev/null", "w", stderr)) _exit(9);
        deed();
        _exit(0);
    }
    int how = -1;
    waitpid(child, &how, 0);
    return how;
}

static void touch_counted(void)
{
    lm_arena a;
    if (lm_arena_init(&a, "plan", (size_t)1 << 40, LM_ARENA_COUNT, NULL) != LM_OK) _exit(8);
    volatile uint8_t *p = lm_arena_alloc(&a, (size_t)1 << 39);   /* half a terabyte counts and costs nothing */
    if (!p || a.peak != (size_t)1 << 39) _exit(7);
    p[12345] = 1;
}

static void release_ahead(void)
{
    lm_arena a;
    if (lm_arena_init(&a, "test", 1, LM_ARENA_REAL, NULL) == LM_OK) lm_arena_release(&a, 64);
}

static void test_misuse_ends_the_program(void **state)
{
    (void)state;
    int how = ends_of(touch_counted);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSEGV);
    how = ends_of(release_ahead);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sequences), cmocka_unit_test(test_edges), cmocka_unit_test(test_misuse_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
