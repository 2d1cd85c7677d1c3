/* Threads over OpenMP: how many, and a loop over independent pieces. */
#ifndef LM_BASE_THREAD_H
#define LM_BASE_THREAD_H

#include <stdint.h>

/* In use.  By default OMP_NUM_THREADS if set, else the cores this process may run on: those of
 * its affinity mask, or fewer where a cgroup quota (a container's --cpus) gives it less. */
int lm_threads(void);

/* n >= 1; 0 returns to the default.  Also tells OpenMP, for libraries that ask it. */
void lm_threads_set(int n);

/* Cores that the quotas of the control groups listed in `membership` (/proc/self/cgroup) allow,
 * rounded up; 0 when nothing limits them.  `mount` is where cgroups are mounted (/sys/fs/cgroup). */
int lm_quota_cores(const char *membership, const char *mount);

/* Calls body(begin, end, context) for pieces that cover [0, n), each of at least `grain`
 * (unless n is smaller), in parallel.  Which thread runs a piece is not defined.  Inside another
 * parallel loop, and in a child of fork(), the calling thread does it all. */
void lm_parallel(int64_t n, int64_t grain, void (*body)(int64_t begin, int64_t end, void *context), void *context);

/* For a program's first line.  libgomp lets an idle thread spin for about a millisecond before it
 * sleeps, which on a machine with other work takes the core from whoever it waits for (a first token
 * took 9.5 s instead of 0.9 s beside eight busy processes).  Its setting is read before main, so this
 * runs the program anew with a short spin, unless the user has set one.  Does nothing where that
 * fails. */
void lm_threads_spin_briefly(char **argv);

#endif
