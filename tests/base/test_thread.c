/* lm_parallel covers its range once whatever the numbers; quotas are read as the kernel writes them. */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/file.h"
#include "base/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct cover {
    _Atomic int *hits;
    int64_t n, grain;
    _Atomic int pieces, wrong;
} cover;

static void mark(int64_t begin, int64_t end, void *context)
{
    cover *c = context;
    c->pieces++;
    if (begin < 0 || begin >= end || end > c->n || (end - begin < c->grain && c->n >= c->grain)) c->wrong++;
    for (int64_t i = begin; i < end && i < c->n; i++) c->hits[i]++;
}

static void test_covers_once(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 7, 64, 1000, 1001 }, grains[] = { 0, 1, 3, 100, 5000 };
    for (int threads = 1; threads <= 5; threads++) {
        lm_threads_set(threads);
        assert_int_equal(lm_threads(), threads);
        for (size_t s = 0; s < 7; s++) {
            for (size_t g = 0; g < 5; g++) {
                cover c = { .n = sizes[s], .grain = grains[g], .hits = calloc((size_t)sizes[s] + 1, sizeof *c.hits) };
                lm_parallel(c.n, c.grain, mark, &c);
                assert_int_equal(c.wrong, 0);
                for (int64_t i = 0; i < c.n; i++) assert_int_equal(c.hits[i], 1);
                free(c.hits);
            }
        }
    }
    lm_threads_set(0);
}

static void nested(int64_t begin, int64_t end, void *context)
{
    (void)begin, (void)end;
    lm_parallel(100, 1, mark, context);
}

static void test_nested(void **state)
{
    (void)state;
    lm_threads_set(3);
    cover c = { .n = 100, .grain = 100, .hits = calloc(100, sizeof *c.hits) };
    lm_parallel(3, 1, nested, &c);
    assert_int_equal(c.pieces, 3);                      /* each inner loop ran whole, on its thread */
    for (int i = 0; i < 100; i++) assert_int_equal(c.hits[i], 3);
    free(c.hits);
    lm_threads_set(0);
}

/* The child of a process that has used its team works alone instead of waiting for ever. */
static void test_fork(void **state)
{
    (void)state;
    lm_threads_set(2);
    cover c = { .n = 100, .grain = 1, .hits = calloc(100, sizeof *c.hits) };
    lm_parallel(100, 1, mark, &c);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        c.pieces = 0;
        lm_parallel(100, 1, mark, &c);
        _exit(c.pieces == 1 && c.hits[99] == 2 ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    free(c.hits);
    lm_threads_set(0);
}

static void test_default_is_within_affinity(void **state)
{
    (void)state;
    unsetenv("OMP_NUM_THREADS");
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    lm_threads_set(0);
    assert_in_range(lm_threads(), 1, CPU_COUNT(&set));
    int cores = lm_threads();
    static const struct { const char *word; int threads; } words[] = { { "3", 3 }, { "2,4", 2 }, { "0", 0 }, { "-1", 0 }, { "many", 0 }, { "99999999999999", 0 } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        setenv("OMP_NUM_THREADS", words[i].word, 1);
        lm_threads_set(0);
        assert_int_equal(lm_threads(), words[i].threads ? words[i].threads : cores);
    }
    unsetenv("OMP_NUM_THREADS");
    lm_threads_set(0);
}

static void put(const char *name, const char *text)
{
    char *path = test_path(name), *folder = lm_strndup(path, (size_t)(lm_path_name(path) - path));
    lm_err err = {0};
    if (lm_make_dirs(folder, &err) != LM_OK || lm_file_write(path, text, strlen(text), &err) != LM_OK) fail_msg("%s", err.message);
    free(path), free(folder);
}

static int quota(const char *membership)
{
    put("membership", membership);
    char *file = test_path("membership"), *mount = test_path("cg");
    int cores = lm_quota_cores(file, mount);
    free(file), free(mount);
    return cores;
}

static void test_quota(void **state)
{
    (void)state;
    put("cg/a/b/cpu.max", "max 100000\n");
    assert_int_equal(quota("0::/a/b\n"), 0);
    put("cg/a/cpu.max", "350000 100000\n");             /* set above the process: counts, rounded up */
    assert_int_equal(quota("0::/a/b\n"), 4);
    put("cg/a/b/cpu.max", "50000 100000\n");            /* the tightest wins */
    assert_int_equal(quota("0::/a/b\n"), 1);
    assert_int_equal(quota("0::/elsewhere\n"), 0);
    put("cg/cpu.max", "600000 100000\n");               /* a container sees its own group as the mount */
    assert_int_equal(quota("0::/not/visible\n"), 6);
    assert_int_equal(quota("0::/\n"), 6);
    put("cg/cpu/job/cpu.cfs_quota_us", "200000\n");
    put("cg/cpu/job/cpu.cfs_period_us", "100000\n");
    put("cg/cpu/free/cpu.cfs_quota_us", "-1\n");
    put("cg/cpu/free/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota("5:cpuacct,cpu:/job\n4:memory:/x\n"), 2);
    assert_int_equal(quota("5:cpu,cpuacct:/free\n"), 0);
    assert_int_equal(quota("5:cpuset:/job\n"), 0);
    static const char *const hostile[] = { "", "\n\n", ":", "::", "0:", "a:b", "0::", "\xFF:cpu:/job/../../..\n" };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) assert_true(quota(hostile[i]) >= 0);
    put("cg/x/cpu.max", "1e300 1\n");
    put("cg/y/cpu.max", "nonsense");
    assert_int_equal(quota("0::/y\n"), 6);
    assert_int_equal(quota("0::/x\n"), 6);
    assert_int_equal(lm_quota_cores("/nowhere", "/nowhere"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers_once), cmocka_unit_test(test_nested), cmocka_unit_test(test_fork),
        cmocka_unit_test(test_default_is_within_affinity), cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
