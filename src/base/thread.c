/* How many cores a process may use is the smaller of two answers: its affinity mask, and
 * the CPU quota of its control groups (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us` over
 * `cpu.cfs_period_us`), each of which may be set at any level above the process. */
#define _GNU_SOURCE
#include "base/thread.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- cores ------------------------------------------------------------------- */

/* Quota over period of the file(s) in one cgroup folder, or 0 when there is no limit. */
static double quota_in(const char *folder)
{
    char *path = lm_path_join(folder, "cpu.max");
    lm_str text = {0}, period_text = {0};
    double quota = 0, period = 0, cores = 0;
    if (lm_file_read(&text, path, 4096, NULL) == LM_OK) {
        if (sscanf(text.data, "%lf %lf", &quota, &period) != 2) quota = 0;    /* "max 100000" */
    } else {
        free(path);
        path = lm_path_join(folder, "cpu.cfs_quota_us");
        char *period_path = lm_path_join(folder, "cpu.cfs_period_us");
        if (lm_file_read(&text, path, 4096, NULL) == LM_OK && lm_file_read(&period_text, period_path, 4096, NULL) == LM_OK)
            quota = atof(text.data), period = atof(period_text.data);         /* -1: no limit */
        free(period_path);
    }
    if (quota > 0 && period > 0) cores = quota / period;
    free(path);
    lm_str_free(&text);
    lm_str_free(&period_text);
    return cores;
}

/* The tightest quota from `mount` + `group` up to `mount` itself. */
static double quota_above(const char *mount, const char *group)
{
    double tightest = 0;
    lm_str folder = {0};
    lm_str_puts(&folder, mount);
    size_t top = folder.len;
    lm_str_puts(&folder, group);
    for (;;) {
        double cores = quota_in(folder.data);
        if (cores > 0 && (tightest == 0 || cores < tightest)) tightest = cores;
        if (folder.len <= top) break;
        while (folder.len > top && folder.data[folder.len - 1] != '/') folder.len--;
        if (folder.len > top) folder.len--;
        folder.data[folder.len] = '\0';
    }
    lm_str_free(&folder);
    return tightest;
}

int lm_quota_cores(const char *membership, const char *mount)
{
    lm_str text;
    if (lm_file_read(&text, membership, 1 << 20, NULL) != LM_OK) return 0;
    double tightest = 0;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL; ) {   /* "id:controllers:/group" */
        strsep(&line, ":");
        char *controllers = strsep(&line, ":");
        if (!controllers || !line) continue;
        bool unified = *controllers == '\0';
        lm_str base = {0};
        double cores = 0;
        if (unified) {
            cores = quota_above(mount, line);
        } else {
            lm_str wrapped = {0};
            lm_str_printf(&wrapped, ",%s,", controllers);
            lm_str_printf(&base, "%s/cpu", mount);    /* distributions link cpu to cpu,cpuacct */
            if (strstr(wrapped.data, ",cpu,")) cores = quota_above(base.data, line);
            lm_str_free(&wrapped);
        }
        lm_str_free(&base);
        if (cores > 0 && (tightest == 0 || cores < tightest)) tightest = cores;
    }
    lm_str_free(&text);
    if (tightest == 0 || tightest > 1e6) return 0;
    return (int)ceil(tightest);
}

static int default_threads(void)
{
    const char *word = getenv("OMP_NUM_THREADS");                  /* "4", or "4,2" for nested teams */
    long wanted = word ? strtol(word, NULL, 10) : 0;
    if (wanted >= 1 && wanted <= 4096) return (int)wanted;
    int cores = omp_get_num_procs();                               /* respects the affinity mask */
    int quota = lm_quota_cores("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota > 0 && quota < cores ? quota : cores;
}

/* ---- the team ---------------------------------------------------------------- */

static _Atomic int chosen;            /* 0 until asked or set */

int lm_threads(void)
{
    int n = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (n == 0) {
        lm_threads_set(0);
        n = atomic_load(&chosen);
    }
    return n;
}

void lm_threads_set(int n)
{
    LM_ASSERT(n >= 0);
    if (n == 0) n = default_threads();
    omp_set_num_threads(n);           /* for libraries that ask OpenMP, like oneDNN */
    atomic_store(&chosen, n);
}

/* A child of fork() inherits OpenMP's books but none of its threads, and would wait for them
 * for ever; it works alone.  The team belongs to the process that first used it. */
static bool team_is_ours(void)
{
    static _Atomic int owner;
    int nobody = 0, me = (int)getpid();
    return atomic_compare_exchange_strong(&owner, &nobody, me) || nobody == me;
}

void lm_parallel(int64_t n, int64_t grain, void (*body)(int64_t begin, int64_t end, void *context), void *context)
{
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    int threads = lm_threads();
    int64_t pieces = n / grain, most = (int64_t)threads * 4;   /* four each, so that a slow core can be helped */
    if (pieces > most) pieces = most;
    if (pieces <= 1 || threads == 1 || omp_in_parallel() || !team_is_ours()) {
        body(0, n, context);
        return;
    }
    int64_t step = n / pieces, longer = n % pieces;            /* the first `longer` pieces have one more */
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < pieces; i++) {
        int64_t begin = i * step + (i < longer ? i : longer);
        body(begin, begin + step + (i < longer), context);
    }
}

void lm_threads_spin_briefly(char **argv)
{
    char path[PATH_MAX];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", "2000", 1) != 0) return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = '\0';
    execv(path, argv);
}
